//! Finding out why there is no solution.
//!
//! Most failures are simple: something is not there, and everything that needs it falls with it. These are
//! found by a fixed point over the packages in question, without the solver, and give one
//! trail. What remains are conflicts; for those the solver's proof of impossibility is read: the
//! packages in it that exclude each other, and the shortest trail from the request to each.

use crate::encode::{Excluded, Problem, clauses, needs};
use crate::explanation::{CONFLICTS, Cause, Explanation, Link, OBSOLETES, Trail, Trouble};
use crate::formula::{Clause, Literal};
use crate::pool::{Index, Pool};
use crate::search::{Root, Search};
use crate::universe::List;
use lazuli_rpm::Dependency;
use lazuli_rpm::rich::Rich;
use resolvo::conflict::{Conflict, ConflictCause, ConflictEdge, ConflictNode};
use resolvo::{Requirement, SolvableId, Solver};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The most troubles, alternatives and similar names that are shown.
const MAX_TROUBLES: usize = 5;
const MAX_ALSO: usize = 4;
const MAX_SIMILAR: usize = 3;
/// The most packages that are named where a conflict cannot be pinned down.
const MAX_NAMED: usize = 12;

/// What is known about an impossible request.
pub(crate) struct Diagnosis<'d, 'a> {
    pub(crate) pool: &'d Pool<'a>,
    pub(crate) excluded: &'d Excluded<'d>,
    pub(crate) roots: &'d [Root],
}

/// Why a package cannot be installed whatever else is.
enum Broken {
    /// It must not be chosen.
    Excluded(String),
    /// None of these, which it requires by that text, can be installed.
    Needs(String, Vec<Index>),
}

/// The packages of which one is needed, if the clause is unconditional.
fn needed(clause: &Clause) -> Option<Vec<Index>> {
    let mut all = Vec::new();
    for literal in clause {
        match literal {
            Literal::Some(set) => all.extend(set.iter()),
            Literal::None(_) => return None,
        }
    }
    Some(all)
}

impl Diagnosis<'_, '_> {
    fn needs_of(&self, index: Index) -> Result<Vec<(String, Vec<Index>)>, String> {
        let mut needs = Vec::new();
        for (dependency, clauses) in self::needs(self.pool, index)? {
            for clause in &clauses {
                if let Some(any) = needed(clause)
                    && !any.contains(&index)
                {
                    needs.push((dependency.to_string(), any));
                }
            }
        }
        Ok(needs)
    }

    /// Why there is no solution, from the solver's proof if there is one.
    pub(crate) fn explain(&self, conflict: Option<&Conflict>, search: &Search<'_, '_>) -> Explanation {
        match (self.broken(), conflict) {
            (Some(explanation), _) => explanation,
            (None, Some(conflict)) => self.conflicting(conflict, search),
            (None, None) => Explanation::default(),
        }
    }

