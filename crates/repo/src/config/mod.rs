//! Configuration of the package manager: `.repo` files and `lapis.conf`, `tdnf.conf` or `dnf.conf`.
//!
//! What users have on their machines is read as dnf reads it: the INI dialect ([`ini`]), its spellings of
//! switches, lists, sizes and times, variables ([`Variables`]), folders of drop-ins. The result is typed
//! ([`MainConfig`], [`RepoConfig`]). A value that its key does not take is an error. A key that nobody knows
//! is reported with file, line and the nearest known name ([`Notice`]); one that dnf knows and that means
//! nothing here is listed ([`keys::INERT`]) and reported as such.
//!
//! | read | from |
//! |---|---|
//! | options | the first of `/etc/lapis/lapis.conf`, `/etc/tdnf/tdnf.conf`, `/etc/dnf/dnf.conf`, then `*.conf` of the folder `lapis.conf.d` beside it |
//! | repositories | sections of those files other than `[main]`; `*.repo` in `reposdir`, by name |
//! | variables | files in `varsdir`, the name is the variable, the first line the value |
//! | protected packages | `/etc/{dnf,tdnf,lapis}/protected.d/*.conf` |
//! | least versions, locks | `/etc/{tdnf,lapis}/{minversions,locks}.d/*.conf` |
//!
//! All paths are below [`Places::root`]. [`Config::add`] takes bytes; only [`Config::load`] knows files.

pub mod error;
pub mod ini;
pub mod keys;
mod load;
mod main;
mod repo;
#[cfg(test)]
mod tests;
mod transport;
mod value;
pub mod variables;

pub use error::{ConfigError, Notice, NoticeKind, Place};
pub use load::Places;
pub use main::{Color, MainConfig, TsFlag};
pub use repo::{Lack, RepoConfig};
pub use transport::{IpResolve, Transport};
pub use value::{Expire, Throttle};
pub use variables::Variables;

use error::Result;
use ini::{Entry, Section};
use keys::{Harmless, Known, Scope, Unmet};
use std::path::Path;

/// The most repositories that are kept.
const MAX_REPOSITORIES: usize = 10_000;

/// All of the configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[main]`.
    pub main: MainConfig,
    /// Repositories, in the order in which they were found; disabled ones too.
    pub repositories: Vec<RepoConfig>,
    /// Values of variables.
    pub variables: Variables,
    /// What its author should know.
    pub notices: Vec<Notice>,
}

impl Config {
    /// Defaults, and no repositories.
    pub fn new(variables: Variables) -> Self {
        Self { main: MainConfig::default(), repositories: Vec::new(), variables, notices: Vec::new() }
    }

    /// Adds the `[main]` sections of a file. Repositories take over its options when they are added, so all
    /// of these come first.
    pub fn add_main(&mut self, file: &Path, bytes: &[u8]) -> Result<()> {
        for section in ini::parse(file, bytes)?.iter().filter(|section| section.name == "main") {
            for entry in &section.entries {
                let place = Place::File(file.to_owned(), entry.line);
                self.apply(None, entry, &place)?;
            }
        }
        Ok(())
    }

    /// Adds the repositories of a file: its sections other than `[main]`.
    pub fn add_repositories(&mut self, file: &Path, bytes: &[u8]) -> Result<()> {
        for section in ini::parse(file, bytes)?.iter().filter(|section| section.name != "main") {
            self.add_repository(file, section)?;
        }
        Ok(())
    }

    fn add_repository(&mut self, file: &Path, section: &Section) -> Result<()> {
        let place = Place::File(file.to_owned(), section.line);
        let (id, missing) = self.variables.expand(&section.name);
        self.missing(&missing, &place, &id, "[]");
        let found = self.repositories.iter().position(|repository| repository.id == id);
        let at = if let Some(at) = found {
            let first = self.repositories[at].place.clone();
            // The same file may come back to a section; another file is worth a word.
            if !matches!(&first, Place::File(path, _) if path == file) {
                let kind = NoticeKind::Repeated { first };
                self.notices.push(Notice { place, section: id, kind });
            }
            at
        } else {
            let refused = |reason: &str| ConfigError::Repository {
                place: place.clone(),
                id: id.clone(),
                reason: reason.to_owned(),
            };
            if !RepoConfig::is_id(&id) {
                return Err(refused(
                    "an id has letters, digits, `-`, `_`, `.` and `:` and does not start with `.`",
                ));
            }
            if self.repositories.len() == MAX_REPOSITORIES {
                return Err(refused("there are too many repositories"));
            }
            let mut repository = RepoConfig::new(&id, &self.main);
            repository.place = place;
            self.repositories.push(repository);
            self.repositories.len() - 1
        };
        for entry in &section.entries {
            let place = Place::File(file.to_owned(), entry.line);
            self.apply(Some(at), entry, &place)?;
        }
        Ok(())
    }

