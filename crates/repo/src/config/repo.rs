//! One repository of a `.repo` file.
//!
//! # Trust
//!
//! Signed packages, signed metadata, a version that does not go back and an expiry date are asked for by
//! default. `gpgcheck = 0` and `repo_gpgcheck = 0`, which many files carry by habit, change nothing by
//! themselves: a warning says so. Only `lapis_trust` gives up a protection, and names it:
//!
//! ```ini
//! [vendor]
//! name = Their packages
//! baseurl = https://packages.example.org/el/$releasever/$basearch
//! gpgkey = file:///etc/pki/rpm-gpg/vendor
//! # They sign packages, but neither sign nor date their metadata.
//! lapis_trust = no-metadata-signature no-expiry
//! ```

use super::error::Place;
use super::main::MainConfig;
use super::transport::Transport;
use super::value::{self, Expire, Parsed};
use crate::snapshot::{SnapshotId, SnapshotIdError};
use std::collections::BTreeSet;
use std::fmt;

/// A repository as configured.
#[derive(Debug, Clone, PartialEq)]
pub struct RepoConfig {
    /// The section's name.
    pub id: String,
    /// Where it was described first.
    pub place: Place,
    /// `name`: for people.
    pub name: String,
    /// `baseurl`: one or more addresses with the same content.
    pub base_urls: Vec<String>,
    /// `mirrorlist`: the address of a list of such addresses.
    pub mirrorlist: Option<String>,
    /// `metalink`: the address of a list with the digests of `repomd.xml`.
    pub metalink: Option<String>,
    /// `enabled`.
    pub enabled: bool,
    /// `gpgkey`: addresses of the keys that sign packages and metadata of *this* repository.
    pub gpg_keys: Vec<String>,
    /// `lapis_trust`: the protections that it does not offer.
    pub lacks: BTreeSet<Lack>,
    /// `gpgcheck` as written. What counts is [`RepoConfig::checks_packages`].
    pub gpgcheck: bool,
    /// `repo_gpgcheck` as written. What counts is [`RepoConfig::checks_metadata`].
    pub repo_gpgcheck: bool,
    /// `priority`: a package of a repository with a lower number hides the same name elsewhere.
    pub priority: i32,
    /// `cost`: of two repositories with the same package, the cheaper one is asked.
    pub cost: u32,
    /// `metadata_expire`: when it is looked at again.
    pub metadata_expire: Expire,
    /// `skip_if_unavailable`.
    pub skip_if_unavailable: bool,
    /// `excludepkgs`.
    pub exclude: Vec<String>,
    /// `includepkgs`.
    pub include: Vec<String>,
    /// `snapshottime`: see [`MainConfig::snapshot_time`].
    pub snapshot_time: Option<i64>,
    /// `lapis_snapshot`: keep to this snapshot, by its id, instead of the newest.
    pub snapshot: Option<SnapshotId>,
    /// Options of connections.
    pub transport: Transport,
}

/// A protection that a repository does not offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    /// Its `repomd.xml` has no signature: whoever serves it decides what packages exist and what they need.
    MetadataSignature,
    /// Its metadata has no expiry date: an old state can be served as the newest for ever.
    Expiry,
    /// Its revision is not a number that grows: going back to an older state is not noticed.
    Version,
    /// Its packages are not signed: only the checksums in the metadata vouch for them.
    PackageSignature,
}

