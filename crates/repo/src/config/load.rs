//! Reading configuration from files.

use super::error::{NoticeKind, Place, Result};
use super::variables::Variables;
use super::{Config, ini};
use lazuli_fs as fs;
use std::path::{Path, PathBuf};

/// Files that are looked for, in this order, if none is named; the first that exists is read.
const MAIN_FILES: [&str; 3] = ["/etc/lapis/lapis.conf", "/etc/tdnf/tdnf.conf", "/etc/dnf/dnf.conf"];
/// The most files of one folder.
const MAX_FILES: usize = 10_000;

/// Where configuration is, and what is said on the command line about it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Places {
    /// All paths are below it; empty or `/` on a running system.
    pub root: PathBuf,
    /// This file instead of the usual ones; not below [`Places::root`].
    pub file: Option<PathBuf>,
    /// `--setopt`, in order; see [`Config::set_option`].
    pub options: Vec<String>,
    /// RPM's name of the machine's architecture.
    pub arch: String,
    /// `$releasever`, if the command line gives it.
    pub releasever: Option<String>,
    /// `$releasever` otherwise, unless `[main]` gives it: what the installed release package provides.
    pub detected_releasever: Option<String>,
    /// `--setvar`.
    pub variables: Vec<(String, String)>,
}

impl Places {
    /// A folder that `key` names: below the root, unless the command line says where it is.
    fn folder(&self, key: &str, folder: &Path) -> PathBuf {
        let named = self.options.iter().filter_map(|option| option.split_once('=')).any(|(name, _)| {
            let name = name.trim();
            name.strip_prefix("main.").unwrap_or(name) == key
        });
        if named { folder.to_owned() } else { self.below(folder) }
    }

    fn below(&self, path: &Path) -> PathBuf {
        if self.root.as_os_str().is_empty() {
            return path.to_owned();
        }
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }
}

impl Config {
    /// Reads everything. No configuration at all is fine: there are defaults.
    pub fn load(places: &Places) -> Result<Self> {
        let mut config = Self::new(Variables::new(&places.arch, places.releasever.as_deref()));
        // Options may name the folders of everything else. Those for repositories come again at the end,
        // when there are some.
        let (for_main, for_repositories): (Vec<_>, Vec<_>) = places.options.iter().partition(|option| {
            let key = option.split('=').next().unwrap_or_default();
            !key.contains('.') || key.starts_with("main.")
        });
        let files = Self::main_files(places)?;
        for (file, bytes) in &files {
            config.add_main(file, bytes)?;
        }
        for option in &for_main {
            config.set_option(option)?;
        }
        let arch = config.main.arch.clone().unwrap_or_else(|| places.arch.clone());
        let releasever = [&places.releasever, &config.main.releasever, &places.detected_releasever];
        let releasever = releasever.into_iter().flatten().next().cloned();
        config.variables = Variables::new(&arch, releasever.as_deref());
        config.load_variables(places)?;
        for (name, value) in &places.variables {
            config.variables.set(name, value);
        }
        // Values of `[main]` may use variables, whose folders `[main]` names: so it is read twice.
        let variables = std::mem::take(&mut config.variables);
        let mut config = Self::new(variables);
        for (file, bytes) in &files {
            config.add_main(file, bytes)?;
        }
        for option in &for_main {
            config.set_option(option)?;
        }
        config.load_lists(places)?;
        for (file, bytes) in &files {
            config.add_repositories(file, bytes)?;
        }
        for folder in config.main.reposdir.clone() {
            for file in files_in(&places.folder("reposdir", &folder), "repo")? {
                config.add_repositories(&file, &fs::read(&file)?)?;
            }
        }
        for option in &for_repositories {
            config.set_option(option)?;
        }
        Ok(config)
    }

    fn main_files(places: &Places) -> Result<Vec<(PathBuf, Vec<u8>)>> {
        let main = match &places.file {
            Some(file) => Some(file.clone()),
            None => MAIN_FILES.iter().map(|file| places.below(Path::new(file))).find(|file| file.is_file()),
        };
        let Some(main) = main else { return Ok(Vec::new()) };
        let mut files = vec![(main.clone(), fs::read(&main)?)];
        let mut folder = main.into_os_string();
        folder.push(".d");
        for file in files_in(Path::new(&folder), "conf")? {
            let bytes = fs::read(&file)?;
            files.push((file, bytes));
        }
        Ok(files)
    }

    fn load_variables(&mut self, places: &Places) -> Result<()> {
        for folder in self.main.varsdir.clone() {
            for file in files_in(&places.folder("varsdir", &folder), "")? {
                let Some(name) = file.file_name().and_then(|name| name.to_str()) else { continue };
                let bytes = fs::read(&file)?;
                let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]);
                let value = text.lines().next().unwrap_or_default().trim();
                // Editors leave `name~` behind; such a file is not a variable.
                if !self.variables.set(name, value) {
                    tracing::debug!(file = %file.display(), "not the name of a variable");
                }
            }
        }
        Ok(())
    }

    fn load_lists(&mut self, places: &Places) -> Result<()> {
        let lists = |folders: &[&str]| -> Result<Vec<String>> {
            let mut items = Vec::new();
            for folder in folders {
                for file in files_in(&places.below(Path::new(folder)), "conf")? {
                    items.extend(ini::parse_lines(&file, &fs::read(&file)?)?);
                }
            }
            Ok(items)
        };
        let protected = [
            "/etc/dnf/protected.d",
            "/etc/yum/protected.d",
            "/etc/tdnf/protected.d",
            "/etc/lapis/protected.d",
        ];
        self.main.protected_packages.extend(lists(&protected)?);
        self.main.min_versions.extend(lists(&["/etc/tdnf/minversions.d", "/etc/lapis/minversions.d"])?);
        self.main.locks.extend(lists(&["/etc/tdnf/locks.d", "/etc/lapis/locks.d"])?);
        Ok(())
    }

    /// Adds a repository that the command line gives as `--repofrompath=ID,ADDRESS`. It is asked for everything
    /// that any other one is: `--setopt=ID.gpgkey=...` names its key.
    pub fn add_from_path(&mut self, id: &str, address: &str) -> Result<()> {
        let section = ini::Section {
            name: id.to_owned(),
            line: 0,
            entries: vec![
                ini::Entry { key: "name".to_owned(), value: id.to_owned(), line: 0 },
                ini::Entry { key: "baseurl".to_owned(), value: address.to_owned(), line: 0 },
            ],
        };
        self.add_repository(Path::new("--repofrompath"), &section)?;
        for repository in self.repositories.iter_mut().filter(|repository| repository.id == id) {
            repository.place = Place::Options;
        }
        self.notices.retain(|n| n.section != id || !matches!(n.kind, NoticeKind::Repeated { .. }));
        Ok(())
    }
}

/// The files of a folder whose name ends in `.suffix` (any name if it is empty), by name. A folder that is not
/// there has none.
fn files_in(folder: &Path, suffix: &str) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut files = fs::read_dir(folder)?;
    files.retain(|file| {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let wanted = suffix.is_empty() || name.strip_suffix(suffix).is_some_and(|stem| stem.ends_with('.'));
        wanted && !name.starts_with('.') && file.is_file()
    });
    files.sort();
    files.truncate(MAX_FILES);
    Ok(files)
}
