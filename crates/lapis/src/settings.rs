//! The configuration, with the command line's word over it.
//!
//! Later beats earlier: defaults, configuration files, `--setopt`, options of their own. With `--installroot`
//! the configuration in that root counts if there is one, otherwise the running system's, as with dnf.

use crate::cli::Global;
use crate::error::{Error, Result};
use crate::output::{Output, time};
use crate::spec::Pattern;
use lazuli_fs as fs;
use lazuli_repo::config::{
    Config, ConfigError, IpResolve, Lack, MainConfig, Places, RepoConfig, TsFlag, Variables,
};
use lazuli_rpmdb::{Access, Database};
use std::path::{Path, PathBuf};

/// What a command goes by.
#[derive(Debug)]
pub struct Settings {
    /// `[main]`.
    pub main: MainConfig,
    /// Values of variables.
    pub variables: Variables,
    /// All repositories, with the command line's choice of which are enabled.
    pub repositories: Vec<RepoConfig>,
    /// RPM's name of the architecture.
    pub arch: String,
    /// `$releasever`.
    pub releasever: Option<String>,
    /// The root below which the configuration was found.
    pub from: PathBuf,
    /// Where cached files are.
    pub cache: PathBuf,
    /// Where state is: what was seen of repositories.
    pub state: PathBuf,
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Self::Config(error.to_string())
    }
}

/// Files that make a root one with a configuration of its own.
const MARKS: [&str; 4] =
    ["etc/lapis/lapis.conf", "etc/tdnf/tdnf.conf", "etc/dnf/dnf.conf", "etc/yum.repos.d"];

impl Settings {
    /// Reads the configuration for work on `root`.
    pub fn load(root: &Path, global: &Global, out: &Output) -> Result<Self> {
        let own = !global.place.use_host_config && MARKS.iter().any(|m| root.join(m).exists());
        let from = if own { root.to_owned() } else { PathBuf::from("/") };
        let extra = extra_repositories(global)?;
        // Options for repositories of the command line have to wait until these are there.
        let concerns = |option: &str| {
            let key = option.split('=').next().unwrap_or_default();
            let pattern = key.rsplit_once('.').map(|(pattern, _)| Pattern::new(pattern));
            extra.iter().any(|(id, _)| pattern.as_ref().is_some_and(|p| p.matches_text(id)))
        };
        let (later, now): (Vec<&String>, Vec<&String>) =
            global.place.setopt.iter().partition(|option| concerns(option));
        let mut variables = Vec::new();
        for text in &global.place.setvar {
            let (name, value) = text.split_once('=').ok_or_else(|| usage("--setvar", text, "NAME=VALUE"))?;
            variables.push((name.to_owned(), value.to_owned()));
        }
        let arch = match &global.place.arch {
            Some(arch) => arch.clone(),
            None => rustix::system::uname().machine().to_string_lossy().into_owned(),
        };
        let detected = detect_releasever(root);
        let places = Places {
            root: from.clone(),
            file: global.place.config.clone(),
            options: now.into_iter().cloned().collect(),
            arch: arch.clone(),
            releasever: global.place.releasever.clone(),
            detected_releasever: detected,
            variables,
        };
        let mut config = Config::load(&places)?;
        for (id, url) in extra {
            let mut repository = RepoConfig::new(&id, &config.main);
            let (url, _) = config.variables.expand(&url);
            let url = if url.contains("://") { url } else { format!("file://{}", absolute(&url)?) };
            repository.base_urls = vec![url];
            repository.metadata_expire = lazuli_repo::config::Expire::After(std::time::Duration::ZERO);
            if global.trust.nogpgcheck {
                // Somebody says so, and is asked before anything of it is installed.
                repository.lacks = Lack::ALL.into();
            }
            config.repositories.retain(|known| known.id != id);
            config.repositories.push(repository);
        }
        for option in later {
            config.set_option(option)?;
        }
        for notice in config.warnings() {
            out.warn(format!("Warning: {notice}"));
        }
        if out.verbose > 1 {
            config.notices.iter().filter(|n| !n.kind.is_warning()).for_each(|n| out.warn(n));
        }
        let releasever = config.variables.get("releasever").map(str::to_owned);
        let arch = config.main.arch.clone().unwrap_or(arch);
        let Config { main, repositories, variables, .. } = config;
        // Below the root, not below where the configuration was: what is cached or seen belongs to it.
        let below = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
        let (cache, state) = (below(&main.cachedir), below(&main.persistdir));
        let mut settings = Self { main, variables, repositories, arch, releasever, from, cache, state };
        settings.apply(global)?;
        if !writable(&settings.cache) {
            settings.use_own_cache();
        }
        Ok(settings)
    }

