//! Settings: `/usr/lib/lazuli/update.toml` (of the image), and over it `/etc/lazuli/update.toml` (of the machine), key by
//! key. A key that is not known is an error, because a typing mistake must not switch a protection off.
//!
//! ```toml
//! address = "https://updates.example/"     # the repository; without it nothing is asked and nothing is taken
//! reports = "https://collector.example/"   # who hears what became of a release; without it nobody
//! automatic = "apply"                      # "off", "check", "stage" or "apply"
//!
//! [connection]
//! authorities = "/etc/lazuli/update.d/ca.pem"     # instead of those of the system
//! certificate = "/etc/lazuli/update.d/host.pem"   # shown to servers that ask for one
//! key = "/etc/lazuli/update.d/host.key"
//! proxy = "http://proxy.example:3128"
//!
//! [health]                                 # see [`Health`]
//! soak = 300
//!
//! [schedule]                               # see `lazuli_rollout::Settings`
//! time-zone = "Europe/Berlin"
//! ```

use crate::{Error, Result};
use lazuli_fetch::{ClientCertificate, Connection as Servers, Proxy, Roots};
use lazuli_layout::Gate;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// All settings; each has a default.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Settings {
    /// os-release's ID, the first part of the names of entries.
    pub id: String,
    /// The product, instead of os-release's `IMAGE_ID`.
    pub product: Option<String>,
    /// The repository: `http://`, `https://`, or the absolute path of a folder.
    pub address: Option<String>,
    /// Where reports go.
    pub reports: Option<String>,
    /// What `lazuli-update run` may do by itself.
    pub automatic: Automatic,
    /// How servers are reached.
    pub connection: Connection,
    /// The health gate.
    pub health: Health,
    /// When to ask, and when the machine may be disturbed.
    pub schedule: lazuli_rollout::Settings,
}

/// What is done without somebody asking for it; each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Automatic {
    /// Nothing.
    Off,
    /// Looking what there is.
    Check,
    /// Writing it to the other slot.
    Stage,
    /// Having it tried, with a restart.
    Apply,
}

/// How servers are reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Connection {
    /// Authorities that vouch for servers, instead of those of the system: a file in PEM form.
    pub authorities: Option<PathBuf>,
    /// A certificate of this machine, in PEM form.
    pub certificate: Option<PathBuf>,
    /// Its key, if it is in another file.
    pub key: Option<PathBuf>,
    /// A proxy, `http://HOST:PORT`.
    pub proxy: Option<String>,
}

/// How long what may take, in seconds since the start of the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Health {
    /// How long all checks must hold before a new image is kept.
    pub soak: u64,
    /// How long they may fail in one piece.
    pub patience: u64,
    /// When a new image that is not kept is given up.
    pub deadline: u64,
    /// How often to look.
    pub interval: u64,
    /// How long one check may take.
    pub timeout: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            id: "lazuli".to_owned(),
            product: None,
            address: None,
            reports: None,
            automatic: Automatic::Apply,
            connection: Connection::default(),
            health: Health::default(),
            schedule: lazuli_rollout::Settings::default(),
        }
    }
}

impl Default for Health {
    fn default() -> Self {
        let gate = Gate::default();
        Self {
            soak: gate.soak.as_secs(),
            patience: gate.patience.as_secs(),
            deadline: gate.deadline.as_secs(),
            interval: 5,
            timeout: 60,
        }
    }
}

impl Health {
    /// The gate.
    pub fn gate(&self) -> Gate {
        Gate {
            soak: Duration::from_secs(self.soak),
            patience: Duration::from_secs(self.patience),
            deadline: Duration::from_secs(self.deadline),
        }
    }
}

impl Connection {
    /// As the HTTP client wants it.
    pub fn servers(&self) -> Servers {
        Servers {
            proxy: self.proxy.clone().map(|url| Proxy { url, login: None }),
            roots: self.authorities.clone().map_or(Roots::System, Roots::File),
            client: self
                .certificate
                .clone()
                .map(|certificate| ClientCertificate { certificate, key: self.key.clone() }),
            ..Servers::default()
        }
    }
}

