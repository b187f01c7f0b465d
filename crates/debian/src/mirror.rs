//! Where the Debian archive is: never written down in this repository, always found on the host.
//!
//! In this order:
//!
//! 1. `LAZULI_MIRROR`: a base below which `debian/` and `debian-security/` lie; a URL or a directory;
//! 2. `mirror = "..."`, the same, in `$XDG_CONFIG_HOME/lazuli/config.toml` (`~/.config/...`);
//! 3. the host's own APT sources (sources.list(5)), one-line and deb822 form. Whatever suite the host
//!    itself follows, its mirror carries all of them.
//!
//! Where it came from decides nothing about trust: that is the signature's part.

mod apt;

use std::fmt;
use std::path::{Path, PathBuf};

/// Name of the environment variable.
pub const VARIABLE: &str = "LAZULI_MIRROR";
const MAIN: &str = "debian";
const SECURITY: &str = "debian-security";

/// Why no mirror is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Neither the user nor the host names one.
    #[error(
        "no Debian mirror is known: this host has no APT source of Debian{}. Set LAZULI_MIRROR to the base \
         URL of a mirror, that is the part before /debian, or put `mirror = \"URL\"` into {}",
        .seen.as_ref().map(|s| format!(" (only {s})")).unwrap_or_default(), .config.display()
    )]
    NotFound {
        /// What APT sources there are instead.
        seen: Option<String>,
        /// The configuration file.
        config: PathBuf,
    },
    /// What was given is no base.
    #[error(
        "{origin}: `{value}` is not the base of a mirror; it must begin with http://, https://, file:// or / \
         and is what comes before /debian and /debian-security"
    )]
    Invalid {
        /// Who gave it.
        origin: String,
        /// What was given.
        value: String,
    },
    /// The configuration file cannot be read.
    #[error("{path}: {reason}", path = .path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The host's mirror has no recognisable place for security updates.
    #[error(
        "the APT source {uri} does not end in /debian and there is no source for security updates beside it, \
         so the place of debian-security is not known; set LAZULI_MIRROR to the base URL of a mirror"
    )]
    NoSecurity {
        /// The address of the main archive.
        uri: String,
    },
}

/// Who named the mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `LAZULI_MIRROR`.
    Environment,
    /// The user's configuration file.
    Config(PathBuf),
    /// The host's APT sources.
    Apt(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => f.write_str(VARIABLE),
            Self::Config(path) | Self::Apt(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A mirror of the Debian archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    main: String,
    security: String,
    origin: Origin,
}

impl Mirror {
    /// The mirror below `base`.
    pub fn new(base: &str, origin: Origin) -> Result<Self, Error> {
        let trimmed = base.trim().trim_end_matches('/');
        // Many will give the address of the main archive itself.
        let trimmed = trimmed.strip_suffix("/debian").unwrap_or(trimmed);
        if !is_address(trimmed) {
            return Err(Error::Invalid { origin: origin.to_string(), value: base.to_owned() });
        }
        Ok(Self { main: format!("{trimmed}/{MAIN}"), security: format!("{trimmed}/{SECURITY}"), origin })
    }

    /// The address of `path` in `archive` (`debian` or `debian-security`; any other name is looked for
    /// beside `debian`).
    pub fn url(&self, archive: &str, path: &str) -> String {
        let path = path.trim_start_matches('/');
        match archive {
            MAIN => format!("{}/{path}", self.main),
            SECURITY => format!("{}/{path}", self.security),
            other => {
                let base = self.main.rsplit_once('/').map_or(self.main.as_str(), |(base, _)| base);
                format!("{base}/{other}/{path}")
            }
        }
    }

    /// Who named it.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (from {})", self.main, self.origin)
    }
}

/// Finds the mirror: environment, configuration file, APT sources.
pub fn discover() -> Result<Mirror, Error> {
    let config = config_path(|name| std::env::var_os(name).map(PathBuf::from));
    discover_with(std::env::var(VARIABLE).ok().as_deref(), &config, Path::new("/etc/apt"), &|path| {
        match lazuli_fs::read(path) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e.source.to_string()),
        }
    })
}

/// The user's configuration file.
fn config_path(variable: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    variable("XDG_CONFIG_HOME")
        .filter(|p| p.is_absolute())
        .or_else(|| variable("HOME").map(|home| home.join(".config")))
        .unwrap_or_else(|| PathBuf::from("/etc"))
        .join("lazuli/config.toml")
}

/// Reads a text file: `None` if it is not there, the system's reason if it cannot be read.
type ReadFile<'a> = &'a dyn Fn(&Path) -> Result<Option<String>, String>;

fn discover_with(
    variable: Option<&str>,
    config: &Path,
    apt: &Path,
    read: ReadFile<'_>,
) -> Result<Mirror, Error> {
    if let Some(base) = variable.filter(|base| !base.trim().is_empty()) {
        return Mirror::new(base, Origin::Environment);
    }
    let fail = |reason: String| Error::Config { path: config.to_owned(), reason };
    if let Some(text) = read(config).map_err(fail)?
        && let Some(base) = read_config(&text).map_err(fail)?
    {
        return Mirror::new(&base, Origin::Config(config.to_owned()));
    }
    let sources = apt::sources(apt, read);
    if let Some(mirror) = apt::choose(&sources)? {
        return Ok(mirror);
    }
    let mut seen: Vec<&str> = sources.iter().map(|s| s.uri.as_str()).collect();
    seen.dedup();
    let seen = (!seen.is_empty()).then(|| seen.join(", "));
    Err(Error::NotFound { seen, config: config.to_owned() })
}

/// The user's configuration file as far as this crate is concerned.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    mirror: Option<String>,
}

fn read_config(text: &str) -> Result<Option<String>, String> {
    toml::from_str::<Config>(text).map(|config| config.mirror).map_err(|e| e.to_string())
}

fn is_address(text: &str) -> bool {
    let after_scheme = ["http://", "https://", "file:///"].iter().find_map(|scheme| {
        text.get(..scheme.len()).filter(|s| s.eq_ignore_ascii_case(scheme)).map(|s| &text[s.len()..])
    });
    let plain = |rest: &str| rest.bytes().all(|b| !b.is_ascii_whitespace() && !b.is_ascii_control());
    match after_scheme {
        Some(rest) => !rest.is_empty() && plain(rest),
        None => text.starts_with('/'),
    }
}

#[cfg(test)]
#[path = "mirror_tests.rs"]
mod tests;
