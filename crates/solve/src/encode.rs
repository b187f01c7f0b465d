//! The problem as the solver sees it.
//!
//! resolvo knows names with candidates, of which at most one is installed, and requirements on sets of
//! candidates of one name or unions of such sets. RPM's world is translated as follows.
//!
//! | RPM | here |
//! |---|---|
//! | package name | name; its packages, of whatever version, are the candidates |
//! | `Requires` | providers looked up by us; a union of (name, set of packages), preferred names first |
//! | rich `Requires` | clauses of its conjunctive normal form (see [`crate::formula`]), one requirement each |
//! | negated atom in a clause with others | one more alternative of the requirement: a switch, see below |
//! | `Conflicts`, `Obsoletes` | for each name that is hit: a constraint to the packages that are not |
//! | weak dependency | tried as a requirement of the request, see [`crate::solve`] |
//!
//! "One of these packages is installed" is a made-up *switch*: a name with the candidates `on` and `off`, of
//! which, as of every name, at most one is chosen. Each of the packages requires `on`. A clause that is
//! also true when none of them is installed has `off` among its alternatives, as the first to be tried.
//!
//! resolvo's own conditional requirements and soft requirements are not used: a condition loses its force
//! when the solver backtracks to a decision made before it fired, which happens with soft
//! requirements in particular.
//!
//! Everything is interned, and a package's dependencies are looked at only when the solver asks for them.

use crate::formula::{Clause, Formula, Literal, without_self};
use crate::pool::{Index, Pool, Set};
use lazuli_rpm::Dependency;
use resolvo::{
    Candidates, Condition, ConditionId, ConditionalRequirement, DenseIndex, Dependencies, DependencyProvider,
    HintDependenciesAvailable, Interner, KnownDependencies, NameId, Requirement, SolvableId, SolverCache,
    StringId, VersionSetId, VersionSetUnionId,
};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;

/// Packages that must not be chosen, with the reason.
pub(crate) type Excluded = HashMap<Index, String>;

/// The two candidates of "one of these packages is installed".
#[derive(Clone, Copy)]
struct Switch {
    name: NameId,
    on: SolvableId,
    off: SolvableId,
}

/// A name as the solver knows it.
struct Name {
    label: String,
    candidates: Vec<SolvableId>,
}

/// Numbers for things, given out in the order in which they first appear.
#[derive(Default)]
struct Interned {
    names: Vec<Name>,
    sets: Vec<(NameId, Vec<SolvableId>)>,
    set_ids: HashMap<(NameId, Vec<SolvableId>), VersionSetId>,
    unions: Vec<Vec<VersionSetId>>,
    union_ids: HashMap<Vec<VersionSetId>, VersionSetUnionId>,
    strings: Vec<String>,
    /// The names of made-up candidates, which are numbered after the packages.
    made_up: Vec<NameId>,
    switches: HashMap<Set, Switch>,
    /// The switches that a package turns on.
    turned_on: HashMap<Index, Vec<Switch>>,
}

/// The universe as the solver's dependency provider.
pub(crate) struct Problem<'p, 'a> {
    pub(crate) pool: &'p Pool<'a>,
    excluded: &'p Excluded,
    /// The name of each package.
    name_of: Vec<NameId>,
    interned: RefCell<Interned>,
}

/// Requirements and constraints of one package or of the request.
#[derive(Default)]
pub(crate) struct Encoded {
    pub(crate) requirements: Vec<ConditionalRequirement>,
    /// By name, what must not be installed.
    forbidden: BTreeMap<NameId, Vec<Index>>,
}

impl<'p, 'a> Problem<'p, 'a> {
    /// Prepares the translation. `asked` are the formulas of the request; `weak` says whether weak
    /// dependencies will be asked for later.
    pub(crate) fn new(pool: &'p Pool<'a>, excluded: &'p Excluded, asked: &[Formula], weak: bool) -> Self {
        let mut interned = Interned::default();
        // Name 0 has no candidates: what cannot be had.
        interned.names.push(Name { label: "nothing".to_owned(), candidates: Vec::new() });
        let mut name_of = Vec::with_capacity(pool.packages.len());
        for (index, package) in (0..).zip(&pool.packages) {
            let label = &package.nevra.name;
            if interned.names.len() == 1 || interned.names.last().is_none_or(|name| name.label != *label) {
                interned.names.push(Name { label: label.clone(), candidates: Vec::new() });
            }
            let name = interned.names.len() - 1;
            interned.names[name].candidates.push(solvable(index));
            name_of.push(NameId::from_index(name));
        }
        let problem = Self { pool, excluded, name_of, interned: RefCell::new(interned) };
        problem.place_switches(asked, weak);
        problem
    }

