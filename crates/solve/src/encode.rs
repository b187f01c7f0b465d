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
//! Everything is interned, and a package's dependencies are looked at only when the solver asks for them. So a
//! switch may turn up after the solver has been told what one of its packages requires, and that package does
//! not turn it on then. A solution in which such a switch is off all the same is not accepted; the
//! solver starts anew and knows the switch from the beginning (see [`Problem::overlooked`]). A proof that there
//! is no solution holds in any case, since a missing clause only allows more.

use crate::formula::{Clause, Formula, Literal, without_self};
use crate::pool::{Index, Pool, Set};
use crate::universe::List;
use lazuli_rpm::Dependency;
use resolvo::{
    Candidates, Condition, ConditionId, ConditionalRequirement, DenseIndex, Dependencies, DependencyProvider,
    HintDependenciesAvailable, Interner, KnownDependencies, NameId, Requirement, SolvableId, SolverCache,
    StringId, VersionSetId, VersionSetUnionId,
};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Display;
use std::rc::Rc;

/// Packages that must not be chosen, with the reason; each judged when it comes up.
pub(crate) struct Excluded<'e> {
    judge: Box<dyn Fn(Index) -> Option<String> + 'e>,
    known: RefCell<HashMap<Index, Option<String>>>,
}

impl<'e> Excluded<'e> {
    /// Exclusion by a rule, which must always give the same answer.
    pub(crate) fn new(judge: impl Fn(Index) -> Option<String> + 'e) -> Self {
        Self { judge: Box::new(judge), known: RefCell::default() }
    }

    /// Why a package must not be chosen, if so.
    pub(crate) fn get(&self, index: Index) -> Option<String> {
        if let Some(known) = self.known.borrow().get(&index) {
            return known.clone();
        }
        let reason = (self.judge)(index);
        self.known.borrow_mut().insert(index, reason.clone());
        reason
    }
}

/// In what order the packages of one name are tried: lower keys first.
pub(crate) type Order<'o> = dyn Fn(Index) -> (u8, Index) + 'o;

/// The two candidates of "one of these packages is installed".
#[derive(Clone, Copy)]
struct Switch {
    number: usize,
}

impl Switch {
    fn name(self) -> NameId {
        NameId::from_index(2 * self.number + 1)
    }

    fn on(self) -> SolvableId {
        SolvableId::from_index(4 * self.number + 1)
    }

    fn off(self) -> SolvableId {
        SolvableId::from_index(4 * self.number + 3)
    }

    /// The switch that a candidate is of, and whether the candidate is `on`.
    fn of(id: SolvableId) -> Option<(Self, bool)> {
        let raw = id.to_index();
        (raw % 2 == 1).then_some((Self { number: raw / 4 }, raw % 4 == 1))
    }
}

/// Numbers for things, given out in the order in which they first appear.
#[derive(Default)]
struct Interned {
    sets: Vec<(NameId, Vec<SolvableId>)>,
    set_ids: HashMap<(NameId, Vec<SolvableId>), VersionSetId>,
    unions: Vec<Vec<VersionSetId>>,
    union_ids: HashMap<Vec<VersionSetId>, VersionSetUnionId>,
    strings: Vec<String>,
    switches: Vec<Set>,
    switch_ids: HashMap<Set, usize>,
    /// The switches that a package turns on.
    turned_on: HashMap<Index, Vec<Switch>>,
}

/// The universe as the solver's dependency provider.
#[derive(Clone)]
pub(crate) struct Problem<'p, 'a> {
    pub(crate) pool: &'p Pool<'a>,
    excluded: &'p Excluded<'p>,
    order: &'p Order<'p>,
    interned: Rc<RefCell<Interned>>,
}

/// Requirements and constraints of one package or of the request.
#[derive(Default)]
pub(crate) struct Encoded {
    pub(crate) requirements: Vec<ConditionalRequirement>,
    /// By name, what must not be installed.
    forbidden: BTreeMap<NameId, Vec<Index>>,
}

/// The name of what cannot be had: it has no candidates. Slots have the even numbers after it and switches the odd
/// ones; candidates are numbered likewise.
const NOTHING: usize = 0;

impl<'p, 'a> Problem<'p, 'a> {
    /// A problem over a pool.
    pub(crate) fn new(pool: &'p Pool<'a>, excluded: &'p Excluded<'p>, order: &'p Order<'p>) -> Self {
        Self { pool, excluded, order, interned: Rc::default() }
    }

    fn switch(&self, set: &Set) -> Switch {
        let mut interned = self.interned.borrow_mut();
        if let Some(&number) = interned.switch_ids.get(set) {
            return Switch { number };
        }
        let switch = Switch { number: interned.switches.len() };
        interned.switches.push(set.clone());
        interned.switch_ids.insert(set.clone(), switch.number);
        for &package in set.iter() {
            interned.turned_on.entry(package).or_default().push(switch);
        }
        switch
    }