    /// Without looking at any configuration: for what must work whatever somebody wrote there.
    pub fn defaults(root: &Path) -> Self {
        let main = MainConfig::default();
        let below = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
        let (cache, state) = (below(&main.cachedir), below(&main.persistdir));
        Self {
            main,
            variables: Variables::default(),
            repositories: Vec::new(),
            arch: rustix::system::uname().machine().to_string_lossy().into_owned(),
            releasever: None,
            from: root.to_owned(),
            cache,
            state,
        }
    }

    /// Options that have names of their own.
    fn apply(&mut self, global: &Global) -> Result<()> {
        refuse(global)?;
        let main = &mut self.main;
        main.best = (main.best || global.solving.best) && !global.solving.nobest;
        main.skip_broken |= global.solving.skip_broken;
        main.skip_unavailable |= global.solving.skip_unavailable;
        main.install_weak_deps &= !global.solving.no_weak_deps;
        main.clean_requirements_on_remove &= !global.solving.noautoremove;
        main.obsoletes &= !global.solving.skipobsoletes;
        main.cacheonly |= global.repositories.cacheonly;
        main.exclude.extend(global.solving.exclude.iter().cloned());
        main.disable_excludes.extend(global.solving.disableexcludes.iter().cloned());
        if global.transaction.nodocs {
            main.tsflags.insert(TsFlag::NoDocs);
        }
        if global.transaction.testonly {
            main.tsflags.insert(TsFlag::Test);
        }
        if let Some(text) = &global.place.snapshot_time {
            let time =
                time::parse(text).ok_or_else(|| usage("--snapshot-time", text, "seconds or YYYY-MM-DD"))?;
            main.snapshot_time = Some(time);
            self.repositories.iter_mut().for_each(|r| r.snapshot_time = Some(time));
        }
        let resolve = match (global.repositories.ipv4, global.repositories.ipv6) {
            (true, _) => Some(IpResolve::V4),
            (_, true) => Some(IpResolve::V6),
            _ => None,
        };
        if let Some(resolve) = resolve {
            self.repositories.iter_mut().for_each(|r| r.transport.ip_resolve = resolve);
        }
        self.choose(global)?;
        self.find_keys();
        Ok(())
    }

    /// Which repositories are enabled. `--disablerepo` comes first, so that `--disablerepo=* --enablerepo=a`
    /// means what everybody means by it.
    fn choose(&mut self, global: &Global) -> Result<()> {
        let options = &global.repositories;
        if !options.only.is_empty() {
            self.repositories.iter_mut().for_each(|r| r.enabled = false);
            self.enable(&options.only, true, true)?;
        }
        self.enable(&options.disablerepo, false, false)?;
        self.enable(&options.enablerepo, true, true)?;
        for id in extra_repositories(global)?.iter().map(|(id, _)| id.clone()) {
            if options.only.is_empty() {
                self.enable(&[id], true, true)?;
            }
        }
        Ok(())
    }

