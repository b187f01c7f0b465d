//! Dependencies as propositional formulas over "one of these packages is installed".
//!
//! A dependency becomes a formula whose atoms are sets of packages, and the formula becomes clauses in
//! conjunctive normal form, which is what the solver understands. `with` and `without` combine
//! sets, not truth values: one package has to satisfy both sides.

use crate::pool::{Index, Pool, Set};
use lazuli_rpm::Dependency;
use lazuli_rpm::rich::Rich;
use std::cell::Cell;
use std::rc::Rc;

/// The most clauses one dependency may become; `or` of `and`s multiplies.
const MAX_CLAUSES: usize = 256;
/// The deepest nesting of a rich dependency.
const MAX_DEPTH: usize = 64;
/// The most parts of a formula: a condition with an `else` is in it twice, so nested ones double each time.
const MAX_PARTS: usize = 20_000;

/// A formula; an atom is true if at least one package of the set is installed.
#[derive(Debug, Clone)]
pub(crate) enum Formula {
    Any(Set),
    Not(Box<Formula>),
    And(Vec<Formula>),
    Or(Vec<Formula>),
}

/// An atom or its negation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Literal {
    /// One of these is installed.
    Some(Set),
    /// None of these is installed.
    None(Set),
}

/// Literals of which at least one must be true.
pub(crate) type Clause = Vec<Literal>;

impl Formula {
    /// The formula of a dependency, or why it cannot be understood.
    pub(crate) fn of(dependency: &Dependency, pool: &Pool<'_>) -> Result<Self, String> {
        if !dependency.is_rich() {
            return Ok(Self::Any(pool.providers(dependency)));
        }
        let rich = Rich::parse(&dependency.name).map_err(|e| format!("`{}`: {e}", dependency.name))?;
        Self::of_rich(&rich, pool, 0, &Cell::new(MAX_PARTS))
            .map_err(|why| format!("`{}` {why}", dependency.name))
    }

    fn of_rich(rich: &Rich, pool: &Pool<'_>, depth: usize, left: &Cell<usize>) -> Result<Self, String> {
        if depth == MAX_DEPTH {
            return Err("is nested too deep".to_owned());
        }
        let spend = |parts: usize| match left.get().checked_sub(parts) {
            Some(rest) => {
                left.set(rest);
                Ok(())
            }
            None => Err("combines too many conditions".to_owned()),
        };
        spend(1)?;
        let sub = |rich: &Rich| Self::of_rich(rich, pool, depth + 1, left);
        let again = |formula: &Self| spend(formula.parts()).map(|()| formula.clone());
        let not = |formula| Self::Not(Box::new(formula));
        Ok(match rich {
            Rich::Simple(dependency) => Self::Any(pool.providers(dependency)),
            Rich::And(all) => Self::And(all.iter().map(sub).collect::<Result<_, _>>()?),
            Rich::Or(any) => Self::Or(any.iter().map(sub).collect::<Result<_, _>>()?),
            Rich::If { then, condition, otherwise } => {
                let (condition, then) = (sub(condition)?, sub(then)?);
                match otherwise {
                    None => Self::Or(vec![then, not(condition)]),
                    Some(otherwise) => Self::And(vec![
                        Self::Or(vec![then, not(again(&condition)?)]),
                        Self::Or(vec![sub(otherwise)?, condition]),
                    ]),
                }
            }
            Rich::Unless { then, condition, otherwise } => {
                let (condition, then) = (sub(condition)?, sub(then)?);
                match otherwise {
                    None => Self::And(vec![then, not(condition)]),
                    Some(otherwise) => Self::Or(vec![
                        Self::And(vec![then, not(again(&condition)?)]),
                        Self::And(vec![sub(otherwise)?, condition]),
                    ]),
                }
            }
            Rich::With(..) | Rich::Without(..) => Self::Any(set_of(rich, pool, depth)?.into()),
        })
    }

    fn parts(&self) -> usize {
        match self {
            Self::Any(_) => 1,
            Self::Not(inner) => 1 + inner.parts(),
            Self::And(all) | Self::Or(all) => 1 + all.iter().map(Self::parts).sum::<usize>(),
        }
    }

