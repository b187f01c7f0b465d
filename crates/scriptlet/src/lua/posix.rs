//! The `posix` table.

use super::process::os;
use super::{State, account, done, failure, mode, number, path, process, select, stat, sys};
use mlua::{Lua, LuaString, MultiValue, Table, Value};
use rustix::fs::{Access, AtFlags, CWD, Gid, Mode, Timespec, Timestamps, Uid};
use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::rc::Rc;

pub(super) fn table(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.set("version", "posix library for Lua 5.4")?;
    paths(lua, &table)?;
    metadata(lua, &table)?;
    identity(lua, &table)?;
    system(lua, &table)?;
    process::functions(lua, state, &table)?;
    Ok(table)
}

/// Functions of one path.
fn paths(lua: &Lua, table: &Table) -> mlua::Result<()> {
    type Call = fn(&LuaString) -> rustix::io::Result<()>;
    let calls: [(&str, Call); 5] = [
        ("mkdir", |p| rustix::fs::mkdir(path(p), Mode::from_raw_mode(0o777))),
        ("rmdir", |p| rustix::fs::rmdir(path(p))),
        ("unlink", |p| rustix::fs::unlink(path(p))),
        ("chdir", |p| rustix::process::chdir(path(p))),
        ("mkfifo", |p| {
            let mode = Mode::from_raw_mode(0o777);
            rustix::fs::mknodat(CWD, path(p), rustix::fs::FileType::Fifo, mode, 0)
        }),
    ];
    for (name, call) in calls {
        let function = move |lua: &Lua, given: LuaString| {
            done(lua, Some(&given.as_bytes()), call(&given).map_err(io::Error::from))
        };
        table.set(name, lua.create_function(function)?)?;
    }
    let link = |lua: &Lua, (old, new): (LuaString, LuaString)| {
        done(lua, None, rustix::fs::link(path(&old), path(&new)).map_err(io::Error::from))
    };
    table.set("link", lua.create_function(link)?)?;
    let symlink = |lua: &Lua, (old, new): (LuaString, LuaString)| {
        done(lua, None, rustix::fs::symlink(path(&old), path(&new)).map_err(io::Error::from))
    };
    table.set("symlink", lua.create_function(symlink)?)?;
    let readlink = |lua: &Lua, given: LuaString| match rustix::fs::readlink(path(&given), Vec::new()) {
        Ok(target) => Ok(MultiValue::from_vec(vec![Value::String(lua.create_string(target.to_bytes())?)])),
        Err(errno) => failure(lua, Some(&given.as_bytes()), &errno.into()),
    };
    table.set("readlink", lua.create_function(readlink)?)?;
    let mkstemp = |lua: &Lua, template: LuaString| mkstemp(lua, &template);
    table.set("mkstemp", lua.create_function(mkstemp)?)?;
    table.set("dir", lua.create_function(stat::dir)?)?;
    table.set("files", lua.create_function(stat::files)?)?;
    table.set("stat", lua.create_function(stat::stat)?)?;
    let getcwd = |lua: &Lua, ()| match rustix::process::getcwd(Vec::new()) {
        Ok(here) => Ok(MultiValue::from_vec(vec![Value::String(lua.create_string(here.to_bytes())?)])),
        Err(errno) => failure(lua, Some(b"."), &errno.into()),
    };
    table.set("getcwd", lua.create_function(getcwd)?)
}

/// A new file whose name ends with six characters in place of `XXXXXX`: a file of Lua, and its name.
fn mkstemp(lua: &Lua, template: &LuaString) -> mlua::Result<MultiValue> {
    let template = template.to_string_lossy();
    let Some(stem) = template.strip_suffix("XXXXXX") else {
        return failure(lua, None, &io::Error::from_raw_os_error(libc::EINVAL));
    };
    for _ in 0..100 {
        let name = format!("{stem}{:06x}", rand::random::<u32>() & 0xff_ffff);
        match lazuli_fs::create_new(&name, 0o600) {
            Ok(_) => {
                let io: Table = lua.globals().get("io")?;
                let file: Value = io.get::<mlua::Function>("open")?.call((&name[..], "a+"))?;
                return Ok(MultiValue::from_vec(vec![file, Value::String(lua.create_string(name)?)]));
            }
            Err(error) if error.source.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return failure(lua, None, &error.source),
        }
    }
    failure(lua, None, &io::Error::from_raw_os_error(libc::EEXIST))
}