    /// Whether a solution has a switch that is off although one of its packages is chosen.
    pub(crate) fn overlooked(&self, solution: &[SolvableId]) -> bool {
        let chosen: HashSet<Index> = solution.iter().filter_map(|&id| Self::index(id)).collect();
        let interned = self.interned.borrow();
        let wrong = |(switch, on): (Switch, bool)| {
            !on && interned.switches[switch.number].iter().any(|package| chosen.contains(package))
        };
        solution.iter().filter_map(|&id| Switch::of(id)).any(wrong)
    }

    /// The requirement that exactly this package is installed.
    pub(crate) fn exactly(&self, package: Index) -> Requirement {
        self.any_of(&[], &[package])
    }

    /// The package that a solvable is, if it is not made up.
    pub(crate) fn index(id: SolvableId) -> Option<Index> {
        let raw = id.to_index();
        if raw.is_multiple_of(2) { Index::try_from(raw / 2).ok() } else { None }
    }

    fn name_of(&self, package: Index) -> NameId {
        NameId::from_index(2 * self.pool.package(package).slot as usize + 2)
    }

    fn candidates(&self, name: NameId) -> Vec<SolvableId> {
        let raw = name.to_index();
        if raw == NOTHING {
            return Vec::new();
        }
        if raw % 2 == 1 {
            let switch = Switch { number: raw / 2 };
            return vec![switch.on(), switch.off()];
        }
        let slot = (raw / 2 - 1) as u32;
        let named = self.pool.named(&self.pool.slot_label(slot));
        named.iter().filter(|&&index| self.pool.package(index).slot == slot).map(|&i| solvable(i)).collect()
    }

    fn label(&self, name: NameId) -> String {
        let raw = name.to_index();
        match raw {
            NOTHING => "nothing".to_owned(),
            _ if raw % 2 == 1 => "condition".to_owned(),
            _ => self.pool.slot_label((raw / 2 - 1) as u32),
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
            let name = self.name_of(package);
            let place = *places.entry(name).or_insert(groups.len());
            if place == groups.len() {
                groups.push((name, Vec::new()));
            }
            groups[place].1.push(solvable(package));
        }
        let switches = off.iter().map(|switch| (switch.name(), vec![switch.off()]));
        let all = switches.chain(groups);
        let sets: Vec<_> = all.map(|(name, members)| self.version_set(name, members)).collect();
        match sets[..] {
            [] => Requirement::Single(self.version_set(NameId::from_index(NOTHING), Vec::new())),
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
                encoded.forbidden.entry(self.name_of(package)).or_default().push(package);
            }
            return None;
        }
        let mut seen = HashSet::new();
        any.retain(|package| seen.insert(*package));
        // What is there comes before what would have to come.
        any.sort_by_key(|&package| !self.pool.is_name_installed(&self.pool.package(package).nevra.name));
        let off: Vec<Switch> = none.iter().map(|set| self.switch(set)).collect();
        let requirement = self.any_of(&off, &any);
        encoded.requirements.push(requirement.into());
        Some(requirement)
    }

    /// Everything a package asks for. An error is a reason why it cannot be installed.
    fn of_package(&self, own: Index) -> Result<Encoded, String> {
        let mut encoded = Encoded::default();
        for (_, clauses) in needs(self.pool, own)?.iter().chain(&bans(self.pool, own)?) {
            for clause in clauses {
                self.add_clause(&mut encoded, clause, Some(own));
            }
        }
        let installed = self.pool.package(own).is_installed();
        for dependency in self.pool.list(own, List::Obsoletes) {
            for obsoleted in self.pool.obsoleted(dependency, own) {
                // RPM minds what a package obsoletes when the package comes, not later.
                if !(installed && self.pool.package(obsoleted).is_installed()) {
                    encoded.forbidden.entry(self.name_of(obsoleted)).or_default().push(obsoleted);
                }
            }
        }
        let switches = self.interned.borrow().turned_on.get(&own).cloned().unwrap_or_default();
        for switch in switches {
            let set = self.version_set(switch.name(), vec![switch.on()]);
            encoded.requirements.push(Requirement::Single(set).into());
        }
        Ok(encoded)
    }

    /// The packages that meet a requirement, if it is about packages only.
    pub(crate) fn packages_of(&self, requirement: Requirement) -> Option<Vec<Index>> {
        let interned = self.interned.borrow();
        let sets = match requirement {
            Requirement::Single(set) => vec![set],
            Requirement::Union(union) => interned.unions[union.to_index()].clone(),
        };
        let members = sets.iter().flat_map(|set| &interned.sets[set.to_index()].1);
        members.map(|&id| Self::index(id)).collect()
    }

    /// Whether a solvable is a switch that is off.
    pub(crate) fn is_off(id: SolvableId) -> bool {
        Switch::of(id).is_some_and(|(_, on)| !on)
    }

    /// The text by which a package came to a requirement.
    pub(crate) fn requirement_text(&self, own: Index, wanted: Requirement) -> Option<String> {
        let mut list = self.pool.hard_requirements(own);
        list.find(|dependency| self.becomes(dependency, true, own, wanted)).map(ToString::to_string)
    }

    /// The text by which a package forbids a combination, if that is what the requirement stands for.
    pub(crate) fn forbidden_text(&self, own: Index, wanted: Requirement) -> Option<String> {
        let mut list = self.pool.list(own, List::Conflicts).iter();
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
            let all = self.candidates(name);
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

/// A dependency with its clauses.
pub(crate) type Need<'d> = (&'d Dependency, Vec<Clause>);

