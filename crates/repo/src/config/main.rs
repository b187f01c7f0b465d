//! `[main]` of `lapis.conf`, `tdnf.conf` and `dnf.conf`.

use super::transport::Transport;
use super::value::{self, Expire, Parsed};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// Options of the package manager. The field's comment gives the key; the defaults are dnf's unless it says
/// otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct MainConfig {
    /// Options of connections.
    pub transport: Transport,
    /// `gpgcheck` (also `pkg_gpgcheck`): packages must be signed. Here by default, and off only together with
    /// `lapis_trust` of a repository.
    pub gpgcheck: bool,
    /// `repo_gpgcheck`: metadata must be signed. Here by default, and off only together with `lapis_trust`.
    pub repo_gpgcheck: bool,
    /// `best`: take the best version or fail.
    pub best: bool,
    /// `skip_if_unavailable`: go on without a repository that cannot be reached. Never one that failed a check.
    pub skip_if_unavailable: bool,
    /// `skip_broken` (also `strict`, the other way round).
    pub skip_broken: bool,
    /// `skip_unavailable`.
    pub skip_unavailable: bool,
    /// `clean_requirements_on_remove`.
    pub clean_requirements_on_remove: bool,
    /// `install_weak_deps`.
    pub install_weak_deps: bool,
    /// `exclude_from_weak`: packages that weak dependencies do not bring in.
    pub exclude_from_weak: Vec<String>,
    /// `obsoletes`.
    pub obsoletes: bool,
    /// `installonlypkgs`: what these patterns match, by name or provided name, is installed beside its older
    /// versions.
    pub installonly_packages: Vec<String>,
    /// `installonly_limit`: how many versions of such a package stay; `None` is all.
    pub installonly_limit: Option<u32>,
    /// `excludepkgs` (also `exclude`): patterns of packages that are not there.
    pub exclude: Vec<String>,
    /// `includepkgs`: if not empty, only these are there.
    pub include: Vec<String>,
    /// `disable_excludes`: `all`, `main` or ids of repositories.
    pub disable_excludes: Vec<String>,
    /// `protected_packages`, with those of `protected.d`: packages that are never removed.
    pub protected_packages: BTreeSet<String>,
    /// `protect_running_kernel`.
    pub protect_running_kernel: bool,
    /// `minversions` and `minversions.d` (tdnf): `name=version` below which a package is not there.
    pub min_versions: Vec<String>,
    /// `locks.d` (tdnf): packages that keep their version.
    pub locks: Vec<String>,
    /// `snapshottime` (tdnf): packages made after this time, in seconds since the epoch, are not there.
    pub snapshot_time: Option<i64>,
    /// `metadata_expire`: for repositories that do not say.
    pub metadata_expire: Expire,
    /// `keepcache`: packages stay in the cache after they were installed.
    pub keepcache: bool,
    /// `cachedir`.
    pub cachedir: PathBuf,
    /// `persistdir`.
    pub persistdir: PathBuf,
    /// `reposdir` (tdnf: `repodir`): folders with `.repo` files.
    pub reposdir: Vec<PathBuf>,
    /// `varsdir`: folders with a file for each variable; later ones win.
    pub varsdir: Vec<PathBuf>,
    /// `max_parallel_downloads`.
    pub max_parallel_downloads: u32,
    /// `tsflags`.
    pub tsflags: BTreeSet<TsFlag>,
    /// `assumeyes`.
    pub assumeyes: bool,
    /// `assumeno`.
    pub assumeno: bool,
    /// `defaultyes`: what Return means.
    pub defaultyes: bool,
    /// `cacheonly`.
    pub cacheonly: bool,
    /// `color`.
    pub color: Color,
    /// `diskspacecheck`.
    pub diskspacecheck: bool,
    /// `ignorearch`.
    pub ignorearch: bool,
    /// `arch`, instead of the machine's.
    pub arch: Option<String>,
    /// `releasever`, instead of what `distroverpkg` provides.
    pub releasever: Option<String>,
    /// `distroverpkg`: the capabilities whose version is `$releasever`, the first that is installed counts.
    pub distroverpkg: Vec<String>,
    /// `dnf_check_update_compat` (tdnf): exit status 100 of `check-update`; here by default.
    pub check_update_compat: bool,
}

/// Colours on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Color {
    /// If the output is a terminal.
    #[default]
    Auto,
    /// In any case.
    Always,
    /// Never.
    Never,
}

/// What a transaction leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TsFlag {
    /// Scriptlets.
    NoScripts,
    /// Triggers.
    NoTriggers,
    /// Documentation.
    NoDocs,
    /// Everything but a test.
    Test,
    /// Everything but the database.
    JustDb,
    /// File capabilities.
    NoCaps,
}

