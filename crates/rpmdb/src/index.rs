//! The index tables: which packages have a value, and where in the tag's array it is.
//!
//! A row is (key, hnum, idx): the value, the number of the package's row in `Packages`, and the position of
//! the value among those of its tag. Special cases, as `rpm` has them:
//!
//! - `Group`: `Unknown` where a package has none;
//! - `Requirename`: not what only installing needs (`Requires(pre)`, `Requires(post)`, `rpmlib(...)`);
//! - a rich dependency: its whole text, and each name in it once, those in a condition with `!` before
//!   them (not for `Obsoletename`, which has no rich ones);
//! - `Triggername`: a name once per package;
//! - `Filetriggername`, `Transfiletriggername`: idx is the number of the trigger, not of the prefix;
//! - `Installtid`: the number as four bytes in the machine's byte order, which is little-endian on every
//!   architecture that there are packages for.

use crate::schema::Table;
use lazuli_rpm::rich::Rich;
use lazuli_rpm::{DependencyFlags as Flags, Header, tag};
use std::collections::BTreeSet;

/// A key of an index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Text(String),
    Blob(Vec<u8>),
}

/// The rows of one package in one table: key and idx.
pub(crate) fn rows(table: &Table, header: &Header) -> Vec<(Key, u32)> {
    match table.tag {
        tag::GROUP => {
            vec![(Key::Text(header.string(tag::GROUP).unwrap_or_else(|| "Unknown".into())), 0)]
        }
        tag::INSTALLTID => header
            .number(tag::INSTALLTID)
            .map(|n| (Key::Blob((n as u32).to_le_bytes().to_vec()), 0))
            .into_iter()
            .collect(),
        tag::SIGMD5 => header.binary(tag::SIGMD5).map(|b| (Key::Blob(b.to_vec()), 0)).into_iter().collect(),
        tag::REQUIRENAME => {
            let flags = header.numbers(tag::REQUIREFLAGS);
            let lasting = |i: usize| !only_for_installing(Flags(flags.get(i).map_or(0, |f| *f as u32)));
            dependencies(header, table.tag, lasting)
        }
        tag::CONFLICTNAME
        | tag::RECOMMENDNAME
        | tag::SUGGESTNAME
        | tag::SUPPLEMENTNAME
        | tag::ENHANCENAME => dependencies(header, table.tag, |_| true),
        tag::TRIGGERNAME => {
            let mut seen = BTreeSet::new();
            strings(header, table.tag).filter(|(name, _)| seen.insert(name.clone())).collect()
        }
        tag::FILETRIGGERNAME => triggers(header, table.tag, tag::FILETRIGGERINDEX),
        tag::TRANSFILETRIGGERNAME => triggers(header, table.tag, tag::TRANSFILETRIGGERINDEX),
        _ => strings(header, table.tag).collect(),
    }
}

fn strings(header: &Header, tag: u32) -> impl Iterator<Item = (Key, u32)> {
    header.strings(tag).into_iter().enumerate().map(|(i, name)| (Key::Text(name), i as u32))
}

fn triggers(header: &Header, name: u32, index: u32) -> Vec<(Key, u32)> {
    let numbers = header.numbers(index);
    strings(header, name).map(|(key, i)| (key, numbers.get(i as usize).map_or(i, |n| *n as u32))).collect()
}

/// Whether a requirement is of no interest once the package is installed.
fn only_for_installing(flags: Flags) -> bool {
    const INSTALLING: Flags = Flags(
        Flags::SCRIPT_PRE.0
            | Flags::SCRIPT_POST.0
            | Flags::RPMLIB.0
            | Flags::KEYRING.0
            | Flags::PRETRANS.0
            | Flags::POSTTRANS.0,
    );
    const ERASING: Flags =
        Flags(Flags::SCRIPT_PREUN.0 | Flags::SCRIPT_POSTUN.0 | Flags::PREUNTRANS.0 | Flags::POSTUNTRANS.0);
    flags.intersects(INSTALLING) && !flags.intersects(ERASING) && !flags.contains(Flags::META)
}

fn dependencies(header: &Header, tag: u32, wanted: impl Fn(usize) -> bool) -> Vec<(Key, u32)> {
    let mut rows = Vec::new();
    for (key, i) in strings(header, tag).filter(|(_, i)| wanted(*i as usize)) {
        let Key::Text(name) = &key else { continue };
        let parts = match name.starts_with('(').then(|| Rich::parse(name)) {
            Some(Ok(rich)) => {
                let mut parts = BTreeSet::new();
                names(&rich, Signs { plain: true, negated: false }, &mut parts);
                parts
            }
            _ => BTreeSet::new(),
        };
        rows.push((key, i));
        rows.extend(parts.into_iter().map(|part| (Key::Text(part), i)));
    }
    rows
}

/// How a name is in a rich dependency: as it stands, negated, or both.
#[derive(Clone, Copy)]
struct Signs {
    plain: bool,
    negated: bool,
}

/// The names in a rich dependency; the condition of `if` and `unless` is negated (with `else`, it is there
/// both ways), what follows `without` is not. Each part is looked at once, however deep conditions nest.
fn names(rich: &Rich, signs: Signs, found: &mut BTreeSet<String>) {
    match rich {
        Rich::Simple(d) if d.name.starts_with("rpmlib(") => {}
        Rich::Simple(d) => {
            if signs.negated {
                found.insert(format!("!{}", d.name));
            }
            if signs.plain {
                found.insert(d.name.clone());
            }
        }
        Rich::And(list) | Rich::Or(list) | Rich::With(list) => {
            for one in list {
                names(one, signs, found);
            }
        }
        Rich::Without(a, b) => {
            names(a, signs, found);
            names(b, signs, found);
        }
        Rich::If { then, condition, otherwise } | Rich::Unless { then, condition, otherwise } => {
            names(then, signs, found);
            match otherwise {
                None => names(condition, Signs { plain: signs.negated, negated: signs.plain }, found),
                // `else` is decided by the condition too, the other way round.
                Some(otherwise) => {
                    names(condition, Signs { plain: true, negated: true }, found);
                    names(otherwise, signs, found);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<String> {
        let mut found = BTreeSet::new();
        names(&Rich::parse(text).unwrap(), Signs { plain: true, negated: false }, &mut found);
        found.into_iter().collect()
    }

    #[test]
    fn a_condition_in_a_condition_is_looked_at_once() {
        assert_eq!(of("(a if (b if c))"), ["!b", "a", "c"]);
        assert_eq!(of("(a if b else c)"), ["!b", "a", "b", "c"]);
        assert_eq!(of("(a with b with c)"), ["a", "b", "c"]);
        let nested = (0..60).fold("x".to_owned(), |text, _| format!("(b if {text} else b)"));
        assert_eq!(of(&nested), ["!b", "!x", "b", "x"]);
    }
}