    /// Sets an option from outside any file, as `--setopt` does: `key=value` for `[main]`, `pattern.key=value`
    /// for the repositories whose id matches (`*` stands for any text). An option of `[main]` reaches the
    /// repositories that are added later and do not differ; [`Config::load`] sees to the order.
    pub fn set_option(&mut self, text: &str) -> Result<()> {
        let bad = |reason: &str| ConfigError::Value {
            place: Place::Options,
            key: "setopt".to_owned(),
            value: text.to_owned(),
            reason: reason.to_owned(),
        };
        let (key, value) =
            text.split_once('=').ok_or_else(|| bad("`key=value` or `repository.key=value` is needed"))?;
        let entry = |key: &str| Entry { key: key.trim().to_owned(), value: value.trim().to_owned(), line: 0 };
        let check = |key: &str, scope| match keys::look_up(key.trim(), scope) {
            Known::Unknown(nearest) => Err(ConfigError::UnknownKey { key: key.trim().to_owned(), nearest }),
            Known::Effective(_) | Known::Inert(_) | Known::Unmet(_) => Ok(()),
        };
        if let Some((pattern, key)) = key.rsplit_once('.') {
            let pattern = pattern.trim();
            if pattern == "main" {
                return self.set_option(&format!("{key}={value}"));
            }
            check(key, Scope::Repo)?;
            let matching: Vec<usize> = (0..self.repositories.len())
                .filter(|at| glob(pattern.as_bytes(), self.repositories[*at].id.as_bytes()))
                .collect();
            if matching.is_empty() {
                return Err(bad("no repository has such an id"));
            }
            return matching
                .into_iter()
                .try_for_each(|at| self.apply(Some(at), &entry(key), &Place::Options));
        }
        check(key, Scope::Main)?;
        self.apply(None, &entry(key), &Place::Options)
    }

    /// The repository with this id.
    pub fn repository(&self, id: &str) -> Option<&RepoConfig> {
        self.repositories.iter().find(|repository| repository.id == id)
    }

    /// The enabled repositories, each checked for what would keep it from being used.
    pub fn enabled(&self) -> Result<Vec<&RepoConfig>> {
        let enabled = self.repositories.iter().filter(|repository| repository.enabled);
        enabled
            .map(|repository| match repository.problem() {
                None => Ok(repository),
                Some(reason) => Err(ConfigError::Repository {
                    place: repository.place.clone(),
                    id: repository.id.clone(),
                    reason,
                }),
            })
            .collect()
    }

    /// What is worth a warning, the switches that protect nothing included.
    pub fn warnings(&self) -> Vec<Notice> {
        let mut warnings: Vec<_> = self.notices.iter().filter(|n| n.kind.is_warning()).cloned().collect();
        for repository in self.repositories.iter().filter(|repository| repository.enabled) {
            for (off, key, lack) in [
                (!repository.gpgcheck, "gpgcheck", Lack::PackageSignature),
                // Nobody writes `repo_gpgcheck = 1` who does not mean it; but its absence is the rule elsewhere.
                (!repository.repo_gpgcheck, "repo_gpgcheck", Lack::MetadataSignature),
            ] {
                if off && repository.requires(lack) {
                    warnings.push(Notice {
                        place: repository.place.clone(),
                        section: repository.id.clone(),
                        kind: NoticeKind::Protected { key, word: lack.word() },
                    });
                }
            }
        }
        warnings
    }