    /// Troubles that follow from packages that are missing or excluded, if there are any.
    pub(crate) fn broken(&self) -> Option<Explanation> {
        let roots: Vec<(&Root, Vec<Index>)> = self
            .roots
            .iter()
            .flat_map(|root| root.clauses.iter().filter_map(move |clause| Some((root, needed(clause)?))))
            .collect();
        let mut needs: BTreeMap<Index, Vec<(String, Vec<Index>)>> = BTreeMap::new();
        let mut broken: BTreeMap<Index, Broken> = BTreeMap::new();
        let mut queue: VecDeque<Index> = roots.iter().flat_map(|(_, any)| any.iter().copied()).collect();
        let mut seen: BTreeSet<Index> = queue.iter().copied().collect();
        while let Some(index) = queue.pop_front() {
            if let Some(reason) = self.excluded.get(index) {
                broken.insert(index, Broken::Excluded(reason));
                continue;
            }
            match self.needs_of(index) {
                Ok(list) => {
                    queue.extend(
                        list.iter().flat_map(|(_, any)| any.iter().copied()).filter(|&i| seen.insert(i)),
                    );
                    needs.insert(index, list);
                }
                Err(reason) => {
                    broken.insert(index, Broken::Excluded(reason));
                }
            }
        }
        // A package is recorded only after all that it falls with, so trails have an end.
        loop {
            let falls = |(index, list): (&Index, &Vec<(String, Vec<Index>)>)| {
                let (text, any) = list.iter().find(|(_, any)| any.iter().all(|i| broken.contains_key(i)))?;
                Some((*index, Broken::Needs(text.clone(), any.clone())))
            };
            let fallen: Vec<_> = needs.iter().filter_map(falls).collect();
            if fallen.is_empty() {
                break;
            }
            for (index, why) in fallen {
                needs.remove(&index);
                broken.insert(index, why);
            }
        }
        let mut troubles: Vec<Trouble> = Vec::new();
        for (root, any) in roots {
            if any.iter().all(|index| broken.contains_key(index)) {
                let trouble = self.trail_to_end(root, &any, &broken);
                if !troubles.contains(&trouble) {
                    troubles.push(trouble);
                }
            }
        }
        troubles.truncate(MAX_TROUBLES);
        (!troubles.is_empty()).then_some(Explanation { troubles, hints: Vec::new() })
    }

    /// Follows the preferred candidate of each step to what is missing.
    fn trail_to_end(&self, root: &Root, any: &[Index], broken: &BTreeMap<Index, Broken>) -> Trouble {
        let mut trail = Trail { request: root.text.clone(), start: root.start(), links: Vec::new() };
        let mut also = Vec::new();
        let (mut text, mut any) = (root.what.as_str(), any);
        let cause = loop {
            let Some((&best, others)) = any.split_first() else {
                break self.missing(text);
            };
            for other in others.iter().take(MAX_ALSO.saturating_sub(also.len())) {
                let package = self.pool.package(*other).id();
                also.push(match &broken[other] {
                    Broken::Excluded(reason) => format!("{package} would do instead, but {reason}"),
                    Broken::Needs(what, _) => {
                        format!("{package} would do instead, but requires {what}, which cannot be had")
                    }
                });
            }
            let package = self.pool.package(best).id();
            match &broken[&best] {
                Broken::Excluded(reason) => break Cause::Excluded { package, reason: reason.clone() },
                Broken::Needs(what, next) => {
                    trail.links.push(Link { package, dependency: what.clone() });
                    (text, any) = (what, next);
                }
            }
        };
        Trouble { trails: vec![trail], cause, also }
    }

    fn missing(&self, text: &str) -> Cause {
        let dependency = Dependency::parse(text).ok();
        let name = dependency.as_ref().map_or(text, |dependency| dependency.name.as_str());
        let mut offers: Vec<String> = self
            .pool
            .offers(name)
            .into_iter()
            .map(|(index, what)| format!("{what}, provided by {}", self.pool.package(index).id()))
            .collect();
        offers.truncate(MAX_SIMILAR);
        let nearest = if offers.is_empty() { similar(self.pool, name) } else { Vec::new() };
        Cause::Missing { dependency: text.to_owned(), offers, nearest }
    }

