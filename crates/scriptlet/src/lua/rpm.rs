//! The `rpm` table and the `macros` of a script.

use super::{State, glob, path, process};
use lazuli_rpm::base64;
use lazuli_rpm::evr::{Evr, rpmvercmp};
use mlua::{Lua, LuaString, MetaMethod, Table, UserData, UserDataFields, UserDataMethods, Value, Variadic};
use std::cmp::Ordering;
use std::fs::File;
use std::io::{BufRead as _, Read as _, Seek as _, SeekFrom, Write as _};
use std::rc::Rc;

/// The longest path that `rpm.next_file` gives, in bytes.
const MAX_PATH: u64 = 64 << 10;

pub(super) fn table(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let encode = |_: &Lua, data: LuaString| Ok(base64::encode(&data.as_bytes()));
    table.set("b64encode", lua.create_function(encode)?)?;
    let decode = |lua: &Lua, text: LuaString| match base64::decode(&text.to_string_lossy()) {
        Some(bytes) => lua.create_string(bytes).map(Value::String),
        None => Ok(Value::Nil),
    };
    table.set("b64decode", lua.create_function(decode)?)?;
    let compare = |_: &Lua, (a, b): (LuaString, LuaString)| {
        Ok(sign(version(&a.to_string_lossy()).cmp(&version(&b.to_string_lossy()))))
    };
    table.set("vercmp", lua.create_function(compare)?)?;
    table.set("ver", lua.create_function(|_, parts: Variadic<LuaString>| Version::new(&parts))?)?;
    let open = |_: &Lua, (name, mode): (LuaString, Option<LuaString>)| {
        let mode = mode.map_or_else(|| "r".to_owned(), |m| m.to_string_lossy());
        Handle::open(&name, &mode)
    };
    table.set("open", lua.create_function(open)?)?;
    let glob = |_: &Lua, (pattern, _): (LuaString, Option<LuaString>)| {
        glob::glob(&pattern.to_string_lossy()).map_err(mlua::Error::runtime)
    };
    table.set("glob", lua.create_function(glob)?)?;
    table.set("splitargs", lua.create_function(|_, text: LuaString| Ok(split(&text.to_string_lossy())))?)?;
    let unsplit = |_: &Lua, words: Vec<String>| Ok(unsplit(&words));
    table.set("unsplitargs", lua.create_function(unsplit)?)?;
    let shared = state.clone();
    let next = move |lua: &Lua, ()| {
        let mut line = Vec::new();
        let mut input = shared.input.borrow_mut();
        (&mut *input).take(MAX_PATH).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(Value::Nil);
        }
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        lua.create_string(line).map(Value::String)
    };
    table.set("next_file", lua.create_function(next)?)?;
    processes(lua, state, &table)?;
    macro_functions(lua, state, &table)?;
    // Hooks are for programs that use RPM's library; nobody calls them here.
    for name in ["register", "unregister", "call", "interactive", "load"] {
        table.set(name, lua.create_function(|_, _: mlua::MultiValue| Ok(()))?)?;
    }
    Ok(table)
}

fn processes(lua: &Lua, state: &Rc<State>, table: &Table) -> mlua::Result<()> {
    let shared = state.clone();
    let spawn = move |lua: &Lua, (words, files): (Table, Option<Table>)| {
        process::spawn(&shared, lua, &words, files.as_ref())
    };
    table.set("spawn", lua.create_function(spawn)?)?;
    let shared = state.clone();
    let execute = move |lua: &Lua, words: Variadic<LuaString>| process::execute(&shared, lua, &words);
    table.set("execute", lua.create_function(execute)?)?;
    let shared = state.clone();
    let redirect = move |lua: &Lua, target: i64| process::redirect(&shared, lua, target);
    table.set("redirect2null", lua.create_function(redirect)?)
}

fn lookup(state: &State, name: &str) -> Option<String> {
    match state.macros.borrow().get(name) {
        Some(own) => own.clone(),
        None => crate::body::builtin(name).map(str::to_owned),
    }
}