    /// Makes all switches there are. They must exist before the first package is looked at, since
    /// packages require those that they turn on.
    fn place_switches(&self, asked: &[Formula], weak: bool) {
        for formula in asked {
            self.mark(&formula.clauses(true).unwrap_or_default());
        }
        let rich = |dependency: &&Dependency| dependency.is_rich();
        for (index, package) in (0..).zip(&self.pool.packages) {
            let weak_list: &[Dependency] = if weak { &package.recommends } else { &[] };
            for dependency in package.requires.iter().chain(weak_list).filter(rich) {
                if let Ok(formula) = Formula::of(dependency, self.pool) {
                    self.mark(&formula.clauses(true).unwrap_or_default());
                }
            }
            for dependency in package.conflicts.iter().filter(rich) {
                if let Ok(formula) = Formula::of(dependency, self.pool) {
                    let mut clauses = formula.clauses(false).unwrap_or_default();
                    for clause in &mut clauses {
                        without_self(clause, index);
                    }
                    self.mark(&clauses);
                }
            }
        }
    }

    fn mark(&self, clauses: &[Clause]) {
        for clause in clauses.iter().filter(|clause| clause.len() > 1) {
            for literal in clause {
                if let Literal::None(set) = literal {
                    self.switch(set);
                }
            }
        }
    }

    fn switch(&self, set: &Set) -> Switch {
        let mut interned = self.interned.borrow_mut();
        if let Some(switch) = interned.switches.get(set) {
            return *switch;
        }
        let name = NameId::from_index(interned.names.len());
        let first = self.pool.packages.len() + interned.made_up.len();
        let switch =
            Switch { name, on: SolvableId::from_index(first), off: SolvableId::from_index(first + 1) };
        interned.names.push(Name { label: "condition".to_owned(), candidates: vec![switch.on, switch.off] });
        interned.made_up.extend([name, name]);
        interned.switches.insert(set.clone(), switch);
        for &package in set.iter() {
            interned.turned_on.entry(package).or_default().push(switch);
        }
        switch
    }

    /// The requirement that exactly this package is installed.
    pub(crate) fn exactly(&self, package: Index) -> Requirement {
        self.any_of(&[], &[package])
    }

    /// The package that a solvable is, if it is not made up.
    pub(crate) fn index(&self, id: SolvableId) -> Option<Index> {
        let raw = id.to_index();
        if raw < self.pool.packages.len() { Index::try_from(raw).ok() } else { None }
    }

    fn name_of_solvable(&self, id: SolvableId) -> NameId {
        match self.name_of.get(id.to_index()) {
            Some(name) => *name,
            None => self.interned.borrow().made_up[id.to_index() - self.pool.packages.len()],
        }
    }

    /// The version set of these candidates of one name.
    fn version_set(&self, name: NameId, mut members: Vec<SolvableId>) -> VersionSetId {
        members.sort_unstable();
        members.dedup();
        let mut interned = self.interned.borrow_mut();
        let next = VersionSetId::from_index(interned.sets.len());
        let key = (name, members);
        let id = *interned.set_ids.entry(key.clone()).or_insert(next);
        if id == next {
            interned.sets.push(key);
        }
        id
    }

    /// The requirement that one of these switches is off or one of these packages is installed, names in
    /// order of preference.
    fn any_of(&self, off: &[Switch], packages: &[Index]) -> Requirement {
        let mut groups: Vec<(NameId, Vec<SolvableId>)> = Vec::new();
        let mut places: HashMap<NameId, usize> = HashMap::new();
        for &package in packages {
            let name = self.name_of[package as usize];
            let place = *places.entry(name).or_insert(groups.len());
            if place == groups.len() {
                groups.push((name, Vec::new()));
            }
            groups[place].1.push(solvable(package));
        }
        let switches = off.iter().map(|switch| (switch.name, vec![switch.off]));
        let all = switches.chain(groups);
        let sets: Vec<_> = all.map(|(name, members)| self.version_set(name, members)).collect();
        match sets[..] {
            [] => Requirement::Single(self.version_set(NameId::from_index(0), Vec::new())),
            [one] => Requirement::Single(one),
            _ => {
                let mut interned = self.interned.borrow_mut();
                let next = VersionSetUnionId::from_index(interned.unions.len());
                let id = *interned.union_ids.entry(sets.clone()).or_insert(next);
                if id == next {
                    interned.unions.push(sets);
                }
                Requirement::Union(id)
            }
        }
    }

