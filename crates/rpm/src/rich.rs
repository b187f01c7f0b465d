//! Rich (boolean) dependencies: `(a or (b >= 2 and c) if d else e)`.

use crate::dependency::{MAX_TEXT, ParseDependencyError};
use crate::{Dependency, DependencyFlags};
use std::fmt;

/// A rich dependency, or a simple one at its leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rich {
    /// A simple dependency.
    Simple(Dependency),
    /// All of them.
    And(Vec<Rich>),
    /// Any of them.
    Or(Vec<Rich>),
    /// `then if condition [else otherwise]`.
    If {
        /// What must hold.
        then: Box<Rich>,
        /// If this holds.
        condition: Box<Rich>,
        /// And this if it does not.
        otherwise: Option<Box<Rich>>,
    },
    /// `then unless condition [else otherwise]`, for conflicts.
    Unless {
        /// What must hold.
        then: Box<Rich>,
        /// Unless this holds.
        condition: Box<Rich>,
        /// And this if it does.
        otherwise: Option<Box<Rich>>,
    },
    /// One package that meets all of them.
    With(Vec<Rich>),
    /// One package that meets the first and not the second.
    Without(Box<Rich>, Box<Rich>),
}

/// The deepest nesting.
const MAX_DEPTH: usize = 64;

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
}

impl Rich {
    /// Reads a rich dependency with its parentheses.
    pub fn parse(text: &str) -> Result<Self, ParseDependencyError> {
        let mut parser = Parser { text, rest: text.trim() };
        if text.len() > MAX_TEXT {
            return Err(parser.error("it is too long"));
        }
        let rich = parser.group(0)?;
        if parser.rest.trim().is_empty() {
            Ok(rich)
        } else {
            Err(parser.error("something follows the last parenthesis"))
        }
    }

    /// All simple dependencies in it; `false` marks those in a condition or after `without`.
    pub fn simple(&self) -> Vec<(&Dependency, bool)> {
        let mut all = Vec::new();
        self.collect(true, &mut all);
        all
    }

    fn collect<'a>(&'a self, positive: bool, all: &mut Vec<(&'a Dependency, bool)>) {
        match self {
            Self::Simple(dependency) => all.push((dependency, positive)),
            Self::And(list) | Self::Or(list) | Self::With(list) => {
                for one in list {
                    one.collect(positive, all);
                }
            }
            Self::If { then, condition, otherwise } | Self::Unless { then, condition, otherwise } => {
                then.collect(positive, all);
                condition.collect(!positive, all);
                if let Some(otherwise) = otherwise {
                    otherwise.collect(positive, all);
                }
            }
            Self::Without(a, b) => {
                a.collect(positive, all);
                b.collect(!positive, all);
            }
        }
    }
}

impl<'a> Parser<'a> {
    fn error(&self, reason: &str) -> ParseDependencyError {
        let at = self.text.len() - self.rest.len().min(self.text.len());
        ParseDependencyError {
            text: self.text.chars().take(200).collect(),
            reason: format!("{reason} (at byte {at})"),
        }
    }

    /// One word: up to a space or to a parenthesis that was not opened inside it.
    fn word(&mut self) -> &'a str {
        self.rest = self.rest.trim_start();
        let mut depth = 0_usize;
        let end = self
            .rest
            .char_indices()
            .find(|(_, c)| match c {
                '(' => {
                    depth += 1;
                    false
                }
                ')' if depth > 0 => {
                    depth -= 1;
                    false
                }
                ')' => true,
                c => c.is_whitespace(),
            })
            .map_or(self.rest.len(), |(i, _)| i);
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// Otherwise a word would not end where it does if something else followed it.
    fn balanced(&self, word: &str) -> Result<(), ParseDependencyError> {
        if word.matches('(').count() == word.matches(')').count() {
            Ok(())
        } else {
            Err(self.error("a parenthesis is not closed"))
        }
    }