fn expand(state: &State, text: &str) -> mlua::Result<String> {
    crate::body::expand(text, &|name| lookup(state, name), 0).map_err(mlua::Error::runtime)
}

fn macro_functions(lua: &Lua, state: &Rc<State>, table: &Table) -> mlua::Result<()> {
    let shared = state.clone();
    let expand = move |_: &Lua, text: LuaString| expand(&shared, &text.to_string_lossy());
    table.set("expand", lua.create_function(expand)?)?;
    let shared = state.clone();
    let define = move |_: &Lua, text: LuaString| {
        let text = text.to_string_lossy();
        let (name, body) = text.trim().split_once(char::is_whitespace).unwrap_or((text.trim(), ""));
        shared.macros.borrow_mut().insert(name.to_owned(), Some(body.trim().to_owned()));
        Ok(())
    };
    table.set("define", lua.create_function(define)?)?;
    let shared = state.clone();
    let undefine = move |_: &Lua, name: LuaString| {
        shared.macros.borrow_mut().insert(name.to_string_lossy(), None);
        Ok(())
    };
    table.set("undefine", lua.create_function(undefine)?)?;
    let shared = state.clone();
    // Whether it is, and whether it has parameters; none has here.
    let defined =
        move |_: &Lua, name: LuaString| Ok((lookup(&shared, &name.to_string_lossy()).is_some(), false));
    table.set("isdefined", lua.create_function(defined)?)
}

/// The global `macros`: a table that reads and defines them.
pub(super) fn macros(lua: &Lua, state: &Rc<State>) -> mlua::Result<()> {
    let meta = lua.create_table()?;
    let shared = state.clone();
    let get = move |_: &Lua, (_, name): (Value, LuaString)| {
        let name = name.to_string_lossy();
        lookup(&shared, &name).map(|body| expand(&shared, &body)).transpose()
    };
    meta.set("__index", lua.create_function(get)?)?;
    let shared = state.clone();
    let set = move |_: &Lua, (_, name, body): (Value, LuaString, Option<LuaString>)| {
        let body = body.map(|body| body.to_string_lossy());
        shared.macros.borrow_mut().insert(name.to_string_lossy(), body);
        Ok(())
    };
    meta.set("__newindex", lua.create_function(set)?)?;
    let table = lua.create_table()?;
    table.set_metatable(Some(meta))?;
    lua.globals().set("macros", table)
}

fn sign(ordering: Ordering) -> i32 {
    ordering as i32
}

/// A version as text; what does not parse is all version.
fn version(text: &str) -> Evr {
    text.parse().unwrap_or_else(|_| Evr::new(None, text, ""))
}

/// `rpm.ver`
struct Version {
    e: Option<String>,
    v: String,
    r: Option<String>,
}

impl Version {
    fn new(parts: &[LuaString]) -> mlua::Result<Self> {
        let given = |i: usize| Some(parts[i].to_string_lossy()).filter(|text| !text.is_empty());
        match parts.len() {
            1 => {
                let evr = version(&parts[0].to_string_lossy());
                let release = Some(evr.release).filter(|release| !release.is_empty());
                Ok(Self { e: evr.epoch.map(|e| e.to_string()), v: evr.version, r: release })
            }
            3 => Ok(Self { e: given(0), v: parts[1].to_string_lossy(), r: given(2) }),
            count => Err(mlua::Error::runtime(format!("invalid number of arguments: {count}"))),
        }
    }

    fn compare(&self, other: &Self) -> Ordering {
        let epoch = |v: &Self| v.e.as_deref().unwrap_or("0").parse::<u32>().unwrap_or(0);
        let release = match (&self.r, &other.r) {
            (Some(a), Some(b)) => rpmvercmp(a, b),
            _ => Ordering::Equal,
        };
        (epoch(self).cmp(&epoch(other))).then_with(|| rpmvercmp(&self.v, &other.v)).then(release)
    }
}