    /// Troubles read from the solver's proof.
    fn conflicting(&self, conflict: &Conflict, search: &Search<'_, '_>) -> Explanation {
        let graph = conflict.graph(&search.solver);
        let origins = search.origins(self.roots);
        let proof = Proof::new(&graph, &search.solver, self.roots, &origins);
        let mut troubles: BTreeMap<(usize, String), Trouble> = BTreeMap::new();
        let mut tell = |trouble: Trouble| {
            let length = trouble.trails.iter().map(|trail| trail.links.len()).sum();
            troubles.entry((length, trouble.cause.to_string())).or_insert(trouble);
        };
        self.rivals(&proof).into_iter().for_each(&mut tell);
        for edge in graph.graph.edge_indices() {
            let (Some((from, to)), Some(weight)) =
                (graph.graph.edge_endpoints(edge), graph.graph.edge_weight(edge))
            else {
                continue;
            };
            let (from, to) = (from.index(), to.index());
            let found = match weight {
                ConflictEdge::Conflict(ConflictCause::Constrains(_)) => self.constrained(&proof, from, to),
                ConflictEdge::Conflict(ConflictCause::ForbidMultipleInstances) => {
                    self.combination(&proof, from, to)
                }
                _ => None,
            };
            found.into_iter().for_each(&mut tell);
        }
        // Of several ways to tell the same trouble the shortest is enough.
        let mut told: BTreeSet<Vec<String>> = BTreeSet::new();
        let mut found: Vec<Trouble> = troubles.into_values().collect();
        found.retain(|trouble| {
            told.insert(trouble.trails.iter().map(|trail| trail.request.clone()).collect())
        });
        found.truncate(MAX_TROUBLES);
        if found.is_empty() {
            found.push(proof.as_a_whole());
        }
        Explanation { troubles: found, hints: Vec::new() }
    }

    /// Requirements on one package that no single version meets.
    fn rivals(&self, proof: &Proof<'_, '_, '_>) -> Vec<Trouble> {
        let mut by_slot: BTreeMap<u32, Vec<(usize, Requirement, Vec<Index>)>> = BTreeMap::new();
        for &(from, requirement) in &proof.requirements {
            let Some(members) = proof.solver.provider().packages_of(requirement) else { continue };
            let slots: BTreeSet<u32> = members.iter().map(|&index| self.pool.package(index).slot).collect();
            if let (1, Some(&slot)) = (slots.len(), slots.first()) {
                by_slot.entry(slot).or_default().push((from, requirement, members));
            }
        }
        let mut found = Vec::new();
        for list in by_slot.values() {
            for (place, (from, requirement, members)) in list.iter().enumerate() {
                for (other_from, other_requirement, others) in &list[place + 1..] {
                    if members.iter().any(|index| others.contains(index)) {
                        continue;
                    }
                    let shown = |set: &[Index]| {
                        let installed = set.iter().find(|&&index| self.pool.package(index).is_installed());
                        installed.or(set.iter().min()).map(|&index| self.pool.package(index).id())
                    };
                    let (Some(a), Some(b)) = (shown(members), shown(others)) else { continue };
                    let (first, second) = if a <= b { (a, b) } else { (b, a) };
                    let trails = [(*from, *requirement), (*other_from, *other_requirement)];
                    let trails = trails.iter().filter_map(|&(from, by)| proof.trail_by(from, by)).collect();
                    found.push(sorted(trails, Cause::SameName { first, second }));
                }
            }
        }
        found
    }

    fn trouble(proof: &Proof<'_, '_, '_>, ends: &[usize], cause: Cause) -> Trouble {
        sorted(ends.iter().filter_map(|&end| proof.trail(end)).collect(), cause)
    }

    fn constrained(&self, proof: &Proof<'_, '_, '_>, from: usize, to: usize) -> Option<Trouble> {
        let other = proof.package(to)?;
        let Some(own) = proof.package(from) else {
            let text = format!("{} is asked not to be there", self.pool.package(other).id());
            return Some(Self::trouble(proof, &[to], Cause::Other(text)));
        };
        let hits = |dependency: &&Dependency| {
            clauses(dependency, self.pool, false).is_ok_and(|all| {
                all.iter().any(|clause| matches!(&clause[..], [Literal::None(set)] if set.contains(&other)))
            })
        };
        let conflict = self.pool.list(own, List::Conflicts).iter().find(hits);
        let (relation, dependency) = if let Some(dependency) = conflict {
            (CONFLICTS, dependency)
        } else {
            let mut obsoletes = self.pool.list(own, List::Obsoletes).iter();
            (OBSOLETES, obsoletes.find(|d| self.pool.obsoleted(d, own).contains(&other))?)
        };
        let cause = Cause::Conflict {
            package: self.pool.package(own).id(),
            relation,
            dependency: dependency.to_string(),
            other: self.pool.package(other).id(),
        };
        Some(Self::trouble(proof, &[from, to], cause))
    }