    fn enable(&mut self, ids: &[String], enabled: bool, must_exist: bool) -> Result<()> {
        for id in ids {
            let pattern = Pattern::new(id);
            let mut found = false;
            for repository in self.repositories.iter_mut().filter(|r| pattern.matches_text(&r.id)) {
                repository.enabled = enabled;
                found = true;
            }
            if !found && must_exist && !pattern.is_glob() {
                return Err(Error::NoSuchRepository(id.clone()));
            }
        }
        Ok(())
    }

    /// Keys of a root's own configuration lie in that root; if they do not they are the running system's.
    fn find_keys(&mut self) {
        if self.from == Path::new("/") {
            return;
        }
        for key in self.repositories.iter_mut().flat_map(|r| r.gpg_keys.iter_mut()) {
            if let Some(path) = key.strip_prefix("file:///") {
                let inside = self.from.join(path);
                if inside.exists() {
                    *key = format!("file://{}", inside.display());
                }
            }
        }
    }

    /// The enabled repositories.
    pub fn enabled(&self) -> Result<Vec<&RepoConfig>> {
        let enabled = self.repositories.iter().filter(|r| r.enabled);
        enabled
            .map(|repository| match repository.problem() {
                None => Ok(repository),
                Some(reason) => Err(Error::Config(format!("repository {}: {reason}", repository.id))),
            })
            .collect()
    }

    /// Whether a transaction leaves something out.
    pub fn flag(&self, flag: TsFlag) -> bool {
        self.main.tsflags.contains(&flag)
    }

    /// Users who may not write to the system's cache have one of their own, as with dnf.
    fn use_own_cache(&mut self) {
        let id = rustix::process::getuid().as_raw();
        let base = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
            .filter(|path| path.is_absolute())
            .unwrap_or_else(|| PathBuf::from(format!("/var/tmp/lapis-{id}")));
        self.cache = base.join("lapis/cache");
        self.state = base.join("lapis/state");
    }
}

/// Whether this process may write there, or make it.
fn writable(path: &Path) -> bool {
    let there = path.ancestors().find(|p| p.exists());
    there.is_some_and(|p| rustix::fs::access(p, rustix::fs::Access::WRITE_OK).is_ok())
}

/// Refuses what somebody would rely on and nobody would do.
fn refuse(global: &Global) -> Result<()> {
    let what = if global.ignored.no_allow_downgrade {
        "--no-allow-downgrade: this is not done; `versionlock add PACKAGE` keeps a version, and the plan shows every \
         downgrade before it is carried out"
    } else if global.solving.builddeps {
        "--builddeps: this is not done; `repoquery --requires` with the source package shows what it needs to be \
         built, and `install` takes these names"
    } else {
        return Ok(());
    };
    Err(Error::Usage(what.to_owned()))
}

fn usage(option: &str, text: &str, expected: &str) -> Error {
    Error::Usage(format!("{option} `{text}`: expected {expected}"))
}

fn absolute(path: &str) -> Result<String> {
    let absolute =
        std::path::absolute(path).map_err(|e| Error::File { path: path.into(), reason: e.to_string() })?;
    Ok(absolute.to_string_lossy().into_owned())
}

/// `--repofrompath ID,URL`.
fn extra_repositories(global: &Global) -> Result<Vec<(String, String)>> {
    let options = &global.repositories;
    if !options.repofromdir.is_empty() {
        return Err(Error::Usage(
            "--repofromdir: a directory without metadata cannot be trusted; make some with \
             `lazuli repo build`, or name the files to install"
                .to_owned(),
        ));
    }
    let split = |text: &String| {
        let parts = text.split_once(',').filter(|(id, url)| RepoConfig::is_id(id) && !url.is_empty());
        parts
            .map(|(id, url)| (id.to_owned(), url.to_owned()))
            .ok_or_else(|| usage("--repofrompath", text, "ID,URL"))
    };
    options.repofrompath.iter().map(split).collect()
}