impl Settings {
    /// Where they are, the stronger one last.
    pub const PATHS: [&str; 2] = ["usr/lib/lazuli/update.toml", "etc/lazuli/update.toml"];

    /// Reads them from a root; the defaults if there is no file.
    pub fn load(root: &Path) -> Result<Self> {
        let mut texts = Vec::new();
        for place in Self::PATHS {
            let path = root.join(place);
            match lazuli_fs::read_to_string(&path) {
                Ok(text) => texts.push((path.display().to_string(), text)),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut all = toml::Table::new();
        for (path, text) in &texts {
            // Each by itself first, so that a mistake is reported where it is.
            let wrong = |reason: String| Error::Settings { path: path.clone(), reason };
            toml::from_str::<Self>(text).map_err(|e| wrong(e.to_string()))?;
            merge(&mut all, toml::from_str(text).map_err(|e| wrong(e.to_string()))?);
        }
        let path = texts.pop().map_or_else(|| "the settings".to_owned(), |(path, _)| path);
        Self::try_from(all).map_err(|reason| Error::Settings { path, reason })
    }

    /// Reads them from text.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        Self::try_from(toml::from_str::<toml::Table>(text).map_err(|e| e.to_string())?)
    }

    fn check(&self) -> std::result::Result<(), String> {
        let health = &self.health;
        if health.deadline <= health.soak {
            return Err(format!(
                "health.deadline ({} s) must be later than health.soak ({} s), or no image is ever kept",
                health.deadline, health.soak
            ));
        }
        if health.interval == 0 || health.timeout == 0 {
            return Err("health.interval and health.timeout must be at least 1 second".to_owned());
        }
        if self.id.is_empty() || !self.id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(format!("id `{}` is not os-release's ID: letters, digits and `_`", self.id));
        }
        if self.connection.key.is_some() && self.connection.certificate.is_none() {
            return Err("connection.key is of no use without connection.certificate".to_owned());
        }
        Ok(())
    }
}

impl TryFrom<toml::Table> for Settings {
    type Error = String;

    fn try_from(table: toml::Table) -> std::result::Result<Self, String> {
        let settings: Self = table.try_into().map_err(|e: toml::de::Error| e.to_string())?;
        settings.check().map(|()| settings)
    }
}

/// Puts one table over another: tables key by key, everything else as a whole.
fn merge(under: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(toml::Value::Table(under)), toml::Value::Table(over)) => merge(under, over),
            (_, value) => drop(under.insert(key, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_errors() {
        assert_eq!(Settings::parse("").unwrap(), Settings::default());
        let settings = Settings::parse("[health]\nsoak = 60\n").unwrap();
        assert_eq!(settings.health.gate().soak, Duration::from_secs(60));
        for bad in [
            "sock = 1",
            "[health]\nsoak = -1",
            "[health]\nsoak = 1200",
            "id = \"a-b\"",
            "[health]\ninterval = 0",
            "automatic = \"always\"",
            "[schedule]\nwindows = []",
            "[connection]\nkey = \"/a\"",
        ] {
            assert!(Settings::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_machine_overrides_the_image_key_by_key() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            lazuli_fs::create_dir_all(path.parent().unwrap()).unwrap();
            lazuli_fs::write(path, text).unwrap();
        };
        put(Settings::PATHS[0], "address = \"http://a/\"\n[health]\nsoak = 60\ninterval = 2\n");
        put(Settings::PATHS[1], "address = \"http://b/\"\n[health]\nsoak = 90\n");
        let settings = Settings::load(dir.path()).unwrap();
        assert_eq!(settings.address.as_deref(), Some("http://b/"));
        assert_eq!((settings.health.soak, settings.health.interval), (90, 2));
        put(Settings::PATHS[1], "[health]\nsock = 90\n");
        let error = Settings::load(dir.path()).unwrap_err().to_string();
        assert!(error.contains("etc/lazuli/update.toml") && error.contains("sock"), "{error}");
    }
}
