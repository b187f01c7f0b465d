//! Between JSON and the wire format of Protocol Buffers, led by the [schema](crate::schema).
//!
//! The wire format is a sequence of fields. Each begins with a varint `number << 3 | kind`; kind 0 is a varint
//! (little-endian groups of 7 bits, the top bit says that more follow), 2 a varint length and as many bytes, 1 and 5
//! are 8 and 4 bytes. Order is free, a field that is not there has its type's default, and a repeated number is written
//! as one packed field (2) or as many (0): both are read.
//! See <https://protobuf.dev/programming-guides/encoding/> and, for JSON, <https://protobuf.dev/programming-guides/json/>.
//!
//! What comes in as JSON is a person's: a key that the schema does not have is an error. What comes in from the wire is
//! a peer's, perhaps a newer one: a field that the schema does not have is skipped, anything malformed is an error.

use crate::schema::{Cardinality, Field, SCHEMA, Type};
use serde_json::{Map, Value};

/// Messages within messages, at most. The deepest of the schema has eight.
const MAX_DEPTH: usize = 32;

/// Why a message could not be translated.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// There is no such message in the schema: a mistake in this program.
    #[error("the schema has no message {0}")]
    NoMessage(String),
    /// JSON that does not fit the message.
    #[error("{path}: {reason}")]
    Json {
        /// Where in the JSON, for example `config.metadata.name`.
        path: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// Bytes that are no such message.
    #[error("the runtime's answer is no {message}: {reason}")]
    Wire {
        /// The message.
        message: String,
        /// What is wrong.
        reason: &'static str,
    },
}

/// The bytes of the message `name` with the content of `value`, an object.
pub fn encode(name: &str, value: &Value) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    message(name, value, "", &mut out)?;
    Ok(out)
}

fn fields(name: &str) -> Result<&'static [Field], Error> {
    SCHEMA.message(name).ok_or_else(|| Error::NoMessage(name.to_owned()))
}

fn refuse<T>(path: &str, reason: impl Into<String>) -> Result<T, Error> {
    let path = if path.is_empty() { "the request" } else { path };
    Err(Error::Json { path: path.to_owned(), reason: reason.into() })
}

fn message(name: &str, value: &Value, path: &str, out: &mut Vec<u8>) -> Result<(), Error> {
    let Some(object) = value.as_object() else {
        return refuse(path, format!("must be an object ({name})"));
    };
    let fields = fields(name)?;
    for (key, value) in object {
        let at = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let Some(field) = fields.iter().find(|f| f.name == *key || f.json == *key) else {
            let known: Vec<&str> = fields.iter().map(|f| f.name.as_str()).collect();
            return refuse(&at, format!("{name} has no such key; it has {}", known.join(", ")));
        };
        if value.is_null() {
            continue;
        }
        match field.cardinality {
            Cardinality::One => one(field, value, &at, true, out)?,
            Cardinality::Many => {
                let Some(items) = value.as_array() else { return refuse(&at, "must be a list") };
                for (index, item) in items.iter().enumerate() {
                    one(field, item, &format!("{at}[{index}]"), false, out)?;
                }
            }
            Cardinality::Map => {
                let Some(entries) = value.as_object() else { return refuse(&at, "must be an object") };
                for (key, item) in entries {
                    let mut entry = Vec::new();
                    put_bytes(&mut entry, 1, key.as_bytes());
                    one(
                        &Field { number: 2, ..field.clone() },
                        item,
                        &format!("{at}.{key}"),
                        false,
                        &mut entry,
                    )?;
                    put_bytes(out, field.number, &entry);
                }
            }
        }
    }
    Ok(())
}

