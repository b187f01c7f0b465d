//! What the header of a package says, by name instead of by tag.

use super::{Error, Header};
use crate::evr::{Evr, Nevra};
use crate::tag;
use crate::{Dependency, DependencyFlags};

impl Header {
    /// Name, epoch, version, release and architecture.
    pub fn nevra(&self) -> Result<Nevra, Error> {
        let need = |tag: u32| {
            self.string(tag).filter(|s| !s.is_empty()).ok_or_else(|| Error {
                offset: 16,
                reason: format!("there is no {}", tag::name(tag).unwrap_or("tag")),
            })
        };
        Ok(Nevra {
            name: need(tag::NAME)?,
            evr: Evr {
                epoch: self.number(tag::EPOCH).and_then(|e| u32::try_from(e).ok()),
                version: need(tag::VERSION)?,
                release: need(tag::RELEASE)?,
            },
            arch: need(tag::ARCH)?,
        })
    }

    fn dependencies(&self, name: u32, flags: u32, version: u32) -> Vec<Dependency> {
        let versions = self.strings(version);
        let flags = self.numbers(flags);
        self.strings(name)
            .into_iter()
            .enumerate()
            .map(|(i, name)| Dependency {
                name,
                flags: DependencyFlags(flags.get(i).map_or(0, |f| *f as u32)),
                evr: versions.get(i).cloned().unwrap_or_default(),
            })
            .collect()
    }

    /// What it provides.
    pub fn provides(&self) -> Vec<Dependency> {
        self.dependencies(tag::PROVIDENAME, tag::PROVIDEFLAGS, tag::PROVIDEVERSION)
    }

    /// What it requires.
    pub fn requires(&self) -> Vec<Dependency> {
        self.dependencies(tag::REQUIRENAME, tag::REQUIREFLAGS, tag::REQUIREVERSION)
    }

    /// What it conflicts with.
    pub fn conflicts(&self) -> Vec<Dependency> {
        self.dependencies(tag::CONFLICTNAME, tag::CONFLICTFLAGS, tag::CONFLICTVERSION)
    }

    /// What it obsoletes.
    pub fn obsoletes(&self) -> Vec<Dependency> {
        self.dependencies(tag::OBSOLETENAME, tag::OBSOLETEFLAGS, tag::OBSOLETEVERSION)
    }

    /// What it recommends.
    pub fn recommends(&self) -> Vec<Dependency> {
        self.dependencies(tag::RECOMMENDNAME, tag::RECOMMENDFLAGS, tag::RECOMMENDVERSION)
    }

    /// What it suggests.
    pub fn suggests(&self) -> Vec<Dependency> {
        self.dependencies(tag::SUGGESTNAME, tag::SUGGESTFLAGS, tag::SUGGESTVERSION)
    }

    /// What it supplements.
    pub fn supplements(&self) -> Vec<Dependency> {
        self.dependencies(tag::SUPPLEMENTNAME, tag::SUPPLEMENTFLAGS, tag::SUPPLEMENTVERSION)
    }

    /// What it enhances.
    pub fn enhances(&self) -> Vec<Dependency> {
        self.dependencies(tag::ENHANCENAME, tag::ENHANCEFLAGS, tag::ENHANCEVERSION)
    }

    /// The absolute paths of all its files, in the header's order.
    pub fn paths(&self) -> Vec<String> {
        let dirs = self.strings(tag::DIRNAMES);
        self.strings(tag::BASENAMES)
            .into_iter()
            .zip(self.numbers(tag::DIRINDEXES))
            .filter_map(|(base, dir)| Some(format!("{}{base}", dirs.get(usize::try_from(dir).ok()?)?)))
            .collect()
    }

    /// The size of each file in bytes.
    pub fn file_sizes(&self) -> Vec<u64> {
        let long = self.numbers(tag::LONGFILESIZES);
        if long.is_empty() { self.numbers(tag::FILESIZES) } else { long }
    }

    /// The changelog, newest entry first: time in seconds since 1970, author, text.
    pub fn changelog(&self) -> Vec<(i64, String, String)> {
        let names = self.strings(tag::CHANGELOGNAME);
        let texts = self.strings(tag::CHANGELOGTEXT);
        let times = self.numbers(tag::CHANGELOGTIME);
        times
            .into_iter()
            .zip(names)
            .zip(texts)
            .map(|((time, name), text)| (i64::try_from(time).unwrap_or(0), name, text))
            .collect()
    }
}
