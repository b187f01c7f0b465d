//! Which module drives which device, and what has to be loaded before it: `modules.dep` and `modules.alias` of depmod.
//!
//! ```text
//! modules.dep     kernel/drivers/nvdimm/nd_pmem.ko: kernel/drivers/nvdimm/nd_btt.ko kernel/drivers/nvdimm/libnvdimm.ko
//! modules.alias   alias nd:t4* nd_pmem
//! ```
//!
//! A line of `modules.dep` has everything that the module needs, also indirectly, what comes first at the end. The composer
//! writes both files again for the modules that it takes along ([`Index::select`]).

use crate::glob;
use std::collections::{BTreeMap, BTreeSet};

/// The most that is read of each of the files.
pub const LIMIT: u64 = 8 << 20;

/// A module.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Module {
    /// Its path below the directory of the kernel's modules.
    path: String,
    /// Names of what it needs, in the order in which it is loaded.
    needs: Vec<String>,
}

/// The modules of a kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    /// By name.
    modules: BTreeMap<String, Module>,
    /// Pattern and name of a module.
    aliases: Vec<(String, String)>,
}

/// The name of the module in a file: without directory and ending, `_` for `-`.
fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or(file).replace('-', "_")
}

impl Index {
    /// Reads both files. Lines that are none of theirs are left out.
    pub fn parse(dep: &str, alias: &str) -> Self {
        let mut index = Self::default();
        for (path, needs) in dep.lines().filter_map(|line| line.split_once(':')) {
            let needs = needs.split_ascii_whitespace().rev().map(name_of).collect();
            index.modules.insert(name_of(path), Module { path: path.to_owned(), needs });
        }
        for line in alias.lines() {
            let mut words = line.split_ascii_whitespace();
            if let (Some("alias"), Some(pattern), Some(name)) = (words.next(), words.next(), words.next()) {
                index.aliases.push((pattern.to_owned(), name.replace('-', "_")));
            }
        }
        index
    }

    /// How many modules there are.
    pub fn len(&self) -> usize {
        self.modules.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.modules.is_empty()
    }

    /// Names of the modules that drive a device which says this of itself.
    pub fn matching<'a>(&'a self, modalias: &'a str) -> impl Iterator<Item = &'a str> {
        self.aliases
            .iter()
            .filter(move |(pattern, _)| glob::matches(pattern, modalias))
            .map(|(_, name)| name.as_str())
    }