/// What a package requires, or why it can never be installed. Of an installed package only what is met
/// today: the rest is not for this transaction to mend, and no reason to refuse it.
pub(crate) fn needs<'d>(pool: &'d Pool<'_>, own: Index) -> Result<Vec<Need<'d>>, String> {
    let installed = pool.package(own).is_installed();
    let unknown = |d: &&Dependency| crate::features::is_feature(d) && !crate::features::is_supported(d);
    if !installed && let Some(feature) = pool.list(own, List::Requires).iter().find(unknown) {
        return Err(format!("it needs the package format feature `{feature}`, which is not implemented"));
    }
    let mut needs = Vec::new();
    for dependency in pool.hard_requirements(own) {
        let mut clauses = clauses(dependency, pool, true)?;
        if installed {
            clauses.retain(|clause| holds_today(clause, pool));
        }
        needs.push((dependency, clauses));
    }
    Ok(needs)
}

/// What a package must not be together with, as [`needs`].
pub(crate) fn bans<'d>(pool: &'d Pool<'_>, own: Index) -> Result<Vec<Need<'d>>, String> {
    let installed = pool.package(own).is_installed();
    let mut bans = Vec::new();
    for dependency in pool.list(own, List::Conflicts) {
        let mut clauses = clauses(dependency, pool, false)?;
        for clause in &mut clauses {
            without_self(clause, own);
        }
        if installed {
            clauses.retain_mut(|clause| {
                // A conflict with what is installed today is bygone; one with what may come is not.
                if let [Literal::None(set)] = &mut clause[..] {
                    *set = set.iter().copied().filter(|&other| !pool.package(other).is_installed()).collect();
                    return true;
                }
                holds_today(clause, pool)
            });
        }
        bans.push((dependency, clauses));
    }
    Ok(bans)
}

fn holds_today(clause: &Clause, pool: &Pool<'_>) -> bool {
    let any = |set: &Set| set.iter().any(|&package| pool.package(package).is_installed());
    clause.iter().any(|literal| match literal {
        Literal::Some(set) => any(set),
        Literal::None(set) => !any(set),
    })
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
    SolvableId::from_index(2 * index as usize)
}

impl Interner for Problem<'_, '_> {
    type NameId = NameId;
    type SolvableId = SolvableId;

    fn display_solvable(&self, solvable: SolvableId) -> impl Display + '_ {
        match Self::index(solvable) {
            Some(index) => self.pool.package(index).id(),
            None => "condition".to_owned(),
        }
    }

    fn display_name(&self, name: NameId) -> impl Display + '_ {
        self.label(name)
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
        match Switch::of(solvable) {
            Some((switch, _)) => switch.name(),
            None => self.name_of((solvable.to_index() / 2) as Index),
        }
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
        let candidates = self.candidates(name);
        let mut excluded = Vec::new();
        for &candidate in &candidates {
            if let Some(reason) = Self::index(candidate).and_then(|index| self.excluded.get(index)) {
                excluded.push((candidate, self.string(reason)));
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
        solvables.sort_by_key(|&id| Self::index(id).map_or((0, id.to_index() as Index), |i| (self.order)(i)));
    }

    async fn get_dependencies(&self, id: SolvableId) -> Dependencies {
        let encoded = Self::index(id).map_or_else(|| Ok(Encoded::default()), |index| self.of_package(index));
        match encoded {
            Ok(encoded) => {
                let constrains = self.constraints(&encoded);
                Dependencies::Known(KnownDependencies { requirements: encoded.requirements, constrains })
            }
            Err(reason) => Dependencies::Unknown(self.string(reason)),
        }
    }
}
