//! The Lua interpreter of scripts, in the helper.
//!
//! A script gets Lua 5.4 with its safe standard libraries, RPM's `rpm` and `posix` tables, `arg` (its
//! arguments from index 2 on, as numbers) and `RPM_INSTALL_PREFIX`. Each script has an interpreter of its
//! own; RPM lets the scripts of a transaction share one, which nothing should rely on. `os.exit` is an
//! error outside of a forked process, as in RPM. Compiled chunks are refused: the interpreter does not
//! verify them.

mod account;
mod glob;
mod mode;
mod posix;
mod process;
mod rpm;
mod stat;
mod sys;

use crate::helper::{Job, READY};
use mlua::{HookTriggers, Lua, LuaOptions, LuaString, MultiValue, StdLib, Value, VmState};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufReader, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::rc::Rc;

/// The largest job in bytes.
const MAX_JOB: u64 = 64 << 20;
/// How many instructions pass between two looks at how many there have been.
const STEP: u32 = 100_000;
/// The exit status of a helper that could not run its script.
const BROKEN: i32 = 126;

/// What the functions of a script share.
struct State {
    /// The environment of programs that the script starts; that of this process stays as it is.
    env: RefCell<BTreeMap<OsString, OsString>>,
    /// Macros that the script defined; `None` if it undefined one.
    macros: RefCell<BTreeMap<String, Option<String>>>,
    /// Paths for a file trigger.
    input: RefCell<BufReader<io::Stdin>>,
    /// The process that runs the script, to tell it from one that the script forked.
    main: u32,
}

impl State {
    /// Whether this is a process that the script forked.
    fn forked(&self) -> bool {
        std::process::id() != self.main
    }
}

/// Reads the job from the descriptor that the variable names and runs it; the exit status.
pub(crate) fn serve(variable: &str) -> i32 {
    match receive(variable) {
        Ok(job) => run(&job),
        Err(error) => {
            // The parent learns that nothing was reported.
            let _ = writeln!(io::stderr(), "the Lua helper got no job: {error}");
            BROKEN
        }
    }
}