impl UserData for Version {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.add_field_method_get("e", |_, this| Ok(this.e.clone()));
        fields.add_field_method_get("v", |_, this| Ok(this.v.clone()));
        fields.add_field_method_get("r", |_, this| Ok(this.r.clone()));
    }

    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        type Other = mlua::UserDataRef<Version>;
        methods.add_meta_method(MetaMethod::Eq, |_, this, other: Other| Ok(this.compare(&other).is_eq()));
        methods.add_meta_method(MetaMethod::Lt, |_, this, other: Other| Ok(this.compare(&other).is_lt()));
        methods.add_meta_method(MetaMethod::Le, |_, this, other: Other| Ok(this.compare(&other).is_le()));
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| {
            let epoch = this.e.as_ref().map(|e| format!("{e}:")).unwrap_or_default();
            let release = this.r.as_ref().map(|r| format!("-{r}")).unwrap_or_default();
            Ok(format!("{epoch}{}{release}", this.v))
        });
    }
}

/// `rpm.open`: a plain file. Compressed streams are not supported.
struct Handle {
    name: String,
    file: Option<File>,
}

impl Handle {
    fn open(name: &LuaString, mode: &str) -> mlua::Result<Self> {
        let (how, stream) = mode.split_once('.').unwrap_or((mode, ""));
        let shown = name.to_string_lossy();
        if !matches!(stream, "" | "fdio" | "ufdio" | "fpio") {
            return Err(mlua::Error::runtime(format!("{shown}: streams of type {stream} are not supported")));
        }
        let mut options = std::fs::OpenOptions::new();
        match how.trim_end_matches('b') {
            "r" => options.read(true),
            "r+" => options.read(true).write(true),
            "w" => options.write(true).create(true).truncate(true),
            "w+" => options.read(true).write(true).create(true).truncate(true),
            "a" => options.append(true).create(true),
            "a+" => options.read(true).append(true).create(true),
            _ => return Err(mlua::Error::runtime(format!("{shown}: mode {mode} is not known"))),
        };
        let opened = options.open(path(name));
        let file = opened.map_err(|error| mlua::Error::runtime(format!("{shown} open failed: {error}")))?;
        Ok(Self { name: shown, file: Some(file) })
    }

    fn file(&mut self) -> mlua::Result<&mut File> {
        let closed = || mlua::Error::runtime(format!("{} is closed", self.name));
        self.file.as_mut().ok_or_else(closed)
    }
}

impl UserData for Handle {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method_mut("read", |lua, this, count: Option<u64>| {
            let mut bytes = Vec::new();
            this.file()?.take(count.unwrap_or(u64::MAX)).read_to_end(&mut bytes)?;
            lua.create_string(bytes)
        });
        methods.add_method_mut("write", |_, this, (data, size): (LuaString, Option<usize>)| {
            let bytes = data.as_bytes();
            let bytes = &bytes[..size.unwrap_or(bytes.len()).min(bytes.len())];
            this.file()?.write_all(bytes)?;
            Ok(bytes.len())
        });
        methods.add_method_mut("flush", |_, this, ()| this.file()?.flush().map(|()| 0).map_err(Into::into));
        methods.add_method_mut("close", |_, this, ()| Ok(if this.file.take().is_some() { 0 } else { -1 }));
        methods.add_method_mut("seek", |_, this, (whence, offset): (Option<LuaString>, Option<i64>)| {
            let offset = offset.unwrap_or(0);
            let whence = whence.map_or_else(|| "cur".to_owned(), |w| w.to_string_lossy());
            let to = match &whence[..] {
                "set" => SeekFrom::Start(offset as u64),
                "cur" => SeekFrom::Current(offset),
                "end" => SeekFrom::End(offset),
                _ => return Err(mlua::Error::runtime(format!("invalid option `{whence}`"))),
            };
            Ok(this.file()?.seek(to)?)
        });
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| Ok(this.name.clone()));
    }
}

/// Splits words at blanks, with quotes.
fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in text.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ' | '\t') => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

fn unsplit(words: &[String]) -> String {
    let quote = |word: &String| {
        if word.contains([' ', '\t', '"', '\'']) || word.is_empty() {
            format!("\"{word}\"")
        } else {
            word.clone()
        }
    };
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}
