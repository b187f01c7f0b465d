//! The first argument that dpkg gives a script, and what tests of it mean.

use super::lex::literal;
use std::collections::BTreeSet;

/// A set of values that `$1` may have.
pub(super) type Actions = BTreeSet<&'static str>;

/// The arguments with which a script would run at the times when RPM would run one too: installation,
/// upgrade and removal. dpkg's other arguments (deb-postinst(5) and its siblings) stand for error
/// recovery, `purge` and conversations between packages, which RPM does not have.
pub(super) fn relevant(script: &str, triggered: bool) -> Actions {
    match script {
        "preinst" => ["install", "upgrade"].into(),
        "postinst" if triggered => ["configure", "triggered"].into(),
        "postinst" | "config" => ["configure"].into(),
        _ => ["remove", "upgrade"].into(),
    }
}

/// The values of `$1` with which a condition may be true, and those with which it may be false.
#[derive(Debug, Clone)]
pub(super) struct Split {
    pub(super) yes: Actions,
    pub(super) no: Actions,
    /// Whether the condition asks nothing but `$1`, so that the two sets are exact.
    pub(super) exact: bool,
}

impl Split {
    /// A condition that nothing is known of.
    pub(super) fn unknown(all: &Actions) -> Self {
        Self { yes: all.clone(), no: all.clone(), exact: false }
    }

    /// A condition that is always true.
    pub(super) fn always(all: &Actions) -> Self {
        Self { yes: all.clone(), no: Actions::new(), exact: true }
    }

    /// The opposite condition.
    pub(super) fn negate(self) -> Self {
        Self { yes: self.no, no: self.yes, exact: self.exact }
    }
}

/// What `test` or `[ ... ]` with these arguments says about `$1`, which `is_action` recognises.
pub(super) fn split_test(arguments: &[String], all: &Actions, is_action: impl Fn(&str) -> bool) -> Split {
    if arguments.iter().any(|a| matches!(a.as_str(), "-o" | "(" | ")" | "\\(" | "\\)")) {
        return Split::unknown(all);
    }
    let mut result = Split::always(all);
    for part in arguments.split(|a| a == "-a") {
        let one = split_comparison(part, all, &is_action);
        let yes = result.yes.intersection(&one.yes).copied().collect();
        let no = result.no.union(&one.no).copied().collect();
        result = Split { yes, no, exact: result.exact && one.exact };
    }
    result
}

fn split_comparison(arguments: &[String], all: &Actions, is_action: &impl Fn(&str) -> bool) -> Split {
    let (negated, arguments) = match arguments {
        [bang, rest @ ..] if bang == "!" => (true, rest),
        _ => (false, arguments),
    };
    let [left, operator, right] = arguments else { return Split::unknown(all) };
    let value = if is_action(left) {
        literal(right)
    } else if is_action(right) {
        literal(left)
    } else {
        None
    };
    let Some(value) = value else { return Split::unknown(all) };
    let (yes, no) = all.iter().partition(|action| **action == value);
    let split = Split { yes, no, exact: true };
    let split = match operator.as_str() {
        "=" | "==" => split,
        "!=" => split.negate(),
        _ => return Split::unknown(all),
    };
    if negated { split.negate() } else { split }
}

/// The values that a `case` arm takes from `all`; `None` when a pattern is not understood.
pub(super) fn matching(patterns: &[String], all: &Actions) -> Option<Actions> {
    let mut taken = Actions::new();
    for pattern in patterns {
        match pattern.as_str() {
            "*" => return Some(all.clone()),
            _ => match (literal(pattern), pattern.strip_suffix('*').and_then(literal)) {
                (Some(word), _) => taken.extend(all.iter().filter(|a| **a == word)),
                (None, Some(prefix)) => taken.extend(all.iter().filter(|a| a.starts_with(&prefix))),
                (None, None) => return None,
            },
        }
    }
    Some(taken)
}
