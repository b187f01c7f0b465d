//! Which available packages must not be chosen, whatever the jobs.

use super::options::Options;
use super::select::{LockRule, Pattern, locked};
use crate::pool::{Index, Origin, Pool};
use crate::version::{Op, Range};
use lazuli_rpm::{Dependency, Nevra};

/// An exclusion that has been read.
enum Matcher {
    /// A name or version pattern.
    Pattern(Pattern),
    /// A name with a range of versions.
    Range(String, Range),
}

impl Matcher {
    fn new(text: &str) -> Self {
        if let Ok(dependency) = Dependency::parse(text.trim()) {
            let range = Range::of(&dependency);
            if range.op != Op::ANY {
                return Self::Range(dependency.name, range);
            }
        }
        Self::Pattern(Pattern::new(text.trim()))
    }

    fn matches(&self, nevra: &Nevra) -> bool {
        match self {
            Self::Pattern(pattern) => pattern.matches_nevra(nevra),
            Self::Range(name, range) => *name == nevra.name && range.contains(&nevra.evr),
        }
    }
}

/// Exclusions, locks and protected packages, read once.
pub(crate) struct Rules<'o> {
    options: &'o Options,
    exclude: Vec<(Matcher, &'o str)>,
    exclude_from_weak: Vec<Matcher>,
    locks: Vec<LockRule>,
    protected: Vec<Pattern>,
}

impl<'o> Rules<'o> {
    pub(crate) fn new(options: &'o Options) -> Self {
        let exclude = options.exclude.iter();
        Self {
            options,
            exclude: exclude.map(|e| (Matcher::new(&e.package), e.reason.as_str())).collect(),
            exclude_from_weak: options.exclude_from_weak.iter().map(|text| Matcher::new(text)).collect(),
            locks: options.locks.iter().map(LockRule::new).collect(),
            protected: options.protected.iter().map(|text| Pattern::new(text)).collect(),
        }
    }

    /// Why an available package must not be chosen, if so.
    pub(crate) fn forbid(&self, pool: &Pool<'_>, index: Index) -> Option<String> {
        let record = pool.package(index);
        if record.is_installed() {
            return None;
        }
        if let Some((_, reason)) = self.exclude.iter().find(|(matcher, _)| matcher.matches(&record.nevra)) {
            return Some(format!("it is excluded: {reason}"));
        }
        locked(&self.locks, &record.nevra)
            .or_else(|| crate::wrong_architecture(&record.nevra.arch, &self.options.architecture))
    }

    /// Whether no weak dependency may bring a package.
    pub(crate) fn is_unwanted(&self, pool: &Pool<'_>, index: Index) -> bool {
        let record = pool.package(index);
        !record.is_installed() && self.exclude_from_weak.iter().any(|m| m.matches(&record.nevra))
    }

    /// Why an installed package must not be removed, if so.
    pub(crate) fn protect(&self, pool: &Pool<'_>, index: Index) -> Option<&'static str> {
        let record = pool.package(index);
        if self.is_running(pool, index) {
            return Some("it is the running kernel");
        }
        let named = record.is_installed() && self.protected.iter().any(|p| p.matches(&record.nevra.name));
        (named && !self.is_spare(pool, index)).then_some("it is protected")
    }

    /// Whether an installed package stands side by side with another one of its name that is not removed: the
    /// running kernel, or the newest where none of them runs.
    fn is_spare(&self, pool: &Pool<'_>, index: Index) -> bool {
        if !pool.is_side_by_side(index) {
            return false;
        }
        let nevra = &pool.package(index).nevra;
        let named = pool.named(&nevra.name);
        let mut others = named.iter().filter(|&&other| other != index && pool.package(other).is_installed());
        others.any(|&other| {
            self.is_running(pool, other)
                || self.options.running_kernel.is_none() && pool.package(other).nevra.evr > nevra.evr
        })
    }

    /// Whether an installed package is the running kernel.
    pub(crate) fn is_running(&self, pool: &Pool<'_>, index: Index) -> bool {
        match (pool.package(index).origin, pool.installed(index)) {
            (Origin::Installed(_), Some(package)) => self.options.running_kernel == Some(package.hnum),
            _ => false,
        }
    }
}