    /// A switch that would have to be both on and off: a package turns it on, and what another one (or
    /// the request) says can only be met when it is off.
    fn combination(&self, proof: &Proof<'_, '_, '_>, a: usize, b: usize) -> Option<Trouble> {
        let problem = proof.solver.provider();
        let off = [a, b].into_iter().find(|&node| proof.solvable(node).is_some_and(Problem::is_off))?;
        let &(from, by) = proof.parents.get(&off)?;
        let cause = match proof.package(from) {
            None => {
                let dependency = proof.roots[*proof.origins.get(&by)?].text.clone();
                Cause::Condition { package: "the request".to_owned(), dependency }
            }
            Some(own) => {
                let package = self.pool.package(own).id();
                match problem.forbidden_text(own, by) {
                    Some(dependency) => Cause::Combination { package, dependency },
                    None => Cause::Condition { package, dependency: problem.requirement_text(own, by)? },
                }
            }
        };
        let also = match &cause {
            Cause::Condition { dependency, .. } => self.missing_in(dependency),
            _ => Vec::new(),
        };
        Some(Trouble { also, ..Self::trouble(proof, &[a, b], cause) })
    }

    /// The parts of a rich dependency that nothing provides, one line each.
    fn missing_in(&self, text: &str) -> Vec<String> {
        let Ok(rich) = Rich::parse(text) else { return Vec::new() };
        let mut lines: Vec<String> = rich
            .simple()
            .into_iter()
            .filter(|(simple, _)| self.pool.providers(simple).is_empty())
            .map(|(simple, _)| format!("nothing provides {simple}"))
            .collect();
        lines.truncate(MAX_ALSO);
        lines
    }
}

/// A trouble with its trails in order: what was asked for first.
fn sorted(mut trails: Vec<Trail>, cause: Cause) -> Trouble {
    let key = |trail: &Trail| (trail.start, trail.request.clone(), trail.links.len());
    trails.sort_by_key(key);
    trails.dedup();
    Trouble { trails, cause, also: Vec::new() }
}

/// Names like this one, with a package that provides each.
pub(crate) fn similar(pool: &Pool<'_>, name: &str) -> Vec<String> {
    let mut scored: Vec<(i64, &str)> = Vec::new();
    // A name of much other length cannot be similar enough.
    let near = |other: &str| other.len().abs_diff(name.len()) * 10 <= other.len().max(name.len()) * 3;
    let names = pool.provided_names(near);
    for candidate in names.iter().map(String::as_str) {
        let score = strsim::normalized_damerau_levenshtein(name, candidate);
        if score >= 0.7 && candidate != name {
            // Whole thousandths: an order that does not hang on rounding.
            scored.push((-((score * 1000.0) as i64), candidate));
        }
    }
    scored.sort_unstable();
    let describe = |&(_, candidate): &(i64, &str)| match pool.offers(candidate).first() {
        Some((index, _)) if pool.package(*index).nevra.name != candidate => {
            format!("{candidate}, provided by {}", pool.package(*index).id())
        }
        _ => candidate.to_owned(),
    };
    scored.iter().take(MAX_SIMILAR).map(describe).collect()
}

/// The solver's proof as a graph of packages, with the shortest way to each.
struct Proof<'g, 'p, 'a> {
    nodes: Vec<ConflictNode>,
    /// For each node that requirements lead to: from where, by which requirement.
    parents: BTreeMap<usize, (usize, Requirement)>,
    /// All requirements, by the node that has them.
    requirements: BTreeSet<(usize, Requirement)>,
    root: usize,
    solver: &'g Solver<Problem<'p, 'a>>,
    roots: &'g [Root],
    /// Which root a requirement of the request comes from.
    origins: &'g BTreeMap<Requirement, usize>,
}