/// One value. With `sparse`, the default of a scalar is left out, as the format has it for a field that occurs once.
fn one(field: &Field, value: &Value, path: &str, sparse: bool, out: &mut Vec<u8>) -> Result<(), Error> {
    let number = match &field.kind {
        Type::String => match value.as_str() {
            Some("") if sparse => return Ok(()),
            Some(text) => {
                put_bytes(out, field.number, text.as_bytes());
                return Ok(());
            }
            None => return refuse(path, "must be text"),
        },
        Type::Bytes => match value.as_str().and_then(crate::base64::decode) {
            Some(bytes) if bytes.is_empty() && sparse => return Ok(()),
            Some(bytes) => {
                put_bytes(out, field.number, &bytes);
                return Ok(());
            }
            None => return refuse(path, "must be base64"),
        },
        Type::Message(name) => {
            let mut inner = Vec::new();
            message(name, value, path, &mut inner)?;
            put_bytes(out, field.number, &inner);
            return Ok(());
        }
        Type::Bool => match value.as_bool() {
            Some(yes) => u64::from(yes),
            None => return refuse(path, "must be true or false"),
        },
        Type::Enum(name) => {
            let values = SCHEMA.values(name).unwrap_or_default();
            let index = match value {
                Value::String(text) => values.iter().position(|v| v == text).map(|at| at as u64),
                other => other.as_u64().filter(|at| *at < values.len() as u64),
            };
            match index {
                Some(index) => index,
                None => return refuse(path, format!("must be one of {}", values.join(", "))),
            }
        }
        Type::Int32 => match integer(value).and_then(|n| i32::try_from(n).ok()) {
            Some(n) => i64::from(n) as u64,
            None => return refuse(path, "must be a whole number of 32 bits"),
        },
        Type::Int64 => match integer(value).and_then(|n| i64::try_from(n).ok()) {
            Some(n) => n as u64,
            None => return refuse(path, "must be a whole number of 64 bits"),
        },
        Type::Uint32 => match integer(value).and_then(|n| u32::try_from(n).ok()) {
            Some(n) => u64::from(n),
            None => return refuse(path, "must be a whole number of 32 bits, not negative"),
        },
        Type::Uint64 => match integer(value).and_then(|n| u64::try_from(n).ok()) {
            Some(n) => n,
            None => return refuse(path, "must be a whole number of 64 bits, not negative"),
        },
    };
    if number != 0 || !sparse {
        put_varint(out, u64::from(field.number) << 3);
        put_varint(out, number);
    }
    Ok(())
}

fn integer(value: &Value) -> Option<i128> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from)),
        _ => None,
    }
}

/// Appends a varint.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a field of bytes, text or an encoded message.
pub fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// The content of the message `name`. Every field of the schema is there: what the bytes do not have, as its default.
pub fn decode(name: &str, bytes: &[u8]) -> Result<Value, Error> {
    read(name, bytes, 0)
}

struct Reader<'a> {
    rest: &'a [u8],
    message: &'a str,
}

impl<'a> Reader<'a> {
    fn fail<T>(&self, reason: &'static str) -> Result<T, Error> {
        Err(Error::Wire { message: self.message.to_owned(), reason })
    }

    fn varint(&mut self) -> Result<u64, Error> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let Some((&byte, rest)) = self.rest.split_first() else {
                return self.fail("it ends in a number");
            };
            self.rest = rest;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        self.fail("a number is longer than 64 bits")
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Error> {
        match usize::try_from(length).ok().and_then(|length| self.rest.split_at_checked(length)) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => self.fail("a field is longer than what is there"),
        }
    }
}

fn read(name: &str, bytes: &[u8], depth: usize) -> Result<Value, Error> {
    let fields = fields(name)?;
    let mut object: Map<String, Value> = fields.iter().map(|f| (f.json.clone(), default(f))).collect();
    let mut reader = Reader { rest: bytes, message: name };
    if depth > MAX_DEPTH {
        return reader.fail("messages are nested too deeply");
    }
    while !reader.rest.is_empty() {
        let key = reader.varint()?;
        let (number, kind) = (key >> 3, key & 7);
        let field = fields.iter().find(|f| u64::from(f.number) == number);
        match (kind, field) {
            (0, field) => {
                let value = reader.varint()?;
                if let Some(field) = field {
                    put(&mut object, field, scalar(&reader, field, value)?);
                }
            }
            (2, None) => {
                let length = reader.varint()?;
                reader.take(length)?;
            }
            (2, Some(field)) => {
                let length = reader.varint()?;
                let content = reader.take(length)?;
                delimited(&mut object, field, content, &reader, depth)?;
            }
            (1, _) => drop(reader.take(8)?),
            (5, _) => drop(reader.take(4)?),
            _ => return reader.fail("a field has no known kind"),
        }
    }
    Ok(Value::Object(object))
}