impl Lack {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::MetadataSignature, Self::Expiry, Self::Version, Self::PackageSignature];

    /// The word in `lapis_trust`.
    pub fn word(self) -> &'static str {
        match self {
            Self::MetadataSignature => "no-metadata-signature",
            Self::Expiry => "no-expiry",
            Self::Version => "no-version",
            Self::PackageSignature => "no-package-signature",
        }
    }

    /// What it means, for people.
    pub fn consequence(self) -> &'static str {
        match self {
            Self::MetadataSignature => "whoever serves the metadata decides which packages exist",
            Self::Expiry => "an outdated state served for ever is not noticed",
            Self::Version => "a return to an older state is not noticed",
            Self::PackageSignature => "packages are only as good as the metadata that lists them",
        }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl RepoConfig {
    /// A repository without addresses, with what `[main]` says for all.
    pub fn new(id: &str, main: &MainConfig) -> Self {
        Self {
            id: id.to_owned(),
            place: Place::Options,
            name: id.to_owned(),
            base_urls: Vec::new(),
            mirrorlist: None,
            metalink: None,
            enabled: true,
            gpg_keys: Vec::new(),
            lacks: BTreeSet::new(),
            gpgcheck: main.gpgcheck,
            repo_gpgcheck: main.repo_gpgcheck,
            priority: 99,
            cost: 1000,
            metadata_expire: main.metadata_expire,
            skip_if_unavailable: main.skip_if_unavailable,
            exclude: Vec::new(),
            include: Vec::new(),
            snapshot_time: main.snapshot_time,
            snapshot: None,
            transport: main.transport.clone(),
        }
    }

    /// Whether the protection is asked of it.
    pub fn requires(&self, protection: Lack) -> bool {
        !self.lacks.contains(&protection)
    }

    /// Whether its packages must be signed by a key of [`RepoConfig::gpg_keys`].
    pub fn checks_packages(&self) -> bool {
        self.requires(Lack::PackageSignature)
    }

    /// Whether its metadata must be signed by a key of [`RepoConfig::gpg_keys`].
    pub fn checks_metadata(&self) -> bool {
        self.requires(Lack::MetadataSignature)
    }

    /// Whether a valid id: letters, digits and `-_.:`, as directories are named by it.
    pub fn is_id(id: &str) -> bool {
        !id.is_empty()
            && id.len() <= 128
            && !id.starts_with('.')
            && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':'))
    }

    /// What keeps it from being used, if anything: what is wrong and what to write.
    pub fn problem(&self) -> Option<String> {
        if !Self::is_id(&self.id) {
            return Some(
                "an id has letters, digits, `-`, `_`, `.` and `:`, and does not start with `.`".to_owned(),
            );
        }
        if self.base_urls.is_empty() && self.mirrorlist.is_none() && self.metalink.is_none() {
            return Some("it has no address; give it `baseurl`, `mirrorlist` or `metalink`".to_owned());
        }
        if self.gpg_keys.is_empty() && (self.checks_packages() || self.checks_metadata()) {
            return Some(
                "it has no `gpgkey`, so no signature could be checked; name the file with its key \
                 (`gpgkey = file:///etc/pki/rpm-gpg/NAME`)"
                    .to_owned(),
            );
        }
        if !self.transport.ssl_verify
            && (self.checks_packages() || self.checks_metadata())
            && let Some(key) = self.gpg_keys.iter().find(|key| !key.starts_with("file://"))
        {
            return Some(format!(
                "with `sslverify` off anybody could answer for `{key}`; keep the key in a file, or leave \
                 `sslverify` on"
            ));
        }
        if self.lacks.contains(&Lack::MetadataSignature) && self.lacks.contains(&Lack::PackageSignature) {
            let plain = |url: &&String| !["https://", "file://", "/"].iter().any(|s| url.starts_with(s));
            let urls = self.base_urls.iter().chain(&self.mirrorlist).chain(&self.metalink);
            if let Some(url) = urls.into_iter().find(plain) {
                return Some(format!(
                    "neither metadata nor packages are signed, so only https or file addresses are accepted, \
                     not `{url}`"
                ));
            }
            if !self.transport.ssl_verify {
                return Some(
                    "neither metadata nor packages are signed, so `sslverify` must stay on".to_owned(),
                );
            }
        }
        None
    }

    /// Sets the option `key`, which must be in its canonical spelling; says whether there is one.
    pub(crate) fn set(&mut self, key: &str, text: &str) -> Parsed<bool> {
        match key {
            "name" => self.name = text.split_whitespace().collect::<Vec<_>>().join(" "),
            "baseurl" => self.base_urls = urls(text, true)?,
            "mirrorlist" => self.mirrorlist = urls(text, false)?.into_iter().next(),
            "metalink" => self.metalink = urls(text, false)?.into_iter().next(),
            "enabled" => self.enabled = value::boolean(text)?,
            "gpgkey" => self.gpg_keys = keys(text)?,
            "lapis_trust" => {
                let words = Lack::ALL.map(|lack| (lack.word(), lack));
                self.lacks = value::list(text)
                    .iter()
                    .map(|word| value::choice(word, &words))
                    .collect::<Parsed<_>>()
                    .map_err(|e| format!("it names protections that the repository lacks; {e}"))?;
            }
            "gpgcheck" => self.gpgcheck = value::boolean(text)?,
            "repo_gpgcheck" => self.repo_gpgcheck = value::boolean(text)?,
            "priority" => self.priority = value::number(text, -32_768, 32_767)? as i32,
            "cost" => self.cost = value::number(text, 0, 1_000_000)? as u32,
            "metadata_expire" => self.metadata_expire = value::expire(text)?,
            "skip_if_unavailable" => self.skip_if_unavailable = value::boolean(text)?,
            "excludepkgs" => self.exclude.extend(value::list(text)),
            "includepkgs" => self.include.extend(value::list(text)),
            "snapshottime" => self.snapshot_time = value::time(text)?,
            "lapis_snapshot" => {
                let id = value::optional(text);
                self.snapshot =
                    id.map(|id| id.parse()).transpose().map_err(|e: SnapshotIdError| e.to_string())?;
            }
            "type" => {
                let words =
                    ["rpm-md", "rpm", "repomd", "rpmmd", "yum", "yast"].map(|word| (word, word != "yast"));
                if !value::choice(text, &words)? {
                    return Err("only RPM-MD repositories can be read".to_owned());
                }
            }
            _ => return self.transport.set(key, text),
        }
        Ok(true)
    }
}

/// Addresses of files or folders.
fn urls(text: &str, folder: bool) -> Parsed<Vec<String>> {
    let mut urls = value::list(text);
    for url in &mut urls {
        let known = ["https://", "http://", "file://", "ftp://"]
            .iter()
            .any(|scheme| url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
        if url.starts_with('/') {
            url.insert_str(0, "file://");
        } else if !known {
            return Err(format!("`{url}` is not an address; it starts with https://, http:// or file://"));
        }
        if url.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("ftp://")) {
            return Err("ftp is not supported; use https".to_owned());
        }
        if folder {
            url.truncate(url.trim_end_matches('/').len());
        }
    }
    Ok(urls)
}

/// Keys come from a file or over https. Anything else could be replaced on its way.
fn keys(text: &str) -> Parsed<Vec<String>> {
    let keys = urls(text, false)?;
    match keys.iter().find(|key| !key.starts_with("file://") && !key.starts_with("https://")) {
        Some(key) => Err(format!("a key must come from a file or over https, not from `{key}`")),
        None => Ok(keys),
    }
}