fn metadata(lua: &Lua, table: &Table) -> mlua::Result<()> {
    let access = |lua: &Lua, (given, wanted): (LuaString, Option<LuaString>)| {
        let mut access = Access::EXISTS;
        for c in wanted.as_ref().map_or_else(Vec::new, |w| w.as_bytes().to_vec()) {
            access |= match c {
                b' ' | b'f' => Access::EXISTS,
                b'r' => Access::READ_OK,
                b'w' => Access::WRITE_OK,
                b'x' => Access::EXEC_OK,
                _ => return Err(mlua::Error::runtime(format!("unknown mode option `{}'", char::from(c)))),
            };
        }
        let allowed = rustix::fs::access(path(&given), access).map_err(io::Error::from);
        done(lua, Some(&given.as_bytes()), allowed)
    };
    table.set("access", lua.create_function(access)?)?;
    let chmod = |lua: &Lua, (given, text): (LuaString, LuaString)| {
        let old = match rustix::fs::stat(path(&given)) {
            Ok(stat) => stat.st_mode,
            Err(errno) => return failure(lua, Some(&given.as_bytes()), &errno.into()),
        };
        let Some(new) = mode::parse(&text.to_string_lossy(), old) else {
            return Err(mlua::Error::runtime("bad mode"));
        };
        let changed = rustix::fs::chmod(path(&given), Mode::from_raw_mode(new)).map_err(io::Error::from);
        done(lua, Some(&given.as_bytes()), changed)
    };
    table.set("chmod", lua.create_function(chmod)?)?;
    let chown = |lua: &Lua, (given, user, group): (LuaString, Value, Value)| {
        let user = owner("/etc/passwd", &user).map(|id| id.map(Uid::from_raw));
        let group = owner("/etc/group", &group).map(|id| id.map(Gid::from_raw));
        let changed = match (user, group) {
            (Ok(user), Ok(group)) => rustix::fs::chown(path(&given), user, group).map_err(io::Error::from),
            // A name that is not known must not leave the file with someone else's.
            _ => Err(io::Error::from_raw_os_error(libc::EINVAL)),
        };
        done(lua, Some(&given.as_bytes()), changed)
    };
    table.set("chown", lua.create_function(chown)?)?;
    let utime = |lua: &Lua, (given, modified, accessed): (LuaString, Option<i64>, Option<i64>)| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_secs() as i64);
        let at = |seconds: Option<i64>| Timespec { tv_sec: seconds.unwrap_or(now), tv_nsec: 0 };
        let times = Timestamps { last_access: at(accessed), last_modification: at(modified) };
        let changed = rustix::fs::utimensat(CWD, path(&given), &times, AtFlags::empty());
        done(lua, Some(&given.as_bytes()), changed.map_err(io::Error::from))
    };
    table.set("utime", lua.create_function(utime)?)?;
    let umask = |_: &Lua, text: Option<LuaString>| {
        let old = rustix::process::umask(Mode::empty());
        rustix::process::umask(old);
        let mut allowed = !old.as_raw_mode() & 0o777;
        if let Some(text) = text {
            let Some(new) = mode::parse(&text.to_string_lossy(), allowed) else { return Ok(None) };
            allowed = new & 0o777;
            rustix::process::umask(Mode::from_raw_mode(!allowed & 0o777));
        }
        Ok(Some(mode::text(allowed)))
    };
    table.set("umask", lua.create_function(umask)?)
}

/// A name that nobody has.
struct Unknown;

/// An owner; none to leave it as it is.
fn owner(file: &str, wanted: &Value) -> Result<Option<u32>, Unknown> {
    match wanted {
        Value::Nil | Value::Integer(-1) => Ok(None),
        wanted => account::id(file, wanted).map(Some).ok_or(Unknown),
    }
}

fn identity(lua: &Lua, table: &Table) -> mlua::Result<()> {
    let user = |lua: &Lua, (wanted, selector): (Value, Option<LuaString>)| {
        account::user(lua, &wanted, selector.as_ref())
    };
    table.set("getpasswd", lua.create_function(user)?)?;
    table.set("getgroup", lua.create_function(|lua, wanted: Value| account::group(lua, &wanted))?)?;
    let process = |lua: &Lua, selector: Option<LuaString>| {
        let number = |n: u32| Value::Integer(n.into());
        let pid = |pid: Option<rustix::process::Pid>| {
            Value::Integer(pid.map_or(0, |pid| pid.as_raw_nonzero().get().into()))
        };
        let all = [
            ("egid", number(rustix::process::getegid().as_raw())),
            ("euid", number(rustix::process::geteuid().as_raw())),
            ("gid", number(rustix::process::getgid().as_raw())),
            ("uid", number(rustix::process::getuid().as_raw())),
            ("pgrp", pid(Some(rustix::process::getpgrp()))),
            ("pid", pid(Some(rustix::process::getpid()))),
            ("ppid", pid(rustix::process::getppid())),
        ];
        select(lua, &all, selector.as_ref())
    };
    table.set("getprocessid", lua.create_function(process)?)?;
    let setuid = |lua: &Lua, wanted: Value| {
        let set = account::id("/etc/passwd", &wanted)
            .ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))
            .and_then(|id| Ok(rustix::thread::set_thread_uid(Uid::from_raw(id))?));
        done(lua, None, set)
    };
    table.set("setuid", lua.create_function(setuid)?)?;
    let setgid = |lua: &Lua, wanted: Value| {
        let set = account::id("/etc/group", &wanted)
            .ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))
            .and_then(|id| Ok(rustix::thread::set_thread_gid(Gid::from_raw(id))?));
        done(lua, None, set)
    };
    table.set("setgid", lua.create_function(setgid)?)?;
    // Scripts have no terminal and no login.
    for name in ["ttyname", "getlogin"] {
        table.set(name, lua.create_function(|_, _: MultiValue| Ok(Value::Nil))?)?;
    }
    table.set("ctermid", lua.create_function(|_, ()| Ok("/dev/tty"))?)
}