    fn peek_word(&self) -> &'a str {
        Parser { text: self.text, rest: self.rest }.word()
    }

    fn group(&mut self, depth: usize) -> Result<Rich, ParseDependencyError> {
        if depth > MAX_DEPTH {
            return Err(self.error("it is nested too deep"));
        }
        self.rest = self.rest.trim_start();
        self.rest = self.rest.strip_prefix('(').ok_or_else(|| self.error("expected `(`"))?;
        let first = self.operand(depth)?;
        let op = self.word();
        let rich = match op {
            "" => first,
            "and" | "or" | "with" => {
                let mut list = vec![first, self.operand(depth)?];
                while !self.peek_word().is_empty() {
                    if self.word() != op {
                        return Err(self.error("use parentheses to mix operators"));
                    }
                    list.push(self.operand(depth)?);
                }
                match op {
                    "and" => Rich::And(list),
                    "or" => Rich::Or(list),
                    _ => Rich::With(list),
                }
            }
            "if" | "unless" => {
                let then = Box::new(first);
                let condition = Box::new(self.operand(depth)?);
                let otherwise = match self.word() {
                    "" => None,
                    "else" => Some(Box::new(self.operand(depth)?)),
                    _ => return Err(self.error("expected `else` or `)`")),
                };
                if op == "if" {
                    Rich::If { then, condition, otherwise }
                } else {
                    Rich::Unless { then, condition, otherwise }
                }
            }
            "without" => Rich::Without(Box::new(first), Box::new(self.operand(depth)?)),
            _ => return Err(self.error("expected and, or, if, unless, with or without")),
        };
        self.rest = self.rest.trim_start();
        self.rest = self.rest.strip_prefix(')').ok_or_else(|| self.error("expected `)`"))?;
        Ok(rich)
    }

    fn operand(&mut self, depth: usize) -> Result<Rich, ParseDependencyError> {
        self.rest = self.rest.trim_start();
        if self.rest.starts_with('(') {
            return self.group(depth + 1);
        }
        let name = self.word();
        if name.is_empty() {
            return Err(self.error("expected a name"));
        }
        self.balanced(name)?;
        if crate::dependency::lacks_spaces(name) {
            return Err(self.error("put spaces around the comparison"));
        }
        let flags = match self.peek_word() {
            "<" => DependencyFlags::LESS,
            "<=" => DependencyFlags::LESS | DependencyFlags::EQUAL,
            "=" | "==" => DependencyFlags::EQUAL,
            ">=" => DependencyFlags::GREATER | DependencyFlags::EQUAL,
            ">" => DependencyFlags::GREATER,
            _ => return Ok(Rich::Simple(Dependency::any(name))),
        };
        self.word();
        let evr = self.word();
        self.balanced(evr)?;
        if evr.parse::<crate::Evr>().is_err() {
            return Err(self.error("expected [epoch:]version[-release]"));
        }
        Ok(Rich::Simple(Dependency::versioned(name, flags, evr)))
    }
}

impl fmt::Display for Rich {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, list: &[Rich], op: &str| {
            f.write_str("(")?;
            for (i, rich) in list.iter().enumerate() {
                if i > 0 {
                    write!(f, " {op} ")?;
                }
                rich.fmt(f)?;
            }
            f.write_str(")")
        };
        let conditional =
            |f: &mut fmt::Formatter<'_>, then: &Rich, op, condition: &Rich, otherwise: &Option<Box<Rich>>| {
                write!(f, "({then} {op} {condition}")?;
                if let Some(otherwise) = otherwise {
                    write!(f, " else {otherwise}")?;
                }
                f.write_str(")")
            };
        match self {
            Self::Simple(dependency) => dependency.fmt(f),
            Self::And(all) => list(f, all, "and"),
            Self::Or(any) => list(f, any, "or"),
            Self::If { then, condition, otherwise } => conditional(f, then, "if", condition, otherwise),
            Self::Unless { then, condition, otherwise } => {
                conditional(f, then, "unless", condition, otherwise)
            }
            Self::With(all) => list(f, all, "with"),
            Self::Without(a, b) => write!(f, "({a} without {b})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn arb() -> impl Strategy<Value = Rich> {
        let leaf =
            ("[a-z][a-z0-9()]{0,0}[a-z]{0,4}", prop::option::of("[0-9]\\.[0-9]")).prop_map(|(name, evr)| {
                Rich::Simple(match evr {
                    Some(evr) => {
                        Dependency::versioned(name, DependencyFlags::GREATER | DependencyFlags::EQUAL, evr)
                    }
                    None => Dependency::any(name),
                })
            });
        leaf.prop_filter("not an operator", |r| {
            !matches!(r, Rich::Simple(d) if
            ["and", "or", "if", "else", "with"].contains(&d.name.as_str()))
        })
        .prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 2..4).prop_map(Rich::And),
                prop::collection::vec(inner.clone(), 2..4).prop_map(Rich::Or),
                (inner.clone(), inner.clone(), prop::option::of(inner.clone())).prop_map(|(a, b, c)| {
                    Rich::If { then: Box::new(a), condition: Box::new(b), otherwise: c.map(Box::new) }
                }),
                prop::collection::vec(inner.clone(), 2..4).prop_map(Rich::With),
                (inner.clone(), inner).prop_map(|(a, b)| Rich::Without(Box::new(a), Box::new(b))),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(rich in arb()) {
            let text = match &rich {
                Rich::Simple(d) => format!("({d})"),
                other => other.to_string(),
            };
            prop_assert_eq!(Rich::parse(&text).unwrap(), rich);
        }

        /// A chain is no deeper than its parentheses: nothing that walks over it needs more stack for more of it.
        #[test]
        fn a_long_chain_is_flat(op in "and|or|with", count in 100_usize..5000) {
            let text = format!("(a{})", format!(" {op} b").repeat(count));
            let rich = Rich::parse(&text).unwrap();
            prop_assert_eq!(rich.simple().len(), count + 1);
            prop_assert_eq!(rich.to_string(), text);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[ ()a<=or]{0,40}") {
            let _ = Rich::parse(&text);
        }
    }
}