    /// Adds a clause; `own` is the package it belongs to. Returns the requirement it became, if any.
    pub(crate) fn add_clause(
        &self,
        encoded: &mut Encoded,
        clause: &Clause,
        own: Option<Index>,
    ) -> Option<Requirement> {
        let (mut any, mut none): (Vec<Index>, Vec<&Set>) = (Vec::new(), Vec::new());
        for literal in clause {
            match literal {
                Literal::Some(set) => any.extend(set.iter()),
                Literal::None(set) => none.push(set),
            }
        }
        if own.is_some_and(|own| any.contains(&own)) {
            return None; // Met by the package itself.
        }
        // Conditions that the package itself fulfils need not be asked for.
        none.retain(|set| !own.is_some_and(|own| set.contains(&own)));
        if none.iter().any(|set| set.is_empty()) {
            return None; // "None of these" holds by itself where there are none.
        }
        if clause.len() == 1
            && let [set] = none[..]
        {
            for &package in set.iter() {
                encoded.forbidden.entry(self.name_of[package as usize]).or_default().push(package);
            }
            return None;
        }
        let mut seen = std::collections::HashSet::new();
        any.retain(|package| seen.insert(*package));
        let off: Vec<Switch> = none.iter().map(|set| self.switch(set)).collect();
        let requirement = self.any_of(&off, &any);
        encoded.requirements.push(requirement.into());
        Some(requirement)
    }

    /// Everything a package asks for. An error is a reason why it cannot be installed.
    fn of_package(&self, own: Index) -> Result<Encoded, String> {
        let mut encoded = Encoded::default();
        let package = self.pool.package(own);
        for dependency in hard_requirements(package) {
            for clause in clauses(dependency, self.pool, true)? {
                self.add_clause(&mut encoded, &clause, Some(own));
            }
        }
        for dependency in &package.conflicts {
            for mut clause in clauses(dependency, self.pool, false)? {
                without_self(&mut clause, own);
                self.add_clause(&mut encoded, &clause, Some(own));
            }
        }
        for dependency in &package.obsoletes {
            for obsoleted in self.pool.obsoleted(dependency, own) {
                encoded.forbidden.entry(self.name_of[obsoleted as usize]).or_default().push(obsoleted);
            }
        }
        let switches = self.interned.borrow().turned_on.get(&own).cloned().unwrap_or_default();
        for switch in switches {
            let set = self.version_set(switch.name, vec![switch.on]);
            encoded.requirements.push(Requirement::Single(set).into());
        }
        Ok(encoded)
    }

    /// Whether a solvable is a switch that is off.
    pub(crate) fn is_off(&self, id: SolvableId) -> bool {
        // Switches are made in pairs, `on` first.
        self.index(id).is_none() && (id.to_index() - self.pool.packages.len()) % 2 == 1
    }

    /// The text by which a package came to a requirement.
    pub(crate) fn requirement_text(&self, own: Index, wanted: Requirement) -> Option<String> {
        let mut list = hard_requirements(self.pool.package(own));
        list.find(|dependency| self.becomes(dependency, true, own, wanted)).map(ToString::to_string)
    }

    /// The text by which a package forbids a combination, if that is what the requirement stands for.
    pub(crate) fn forbidden_text(&self, own: Index, wanted: Requirement) -> Option<String> {
        let mut list = self.pool.package(own).conflicts.iter();
        list.find(|dependency| self.becomes(dependency, false, own, wanted)).map(ToString::to_string)
    }

    fn becomes(&self, dependency: &Dependency, positive: bool, own: Index, wanted: Requirement) -> bool {
        clauses(dependency, self.pool, positive).unwrap_or_default().into_iter().any(|mut clause| {
            if !positive {
                without_self(&mut clause, own);
            }
            self.add_clause(&mut Encoded::default(), &clause, Some(own)) == Some(wanted)
        })
    }

    /// The constraints of what is forbidden: for each name, the packages that remain allowed.
    pub(crate) fn constraints(&self, encoded: &Encoded) -> Vec<VersionSetId> {
        let mut constraints = Vec::new();
        for (&name, forbidden) in &encoded.forbidden {
            let all = self.interned.borrow().names[name.to_index()].candidates.clone();
            let allowed = all.into_iter().filter(|id| !forbidden.iter().any(|&bad| solvable(bad) == *id));
            constraints.push(self.version_set(name, allowed.collect()));
        }
        constraints
    }

