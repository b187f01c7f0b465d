//! The dependencies of a package that is being written: those it is given, and those that follow from
//! what is in it.

use super::{Builder, FileFlags, files::Item};
use crate::header::{HeaderBuilder, Value};
use crate::tag;
use crate::{Dependency, DependencyFlags as Flags};
use std::collections::BTreeSet;

impl Builder {
    pub(super) fn dependency_tags(&self, h: &mut HeaderBuilder, files: &[Item<'_>], large: bool) {
        let own = self.nevra.evr.to_string();
        let name = &self.nevra.name;
        let mut provides: BTreeSet<Dependency> = self.provides.iter().cloned().collect();
        provides.insert(Dependency::versioned(name, Flags::EQUAL, &own));
        if let Some(isa) = isa(&self.nevra.arch) {
            provides.insert(Dependency::versioned(format!("{name}({isa})"), Flags::EQUAL, &own));
        }
        let (interpreters, mut features) = self.scripts().requires();
        let mut requires: BTreeSet<Dependency> = self.requires.iter().cloned().chain(interpreters).collect();
        if files.iter().any(|f| f.flags.contains(FileFlags::CONFIG)) {
            let config = Dependency::versioned(format!("config({name})"), Flags::EQUAL | Flags::CONFIG, &own);
            provides.insert(config.clone());
            requires.insert(config);
        }
        features.extend(self.features(files, large));
        for (feature, version) in features {
            let flags = Flags::RPMLIB | Flags::LESS | Flags::EQUAL;
            requires.insert(Dependency::versioned(format!("rpmlib({feature})"), flags, version));
        }
        let set = |list: &Vec<Dependency>| list.iter().cloned().collect::<BTreeSet<_>>();
        for (list, names, flags, versions) in [
            (provides, tag::PROVIDENAME, tag::PROVIDEFLAGS, tag::PROVIDEVERSION),
            (requires, tag::REQUIRENAME, tag::REQUIREFLAGS, tag::REQUIREVERSION),
            (set(&self.conflicts), tag::CONFLICTNAME, tag::CONFLICTFLAGS, tag::CONFLICTVERSION),
            (set(&self.obsoletes), tag::OBSOLETENAME, tag::OBSOLETEFLAGS, tag::OBSOLETEVERSION),
            (set(&self.recommends), tag::RECOMMENDNAME, tag::RECOMMENDFLAGS, tag::RECOMMENDVERSION),
            (set(&self.suggests), tag::SUGGESTNAME, tag::SUGGESTFLAGS, tag::SUGGESTVERSION),
            (set(&self.supplements), tag::SUPPLEMENTNAME, tag::SUPPLEMENTFLAGS, tag::SUPPLEMENTVERSION),
            (set(&self.enhances), tag::ENHANCENAME, tag::ENHANCEFLAGS, tag::ENHANCEVERSION),
        ] {
            h.set(names, Value::StringArray(list.iter().map(|d| d.name.clone()).collect()));
            h.set(flags, Value::Int32(list.iter().map(|d| d.flags.0).collect()));
            h.set(versions, Value::StringArray(list.iter().map(|d| d.evr.clone()).collect()));
        }
    }

    /// The features that the installing RPM must have, each with the version that brought it.
    fn features(&self, files: &[Item<'_>], large: bool) -> Vec<(&'static str, &'static str)> {
        let lists = [
            &self.requires,
            &self.provides,
            &self.conflicts,
            &self.obsoletes,
            &self.recommends,
            &self.suggests,
            &self.supplements,
            &self.enhances,
        ];
        let all = || lists.iter().flat_map(|list| list.iter());
        let own = self.nevra.evr.to_string();
        let in_versions = |c: char| own.contains(c) || all().any(|d| d.evr.contains(c));
        let used = [
            (true, "CompressedFileNames", "3.0.4-1"),
            (true, "FileDigests", "4.6.0-1"),
            (true, "PayloadFilesHavePrefix", "4.0-1"),
            (true, "PayloadIsZstd", "5.4.18-1"),
            (files.iter().any(|f| f.capabilities.is_some()), "FileCaps", "4.6.1-1"),
            (large, "LargeFiles", "4.12.0-1"),
            (all().any(Dependency::is_rich), "RichDependencies", "4.12.0-1"),
            (in_versions('~'), "TildeInVersions", "4.10.0-1"),
            (in_versions('^'), "CaretInVersions", "4.15.0-1"),
        ];
        used.into_iter().filter(|f| f.0).map(|f| (f.1, f.2)).collect()
    }
}

/// The architecture as it appears in `name(isa)`.
fn isa(arch: &str) -> Option<&'static str> {
    match arch {
        "x86_64" => Some("x86-64"),
        "aarch64" => Some("aarch-64"),
        _ => None,
    }
}