    /// What has to be loaded for a module, in this order: names and paths; the module itself is last. What it needs and
    /// is not there is left out: the kernel will say what is missing.
    pub fn load_order<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let needs = self.modules.get(name).map_or(&[][..], |module| &module.needs);
        let names = needs.iter().map(String::as_str).chain([name]);
        names.filter_map(|name| self.modules.get_key_value(name).map(|(n, m)| (n.as_str(), m.path.as_str())))
    }

    /// The modules that `wanted` takes by path and that drive a device of some bus, with everything that they need.
    /// Others would not be loaded: there is nobody to ask for them by name.
    pub fn select(&self, wanted: impl Fn(&str) -> bool) -> Self {
        // The alias of a device has its bus in front: `pci:`, `usb:`. That of a file system or a protocol has none.
        let driving: BTreeSet<&str> = self
            .aliases
            .iter()
            .filter(|(pattern, _)| pattern.contains(':'))
            .map(|(_, name)| name.as_str())
            .filter(|name| self.modules.get(*name).is_some_and(|module| wanted(&module.path)))
            .collect();
        let names: BTreeSet<&str> =
            driving.iter().flat_map(|name| self.load_order(name)).map(|(name, _)| name).collect();
        let kept = |name: &String| names.contains(name.as_str());
        Self {
            modules: self
                .modules
                .iter()
                .filter(|(n, _)| kept(n))
                .map(|(n, m)| (n.clone(), m.clone()))
                .collect(),
            aliases: self
                .aliases
                .iter()
                .filter(|(_, name)| driving.contains(name.as_str()))
                .cloned()
                .collect(),
        }
    }

    /// Paths of all modules below the directory of the kernel's modules.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.modules.values().map(|module| module.path.as_str())
    }

    /// `modules.dep` and `modules.alias`, as [`Index::parse`] reads them.
    pub fn to_files(&self) -> (String, String) {
        let path = |name: &String| self.modules.get(name).map(|module| format!(" {}", module.path));
        let dep = self.modules.values().map(|module| {
            let needs: String = module.needs.iter().rev().filter_map(path).collect();
            format!("{}:{needs}\n", module.path)
        });
        let alias = self.aliases.iter().map(|(pattern, name)| format!("alias {pattern} {name}\n"));
        (dep.collect(), alias.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DEP: &str = "kernel/drivers/nvdimm/libnvdimm.ko:\n\
        kernel/drivers/nvdimm/nd_btt.ko: kernel/drivers/nvdimm/libnvdimm.ko\n\
        kernel/drivers/nvdimm/nd_pmem.ko: kernel/drivers/nvdimm/nd_btt.ko kernel/drivers/nvdimm/libnvdimm.ko\n\
        kernel/drivers/nvdimm/nd_virtio.ko: kernel/drivers/nvdimm/libnvdimm.ko\n\
        kernel/drivers/nvdimm/virtio_pmem.ko: kernel/drivers/nvdimm/nd_virtio.ko kernel/drivers/nvdimm/libnvdimm.ko\n\
        kernel/drivers/scsi/sg.ko:\n\
        kernel/drivers/net/ethernet/intel/e1000/e1000.ko:\n\
        kernel/drivers/scsi/aha-152x.ko:\n";
    const ALIAS: &str = "# Aliases extracted from modules themselves.\n\
        alias nd:t4* nd_pmem\n\
        alias nd:t5* nd_pmem\n\
        alias virtio:d0000001Bv* virtio_pmem\n\
        alias char_major_21_* sg\n\
        alias pci:v00008086d00001000sv*sd*bc*sc*i* e1000\n\
        alias pnp:dADP1520* aha-152x\n\
        alias broken\n";

    fn index() -> Index {
        Index::parse(DEP, ALIAS)
    }

    fn order(index: &Index, name: &str) -> Vec<String> {
        index.load_order(name).map(|(name, _)| name.to_owned()).collect()
    }

    #[test]
    fn a_device_is_driven_by_its_module_after_what_that_needs() {
        let index = index();
        assert_eq!(index.matching("virtio:d0000001Bv00001AF4").collect::<Vec<_>>(), ["virtio_pmem"]);
        assert_eq!(index.matching("virtio:d00000002v00001AF4").count(), 0);
        assert_eq!(order(&index, "nd_pmem"), ["libnvdimm", "nd_btt", "nd_pmem"]);
        assert_eq!(order(&index, "aha_152x"), ["aha_152x"]);
        assert!(order(&index, "nothing").is_empty());
    }

    #[test]
    fn only_drivers_of_the_wanted_places_are_chosen_with_what_they_need() {
        let chosen =
            index().select(|path| path.starts_with("kernel/drivers/nvdimm/") || path.contains("/scsi/"));
        let paths: Vec<&str> = chosen.paths().map(|path| path.rsplit('/').next().unwrap()).collect();
        assert_eq!(
            paths,
            ["aha-152x.ko", "libnvdimm.ko", "nd_btt.ko", "nd_pmem.ko", "nd_virtio.ko", "virtio_pmem.ko"]
        );
        assert_eq!(chosen.matching("pci:v00008086d00001000sv1sd1bc1sc1i1").count(), 0);
        assert_eq!(chosen.matching("nd:t4").count(), 1);
    }

    #[test]
    fn what_is_written_is_read_back() {
        for index in [index(), index().select(|path| path.contains("nvdimm")), Index::default()] {
            let (dep, alias) = index.to_files();
            assert_eq!(Index::parse(&dep, &alias), index);
        }
    }

    #[test]
    fn a_need_that_is_not_there_is_left_out() {
        let index = Index::parse("a.ko: b.ko c.ko\nc.ko:\n", "");
        assert_eq!(order(&index, "a"), ["c", "a"]);
    }

    proptest! {
        #[test]
        fn the_selection_is_complete(
            graph in prop::collection::vec(prop::collection::btree_set(0_usize..8, 0..4), 8), wanted in 0_usize..8
        ) {
            // Numbers only need smaller ones, so that there is no circle; lines have everything indirectly, too.
            let mut closure: Vec<BTreeSet<usize>> = Vec::new();
            for (n, needs) in graph.iter().enumerate() {
                let mut all: BTreeSet<usize> = needs.iter().copied().filter(|m| *m < n).collect();
                for m in all.clone() {
                    all.extend(&closure[m]);
                }
                closure.push(all);
            }
            let line = |(n, needs): (usize, &BTreeSet<usize>)| {
                let needs: String = needs.iter().rev().map(|m| format!(" d/m{m}.ko")).collect();
                format!("d/m{n}.ko:{needs}\n")
            };
            let dep: String = closure.iter().enumerate().map(line).collect();
            let chosen = Index::parse(&dep, &format!("alias pci:x m{wanted}\n")).select(|_| true);
            let names: BTreeSet<String> = chosen.paths().map(name_of).collect();
            let mut expected: BTreeSet<String> = closure[wanted].iter().map(|m| format!("m{m}")).collect();
            expected.insert(format!("m{wanted}"));
            prop_assert_eq!(names, expected);
            // Nothing comes before what it needs.
            let wanted = format!("m{wanted}");
            let order: Vec<String> = order(&chosen, &wanted);
            for (at, name) in order.iter().enumerate() {
                let number: usize = name[1..].parse().unwrap();
                for need in &closure[number] {
                    prop_assert!(order[..at].contains(&format!("m{need}")), "{:?}", order);
                }
            }
        }
    }
}