    fn string(&self, text: String) -> StringId {
        let mut interned = self.interned.borrow_mut();
        interned.strings.push(text);
        StringId::from_index(interned.strings.len() - 1)
    }
}

/// The requirements that must be met; those marked `MISSINGOK` need not be.
pub(crate) fn hard_requirements(package: &lazuli_repo::Package) -> impl Iterator<Item = &Dependency> {
    let optional = lazuli_rpm::DependencyFlags::MISSINGOK;
    package.requires.iter().filter(move |d| !d.flags.contains(optional) && !crate::features::is_feature(d))
}

/// The clauses of a dependency, or why it cannot be handled.
pub(crate) fn clauses(
    dependency: &Dependency,
    pool: &Pool<'_>,
    positive: bool,
) -> Result<Vec<Clause>, String> {
    Formula::of(dependency, pool)?
        .clauses(positive)
        .ok_or_else(|| format!("`{dependency}` combines too many alternatives"))
}

fn solvable(index: Index) -> SolvableId {
    SolvableId::from_index(index as usize)
}

impl Interner for Problem<'_, '_> {
    type NameId = NameId;
    type SolvableId = SolvableId;

    fn display_solvable(&self, solvable: SolvableId) -> impl Display + '_ {
        match self.index(solvable) {
            Some(index) => self.pool.package(index).id(),
            None => self.interned.borrow().names[self.name_of_solvable(solvable).to_index()].label.clone(),
        }
    }

    fn display_name(&self, name: NameId) -> impl Display + '_ {
        self.interned.borrow().names[name.to_index()].label.clone()
    }

    fn display_version_set(&self, set: VersionSetId) -> impl Display + '_ {
        let members = self.interned.borrow().sets[set.to_index()].1.clone();
        members.iter().map(|&id| self.display_solvable(id).to_string()).collect::<Vec<_>>().join(" or ")
    }

    fn display_string(&self, string: StringId) -> impl Display + '_ {
        self.interned.borrow().strings[string.to_index()].clone()
    }

    fn version_set_name(&self, set: VersionSetId) -> NameId {
        self.interned.borrow().sets[set.to_index()].0
    }

    fn solvable_name(&self, solvable: SolvableId) -> NameId {
        self.name_of_solvable(solvable)
    }

    fn version_sets_in_union(&self, union: VersionSetUnionId) -> impl Iterator<Item = VersionSetId> {
        self.interned.borrow().unions[union.to_index()].clone().into_iter()
    }

    /// Never asked: no conditional requirement is ever made.
    fn resolve_condition(&self, _: ConditionId) -> Condition {
        Condition::Requirement(VersionSetId::from_index(0))
    }
}

impl DependencyProvider for Problem<'_, '_> {
    async fn filter_candidates(
        &self,
        candidates: &[SolvableId],
        set: VersionSetId,
        inverse: bool,
    ) -> Vec<SolvableId> {
        let interned = self.interned.borrow();
        let members = &interned.sets[set.to_index()].1;
        candidates.iter().copied().filter(|id| members.binary_search(id).is_ok() != inverse).collect()
    }

    async fn get_candidates(&self, name: NameId) -> Option<Candidates> {
        let candidates = self.interned.borrow().names[name.to_index()].candidates.clone();
        let mut excluded = Vec::new();
        for &candidate in &candidates {
            if let Some(reason) = self.index(candidate).and_then(|index| self.excluded.get(&index)) {
                excluded.push((candidate, self.string(reason.clone())));
            }
        }
        Some(Candidates {
            candidates,
            excluded,
            hint_dependencies_available: HintDependenciesAvailable::None,
            ..Candidates::default()
        })
    }

    async fn sort_candidates(&self, _: &SolverCache<Self>, solvables: &mut [SolvableId]) {
        // Packages of one name are numbered best first.
        solvables.sort_unstable();
    }

    async fn get_dependencies(&self, id: SolvableId) -> Dependencies {
        let encoded = self.index(id).map_or_else(|| Ok(Encoded::default()), |index| self.of_package(index));
        match encoded {
            Ok(encoded) => {
                let constrains = self.constraints(&encoded);
                Dependencies::Known(KnownDependencies { requirements: encoded.requirements, constrains })
            }
            Err(reason) => Dependencies::Unknown(self.string(reason)),
        }
    }
}
