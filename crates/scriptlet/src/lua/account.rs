//! Users and groups of the root: its own files are read, since the C library's way to them loads modules
//! that the root may not have.

use super::select;
use mlua::{Lua, LuaString, MultiValue, Value};

/// The largest account file that is read, in bytes.
const MAX: u64 = 16 << 20;

fn lines(path: &str) -> Vec<Vec<String>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    if let Ok(file) = lazuli_fs::open(path) {
        // A file that cannot be read has no users.
        let _ = file.take(MAX).read_to_end(&mut bytes);
    }
    let text = String::from_utf8_lossy(&bytes);
    text.lines().map(|line| line.split(':').map(str::to_owned).collect()).collect()
}

fn by_name_or_id(path: &str, wanted: &Value) -> Option<Vec<String>> {
    let id = match wanted {
        Value::Integer(id) => Some(id.to_string()),
        #[allow(clippy::cast_possible_truncation)]
        Value::Number(id) => Some((*id as i64).to_string()),
        _ => None,
    };
    let name = wanted.as_string().map(LuaString::to_string_lossy);
    lines(path).into_iter().find(|fields| match (&id, &name) {
        (Some(id), _) => fields.get(2) == Some(id),
        (None, Some(name)) => fields.first() == Some(name),
        _ => false,
    })
}

/// A user or group id: a number as it is, or that of a name.
pub(super) fn id(path: &str, wanted: &Value) -> Option<u32> {
    match wanted {
        Value::Integer(id) => u32::try_from(*id).ok(),
        Value::Number(id) => Some(*id as u32),
        name => by_name_or_id(path, name)?.get(2)?.parse().ok(),
    }
}

/// `posix.getpasswd(name or id, [selector])`
pub(super) fn user(lua: &Lua, wanted: &Value, selector: Option<&LuaString>) -> mlua::Result<MultiValue> {
    let wanted = match wanted {
        Value::Nil => Value::Integer(rustix::process::geteuid().as_raw().into()),
        other => other.clone(),
    };
    let Some(fields) = by_name_or_id("/etc/passwd", &wanted) else {
        return Ok(MultiValue::from_vec(vec![Value::Nil]));
    };
    let string = |i: usize| lua.create_string(fields.get(i).map_or("", |f| &f[..])).map(Value::String);
    let number = |i: usize| Value::Integer(fields.get(i).and_then(|f| f.parse().ok()).unwrap_or(-1));
    let all = [
        ("name", string(0)?),
        ("uid", number(2)),
        ("gid", number(3)),
        ("dir", string(5)?),
        ("shell", string(6)?),
        ("gecos", string(4)?),
        ("passwd", string(1)?),
    ];
    select(lua, &all, selector)
}

/// `posix.getgroup(name or id)`
pub(super) fn group(lua: &Lua, wanted: &Value) -> mlua::Result<Value> {
    let Some(fields) = by_name_or_id("/etc/group", wanted) else { return Ok(Value::Nil) };
    let table = lua.create_table()?;
    table.set("name", fields.first().cloned())?;
    table.set("gid", fields.get(2).and_then(|gid| gid.parse::<i64>().ok()))?;
    let members = fields.get(3).map_or("", |m| &m[..]);
    for (i, member) in members.split(',').filter(|m| !m.is_empty()).enumerate() {
        table.set(i + 1, member)?;
    }
    Ok(Value::Table(table))
}