    /// Applies one entry to `[main]` or to a repository.
    fn apply(&mut self, repository: Option<usize>, entry: &Entry, place: &Place) -> Result<()> {
        let scope = if repository.is_some() { Scope::Repo } else { Scope::Main };
        let section = repository.map_or("main", |at| self.repositories[at].id.as_str()).to_owned();
        let key = match keys::look_up(&entry.key, scope) {
            Known::Effective(key) => key,
            Known::Inert(why) => {
                let kind = NoticeKind::Inert { key: entry.key.clone(), why };
                self.notices.push(Notice { place: place.clone(), section, kind });
                return Ok(());
            }
            Known::Unmet(unmet) => {
                let (value, missing) = self.variables.expand(&entry.value);
                self.missing(&missing, place, &section, unmet.key);
                return self.unmet(unmet, &value, entry, place);
            }
            Known::Unknown(nearest) => {
                let kind = NoticeKind::Unknown { key: entry.key.clone(), nearest };
                self.notices.push(Notice { place: place.clone(), section, kind });
                return Ok(());
            }
        };
        // A secret may have a dollar sign in it.
        let secret = matches!(key, "password" | "username" | "proxy_password" | "proxy_username");
        let value = if secret {
            entry.value.clone()
        } else {
            let (value, missing) = self.variables.expand(&entry.value);
            self.missing(&missing, place, &section, key);
            value
        };
        let value = if key == "tsflags" { self.flags(&value, place) } else { value };
        let set = match repository {
            Some(at) => self.repositories[at].set(key, &value),
            None => self.main.set(key, &value),
        };
        match set {
            Ok(true) => Ok(()),
            // The tables of keys and the types disagree; a test prevents it.
            Ok(false) => Err(ConfigError::UnknownKey { key: key.to_owned(), nearest: None }),
            Err(reason) => Err(ConfigError::Value {
                place: place.clone(),
                key: entry.key.clone(),
                value: if secret { "...".to_owned() } else { value },
                reason,
            }),
        }
    }

    /// A key of which only one value can be obeyed.
    fn unmet(&mut self, unmet: &'static Unmet, value: &str, entry: &Entry, place: &Place) -> Result<()> {
        let is_harmless = match unmet.harmless {
            Harmless::Switch(harmless) => value::boolean(value).map(|on| on == harmless),
            Harmless::Word(harmless, words) => {
                let words: Vec<(&str, bool)> = words.iter().map(|word| (*word, *word == harmless)).collect();
                value::choice(value, &words)
            }
        };
        let is_harmless = is_harmless.map_err(|reason| ConfigError::Value {
            place: place.clone(),
            key: entry.key.clone(),
            value: value.to_owned(),
            reason,
        })?;
        // What a file says first, a later value may take back.
        self.notices.retain(|n| !matches!(&n.kind, NoticeKind::Unmet { key, .. } if *key == unmet.key));
        if !is_harmless {
            let kind = NoticeKind::Unmet {
                key: unmet.key.to_owned(),
                value: value.to_owned(),
                instead: unmet.instead,
            };
            self.notices.push(Notice { place: place.clone(), section: "main".to_owned(), kind });
        }
        Ok(())
    }

    /// The words of `tsflags` that mean something; the others are reported.
    fn flags(&mut self, value: &str, place: &Place) -> String {
        let mut left = Vec::new();
        for word in value::list(value) {
            let lower = word.to_ascii_lowercase();
            let of = |table: &[(&str, &'static str)]| {
                table.iter().find(|(known, _)| *known == lower).map(|(_, text)| *text)
            };
            let kind = if let Some(why) = of(keys::INERT_FLAGS) {
                NoticeKind::Inert { key: format!("tsflags = {word}"), why }
            } else if let Some(instead) = of(keys::UNMET_FLAGS) {
                NoticeKind::Unmet { key: "tsflags".to_owned(), value: word, instead }
            } else {
                left.push(word);
                continue;
            };
            self.notices.push(Notice { place: place.clone(), section: "main".to_owned(), kind });
        }
        left.join(" ")
    }

    fn missing(&mut self, names: &[String], place: &Place, section: &str, key: &str) {
        for name in names.iter().take(10) {
            let kind = NoticeKind::Variable { name: name.clone(), key: key.to_owned() };
            self.notices.push(Notice { place: place.clone(), section: section.to_owned(), kind });
        }
    }
}

/// Whether a pattern with `*` and `?` matches the whole text.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where the last `*` stood and how much it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    t = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}