/// A field of kind 2: text, bytes, a message, an entry of a map, or packed numbers.
fn delimited(
    object: &mut Map<String, Value>,
    field: &Field,
    content: &[u8],
    reader: &Reader,
    depth: usize,
) -> Result<(), Error> {
    if field.cardinality == Cardinality::Map {
        let mut entry = Reader { rest: content, message: reader.message };
        let (mut key, mut item) =
            (String::new(), default(&Field { cardinality: Cardinality::One, ..field.clone() }));
        while !entry.rest.is_empty() {
            let head = entry.varint()?;
            if head & 7 != 2 {
                return reader.fail("an entry of a map is malformed");
            }
            let length = entry.varint()?;
            let part = entry.take(length)?;
            match head >> 3 {
                1 => key = text(reader, part)?,
                2 => item = whole(field, part, reader, depth)?,
                _ => {}
            }
        }
        if let Some(Value::Object(entries)) = object.get_mut(&field.json) {
            entries.insert(key, item);
        }
        return Ok(());
    }
    match field.kind {
        Type::String | Type::Bytes | Type::Message(_) => {
            let value = whole(field, content, reader, depth)?;
            put(object, field, value);
        }
        _ => {
            let mut packed = Reader { rest: content, message: reader.message };
            while !packed.rest.is_empty() {
                let value = packed.varint()?;
                let value = scalar(reader, field, value)?;
                put(object, field, value);
            }
        }
    }
    Ok(())
}

fn whole(field: &Field, content: &[u8], reader: &Reader, depth: usize) -> Result<Value, Error> {
    match &field.kind {
        Type::String => Ok(Value::String(text(reader, content)?)),
        Type::Bytes => Ok(Value::String(crate::base64::encode(content))),
        Type::Message(name) => read(name, content, depth + 1),
        _ => reader.fail("a number has the form of text"),
    }
}

fn text(reader: &Reader, content: &[u8]) -> Result<String, Error> {
    match std::str::from_utf8(content) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => reader.fail("text is not UTF-8"),
    }
}

fn scalar(reader: &Reader, field: &Field, value: u64) -> Result<Value, Error> {
    Ok(match &field.kind {
        Type::Bool => Value::Bool(value != 0),
        Type::Int32 => Value::from(value as i32),
        Type::Uint32 => Value::from(value as u32),
        Type::Int64 => Value::String((value as i64).to_string()),
        Type::Uint64 => Value::String(value.to_string()),
        Type::Enum(name) => {
            let values = SCHEMA.values(name).unwrap_or_default();
            // A newer peer may know more values: they keep their number.
            usize::try_from(value)
                .ok()
                .and_then(|at| values.get(at))
                .map_or(Value::from(value), |v| v.clone().into())
        }
        Type::String | Type::Bytes | Type::Message(_) => return reader.fail("text has the form of a number"),
    })
}

fn put(object: &mut Map<String, Value>, field: &Field, value: Value) {
    match (field.cardinality, object.get_mut(&field.json)) {
        (Cardinality::Many, Some(Value::Array(items))) => items.push(value),
        (_, Some(slot)) => *slot = value,
        (_, None) => {}
    }
}

fn default(field: &Field) -> Value {
    match (field.cardinality, &field.kind) {
        (Cardinality::Many, _) => Value::Array(Vec::new()),
        (Cardinality::Map, _) => Value::Object(Map::new()),
        (_, Type::String | Type::Bytes) => Value::String(String::new()),
        (_, Type::Bool) => Value::Bool(false),
        (_, Type::Int32 | Type::Uint32) => Value::from(0),
        (_, Type::Int64 | Type::Uint64) => Value::String("0".to_owned()),
        (_, Type::Message(_)) => Value::Null,
        (_, Type::Enum(name)) => {
            SCHEMA.values(name).and_then(|v| v.first()).map_or(Value::Null, |v| v.clone().into())
        }
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
