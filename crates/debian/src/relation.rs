//! Relations between packages: `Depends` and its like (Debian Policy chapter 7, deb-control(5)).
//!
//! A field is a list of relations, all of which must hold; a relation is a choice of alternatives, of
//! which one must hold: `libc6 (>= 2.38), default-mta | mail-transport-agent`.

use crate::version::Version;
use std::cmp::Ordering;
use std::fmt;

/// The most relations in a field and alternatives in a relation, together.
const MAX_ALTERNATIVES: usize = 65_536;

/// A choice of alternatives, of which one must hold. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// The alternatives in the order of preference.
    pub alternatives: Vec<Alternative>,
}

/// A package, perhaps of certain versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alternative {
    /// The package's name.
    pub name: String,
    /// What follows the name after a `:`, as `any` or `amd64`.
    pub arch_qualifier: Option<String>,
    /// Which versions.
    pub version: Option<(Op, Version)>,
    /// `[amd64 !i386]`: the architectures it is for; only in source packages.
    pub architectures: Vec<String>,
    /// `<!nocheck> <cross>`: the build profiles it is for, one list a restriction; only in source packages.
    pub profiles: Vec<Vec<String>>,
}

/// How a version must compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// `<<`, strictly earlier.
    Earlier,
    /// `<=`.
    EarlierOrEqual,
    /// `=`.
    Equal,
    /// `>=`.
    LaterOrEqual,
    /// `>>`, strictly later.
    Later,
}

impl Op {
    /// As written in Debian.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Earlier => "<<",
            Self::EarlierOrEqual => "<=",
            Self::Equal => "=",
            Self::LaterOrEqual => ">=",
            Self::Later => ">>",
        }
    }

    /// Whether `have OP wanted` holds.
    pub fn holds(self, have: &Version, wanted: &Version) -> bool {
        let order = have.cmp(wanted);
        match self {
            Self::Earlier => order == Ordering::Less,
            Self::EarlierOrEqual => order != Ordering::Greater,
            Self::Equal => order == Ordering::Equal,
            Self::LaterOrEqual => order != Ordering::Less,
            Self::Later => order == Ordering::Greater,
        }
    }
}

impl Alternative {
    /// Whether a package of this version (not name) would do.
    pub fn accepts(&self, version: &Version) -> bool {
        self.version.as_ref().is_none_or(|(op, wanted)| op.holds(version, wanted))
    }
}

impl fmt::Display for Alternative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(arch) = &self.arch_qualifier {
            write!(f, ":{arch}")?;
        }
        if let Some((op, version)) = &self.version {
            write!(f, " ({} {version})", op.as_str())?;
        }
        if !self.architectures.is_empty() {
            write!(f, " [{}]", self.architectures.join(" "))?;
        }
        for profile in &self.profiles {
            write!(f, " <{}>", profile.join(" "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, alternative) in self.alternatives.iter().enumerate() {
            if i > 0 {
                f.write_str(" | ")?;
            }
            write!(f, "{alternative}")?;
        }
        Ok(())
    }
}

/// A field that is not a list of relations.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a relation between packages: {reason}")]
pub struct Error {
    /// The relation.
    pub text: String,
    /// What is wrong.
    pub reason: String,
}

/// A field of relations, kept as text and read when somebody asks: an index has a million of them and
/// a question concerns a few hundred.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Relations(Box<str>);

impl Relations {
    /// A field with this value.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The value as written.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.trim().is_empty()
    }

    /// The relations.
    pub fn parse(&self) -> Result<Vec<Relation>, Error> {
        parse(&self.0)
    }
}

/// Reads a field. Empty elements (a comma at the end) are skipped, as dpkg does.
pub fn parse(text: &str) -> Result<Vec<Relation>, Error> {
    let mut relations = Vec::new();
    let mut count = 0;
    for relation in text.split(',').map(str::trim).filter(|r| !r.is_empty()) {
        let mut alternatives = Vec::new();
        for alternative in relation.split('|') {
            count += 1;
            if count > MAX_ALTERNATIVES {
                return Err(fail(relation, format!("more than {MAX_ALTERNATIVES} in one field")));
            }
            alternatives.push(parse_alternative(alternative).map_err(|reason| fail(relation, reason))?);
        }
        relations.push(Relation { alternatives });
    }
    Ok(relations)
}

fn fail(text: &str, reason: String) -> Error {
    Error { text: text.chars().take(120).collect(), reason }
}