fn system(lua: &Lua, table: &Table) -> mlua::Result<()> {
    let errno = |lua: &Lua, ()| {
        let error = io::Error::last_os_error();
        let text = error.to_string();
        let text = lua.create_string(text.split(" (os error").next().unwrap_or(&text))?;
        Ok((text, error.raw_os_error().unwrap_or(0)))
    };
    table.set("errno", lua.create_function(errno)?)?;
    let uname = |_: &Lua, format: Option<LuaString>| {
        let format = format.map_or_else(|| "%s %n %r %v %m".to_owned(), |f| f.to_string_lossy());
        let names = rustix::system::uname();
        let mut out = String::new();
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            let part = match (c, if c == '%' { chars.next() } else { None }) {
                ('%', Some('%')) => "%".into(),
                ('%', Some('m')) => names.machine().to_string_lossy(),
                ('%', Some('n')) => names.nodename().to_string_lossy(),
                ('%', Some('r')) => names.release().to_string_lossy(),
                ('%', Some('s')) => names.sysname().to_string_lossy(),
                ('%', Some('v')) => names.version().to_string_lossy(),
                ('%', _) => return Err(mlua::Error::runtime("unknown format option")),
                (c, _) => c.to_string().into(),
            };
            out.push_str(&part);
        }
        Ok(out)
    };
    table.set("uname", lua.create_function(uname)?)?;
    let times = |lua: &Lua, selector: Option<LuaString>| {
        let ticks = sys::sysconf(libc::_SC_CLK_TCK).max(1) as f64;
        let names = ["utime", "stime", "cutime", "cstime", "elapsed"];
        let all: Vec<(&str, Value)> =
            names.into_iter().zip(sys::times().map(|t| Value::Number(t as f64 / ticks))).collect();
        select(lua, &all, selector.as_ref())
    };
    table.set("times", lua.create_function(times)?)?;
    let pathconf = |lua: &Lua, (given, selector): (LuaString, Option<LuaString>)| {
        let Ok(given) = CString::new(os(&given).as_bytes()) else {
            return number(lua, None, Err(io::Error::from_raw_os_error(libc::EINVAL)));
        };
        let all = [
            ("link_max", libc::_PC_LINK_MAX),
            ("max_canon", libc::_PC_MAX_CANON),
            ("max_input", libc::_PC_MAX_INPUT),
            ("name_max", libc::_PC_NAME_MAX),
            ("path_max", libc::_PC_PATH_MAX),
            ("pipe_buf", libc::_PC_PIPE_BUF),
            ("chown_restricted", libc::_PC_CHOWN_RESTRICTED),
            ("no_trunc", libc::_PC_NO_TRUNC),
            ("vdisable", libc::_PC_VDISABLE),
        ]
        .map(|(name, number)| (name, Value::Integer(sys::pathconf(&given, number))));
        select(lua, &all, selector.as_ref())
    };
    table.set("pathconf", lua.create_function(pathconf)?)?;
    let sysconf = |lua: &Lua, selector: Option<LuaString>| {
        let all = [
            ("arg_max", libc::_SC_ARG_MAX),
            ("child_max", libc::_SC_CHILD_MAX),
            ("clk_tck", libc::_SC_CLK_TCK),
            ("ngroups_max", libc::_SC_NGROUPS_MAX),
            ("stream_max", libc::_SC_STREAM_MAX),
            ("tzname_max", libc::_SC_TZNAME_MAX),
            ("open_max", libc::_SC_OPEN_MAX),
            ("job_control", libc::_SC_JOB_CONTROL),
            ("saved_ids", libc::_SC_SAVED_IDS),
            ("version", libc::_SC_VERSION),
        ]
        .map(|(name, number)| (name, Value::Integer(sys::sysconf(number))));
        select(lua, &all, selector.as_ref())
    };
    table.set("sysconf", lua.create_function(sysconf)?)
}
