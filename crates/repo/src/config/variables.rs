//! Variables in values: `$releasever`, `$basearch` and those of the administrator.
//!
//! `$name` and `${name}` stand for the value; `${name:-text}` for `text` if there is no value or an empty
//! one, `${name:+text}` for `text` only if there is one. A name has letters, digits and underscores. What
//! has no value stays as it stands, as with dnf; [`Variables::expand`] says which.

use std::collections::BTreeMap;

/// How deep `${a:-${b:-c}}` may go.
const MAX_DEPTH: usize = 8;
/// The longest `${...}`, in characters.
const MAX_BRACED: usize = 4096;
/// The longest result of one expansion, in bytes.
const MAX_RESULT: usize = 64 << 10;

/// Names and values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// Variables of a machine: `arch` is RPM's name of the architecture (`x86_64`), `releasever` what `[main]`
    /// or the package that provides `distroverpkg` says.
    pub fn new(arch: &str, releasever: Option<&str>) -> Self {
        let mut variables = Self::default();
        variables.set("arch", arch);
        variables.set("basearch", base_arch(arch));
        if let Some(releasever) = releasever {
            variables.set_releasever(releasever);
        }
        variables
    }

    /// Sets `releasever`, `releasever_major` and `releasever_minor`.
    pub fn set_releasever(&mut self, releasever: &str) {
        let (major, minor) = releasever.split_once('.').unwrap_or((releasever, ""));
        self.set("releasever", releasever);
        self.set("releasever_major", major);
        self.set("releasever_minor", minor);
    }

    /// Sets one; says whether the name can be one.
    pub fn set(&mut self, name: &str, value: &str) -> bool {
        let fine = is_name(name);
        if fine {
            self.0.insert(name.to_owned(), value.to_owned());
        }
        fine
    }

    /// The value of one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The text with values in place of variables, and the names that have none.
    pub fn expand(&self, text: &str) -> (String, Vec<String>) {
        let (mut out, mut missing) = (String::new(), Vec::new());
        self.expand_into(text, &mut out, &mut missing, 0);
        (out, missing)
    }

    fn expand_into(&self, mut text: &str, out: &mut String, missing: &mut Vec<String>, depth: usize) {
        while let Some(at) = text.find('$') {
            out.push_str(&text[..at]);
            let rest = &text[at + 1..];
            let used = self.expand_one(rest, out, missing, depth);
            if used == 0 {
                out.push('$');
            }
            text = &rest[used..];
            if out.len() > MAX_RESULT {
                break;
            }
        }
        out.push_str(text);
    }

    /// Expands what follows a dollar sign; returns the bytes that were used, none if it is not a variable.
    fn expand_one(&self, rest: &str, out: &mut String, missing: &mut Vec<String>, depth: usize) -> usize {
        let name_len = |text: &str| text.find(|c| !is_name_char(c)).unwrap_or(text.len());
        let keep = |out: &mut String, missing: &mut Vec<String>, name: &str, used: usize| {
            missing.push(name.to_owned());
            out.push('$');
            out.push_str(&rest[..used]);
            used
        };
        let Some(braced) = rest.strip_prefix('{') else {
            let name = &rest[..name_len(rest)];
            if name.is_empty() {
                return 0;
            }
            let Some(value) = self.get(name) else { return keep(out, missing, name, name.len()) };
            out.push_str(value);
            return name.len();
        };
        let name = &braced[..name_len(braced)];
        let (tail, Some(end)) = (&braced[name.len()..], closing(braced)) else { return 0 };
        if name.is_empty() || depth == MAX_DEPTH {
            return 0;
        }
        let used = end + 2;
        let value = self.get(name).filter(|value| !value.is_empty());
        let word = |marker: &str| tail.strip_prefix(marker).map(|_| &braced[name.len() + 2..end]);
        if name.len() == end {
            let Some(value) = self.get(name) else { return keep(out, missing, name, used) };
            out.push_str(value);
        } else if let Some(word) = word(":-") {
            match value {
                Some(value) => out.push_str(value),
                None => self.expand_into(word, out, missing, depth + 1),
            }
        } else if let Some(word) = word(":+") {
            if value.is_some() {
                self.expand_into(word, out, missing, depth + 1);
            }
        } else {
            return 0;
        }
        used
    }
}

/// Where the brace that encloses `text` closes.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices().take(MAX_BRACED) {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Whether this can be the name of a variable.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 64 && name.chars().all(is_name_char)
}

/// The family that an architecture belongs to, `$basearch`.
pub fn base_arch(arch: &str) -> &str {
    match arch {
        "i386" | "i486" | "i586" | "i686" | "athlon" | "geode" | "pentium3" | "pentium4" => "i386",
        "x86_64_v2" | "x86_64_v3" | "x86_64_v4" | "amd64" | "ia32e" => "x86_64",
        "armv5tel" | "armv5tejl" | "armv6l" => "arm",
        "armv7l" | "armv7hl" | "armv7hnl" | "armv8hl" => "armhfp",
        other => other,
    }
}