fn parse_alternative(text: &str) -> Result<Alternative, String> {
    let text = text.trim();
    let end = text.find(|c: char| c.is_whitespace() || "([<".contains(c)).unwrap_or(text.len());
    let (head, mut rest) = text.split_at(end);
    let (name, arch_qualifier) = match head.split_once(':') {
        Some((name, arch)) => (name, Some(arch)),
        None => (head, None),
    };
    // Policy asks for lower case; a few old names have upper case or an underscore.
    let is_word = |word: &str| {
        !word.is_empty()
            && word.len() <= 255
            && word.starts_with(|c: char| c.is_ascii_alphanumeric())
            && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-._".contains(&b))
    };
    if !is_word(name) {
        return Err(format!("`{name}` is not a package name"));
    }
    if let Some(arch) = arch_qualifier
        && !is_word(arch)
    {
        return Err(format!("`{arch}` is not an architecture"));
    }
    let mut alternative = Alternative {
        name: name.to_owned(),
        arch_qualifier: arch_qualifier.map(str::to_owned),
        version: None,
        architectures: Vec::new(),
        profiles: Vec::new(),
    };
    loop {
        rest = rest.trim_start();
        let Some(open) = rest.chars().next() else { return Ok(alternative) };
        let close = match open {
            '(' => ')',
            '[' => ']',
            '<' => '>',
            _ => return Err(format!("unexpected `{rest}`")),
        };
        let Some((inner, after)) = rest[1..].split_once(close) else {
            return Err(format!("`{open}` without `{close}`"));
        };
        let words = || inner.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        match open {
            '(' if alternative.version.is_none() => alternative.version = Some(parse_version(inner)?),
            '[' if alternative.architectures.is_empty() => alternative.architectures = words(),
            '<' => alternative.profiles.push(words()),
            _ => return Err(format!("a second `{open}`")),
        }
        rest = after;
    }
}

fn parse_version(text: &str) -> Result<(Op, Version), String> {
    let text = text.trim();
    let end = text.find(|c: char| !"<>=".contains(c)).unwrap_or(text.len());
    let (op, version) = text.split_at(end);
    let op = match op {
        "<<" => Op::Earlier,
        // The single form is an old way to write "or equal".
        "<=" | "<" => Op::EarlierOrEqual,
        "=" => Op::Equal,
        ">=" | ">" => Op::LaterOrEqual,
        ">>" => Op::Later,
        _ => return Err(format!("`{text}` does not begin with one of << <= = >= >>")),
    };
    let version = version.trim().parse().map_err(|e: crate::version::ParseError| e.to_string())?;
    Ok((op, version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_field_comes_apart_and_together() {
        let text = "libc6 (>= 2.38), perl:any, a | b:amd64 (<< 1:2~) [amd64 !i386] <!nocheck> <x y>, c(=1),";
        let all = parse(text).unwrap();
        let shown: Vec<String> = all.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "libc6 (>= 2.38)",
                "perl:any",
                "a | b:amd64 (<< 1:2~) [amd64 !i386] <!nocheck> <x y>",
                "c (= 1)"
            ]
        );
        let b = &all[2].alternatives[1];
        assert_eq!((b.name.as_str(), b.arch_qualifier.as_deref()), ("b", Some("amd64")));
        assert_eq!(b.architectures, ["amd64", "!i386"]);
        assert_eq!(b.profiles, [vec!["!nocheck".to_owned()], vec!["x".to_owned(), "y".to_owned()]]);
        assert!(Relations::new(" \n ").parse().unwrap().is_empty());
    }

    #[test]
    fn versions_are_accepted_by_each_operator() {
        let accepted = |relation: &str| {
            let all = parse(relation).unwrap();
            ["1", "2", "3"]
                .into_iter()
                .filter(|v| all[0].alternatives[0].accepts(&v.parse().unwrap()))
                .collect::<Vec<_>>()
                .join(" ")
        };
        let seen: Vec<_> =
            ["a", "a (<< 2)", "a (<= 2)", "a (= 2)", "a (>= 2)", "a (>> 2)", "a (< 2)", "a (> 2)"]
                .map(accepted)
                .into();
        assert_eq!(seen, ["1 2 3", "1", "1 2", "2", "2 3", "3", "1 2", "2 3"]);
    }

    #[test]
    fn damage_is_named() {
        for (text, part) in [
            ("a, (>= 1)", "package name"),
            ("a |, b", "package name"),
            ("a (>= 1", "without `)`"),
            ("a (1)", "begin with"),
            ("a (>= )", "empty"),
            ("a b", "unexpected `b`"),
            ("a (= 1) (= 2)", "a second `(`"),
            ("a:", "architecture"),
            ("../x", "package name"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back_the_same(text in "[a-c]{1,2}(:any)?( \\((<<|<=|=|>=|>>) [0-9]\\))?( [|,] [a-c](<[a-b ]{1,3}>)?){0,3}") {
            let all = parse(&text).unwrap();
            let shown = all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            prop_assert_eq!(parse(&shown).unwrap(), all);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,80}") {
            let _ = parse(&text);
        }
    }
}
