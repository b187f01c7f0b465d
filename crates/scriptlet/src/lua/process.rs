//! Processes: `rpm.spawn`, `rpm.execute`, `posix.fork` and what goes with it, and the environment.

use super::{State, done, failure, number, path, sys};
use mlua::{Function, Lua, LuaString, MultiValue, Table, Value, Variadic};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, Stdio};
use std::rc::Rc;

pub(super) fn os(text: &LuaString) -> OsString {
    OsStr::from_bytes(&text.as_bytes()).to_owned()
}

fn command(state: &State, words: &[LuaString]) -> mlua::Result<Command> {
    let (program, args) = words.split_first().ok_or_else(|| mlua::Error::runtime("command not supplied"))?;
    let mut command = Command::new(os(program));
    // With the script's `PATH`, the program is looked for there too.
    command.args(args.iter().map(os)).env_clear().envs(state.env.borrow().iter());
    Ok(command)
}

fn run(lua: &Lua, mut command: Command) -> mlua::Result<MultiValue> {
    match command.status() {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(0), _) => done(lua, None, Ok(())),
            (Some(code), _) => ended(lua, "exit code", code),
            (None, signal) => ended(lua, "exit signal", signal.unwrap_or(0)),
        },
        Err(error) => failure(lua, None, &error),
    }
}

fn ended(lua: &Lua, how: &str, number: i32) -> mlua::Result<MultiValue> {
    let text = lua.create_string(format!("{how}: {number}"))?;
    Ok(MultiValue::from_vec(vec![Value::Nil, Value::String(text), Value::Integer(number.into())]))
}

/// `rpm.spawn({program, arguments ...}, [{stdin = path, stdout = path, stderr = path}])`
pub(super) fn spawn(
    state: &State,
    lua: &Lua,
    words: &Table,
    files: Option<&Table>,
) -> mlua::Result<MultiValue> {
    let words: Vec<LuaString> = words.sequence_values().collect::<mlua::Result<_>>()?;
    let mut command = command(state, &words)?;
    if let Some(files) = files {
        for pair in files.pairs::<LuaString, LuaString>() {
            let (stream, file) = pair?;
            let append = || std::fs::OpenOptions::new().append(true).create(true).open(path(&file));
            let read = || lazuli_fs::open(path(&file)).map_err(|error| error.source);
            let stream = stream.as_bytes();
            let opened = match &stream[..] {
                b"stdin" => read(),
                b"stdout" | b"stderr" => append(),
                other => {
                    let other = String::from_utf8_lossy(other);
                    return Err(mlua::Error::runtime(format!("invalid spawn directive: {other}")));
                }
            };
            let opened = match opened {
                Ok(opened) => Stdio::from(opened),
                Err(error) => return failure(lua, None, &error),
            };
            match &stream[..] {
                b"stdin" => command.stdin(opened),
                b"stdout" => command.stdout(opened),
                _ => command.stderr(opened),
            };
        }
    }
    run(lua, command)
}

/// `rpm.execute(program, arguments ...)`
pub(super) fn execute(state: &State, lua: &Lua, words: &[LuaString]) -> mlua::Result<MultiValue> {
    run(lua, command(state, words)?)
}

fn only_forked(state: &State, what: &str) -> mlua::Result<()> {
    if state.forked() {
        Ok(())
    } else {
        Err(mlua::Error::runtime(format!("{what} not permitted in this context")))
    }
}

/// `rpm.redirect2null(number)`, in a forked process.
pub(super) fn redirect(state: &State, lua: &Lua, target: i64) -> mlua::Result<MultiValue> {
    only_forked(state, "redirect2null")?;
    let redirected = std::fs::OpenOptions::new().write(true).open("/dev/null").and_then(|null| {
        match target {
            1 => rustix::stdio::dup2_stdout(&null)?,
            2 => rustix::stdio::dup2_stderr(&null)?,
            0 => rustix::stdio::dup2_stdin(&null)?,
            _ => return Err(io::Error::from_raw_os_error(libc::EBADF)),
        }
        Ok(target)
    });
    number(lua, None, redirected)
}

