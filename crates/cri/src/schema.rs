//! The messages of the protocols that we speak, as data.
//!
//! A message is a list of fields; a field has a number, a name and a type. With that, [`crate::wire`] translates
//! between JSON and the wire format. There is no generated code and no compiler for it at build time.
//!
//! The text below is our notation for what the protocols publish: CRI version `runtime.v1` of Kubernetes 1.32, and of
//! containerd 1.7 the parts of `containerd.services` that putting an image into its store takes. Fields of Windows are
//! left out; what a newer runtime adds is skipped when it is read.
//!
//! ```text
//! message NAME
//!   NUMBER NAME TYPE          TYPE: string bytes bool int32 int64 uint32 uint64, a message, an enum
//!   NUMBER NAME [TYPE]        repeated
//!   NUMBER NAME {TYPE}        map from string to TYPE
//! enum NAME VALUE VALUE ...   numbered from 0
//! ```

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The type of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// UTF-8 text.
    String,
    /// Any bytes; base64 in JSON.
    Bytes,
    /// A varint, 0 or 1.
    Bool,
    /// A varint, sign-extended to 64 bits.
    Int32,
    /// A varint in two's complement; a string in JSON, as its numbers are floating-point ones to many.
    Int64,
    /// A varint.
    Uint32,
    /// A varint; a string in JSON.
    Uint64,
    /// A message of that name.
    Message(String),
    /// An enumeration of that name.
    Enum(String),
}

/// How often a field's value occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cardinality {
    /// At most once; absent means the type's default.
    One,
    /// A list.
    Many,
    /// A map from text to the type.
    Map,
}

/// A field of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its number on the wire.
    pub number: u32,
    /// Its name in the protocol, `snake_case`.
    pub name: String,
    /// Its name in JSON, `camelCase`.
    pub json: String,
    /// Its type.
    pub kind: Type,
    /// How often it occurs.
    pub cardinality: Cardinality,
}

/// All messages and enumerations.
#[derive(Debug, Default)]
pub struct Schema {
    messages: BTreeMap<String, Vec<Field>>,
    enums: BTreeMap<String, Vec<String>>,
}

/// The schema of the protocols that this crate speaks.
///
/// The text is part of the program; a test shows that it has no mistakes. A line that were wrong all the same would
/// be left out, and a message that needs it would be refused as unknown.
pub static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::parse(TEXT));

impl Schema {
    /// The fields of a message, if there is such a message.
    pub fn message(&self, name: &str) -> Option<&[Field]> {
        self.messages.get(name).map(Vec::as_slice)
    }

    /// The values of an enumeration, from 0.
    pub fn values(&self, name: &str) -> Option<&[String]> {
        self.enums.get(name).map(Vec::as_slice)
    }

    fn parse(text: &str) -> Self {
        let mut schema = Self::default();
        let enums: Vec<Vec<&str>> = text
            .lines()
            .filter_map(|line| line.strip_prefix("enum "))
            .map(|line| line.split_whitespace().collect())
            .collect();
        for words in enums {
            if let Some((name, values)) = words.split_first() {
                schema.enums.insert((*name).to_owned(), values.iter().map(|v| (*v).to_owned()).collect());
            }
        }
        let mut current = None;
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("message ") {
                schema.messages.insert(name.to_owned(), Vec::new());
                current = Some(name.to_owned());
            } else if line.starts_with("  ")
                && let Some(field) = schema.field(line)
                && let Some(fields) = current.as_ref().and_then(|name| schema.messages.get_mut(name))
            {
                fields.push(field);
            }
        }
        schema
    }

    fn field(&self, line: &str) -> Option<Field> {
        let mut words = line.split_whitespace();
        let (number, name, kind) = (words.next()?, words.next()?, words.next()?);
        let (kind, cardinality) = match kind.as_bytes() {
            [b'[', .., b']'] => (&kind[1..kind.len() - 1], Cardinality::Many),
            [b'{', .., b'}'] => (&kind[1..kind.len() - 1], Cardinality::Map),
            _ => (kind, Cardinality::One),
        };
        let kind = match kind {
            "string" => Type::String,
            "bytes" => Type::Bytes,
            "bool" => Type::Bool,
            "int32" => Type::Int32,
            "int64" => Type::Int64,
            "uint32" => Type::Uint32,
            "uint64" => Type::Uint64,
            other if self.enums.contains_key(other) => Type::Enum(other.to_owned()),
            other => Type::Message(other.to_owned()),
        };
        Some(Field {
            number: number.parse().ok()?,
            name: name.to_owned(),
            json: camel_case(name),
            kind,
            cardinality,
        })
    }
}

/// `host_port` becomes `hostPort`; names that have capitals already keep them.
fn camel_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut upper = false;
    for c in name.chars() {
        match c {
            '_' => upper = true,
            c if upper => {
                out.extend(c.to_uppercase());
                upper = false;
            }
            c => out.push(c),
        }
    }
    out
}

const TEXT: &str = include_str!("schema.txt");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_no_mistakes() {
        let fields = TEXT.lines().filter(|line| line.starts_with("  ")).count();
        assert_eq!(
            SCHEMA.messages.values().map(Vec::len).sum::<usize>(),
            fields,
            "every field line is understood"
        );
        for line in TEXT.lines().filter(|line| !line.is_empty()) {
            assert!(
                ["message ", "enum ", "  ", "#"].iter().any(|start| line.starts_with(start)),
                "not in the notation: {line}"
            );
        }
        for (name, fields) in &SCHEMA.messages {
            for (at, field) in fields.iter().enumerate() {
                if let Type::Message(other) = &field.kind {
                    assert!(SCHEMA.message(other).is_some(), "{name}.{} has an unknown type", field.name);
                }
                assert!(fields[..at].iter().all(|f| f.number != field.number && f.name != field.name));
            }
        }
    }

    #[test]
    fn names_in_json() {
        assert_eq!(camel_case("pod_sandbox_id"), "podSandboxId");
        assert_eq!(camel_case("CDI_devices"), "CDIDevices");
        assert_eq!(camel_case("image"), "image");
    }
}
