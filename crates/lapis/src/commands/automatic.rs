//! `automatic`: unattended updates, for a timer.
//!
//! `/etc/lapis/automatic.conf` is TOML; without it nothing is installed:
//!
//! ```toml
//! apply = true              # install; otherwise only fetch
//! updates = "security"      # or "all"
//! window = "02:00-05:00"    # UTC; outside of it nothing is installed
//! reboot = "never"          # or "when-needed": reboot if an update makes it due
//! random_delay = 1800       # seconds, with --timer
//! ```

use super::change;
use crate::cli::{AutomaticArgs, Command, Packages};
use crate::error::{Error, Result};
use crate::output::time;
use crate::run::Outcome;
use crate::session::Session;
use lazuli_fs as fs;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// What to do unattended.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Automatic {
    /// Install, or only fetch.
    pub apply: bool,
    /// Which updates.
    pub updates: Which,
    /// When: `HH:MM-HH:MM`, UTC.
    pub window: Option<String>,
    /// Whether to reboot.
    pub reboot: Reboot,
    /// Seconds to wait at most before starting.
    pub random_delay: u32,
}

/// Which updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Which {
    /// Those of security advisories.
    Security,
    /// All.
    All,
}

/// Whether to reboot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reboot {
    /// Never.
    Never,
    /// If an update makes it due.
    WhenNeeded,
}

impl Default for Automatic {
    fn default() -> Self {
        Self { apply: false, updates: Which::Security, window: None, reboot: Reboot::Never, random_delay: 0 }
    }
}

impl Automatic {
    /// Whether a time (in seconds since 1970) is one at which something may be installed.
    pub(crate) fn is_open(&self, now: i64) -> Result<bool> {
        let Some(window) = &self.window else { return Ok(true) };
        let bad = || Error::Config(format!("window = \"{window}\": expected \"HH:MM-HH:MM\", in UTC"));
        let minute = |text: &str| -> Option<i64> {
            let (h, m) = text.trim().split_once(':')?;
            let (h, m) = (h.parse::<i64>().ok()?, m.parse::<i64>().ok()?);
            ((0..24).contains(&h) && (0..60).contains(&m)).then_some(h * 60 + m)
        };
        let (from, to) = window.split_once('-').ok_or_else(bad)?;
        let (from, to) = (minute(from).ok_or_else(bad)?, minute(to).ok_or_else(bad)?);
        let now = now.rem_euclid(86_400) / 60;
        // A window may lie across midnight.
        Ok(if from <= to { (from..to).contains(&now) } else { now >= from || now < to })
    }
}

/// Runs `automatic`.
pub fn automatic(session: &Session<'_>, args: &AutomaticArgs) -> Result<Outcome> {
    session.need_root()?;
    let file = args.file.clone().unwrap_or_else(|| session.root.join("etc/lapis/automatic.conf"));
    let mut config = read(&file)?;
    if args.installupdates {
        (config.apply, config.window) = (true, None);
    }
    config.apply &= !args.downloadupdates;
    if args.timer && config.random_delay > 0 {
        std::thread::sleep(Duration::from_secs(random_below(u64::from(config.random_delay))));
    }
    let mut global = session.global.clone();
    global.assumeyes = true;
    global.assumeno = false;
    if config.updates == Which::Security {
        global.advisories.security = true;
    }
    if !config.apply || !config.is_open(time::now())? {
        global.transaction.downloadonly = true;
    }
    let installs = !global.transaction.downloadonly;
    let command_line = session.command_line.clone();
    let unattended = Session::open(session.name, &global, session.out, command_line)?;
    let before = super::restarting::reboot_due(&unattended)?;
    change::change(&unattended, &Command::Upgrade(Packages::default()))?;
    let after = super::restarting::reboot_due(&unattended.again()?)?;
    if installs && config.reboot == Reboot::WhenNeeded && after.iter().any(|name| !before.contains(name)) {
        session.out.info(format!("Rebooting, because of: {}", after.join(", ")));
        session.out.flush();
        let mut reboot = std::process::Command::new("systemctl");
        reboot.arg("reboot");
        fs::process::run(reboot, |_| ()).map_err(|e| Error::Transaction(e.to_string()))?;
    }
    Ok(Outcome::Done)
}

fn read(file: &PathBuf) -> Result<Automatic> {
    match fs::read_to_string(file) {
        Ok(text) => {
            toml::from_str(&text).map_err(|e| Error::File { path: file.clone(), reason: e.to_string() })
        }
        Err(error) if error.is_not_found() => Ok(Automatic::default()),
        Err(error) => Err(error.into()),
    }
}

/// A number below `limit`, different from machine to machine.
fn random_below(limit: u64) -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    // The standard library seeds this from the kernel's random numbers.
    std::collections::hash_map::RandomState::new().build_hasher().finish() % limit.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows() {
        let at = |window: &str, hour: i64, minute: i64| {
            let config = Automatic { window: Some(window.into()), ..Automatic::default() };
            config.is_open(86_400 * 20_000 + hour * 3600 + minute * 60).unwrap()
        };
        assert!(at("02:00-05:00", 2, 0) && at("02:00-05:00", 4, 59) && !at("02:00-05:00", 5, 0));
        assert!(at("23:00-01:00", 23, 30) && at("23:00-01:00", 0, 30) && !at("23:00-01:00", 12, 0));
        let bad = Automatic { window: Some("2-5".into()), ..Automatic::default() };
        assert!(bad.is_open(0).is_err());
    }

    #[test]
    fn a_typing_error_installs_nothing() {
        assert!(toml::from_str::<Automatic>("aply = true").is_err());
        assert_eq!(toml::from_str::<Automatic>("").unwrap(), Automatic::default());
        assert!(!Automatic::default().apply);
    }
}