impl Default for MainConfig {
    fn default() -> Self {
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect();
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Self {
            transport: Transport::default(),
            gpgcheck: true,
            repo_gpgcheck: true,
            best: true,
            skip_if_unavailable: false,
            skip_broken: false,
            skip_unavailable: false,
            clean_requirements_on_remove: true,
            install_weak_deps: true,
            exclude_from_weak: Vec::new(),
            obsoletes: true,
            installonly_packages: words(&[
                "kernel",
                "kernel-modules-extra",
                "installonlypkg(kernel)",
                "installonlypkg(kernel-module)",
                "installonlypkg(vm)",
                "multiversion(kernel)",
            ]),
            installonly_limit: Some(3),
            exclude: Vec::new(),
            include: Vec::new(),
            disable_excludes: Vec::new(),
            protected_packages: BTreeSet::from(["lapis".to_owned()]),
            protect_running_kernel: true,
            min_versions: Vec::new(),
            locks: Vec::new(),
            snapshot_time: None,
            metadata_expire: Expire::After(Duration::from_secs(48 * 3600)),
            keepcache: false,
            cachedir: PathBuf::from("/var/cache/lapis"),
            persistdir: PathBuf::from("/var/lib/lapis"),
            reposdir: paths(&["/etc/yum.repos.d", "/etc/distro.repos.d"]),
            varsdir: paths(&["/etc/yum/vars", "/etc/dnf/vars", "/etc/lapis/vars"]),
            max_parallel_downloads: 8,
            tsflags: BTreeSet::new(),
            assumeyes: false,
            assumeno: false,
            defaultyes: false,
            cacheonly: false,
            color: Color::Auto,
            diskspacecheck: true,
            ignorearch: false,
            arch: None,
            releasever: None,
            distroverpkg: words(&["system-release(releasever)", "system-release", "distribution-release"]),
            check_update_compat: true,
        }
    }
}

const TS_FLAGS: &[(&str, TsFlag)] = &[
    ("noscripts", TsFlag::NoScripts),
    ("notriggers", TsFlag::NoTriggers),
    ("nodocs", TsFlag::NoDocs),
    ("test", TsFlag::Test),
    ("justdb", TsFlag::JustDb),
    ("nocaps", TsFlag::NoCaps),
];

impl MainConfig {
    /// Sets the option `key`, which must be in its canonical spelling; says whether there is one.
    pub(crate) fn set(&mut self, key: &str, text: &str) -> Parsed<bool> {
        let paths = || value::list(text).into_iter().map(PathBuf::from).collect::<Vec<_>>();
        let switch = match key {
            "gpgcheck" => &mut self.gpgcheck,
            "repo_gpgcheck" => &mut self.repo_gpgcheck,
            "best" => &mut self.best,
            "skip_if_unavailable" => &mut self.skip_if_unavailable,
            "skip_broken" => &mut self.skip_broken,
            "skip_unavailable" => &mut self.skip_unavailable,
            "clean_requirements_on_remove" => &mut self.clean_requirements_on_remove,
            "install_weak_deps" => &mut self.install_weak_deps,
            "obsoletes" => &mut self.obsoletes,
            "protect_running_kernel" => &mut self.protect_running_kernel,
            "keepcache" => &mut self.keepcache,
            "assumeyes" => &mut self.assumeyes,
            "assumeno" => &mut self.assumeno,
            "defaultyes" => &mut self.defaultyes,
            "cacheonly" => &mut self.cacheonly,
            "diskspacecheck" => &mut self.diskspacecheck,
            "ignorearch" => &mut self.ignorearch,
            "dnf_check_update_compat" => &mut self.check_update_compat,
            _ => return self.set_other(key, text, paths),
        };
        *switch = value::boolean(text)?;
        Ok(true)
    }

    fn set_other(&mut self, key: &str, text: &str, paths: impl Fn() -> Vec<PathBuf>) -> Parsed<bool> {
        match key {
            "strict" => self.skip_broken = !value::boolean(text)?,
            "color" => {
                let words = [("auto", Color::Auto), ("always", Color::Always), ("never", Color::Never)];
                self.color = value::choice(text, &words)?;
            }
            "exclude_from_weak" => self.exclude_from_weak = value::list(text),
            "installonlypkgs" => self.installonly_packages = value::list(text),
            "installonly_limit" => {
                // 1 would remove the running kernel's modules under its feet.
                let limit = value::number(text, -1, 1000)?;
                if limit == 1 {
                    return Err(
                        "1 would leave no kernel to go back to; 0 is no limit, else 2 or more".to_owned()
                    );
                }
                self.installonly_limit = (limit > 0).then_some(limit as u32);
            }
            "excludepkgs" => self.exclude.extend(value::list(text)),
            "includepkgs" => self.include.extend(value::list(text)),
            "disable_excludes" => self.disable_excludes = value::list(text),
            "protected_packages" => self.protected_packages.extend(value::list(text)),
            "minversions" => self.min_versions.extend(value::list(text)),
            "snapshottime" => self.snapshot_time = value::time(text)?,
            "metadata_expire" => self.metadata_expire = value::expire(text)?,
            "cachedir" => self.cachedir = absolute(text)?,
            "persistdir" => self.persistdir = absolute(text)?,
            "reposdir" => self.reposdir = paths(),
            "varsdir" => self.varsdir = paths(),
            "max_parallel_downloads" => self.max_parallel_downloads = value::number(text, 1, 64)? as u32,
            "tsflags" => {
                for word in value::list(text) {
                    self.tsflags.insert(value::choice(&word, TS_FLAGS)?);
                }
            }
            "arch" => self.arch = value::optional(text),
            "releasever" => self.releasever = value::optional(text),
            "distroverpkg" => self.distroverpkg = value::list(text),
            _ => return self.transport.set(key, text),
        }
        Ok(true)
    }
}

fn absolute(text: &str) -> Parsed<PathBuf> {
    let path = PathBuf::from(text.trim());
    if path.is_absolute() { Ok(path) } else { Err("an absolute path is needed".to_owned()) }
}
