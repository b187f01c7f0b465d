//! The order in which packages are installed: what a package needs comes before it.
//!
//! Strongly connected components by Tarjan's algorithm; in a circle, requirements for scriptlets weigh
//! more than others. The result does not depend on the order of the input.

use crate::rich::Rich;
use crate::{Dependency, DependencyFlags, Nevra};
use std::collections::HashMap;

/// What ordering has to know about a package.
#[derive(Debug, Clone)]
pub struct Item {
    /// Identity.
    pub nevra: Nevra,
    /// What it provides, its own name included.
    pub provides: Vec<Dependency>,
    /// Its files, absolute paths, for requirements on files.
    pub files: Vec<String>,
    /// What it requires.
    pub requires: Vec<Dependency>,
}

/// Positions in `items` in the order of installation.
pub fn order(items: &[Item]) -> Vec<usize> {
    let mut sorted: Vec<usize> = (0..items.len()).collect();
    sorted.sort_by(|a, b| items[*a].nevra.cmp(&items[*b].nevra));
    let mut providers: HashMap<&str, Vec<usize>> = HashMap::new();
    for &i in &sorted {
        for dependency in &items[i].provides {
            providers.entry(&dependency.name).or_default().push(i);
        }
        for file in &items[i].files {
            providers.entry(file).or_default().push(i);
        }
    }
    let pre = DependencyFlags::PREREQ
        | DependencyFlags::SCRIPT_PRE
        | DependencyFlags::SCRIPT_POST
        | DependencyFlags::PRETRANS;
    let edges = |only_pre: bool| -> Vec<Vec<usize>> {
        items
            .iter()
            .enumerate()
            .map(|(i, item)| {
                let mut targets: Vec<usize> = item
                    .requires
                    .iter()
                    .filter(|d| !only_pre || d.flags.intersects(pre))
                    .flat_map(names)
                    .flat_map(|name| providers.get(name.as_str()).into_iter().flatten().copied())
                    .filter(|t| *t != i)
                    .collect();
                targets.sort_by(|a, b| items[*a].nevra.cmp(&items[*b].nevra));
                targets.dedup();
                targets
            })
            .collect()
    };
    let (all, strong) = (edges(false), edges(true));
    let mut result = Vec::new();
    for component in components(&sorted, &all) {
        if component.len() == 1 {
            result.extend(component);
        } else {
            // Inside a circle only requirements for scriptlets count; what is still a circle then is
            // taken in the order of names.
            let inside: Vec<usize> = sorted.iter().copied().filter(|i| component.contains(i)).collect();
            let strong: Vec<Vec<usize>> = strong
                .iter()
                .map(|targets| targets.iter().copied().filter(|t| component.contains(t)).collect())
                .collect();
            for mut part in components(&inside, &strong) {
                part.sort_by(|a, b| items[*a].nevra.cmp(&items[*b].nevra));
                result.extend(part);
            }
        }
    }
    result
}

/// The name of a requirement; of a rich one, what it may need, but not what it depends on.
fn names(dependency: &Dependency) -> Vec<String> {
    match dependency.is_rich().then(|| Rich::parse(&dependency.name)) {
        Some(Ok(rich)) => {
            rich.simple().into_iter().filter(|(_, needed)| *needed).map(|(d, _)| d.name.clone()).collect()
        }
        _ => vec![dependency.name.clone()],
    }
}

/// Strongly connected components, those without needs first (Tarjan, without recursion).
fn components(roots: &[usize], edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    const NEW: usize = usize::MAX;
    let mut index = vec![NEW; edges.len()];
    let mut low = vec![0; edges.len()];
    let mut on_stack = vec![false; edges.len()];
    let (mut stack, mut result, mut next) = (Vec::new(), Vec::new(), 0);
    for &root in roots {
        if index[root] != NEW {
            continue;
        }
        let mut work = vec![(root, 0)];
        while let Some((node, edge)) = work.pop() {
            if edge == 0 {
                index[node] = next;
                low[node] = next;
                next += 1;
                stack.push(node);
                on_stack[node] = true;
            }
            if let Some(&target) = edges[node].get(edge) {
                work.push((node, edge + 1));
                if index[target] == NEW {
                    work.push((target, 0));
                } else if on_stack[target] {
                    low[node] = low[node].min(index[target]);
                }
                continue;
            }
            if low[node] == index[node] {
                let mut component = Vec::new();
                while let Some(member) = stack.pop() {
                    on_stack[member] = false;
                    component.push(member);
                    if member == node {
                        break;
                    }
                }
                result.push(component);
            }
            if let Some(&(parent, _)) = work.last() {
                low[parent] = low[parent].min(low[node]);
            }
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Evr;
    use proptest::prelude::*;

    fn item(name: &str, requires: &[(&str, bool)]) -> Item {
        Item {
            nevra: Nevra { name: name.into(), evr: Evr::new(None, "1", "1"), arch: "noarch".into() },
            provides: vec![Dependency::any(name)],
            files: vec![format!("/usr/bin/{name}")],
            requires: requires
                .iter()
                .map(|(n, pre)| {
                    let flags = if *pre { DependencyFlags::SCRIPT_PRE } else { DependencyFlags::ANY };
                    Dependency::any(*n).with(flags)
                })
                .collect(),
        }
    }

    fn names(items: &[Item]) -> Vec<String> {
        order(items).into_iter().map(|i| items[i].nevra.name.clone()).collect()
    }

    #[test]
    fn needs_come_first_and_scriptlets_break_circles() {
        let items = [
            item("app", &[("/usr/bin/shell", false)]),
            item("shell", &[("libc", true)]),
            item("libc", &[("shell", false)]),
        ];
        assert_eq!(names(&items), ["libc", "shell", "app"]);
        let items = [item("a", &[("((z or y) if b)", false)]), item("b", &[("a", false)]), item("z", &[])];
        assert_eq!(names(&items), ["z", "a", "b"]);
    }

    proptest! {
        #[test]
        fn every_package_once_needs_first_whatever_the_order(edges in prop::collection::vec((0_usize..8, 0_usize..8), 0..16), turn in 0_usize..8) {
            // Edges only towards smaller numbers: no circles.
            let build = |i: usize| {
                let needs: Vec<String> = edges.iter().filter(|(a, b)| *a == i && b < a).map(|(_, b)| format!("p{b}")).collect();
                let needs: Vec<(&str, bool)> = needs.iter().map(|n| (n.as_str(), false)).collect();
                item(&format!("p{i}"), &needs)
            };
            let mut items: Vec<Item> = (0..8).map(build).collect();
            let first = names(&items);
            for (a, b) in edges.iter().filter(|(a, b)| b < a) {
                let place = |i: usize| first.iter().position(|n| *n == format!("p{i}")).unwrap();
                prop_assert!(place(*b) < place(*a));
            }
            items.rotate_left(turn);
            prop_assert_eq!(names(&items), first);
        }
    }
}
