//! Asking the solver: for what must be, and then for as much as possible of what should be.

use crate::encode::{Encoded, Excluded, Order, Problem};
use crate::explanation::Start;
use crate::formula::{Clause, Formula};
use crate::pool::{Index, Pool};
use resolvo::conflict::Conflict;
use resolvo::{Requirement, Solver, UnsolvableOrCancelled};
use std::collections::{BTreeMap, BTreeSet};

/// Why something must be in a solution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    /// It was asked for.
    Asked,
    /// It replaces, by its `Obsoletes`, what is to be upgraded.
    Replacement,
    /// It is a better version of what is installed.
    Upgrade,
    /// It, or what takes its place, is installed and stays.
    Stay,
}

/// What a solution must contain, with the words for it.
#[derive(Clone)]
pub(crate) struct Root {
    /// What was asked for, or the package that is to stay.
    pub(crate) text: String,
    /// The dependency that it comes down to.
    pub(crate) what: String,
    pub(crate) purpose: Purpose,
    pub(crate) formula: Formula,
    /// The formula's clauses.
    pub(crate) clauses: Vec<Clause>,
}

impl Root {
    /// A root for a formula; `None` if the formula combines too many alternatives.
    pub(crate) fn new(text: &str, what: &str, formula: Formula) -> Option<Self> {
        let clauses = formula.clauses(true)?;
        Some(Self { text: text.to_owned(), what: what.to_owned(), purpose: Purpose::Asked, formula, clauses })
    }

    /// A root that one of these packages is there.
    pub(crate) fn any(text: &str, packages: Vec<Index>) -> Self {
        let formula = Formula::Any(packages.into());
        let clauses = formula.clauses(true).unwrap_or_default();
        Self { text: text.to_owned(), what: text.to_owned(), purpose: Purpose::Asked, formula, clauses }
    }

    /// The same for another purpose.
    pub(crate) fn with(self, purpose: Purpose) -> Self {
        Self { purpose, ..self }
    }

    /// Its purpose as explanations tell it.
    pub(crate) fn start(&self) -> Start {
        match self.purpose {
            Purpose::Asked => Start::Asked,
            Purpose::Replacement | Purpose::Upgrade => Start::Upgrade,
            Purpose::Stay => Start::Installed,
        }
    }

    /// Whether it is met by exactly these packages.
    pub(crate) fn is_met(&self, chosen: &BTreeSet<Index>) -> bool {
        self.formula.holds(&|index| chosen.contains(&index))
    }
}

/// The solver, asked several times about one pool: what it has looked up it keeps.
pub(crate) struct Search<'p, 'a> {
    pub(crate) problem: Problem<'p, 'a>,
    pub(crate) solver: Solver<Problem<'p, 'a>>,
    /// How often the solver was asked.
    pub(crate) runs: u32,
}

impl<'p, 'a> Search<'p, 'a> {
    pub(crate) fn new(pool: &'p Pool<'a>, excluded: &'p Excluded<'p>, order: &'p Order<'p>) -> Self {
        let problem = Problem::new(pool, excluded, order);
        Self { solver: Solver::new(problem.clone()), problem, runs: 0 }
    }

    /// The packages that meet these roots and contain `kept`; or the solver's proof that there are none.
    #[allow(clippy::needless_pass_by_value)] // An iterator, walked once for every attempt.
    pub(crate) fn run<'r>(
        &mut self,
        roots: impl IntoIterator<Item = &'r Root> + Clone,
        kept: &BTreeSet<Index>,
    ) -> Result<BTreeSet<Index>, Option<Conflict>> {
        loop {
            self.runs += 1;
            let mut encoded = Encoded::default();
            for clause in roots.clone().into_iter().flat_map(|root| &root.clauses) {
                self.problem.add_clause(&mut encoded, clause, None);
            }
            for &package in kept {
                encoded.requirements.push(self.problem.exactly(package).into());
            }
            let constraints = self.problem.constraints(&encoded);
            let task = resolvo::Problem::new().requirements(encoded.requirements).constraints(constraints);
            match self.solver.solve(task) {
                Ok(solvables) if self.problem.overlooked(&solvables) => {
                    self.solver = Solver::new(self.problem.clone());
                }
                Ok(solvables) => {
                    return Ok(solvables.into_iter().filter_map(Problem::index).collect());
                }
                Err(UnsolvableOrCancelled::Unsolvable(conflict)) => return Err(Some(conflict)),
                Err(UnsolvableOrCancelled::Cancelled(_)) => return Err(None),
            }
        }
    }

    /// Accepts as many of `wishes` as go together with what was accepted before, earlier ones first, and adds
    /// them to `accepted`; `chosen` is a solution for what is accepted, before and after. Returns
    /// the places of those that could not be.
    ///
    /// What the solution at hand meets anyway is accepted without asking. Of the rest whole halves are tried at
    /// once: nearly always all of them go together.
    pub(crate) fn extend(
        &mut self,
        accepted: &mut Vec<Root>,
        chosen: &mut BTreeSet<Index>,
        wishes: &[Root],
        kept: &BTreeSet<Index>,
    ) -> Vec<usize> {
        let (met, open): (Vec<usize>, Vec<usize>) =
            (0..wishes.len()).partition(|&place| wishes[place].is_met(chosen));
        accepted.extend(met.into_iter().map(|place| wishes[place].clone()));
        let mut refused = Vec::new();
        let mut halves = vec![open];
        while let Some(part) = halves.pop() {
            let open: Vec<usize> = part.iter().copied().filter(|&p| !wishes[p].is_met(chosen)).collect();
            if open.is_empty() {
                accepted.extend(part.into_iter().map(|place| wishes[place].clone()));
                continue;
            }
            let attempt = part.iter().map(|&place| &wishes[place]);
            let found = self.run(accepted.iter().chain(attempt), kept);
            match found {
                Ok(found) => {
                    *chosen = found;
                    accepted.extend(part.iter().map(|&place| wishes[place].clone()));
                }
                Err(_) if part.len() == 1 => refused.extend(part),
                Err(_) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    halves.extend([second.to_vec(), first.to_vec()]);
                }
            }
        }
        refused.sort_unstable();
        refused
    }

    /// Which root each requirement of a request comes from.
    pub(crate) fn origins(&self, roots: &[Root]) -> BTreeMap<Requirement, usize> {
        let mut origins = BTreeMap::new();
        for (place, root) in roots.iter().enumerate() {
            for clause in &root.clauses {
                let requirement = self.problem.add_clause(&mut Encoded::default(), clause, None);
                if let Some(requirement) = requirement {
                    origins.entry(requirement).or_insert(place);
                }
            }
        }
        origins
    }
}
