//! What the header of a package says, by name instead of by tag.

use super::{Error, Header, error};
use crate::evr::{Evr, Nevra};
use crate::tag;
use crate::{Dependency, DependencyFlags};

/// The longest path in bytes: Linux's own limit.
const MAX_PATH: usize = 4096;
/// The most bytes of all paths of a package.
const MAX_PATHS: usize = 64 << 20;

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

    /// Checks that each file has a path that Linux can have, and that all of them together are not absurd:
    /// the name of a directory is written once for all of its files, so a small header could unfold to any
    /// amount of memory. A file without a directory would shift all lists that go by the number of a file.
    pub fn check_paths(&self) -> Result<(), Error> {
        let at = |tag| self.entry(tag).map_or(0, |entry| self.size() - self.store().len() + entry.offset);
        let lengths = |tag| self.strings(tag).iter().map(String::len).collect::<Vec<_>>();
        let (bases, dirs) = (lengths(tag::BASENAMES), lengths(tag::DIRNAMES));
        let indexes = self.numbers(tag::DIRINDEXES);
        if bases.len() != indexes.len() {
            let reason = format!("{} files, but the directories of {}", bases.len(), indexes.len());
            return Err(error(at(tag::DIRINDEXES), reason));
        }
        let mut total = 0_usize;
        for (base, index) in bases.into_iter().zip(indexes) {
            let dir = usize::try_from(index).ok().and_then(|index| dirs.get(index));
            let dir = dir.ok_or_else(|| {
                error(at(tag::DIRINDEXES), format!("a file is in directory {index} of {}", dirs.len()))
            })?;
            let length = dir + base;
            if length > MAX_PATH {
                let reason = format!("a path of {length} bytes is beyond the limit of {MAX_PATH}");
                return Err(error(at(tag::BASENAMES), reason));
            }
            total += length;
        }
        if total > MAX_PATHS {
            let reason = format!("paths of {total} bytes are beyond the limit of {MAX_PATHS}");
            return Err(error(at(tag::BASENAMES), reason));
        }
        Ok(())
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