/// Adds fork, exec, wait, kill, sleep and the environment to `posix`.
pub(super) fn functions(lua: &Lua, state: &Rc<State>, table: &Table) -> mlua::Result<()> {
    let shared = state.clone();
    let exec = move |lua: &Lua, words: Variadic<LuaString>| {
        only_forked(&shared, "exec")?;
        let error = command(&shared, &words)?.exec();
        failure(lua, words.first().map(|w| w.as_bytes().to_vec()).as_deref(), &error)
    };
    table.set("exec", lua.create_function(exec)?)?;
    let fork = |lua: &Lua, ()| number(lua, None, sys::fork().map(i64::from));
    table.set("fork", lua.create_function(fork)?)?;
    let wait = |lua: &Lua, pid: Option<i32>| {
        let pid = pid.filter(|pid| *pid > 0).and_then(Pid::from_raw);
        let waited = waitpid(pid, WaitOptions::empty()).map_err(io::Error::from);
        number(lua, None, waited.map(|found| found.map_or(0, |(pid, _)| pid.as_raw_nonzero().get().into())))
    };
    table.set("wait", lua.create_function(wait)?)?;
    let kill = |lua: &Lua, (pid, signal): (i32, Option<i32>)| {
        let signal = Signal::from_named_raw(signal.unwrap_or(libc::SIGTERM));
        let killed = match (Pid::from_raw(pid).filter(|_| pid > 0), signal) {
            (Some(pid), Some(signal)) => kill_process(pid, signal).map_err(io::Error::from),
            _ => Err(io::Error::from_raw_os_error(libc::EINVAL)),
        };
        done(lua, None, killed)
    };
    table.set("kill", lua.create_function(kill)?)?;
    let sleep = |_: &Lua, seconds: u64| {
        std::thread::sleep(std::time::Duration::from_secs(seconds));
        Ok(0)
    };
    table.set("sleep", lua.create_function(sleep)?)?;
    environment(lua, state, table)
}

fn environment(lua: &Lua, state: &Rc<State>, table: &Table) -> mlua::Result<()> {
    let shared = state.clone();
    let setenv = move |_: &Lua, (name, value, over): (LuaString, LuaString, Option<bool>)| {
        let mut env = shared.env.borrow_mut();
        if over.unwrap_or(true) || !env.contains_key(&os(&name)) {
            env.insert(os(&name), os(&value));
        }
        Ok(0)
    };
    table.set("setenv", lua.create_function(setenv)?)?;
    let shared = state.clone();
    let putenv = move |_: &Lua, text: LuaString| {
        let bytes = text.as_bytes().to_vec();
        let mut env = shared.env.borrow_mut();
        match bytes.iter().position(|b| *b == b'=') {
            Some(at) => {
                let (name, value) = (OsStr::from_bytes(&bytes[..at]), OsStr::from_bytes(&bytes[at + 1..]));
                env.insert(name.to_owned(), value.to_owned());
            }
            None => drop(env.remove(OsStr::from_bytes(&bytes))),
        }
        Ok(0)
    };
    table.set("putenv", lua.create_function(putenv)?)?;
    let shared = state.clone();
    let unsetenv = move |_: &Lua, name: LuaString| {
        shared.env.borrow_mut().remove(&os(&name));
        Ok(())
    };
    table.set("unsetenv", lua.create_function(unsetenv)?)?;
    table.set("getenv", getenv(lua, state)?)
}

/// One variable, or a table of all.
fn getenv(lua: &Lua, state: &Rc<State>) -> mlua::Result<Function> {
    let shared = state.clone();
    lua.create_function(move |lua, name: Option<LuaString>| {
        let env = shared.env.borrow();
        if let Some(name) = name {
            let value = env.get(&os(&name)).map(|value| lua.create_string(value.as_bytes()));
            return value.transpose().map(|value| value.map_or(Value::Nil, Value::String));
        }
        let table = lua.create_table()?;
        for (name, value) in env.iter() {
            table.set(lua.create_string(name.as_bytes())?, lua.create_string(value.as_bytes())?)?;
        }
        Ok(Value::Table(table))
    })
}

/// `os.exit`, `os.getenv` and `os.execute` as the script's process and environment want them.
pub(super) fn replace_os(lua: &Lua, state: &Rc<State>) -> mlua::Result<()> {
    let table: Table = lua.globals().get("os")?;
    let shared = state.clone();
    let exit = move |_: &Lua, status: Option<Value>| -> mlua::Result<()> {
        only_forked(&shared, "exit")?;
        let status = match status {
            None | Some(Value::Boolean(true) | Value::Nil) => 0,
            Some(Value::Integer(status)) => status as i32,
            Some(_) => 1,
        };
        std::process::exit(status)
    };
    table.set("exit", lua.create_function(exit)?)?;
    let one = getenv(lua, state)?;
    table.set("getenv", lua.create_function(move |_, name: LuaString| one.call::<Value>(name))?)?;
    let shared = state.clone();
    let execute = move |lua: &Lua, text: Option<LuaString>| {
        let Some(text) = text else { return Ok(MultiValue::from_vec(vec![Value::Boolean(true)])) };
        let words = [lua.create_string("/bin/sh")?, lua.create_string("-c")?, text];
        let (how, code) = match command(&shared, &words)?.status() {
            Ok(status) => match (status.code(), status.signal()) {
                (Some(code), _) => ("exit", code),
                (None, signal) => ("signal", signal.unwrap_or(0)),
            },
            Err(_) => ("exit", 127),
        };
        let good = if how == "exit" && code == 0 { Value::Boolean(true) } else { Value::Nil };
        let how = Value::String(lua.create_string(how)?);
        Ok(MultiValue::from_vec(vec![good, how, Value::Integer(code.into())]))
    };
    table.set("execute", lua.create_function(execute)?)
}
