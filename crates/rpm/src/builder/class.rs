//! What kind of content a file has: its class, and its colour (whether it is a 32-bit or a 64-bit
//! program, which is how RPM tells which of two conflicting files to keep).

use super::files::Item;
use crate::header::{HeaderBuilder, Value};
use crate::tag;
use lazuli_tree::{Kind, Node};
use std::collections::BTreeSet;

/// As many bytes as are looked at.
pub(super) const HEAD: usize = 20;

/// The class of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    Unknown,
    Directory,
    Link,
    Elf { wide: bool, kind: &'static str },
}

impl Class {
    /// What can be told without the content.
    pub(super) fn of(node: &Node) -> Self {
        match node.kind {
            Kind::Directory => Self::Directory,
            Kind::Symlink { .. } => Self::Link,
            _ => Self::Unknown,
        }
    }

    /// From the first bytes of a regular file.
    pub(super) fn of_content(head: &[u8]) -> Self {
        if head.len() < HEAD || !crate::elf::is_elf(head) {
            return Self::Unknown;
        }
        // The type is a number in the file's own byte order.
        let kind = if head[5] == 2 { [head[17], head[16]] } else { [head[16], head[17]] };
        let kind = match u16::from_le_bytes(kind) {
            1 => "relocatable",
            2 => "executable",
            3 => "shared object",
            _ => "file",
        };
        match head[4] {
            1 => Self::Elf { wide: false, kind },
            2 => Self::Elf { wide: true, kind },
            _ => Self::Unknown,
        }
    }

    fn text(self) -> String {
        match self {
            Self::Unknown => String::new(),
            Self::Directory => "directory".into(),
            Self::Link => "symbolic link".into(),
            Self::Elf { wide, kind } => format!("ELF {}-bit {kind}", if wide { 64 } else { 32 }),
        }
    }

    fn color(self) -> u32 {
        match self {
            Self::Elf { wide: false, .. } => 1,
            Self::Elf { wide: true, .. } => 2,
            _ => 0,
        }
    }
}

/// Writes the tags of classes and colours.
pub(super) fn tags(h: &mut HeaderBuilder, items: &[Item<'_>]) {
    let known: BTreeSet<Class> = items.iter().map(|i| i.class).collect();
    let known: Vec<Class> = known.into_iter().collect();
    let number = |class: &Class| known.binary_search(class).unwrap_or(0) as u32;
    h.set(tag::FILECOLORS, Value::Int32(items.iter().map(|i| i.class.color()).collect()));
    h.set(tag::FILECLASS, Value::Int32(items.iter().map(|i| number(&i.class)).collect()));
    h.set(tag::CLASSDICT, Value::StringArray(known.iter().map(|c| c.text()).collect()));
}