impl<'g, 'p, 'a> Proof<'g, 'p, 'a> {
    fn new(
        graph: &resolvo::conflict::ConflictGraph,
        solver: &'g Solver<Problem<'p, 'a>>,
        roots: &'g [Root],
        origins: &'g BTreeMap<Requirement, usize>,
    ) -> Self {
        let nodes: Vec<ConflictNode> = graph.graph.node_indices().map(|node| graph.graph[node]).collect();
        let mut requirements = BTreeSet::new();
        let mut edges: BTreeMap<usize, BTreeSet<(Option<u32>, usize, Requirement)>> = BTreeMap::new();
        for edge in graph.graph.edge_indices() {
            if let (Some((from, to)), Some(ConflictEdge::Requires(requirement))) =
                (graph.graph.edge_endpoints(edge), graph.graph.edge_weight(edge))
            {
                let package = match nodes[to.index()] {
                    ConflictNode::Solvable(id) => Problem::index(id),
                    _ => None,
                };
                requirements.insert((from.index(), *requirement));
                edges.entry(from.index()).or_default().insert((package, to.index(), *requirement));
            }
        }
        let root = graph.root_node.index();
        let mut parents = BTreeMap::new();
        let mut queue = VecDeque::from([root]);
        while let Some(from) = queue.pop_front() {
            for &(_, to, requirement) in edges.get(&from).into_iter().flatten() {
                if to != root && !parents.contains_key(&to) {
                    parents.insert(to, (from, requirement));
                    queue.push_back(to);
                }
            }
        }
        Self { nodes, parents, requirements, root, solver, roots, origins }
    }

    fn solvable(&self, node: usize) -> Option<SolvableId> {
        match self.nodes[node] {
            ConflictNode::Solvable(id) => Some(id),
            _ => None,
        }
    }

    fn package(&self, node: usize) -> Option<Index> {
        Problem::index(self.solvable(node)?)
    }

    /// All that can be said when no single pair of packages is to blame.
    fn as_a_whole(&self) -> Trouble {
        let problem = self.solver.provider();
        let packages: BTreeSet<Index> = (0..self.nodes.len()).filter_map(|node| self.package(node)).collect();
        let mut ids: Vec<String> =
            packages.iter().map(|&package| problem.pool.package(package).id()).collect();
        ids.sort();
        ids.truncate(MAX_NAMED);
        let cause = Cause::Other(format!("the requirements of {} exclude each other", ids.join(", ")));
        Trouble { trails: Vec::new(), cause, also: Vec::new() }
    }

    /// The way from the request to a requirement of a node.
    fn trail_by(&self, from: usize, by: Requirement) -> Option<Trail> {
        if from == self.root {
            let root = &self.roots[*self.origins.get(&by)?];
            return Some(Trail { request: root.text.clone(), start: root.start(), links: Vec::new() });
        }
        let mut trail = self.trail(from)?;
        let package = self.package(from)?;
        let problem = self.solver.provider();
        let dependency = problem.requirement_text(package, by)?;
        trail.links.push(Link { package: problem.pool.package(package).id(), dependency });
        Some(trail)
    }

    /// The way from the request to a node.
    fn trail(&self, end: usize) -> Option<Trail> {
        let mut links = Vec::new();
        let mut node = end;
        loop {
            let &(from, requirement) = self.parents.get(&node)?;
            if from == self.root {
                links.reverse();
                let root = &self.roots[*self.origins.get(&requirement)?];
                return Some(Trail { request: root.text.clone(), start: root.start(), links });
            }
            let problem = self.solver.provider();
            let package = self.package(from)?;
            // The step to a switch has no words of its own.
            if let Some(dependency) = problem.requirement_text(package, requirement) {
                links.push(Link { package: problem.pool.package(package).id(), dependency });
            }
            node = from;
        }
    }
}
