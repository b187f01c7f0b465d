//! The public keys in a database: pseudo-packages with the name `gpg-pubkey` (see `pubkey` for their
//! form). RPM up to 4.20 calls them by the last eight digits of the key's ID, RPM 6 by its fingerprint.

use crate::query::KEY_NAME;
use crate::{Addition, Change, Database, Error, Installed, InstalledPackage};
use lazuli_rpm::keys::{self, KeyRing};
use lazuli_rpm::tag;

/// A public key in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The number of its row.
    pub hnum: u32,
    /// The fingerprint in lower-case hexadecimal digits; of a key that cannot be read (for example
    /// because it is revoked) the part of it that the row's version is.
    pub fingerprint: String,
    /// The first user ID.
    pub user_id: String,
    /// When the key was made, in seconds since 1970.
    pub created: u32,
    /// When it was imported, in seconds since 1970.
    pub imported: u32,
    /// The key, armored; not checked in any way.
    pub armored: String,
}

impl Key {
    /// Whether `id` is the fingerprint, or its last digits, at least eight.
    pub fn is(&self, id: &str) -> bool {
        let id = id.trim_start_matches("0x").to_ascii_lowercase();
        id.len() >= 8 && (self.fingerprint.ends_with(&id) || id.ends_with(&self.fingerprint))
    }
}

impl Database {
    /// The public keys, in the order of their rows.
    pub fn keys(&self) -> Result<Vec<Key>, Error> {
        Ok(self.named(KEY_NAME)?.iter().map(key).collect())
    }

    /// Adds the keys in `armored` that are not there yet, at `time` in seconds since 1970, and returns
    /// their rows' numbers.
    pub fn import_keys(&mut self, armored: &str, time: u32) -> Result<Vec<u32>, Error> {
        let known = self.keys()?;
        let mut change = Change::default();
        for (key, package) in keys::public_keys(armored)?.iter().zip(InstalledPackage::public_keys(armored)?)
        {
            let fingerprint = fingerprint(&key.armored).unwrap_or_else(|| key.id.clone());
            let added = change.add.iter().any(|a: &Addition| a.package.label() == package.label());
            if !added && !known.iter().any(|k| k.is(&fingerprint)) {
                change.add.push(Addition::new(package, time));
            }
        }
        self.apply(&change)
    }

    /// Removes the keys with this fingerprint or ID, and returns the numbers that their rows had; none if
    /// there is no such key.
    pub fn remove_key(&mut self, id: &str) -> Result<Vec<u32>, Error> {
        let remove: Vec<u32> = self.keys()?.iter().filter(|k| k.is(id)).map(|k| k.hnum).collect();
        self.apply(&Change { remove: remove.clone(), ..Change::default() })?;
        Ok(remove)
    }
}

fn fingerprint(armored: &str) -> Option<String> {
    KeyRing::from_armored(armored).ok()?.fingerprints().first().map(|f| f.to_ascii_lowercase())
}

fn key(row: &Installed) -> Key {
    let header = &row.header;
    let text = |tag| header.string(tag).unwrap_or_default();
    let armored =
        header.strings(tag::PUBKEYS).first().map_or_else(|| text(tag::DESCRIPTION), |base64| armor(base64));
    Key {
        hnum: row.hnum,
        fingerprint: fingerprint(&armored)
            .or_else(|| fingerprint(&text(tag::DESCRIPTION)))
            .unwrap_or_else(|| text(tag::VERSION).to_ascii_lowercase()),
        user_id: text(tag::PACKAGER),
        created: u32::from_str_radix(&text(tag::RELEASE), 16).unwrap_or(0),
        imported: row.install_time,
        armored,
    }
}

/// Armor without the checksum, which is optional.
fn armor(base64: &str) -> String {
    const LINE: usize = 64;
    let digits: Vec<char> = base64.chars().filter(|c| !c.is_whitespace()).collect();
    let lines: String = digits.chunks(LINE).flat_map(|line| line.iter().copied().chain(['\n'])).collect();
    format!("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{lines}-----END PGP PUBLIC KEY BLOCK-----\n")
}