    /// The formula's clauses (`positive`) or those of its negation, or `None` if there are too many.
    pub(crate) fn clauses(&self, positive: bool) -> Option<Vec<Clause>> {
        match (self, positive) {
            (Self::Any(set), true) => Some(vec![vec![Literal::Some(set.clone())]]),
            (Self::Any(set), false) => Some(vec![vec![Literal::None(set.clone())]]),
            (Self::Not(inner), _) => inner.clauses(!positive),
            // All of them hold, or (De Morgan) none of an `or` does.
            (Self::And(all), true) | (Self::Or(all), false) => {
                let mut clauses = Vec::new();
                for formula in all {
                    clauses.extend(formula.clauses(positive)?);
                }
                (clauses.len() <= MAX_CLAUSES).then_some(clauses)
            }
            // One of them holds: distribute.
            (Self::Or(any), true) | (Self::And(any), false) => {
                let mut product: Vec<Clause> = vec![Vec::new()];
                for formula in any {
                    let clauses = formula.clauses(positive)?;
                    if product.len() * clauses.len() > MAX_CLAUSES {
                        return None;
                    }
                    product = product
                        .iter()
                        .flat_map(|left| clauses.iter().map(move |right| [left.as_slice(), right].concat()))
                        .collect();
                }
                Some(product)
            }
        }
    }

    /// Whether it is true when exactly the packages for which `installed` holds are installed.
    pub(crate) fn holds(&self, installed: &impl Fn(Index) -> bool) -> bool {
        match self {
            Self::Any(set) => set.iter().any(|&package| installed(package)),
            Self::Not(inner) => !inner.holds(installed),
            Self::And(all) => all.iter().all(|formula| formula.holds(installed)),
            Self::Or(any) => any.iter().any(|formula| formula.holds(installed)),
        }
    }

    /// The same without these packages among those whose presence can make it true.
    pub(crate) fn without(&self, unwanted: &impl Fn(Index) -> bool) -> Self {
        let all = |all: &[Self]| all.iter().map(|formula| formula.without(unwanted)).collect();
        match self {
            Self::Any(set) => Self::Any(set.iter().copied().filter(|&index| !unwanted(index)).collect()),
            Self::Not(inner) => Self::Not(inner.clone()),
            Self::And(parts) => Self::And(all(parts)),
            Self::Or(parts) => Self::Or(all(parts)),
        }
    }

    /// The packages whose presence can make it true.
    pub(crate) fn positive_packages(&self, into: &mut Vec<Index>) {
        match self {
            Self::Any(set) => into.extend(set.iter()),
            Self::Not(_) => {}
            Self::And(all) | Self::Or(all) => all.iter().for_each(|formula| formula.positive_packages(into)),
        }
    }
}

/// The packages that satisfy a combination of dependencies each by itself, in order of preference.
fn set_of(rich: &Rich, pool: &Pool<'_>, depth: usize) -> Result<Vec<Index>, String> {
    if depth == MAX_DEPTH {
        return Err("is nested too deep".to_owned());
    }
    let sub = |rich: &Rich| set_of(rich, pool, depth + 1);
    Ok(match rich {
        Rich::Simple(dependency) => pool.providers(dependency).to_vec(),
        Rich::With(all) => {
            let mut common: Option<Vec<_>> = None;
            for rich in all {
                let set = sub(rich)?;
                match &mut common {
                    None => common = Some(set),
                    Some(common) => common.retain(|package| set.contains(package)),
                }
            }
            common.unwrap_or_default()
        }
        Rich::Without(left, right) => {
            let (mut left, right) = (sub(left)?, sub(right)?);
            left.retain(|package| !right.contains(package));
            left
        }
        Rich::Or(any) => {
            let mut all = Vec::new();
            for rich in any {
                for package in sub(rich)? {
                    if !all.contains(&package) {
                        all.push(package);
                    }
                }
            }
            all
        }
        _ => return Err("mixes `and`, `if` or `unless` into `with` or `without`".to_owned()),
    })
}

/// Removes a package from every set, for what it says about others only (conflicts).
pub(crate) fn without_self(clause: &mut Clause, own: Index) {
    for literal in clause {
        let (Literal::Some(set) | Literal::None(set)) = literal;
        if set.contains(&own) {
            *set = set.iter().copied().filter(|&package| package != own).collect::<Rc<[_]>>();
        }
    }
}