/// What the installed release package says, or `/etc/os-release`.
fn detect_releasever(root: &Path) -> Option<String> {
    let database = Database::open(root, Access::Read).ok();
    let names = ["system-release(releasever)", "system-release", "distribution-release"];
    let installed = names.iter().find_map(|name| {
        let database = database.as_ref()?;
        let (hnum, at) = *database.providers(name).ok()?.first()?;
        let package = database.get(hnum).ok()??;
        let provide = package.header.provides().into_iter().nth(at as usize)?;
        let version = if provide.evr.is_empty() || *name != names[0] {
            package.header.nevra().ok()?.evr.version
        } else {
            provide.evr
        };
        Some(version)
    });
    installed.or_else(|| {
        let text = ["etc/os-release", "usr/lib/os-release"]
            .iter()
            .find_map(|file| fs::read_to_string(root.join(file)).ok())?;
        let value = text.lines().find_map(|line| line.strip_prefix("VERSION_ID="))?;
        Some(value.trim_matches(['"', '\'']).to_owned()).filter(|v| !v.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser as _;

    fn load(root: &Path, args: &[&str]) -> Result<Settings> {
        let args = ["lapis"].iter().chain(args).chain(&["count"]);
        let cli = Cli::try_parse_from(args).expect("a command line");
        Settings::load(root, &cli.global, &Output::captured().0)
    }

    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        let folder = root.path().join("etc/yum.repos.d");
        fs::create_dir_all(&folder).expect("a folder");
        let repo = |id: &str, enabled: u8| {
            format!(
                "[{id}]\nname={id}\nbaseurl=https://example.org/{id}/$releasever\nenabled={enabled}\n\
                 gpgkey=file:///etc/key\n"
            )
        };
        fs::write(folder.join("a.repo"), repo("a", 1) + &repo("a-debug", 0) + &repo("b", 1)).expect("a file");
        fs::write(root.path().join("etc/key"), "").expect("a file");
        root
    }

    fn enabled(settings: &Settings) -> Vec<&str> {
        settings.enabled().expect("usable").into_iter().map(|r| r.id.as_str()).collect()
    }

    #[test]
    fn the_command_line_chooses_repositories() {
        let root = root();
        let ids = |args: &[&str]| enabled(&load(root.path(), args).expect("settings")).join(" ");
        assert_eq!(ids(&[]), "a b");
        assert_eq!(ids(&["--disablerepo=*", "--enablerepo=a-debug"]), "a-debug");
        assert_eq!(ids(&["--repo", "a,a-debug"]), "a a-debug");
        assert_eq!(ids(&["--enablerepo", "a*", "--disablerepo", "b"]), "a a-debug");
        let key = "--setopt=x.gpgkey=file:///etc/key";
        assert_eq!(ids(&["--repofrompath", "x,https://example.org/x", key]), "a b x");
        assert_eq!(ids(&["--repofrompath", "x,https://example.org/x", key, "--repo", "x"]), "x");
        let error = load(root.path(), &["--repo", "nope"]).expect_err("unknown").to_string();
        assert!(error.contains("Unknown repository: nope"), "{error}");
    }

    #[test]
    fn keys_and_variables_of_a_root_are_its_own() {
        let root = root();
        let settings = load(root.path(), &["--releasever", "7"]).expect("settings");
        let a = &settings.repositories[0];
        assert_eq!(a.base_urls, ["https://example.org/a/7"]);
        assert_eq!(a.gpg_keys, [format!("file://{}/etc/key", root.path().display())]);
        assert!(settings.cache.starts_with(root.path()));
    }

    #[test]
    fn a_repository_without_a_key_is_refused_unless_somebody_insists() {
        let root = root();
        let path = ["--repofrompath", "x,https://example.org/x"];
        let error = load(root.path(), &path).expect("settings").enabled().expect_err("no key").to_string();
        assert!(error.contains("gpgkey"), "{error}");
        let insist = [&path[..], &["--nogpgcheck"]].concat();
        assert!(load(root.path(), &insist).expect("settings").enabled().is_ok());
    }
}
