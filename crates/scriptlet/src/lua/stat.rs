//! `posix.stat`, `posix.dir`, `posix.files`: what is on the disk.

use super::{failure, mode, path, select};
use mlua::{Function, Lua, LuaString, MultiValue, Value};
use rustix::fs::FileType;
use std::cell::RefCell;
use std::io;
use std::os::unix::ffi::OsStrExt as _;

fn kind(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "regular",
        FileType::Symlink => "link",
        FileType::Directory => "directory",
        FileType::CharacterDevice => "character device",
        FileType::BlockDevice => "block device",
        FileType::Fifo => "fifo",
        FileType::Socket => "socket",
        FileType::Unknown => "?",
    }
}

/// `posix.stat(path, [selector])`; links are not followed.
pub(super) fn stat(lua: &Lua, (name, selector): (LuaString, Option<LuaString>)) -> mlua::Result<MultiValue> {
    let stat = match rustix::fs::lstat(path(&name)) {
        Ok(stat) => stat,
        Err(errno) => return failure(lua, Some(&name.as_bytes()), &errno.into()),
    };
    let number = |n: u64| Value::Integer(n as i64);
    let text = |text: &str| lua.create_string(text).map(Value::String);
    let all = [
        ("mode", text(&mode::text(stat.st_mode))?),
        ("ino", number(stat.st_ino)),
        ("dev", number(stat.st_dev)),
        ("nlink", Value::Integer(stat.st_nlink as i64)),
        ("uid", number(stat.st_uid.into())),
        ("gid", number(stat.st_gid.into())),
        ("size", Value::Integer(stat.st_size)),
        ("atime", Value::Integer(stat.st_atime)),
        ("mtime", Value::Integer(stat.st_mtime)),
        ("ctime", Value::Integer(stat.st_ctime)),
        ("type", text(kind(FileType::from_raw_mode(stat.st_mode)))?),
        ("_mode", number(stat.st_mode.into())),
    ];
    select(lua, &all, selector.as_ref())
}

/// The names in a directory, `.` and `..` among them, as `readdir` gives them.
fn names(name: Option<&LuaString>) -> io::Result<Vec<Vec<u8>>> {
    let directory = name.map_or_else(|| ".".into(), path);
    let mut names = vec![b".".to_vec(), b"..".to_vec()];
    let entries = lazuli_fs::read_dir(directory).map_err(|error| error.source)?;
    names.extend(entries.iter().filter_map(|path| Some(path.file_name()?.as_bytes().to_vec())));
    Ok(names)
}

/// `posix.dir([path])`: a list.
pub(super) fn dir(lua: &Lua, name: Option<LuaString>) -> mlua::Result<MultiValue> {
    match names(name.as_ref()) {
        Ok(names) => {
            let strings: Vec<LuaString> =
                names.iter().map(|name| lua.create_string(name)).collect::<mlua::Result<_>>()?;
            Ok(MultiValue::from_vec(vec![Value::Table(lua.create_sequence_from(strings)?)]))
        }
        Err(error) => {
            let name = name.map_or_else(|| b".".to_vec(), |name| name.as_bytes().to_vec());
            failure(lua, Some(&name), &error)
        }
    }
}

/// `posix.files([path])`: an iterator.
pub(super) fn files(lua: &Lua, name: Option<LuaString>) -> mlua::Result<MultiValue> {
    match names(name.as_ref()) {
        Ok(names) => {
            let names = RefCell::new(names.into_iter());
            let next: Function = lua.create_function(move |lua, ()| {
                let next = names.borrow_mut().next();
                next.map(|name| lua.create_string(name)).transpose()
            })?;
            Ok(MultiValue::from_vec(vec![Value::Function(next)]))
        }
        Err(error) => {
            let name = name.map_or_else(|| b".".to_vec(), |name| name.as_bytes().to_vec());
            failure(lua, Some(&name), &error)
        }
    }
}
