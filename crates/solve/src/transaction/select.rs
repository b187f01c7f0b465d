//! From what a person writes to packages.

use crate::formula::Formula;
use crate::pool::{Index, Pool};
use globset::{GlobBuilder, GlobMatcher};
use lazuli_rpm::{Dependency, Nevra};
use std::collections::BTreeSet;

/// The longest text that is taken for a pattern, in bytes.
const MAX_PATTERN: usize = 1024;

/// A text that names packages, exactly or by a pattern.
pub(crate) struct Pattern {
    text: String,
    glob: Option<GlobMatcher>,
}

impl Pattern {
    /// Reads a pattern. What has wildcards but is no valid pattern is taken literally.
    pub(crate) fn new(text: &str) -> Self {
        let wild = text.len() <= MAX_PATTERN && text.contains(['*', '?', '[']);
        let glob = wild.then(|| GlobBuilder::new(text).build().ok()).flatten();
        Self { text: text.to_owned(), glob: glob.map(|glob| glob.compile_matcher()) }
    }

    /// Whether it has wildcards.
    pub(crate) fn is_glob(&self) -> bool {
        self.glob.is_some()
    }

    /// Whether it is this text.
    pub(crate) fn matches(&self, text: &str) -> bool {
        match &self.glob {
            Some(glob) => glob.is_match(text),
            None => self.text == text,
        }
    }

    /// Whether it is one of the ways to write this package's name with or without version.
    pub(crate) fn matches_nevra(&self, nevra: &Nevra) -> bool {
        self.matches(&nevra.name) || self.matches_version(nevra)
    }

    /// Whether it is one of the ways to write this package's name with its version or architecture.
    pub(crate) fn matches_version(&self, nevra: &Nevra) -> bool {
        let Nevra { name, evr, arch } = nevra;
        let (version, release) = (&evr.version, &evr.release);
        let epoch = evr.epoch.unwrap_or(0);
        // Cheap test first: most packages are none of it.
        let fixed = self.fixed();
        if !(fixed.starts_with(name.as_str()) || name.starts_with(fixed) || fixed.contains(':')) {
            return false;
        }
        [
            format!("{name}.{arch}"),
            format!("{name}-{version}"),
            format!("{name}-{version}-{release}"),
            format!("{name}-{version}-{release}.{arch}"),
            format!("{name}-{epoch}:{version}"),
            format!("{name}-{epoch}:{version}-{release}"),
            format!("{name}-{epoch}:{version}-{release}.{arch}"),
            format!("{epoch}:{name}-{version}-{release}.{arch}"),
        ]
        .iter()
        .any(|form| self.matches(form))
    }

    /// The text before the first wildcard.
    fn fixed(&self) -> &str {
        if self.glob.is_none() {
            return &self.text;
        }
        self.text.split(['*', '?', '[', '{', '\\']).next().unwrap_or_default()
    }
}

/// What a text stands for.
pub(crate) enum Matched {
    /// Packages, by their own names; the text gives a version or architecture if `exact`.
    Packages { packages: Vec<Index>, exact: bool },
    /// Something that packages provide or own.
    Offered(Formula),
    /// Nothing.
    Nothing,
}

/// Finds what a text stands for among installed and available packages.
pub(crate) fn find(pool: &Pool<'_>, text: &str) -> Matched {
    let text = text.trim();
    let pattern = Pattern::new(text);
    if !text.starts_with(['/', '(']) {
        let (packages, exact) = by_name(pool, &pattern);
        if !packages.is_empty() {
            return Matched::Packages { packages, exact };
        }
    }
    if let Ok(dependency) = Dependency::parse(text)
        && let Ok(formula) = Formula::of(&dependency, pool)
        && (dependency.is_rich() || has_atoms(&formula))
    {
        return Matched::Offered(formula);
    }
    if pattern.is_glob() {
        let names = pool.provided_names(|name| pattern.matches(name));
        let mut all: Vec<Index> = Vec::new();
        for name in names {
            all.extend(pool.providers(&Dependency::any(name)).iter());
        }
        let mut seen = BTreeSet::new();
        all.retain(|&index| seen.insert(index));
        if !all.is_empty() {
            return Matched::Packages { packages: all, exact: false };
        }
    }
    Matched::Nothing
}

/// Whether any package could make a formula true.
fn has_atoms(formula: &Formula) -> bool {
    let mut packages = Vec::new();
    formula.positive_packages(&mut packages);
    !packages.is_empty()
}

/// The packages whose own name, with or without version, a pattern matches, and whether it gives more than names.
fn by_name(pool: &Pool<'_>, pattern: &Pattern) -> (Vec<Index>, bool) {
    if !pattern.is_glob() {
        let named = pool.named(&pattern.text);
        if !named.is_empty() {
            return (named.to_vec(), false);
        }
    }
    let names: BTreeSet<String> = if pattern.is_glob() {
        let names = pool.package_names(|name| pattern.matches(name));
        if !names.is_empty() {
            return (names.iter().flat_map(|name| pool.named(name).to_vec()).collect(), false);
        }
        let fixed = pattern.fixed();
        pool.package_names(|name| fixed.starts_with(name) || name.starts_with(fixed))
    } else {
        // A name ends where a dash or a dot is; an epoch may stand before it.
        let text = pattern.text.as_str();
        let bare = text.split_once(':').map_or(text, |(_, rest)| rest);
        let ends = |text: &str| -> Vec<String> {
            text.match_indices(['-', '.']).map(|(at, _)| text[..at].to_owned()).collect()
        };
        ends(text).into_iter().chain(ends(bare)).filter(|name| !name.is_empty()).collect()
    };
    let all = names.iter().flat_map(|name| pool.named(name).to_vec());
    (all.filter(|&index| pattern.matches_version(&pool.package(index).nevra)).collect(), true)
}

/// A version that is fixed: see [`Lock`](super::Lock).
pub(crate) struct LockRule {
    text: String,
    pattern: Pattern,
    exclude: bool,
}

impl LockRule {
    /// Reads a lock.
    pub(crate) fn new(lock: &super::Lock) -> Self {
        let text = lock.package.trim().to_owned();
        Self { pattern: Pattern::new(&text), text, exclude: lock.exclude }
    }

    /// Whether it is about packages of this name.
    fn governs(&self, name: &str) -> bool {
        match self.text.strip_prefix(name) {
            Some("") => true,
            Some(rest) => rest.strip_prefix('-').is_some_and(|version| {
                version.starts_with(|c: char| c.is_ascii_digit() || "*?[".contains(c))
            }),
            None => false,
        }
    }
}

/// Why locks forbid an available package, if they do.
pub(crate) fn locked(locks: &[LockRule], nevra: &Nevra) -> Option<String> {
    let governing = || locks.iter().filter(|lock| lock.governs(&nevra.name));
    let hit = |lock: &&LockRule| lock.pattern.matches_version(nevra);
    if let Some(lock) = governing().filter(|lock| lock.exclude).find(hit) {
        return Some(format!("a version lock excludes `{}`", lock.text));
    }
    let mut wanted = governing().filter(|lock| !lock.exclude).peekable();
    let first = wanted.peek().copied()?;
    let free = wanted.any(|lock| hit(&lock));
    (!free).then(|| format!("`{}` is locked to `{}`", nevra.name, first.text))
}