fn receive(variable: &str) -> io::Result<Job> {
    let number = std::env::var(variable).map_err(io::Error::other)?;
    let sheet = File::from(sys::inherited(number.parse().map_err(io::Error::other)?)?);
    let mut bytes = Vec::new();
    sheet.take(MAX_JOB).read_to_end(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

fn run(job: &Job) -> i32 {
    let Ok(report) = sys::inherited(job.report) else { return BROKEN };
    let mut report = File::from(report);
    // Everything that could need a file of the host happens before the root changes.
    let prepared = interpreter(job).map_err(|error| io::Error::other(error.to_string())).and_then(|lua| {
        enter(job)?;
        Ok(lua)
    });
    let lua = match prepared {
        Ok(lua) => lua,
        Err(error) => {
            let _ = report.write_all(error.to_string().as_bytes());
            return BROKEN;
        }
    };
    if report.write_all(READY.as_bytes()).is_err() {
        return BROKEN;
    }
    drop(report);
    let main = std::process::id();
    let chunk =
        lua.load(&job.body[..]).set_name(format!("={}", job.name)).set_mode(mlua::chunk::ChunkMode::Text);
    let result = chunk.exec();
    if std::process::id() != main {
        let _ = writeln!(io::stderr(), "the script left a forked process running");
        return 1;
    }
    match result {
        Ok(()) => 0,
        Err(error) => {
            let _ = writeln!(io::stderr(), "lua script failed: {}", message(&error));
            1
        }
    }
}

/// What went wrong, without the frames of this program.
fn message(error: &mlua::Error) -> String {
    match error {
        mlua::Error::CallbackError { cause, .. } => message(cause),
        other => other.to_string(),
    }
}

/// Takes the standard descriptors and the root over.
fn enter(job: &Job) -> io::Result<()> {
    let (out, err) = (sys::inherited(job.out)?, sys::inherited(job.err)?);
    rustix::stdio::dup2_stdout(&out)?;
    rustix::stdio::dup2_stderr(&err)?;
    let root = sys::inherited(job.root)?;
    if job.chroot {
        rustix::process::fchdir(&root)?;
        rustix::process::chroot(c".")?;
    }
    rustix::process::chdir(c"/")?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    Ok(())
}

fn interpreter(job: &Job) -> mlua::Result<Lua> {
    let lua = Lua::new_with(StdLib::ALL_SAFE, LuaOptions::default())?;
    lua.set_memory_limit(job.memory)?;
    let (left, limit) = (Cell::new(job.instructions), job.instructions);
    lua.set_global_hook(HookTriggers::new().every_nth_instruction(STEP), move |_, _| {
        left.set(left.get().saturating_sub(STEP.into()));
        if left.get() == 0 {
            return Err(mlua::Error::runtime(format!("it ran more than {limit} instructions")));
        }
        Ok(VmState::Continue)
    })?;
    let internal = |name: &OsStr| name.as_bytes().starts_with(b"LAZULI_SCRIPTLET_");
    let env = std::env::vars_os().filter(|(name, _)| !internal(name)).collect();
    let state = Rc::new(State {
        env: RefCell::new(env),
        macros: RefCell::default(),
        input: RefCell::new(BufReader::new(io::stdin())),
        main: std::process::id(),
    });
    let globals = lua.globals();
    globals.set("rpm", rpm::table(&lua, &state)?)?;
    globals.set("posix", posix::table(&lua, &state)?)?;
    rpm::macros(&lua, &state)?;
    process::replace_os(&lua, &state)?;
    let args = lua.create_table()?;
    args.set(1, "<lua>")?;
    for (i, arg) in job.args.iter().enumerate() {
        args.set(i + 2, *arg)?;
    }
    globals.set("arg", args)?;
    if !job.prefixes.is_empty() {
        globals.set("RPM_INSTALL_PREFIX", lua.create_sequence_from(job.prefixes.iter().cloned())?)?;
    }
    // Lines are to arrive as they are written.
    lua.load("io.stdout:setvbuf('line')").exec()?;
    Ok(lua)
}

/// A file name as Lua has it.
fn path(text: &LuaString) -> std::path::PathBuf {
    Path::new(OsStr::from_bytes(&text.as_bytes())).to_path_buf()
}

/// What a function returns that failed: nil, a text, and the number of the error.
fn failure(lua: &Lua, info: Option<&[u8]>, error: &io::Error) -> mlua::Result<MultiValue> {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut message = Vec::new();
    if let Some(info) = info {
        message.extend(info);
        message.extend(b": ");
    }
    message.extend(text.as_bytes());
    Ok(MultiValue::from_vec(vec![
        Value::Nil,
        Value::String(lua.create_string(message)?),
        Value::Integer(error.raw_os_error().unwrap_or(0).into()),
    ]))
}

/// What a function returns that has nothing else to say: 0, or its failure.
fn done(lua: &Lua, info: Option<&[u8]>, result: io::Result<()>) -> mlua::Result<MultiValue> {
    number(lua, info, result.map(|()| 0))
}

/// A number, or the failure.
fn number(lua: &Lua, info: Option<&[u8]>, result: io::Result<i64>) -> mlua::Result<MultiValue> {
    match result {
        Ok(number) => Ok(MultiValue::from_vec(vec![Value::Integer(number)])),
        Err(error) => failure(lua, info, &error),
    }
}

/// Every field as a table, or the one that a selector names.
fn select(lua: &Lua, fields: &[(&str, Value)], selector: Option<&LuaString>) -> mlua::Result<MultiValue> {
    let value = match selector {
        None => Value::Table(lua.create_table_from(fields.iter().cloned())?),
        Some(wanted) => {
            let found = fields.iter().find(|(name, _)| name.as_bytes() == &wanted.as_bytes()[..]);
            let unknown = || mlua::Error::runtime(format!("unknown selector `{}`", wanted.display()));
            found.map(|(_, value)| value.clone()).ok_or_else(unknown)?
        }
    };
    Ok(MultiValue::from_vec(vec![value]))
}
