//! The three keys of one owner of a machine (UEFI 2.10, 32.3): PK (who may change KEK), KEK (who may change db),
//! db (whose programs start). In a directory:
//!
//! ```text
//! PK.pem  KEK.pem  db.pem      private key and certificate                        0600
//! PK.crt  KEK.crt  db.crt      the certificate in DER, for firmware's menus       0644
//! PK.auth KEK.auth db.auth     authenticated variables, for systemd-boot          0644
//! ```
//!
//! The directory appears complete or not at all: it is filled under another name and renamed. Owner GUID and
//! time of the variables are derived or fixed, so everything but the keys can be made again from them.

use crate::variable::{self, Time, Variable};
use crate::{Certificate, Error, Key, Result, esl, sha256};
use lazuli_fs as fs;
use lazuli_layout::Guid;
use std::fmt;
use std::path::Path;

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Platform key: owns the machine.
    Pk,
    /// Key exchange key: may change the databases.
    Kek,
    /// Signature database: signs what is started.
    Db,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pk, Self::Kek, Self::Db];

    /// The vendor GUID of its variable.
    pub const fn vendor(self) -> Guid {
        match self {
            Self::Pk | Self::Kek => variable::GLOBAL,
            Self::Db => variable::SECURITY_DATABASE,
        }
    }

    /// Whose signature is needed to set its variable.
    pub const fn authority(self) -> Self {
        match self {
            Self::Pk | Self::Kek => Self::Pk,
            Self::Db => Self::Kek,
        }
    }
}

impl fmt::Display for Role {
    /// The name of its variable.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pk => "PK",
            Self::Kek => "KEK",
            Self::Db => "db",
        })
    }
}

/// PK, KEK and db.
#[derive(Debug, Clone)]
pub struct KeySet {
    pk: Key,
    kek: Key,
    db: Key,
}

impl KeySet {
    /// Since when the variables hold. It is fixed; a later set of variables must have a later time.
    pub const TIME: Time = Time { year: 2025, month: 1, day: 1 };

    /// Makes three keys for `owner`.
    pub fn generate(owner: &str) -> Result<Self> {
        let key = |role: Role| Key::generate(&format!("{owner} {role}"));
        Ok(Self { pk: key(Role::Pk)?, kek: key(Role::Kek)?, db: key(Role::Db)? })
    }

    /// The keys in `dir`; they are made for `owner` if the directory is not there. Of several runs at once
    /// the first one's keys count.
    pub fn open_or_generate(dir: &Path, owner: &str) -> Result<Self> {
        if !dir.exists() {
            let parent = dir.parent().unwrap_or(Path::new("."));
            if !parent.is_dir() {
                fs::create_dir_all(parent)?;
                fs::set_mode(parent, 0o700)?;
            }
            let name = dir.file_name().unwrap_or_default().to_string_lossy();
            let fresh = parent.join(format!(".{name}.{}.{:08x}", std::process::id(), rand::random::<u32>()));
            fs::create_dir_all(&fresh)?;
            fs::set_mode(&fresh, 0o700)?;
            let made = Self::generate(owner).and_then(|keys| keys.write(&fresh));
            // Renaming over a directory with files in it fails: then another run was faster.
            let placed = made.and_then(|()| Ok(fs::rename(&fresh, dir)?));
            if let Err(error) = placed {
                let _ = fs::remove_dir_all(&fresh);
                if !dir.exists() {
                    return Err(error);
                }
            } else {
                fs::sync_dir(parent)?;
                tracing::info!(dir = %dir.display(), "made development keys for Secure Boot");
            }
        }
        Self::open(dir)
    }

    /// The keys in `dir`.
    pub fn open(dir: &Path) -> Result<Self> {
        let key = |role: Role| -> Result<Key> {
            use std::os::unix::fs::PermissionsExt as _;
            let path = dir.join(format!("{role}.pem"));
            let text = fs::read_to_string(&path)?;
            let mode = fs::metadata(&path)?.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                return Err(Error::Permissions { path, mode });
            }
            Key::from_pem(&text).map_err(|e| Error::KeyFile { path, reason: e.to_string() })
        };
        Ok(Self { pk: key(Role::Pk)?, kek: key(Role::Kek)?, db: key(Role::Db)? })
    }

    fn write(&self, dir: &Path) -> Result<()> {
        for role in Role::ALL {
            let file = |ending: &str| dir.join(format!("{role}.{ending}"));
            fs::write_atomic(file("pem"), self.key(role).to_pem()?, 0o600)?;
            fs::write_atomic(file("crt"), self.key(role).certificate().der(), 0o644)?;
            fs::write_atomic(file("auth"), self.authenticated(role)?, 0o644)?;
        }
        Ok(())
    }

    /// The key of a role.
    pub fn key(&self, role: Role) -> &Key {
        match role {
            Role::Pk => &self.pk,
            Role::Kek => &self.kek,
            Role::Db => &self.db,
        }
    }

    /// The owner's GUID in signature lists: derived from PK's certificate.
    pub fn owner(&self) -> Guid {
        let digest = sha256(&[b"lazuli secure boot owner 1\n", self.pk.certificate().der()]);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Guid::from_digest(bytes)
    }

    /// The value of a role's variable.
    pub fn signature_list(&self, role: Role) -> Vec<u8> {
        esl::encode(self.owner(), &[self.key(role).certificate()])
    }

    /// The `.auth` file that sets a role's variable.
    pub fn authenticated(&self, role: Role) -> Result<Vec<u8>> {
        let value = self.signature_list(role);
        let name = role.to_string();
        let variable = Variable { name: &name, vendor: role.vendor(), time: Self::TIME, value: &value };
        variable.authenticated(self.key(role.authority()))
    }

    /// The certificates whose owners may sign what is started.
    pub fn trusted(&self) -> Vec<Certificate> {
        vec![self.db.certificate().clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn many_first_runs_agree_on_one_set_and_others_cannot_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("keys/secureboot");
        let owners: BTreeSet<Guid> = std::thread::scope(|scope| {
            let runs: Vec<_> = (0..3)
                .map(|_| scope.spawn(|| KeySet::open_or_generate(&at, "test").unwrap().owner()))
                .collect();
            runs.into_iter().map(|run| run.join().unwrap()).collect()
        });
        assert_eq!(owners.len(), 1);
        assert_eq!(fs::read_dir(at.parent().unwrap()).unwrap().len(), 1, "nothing half-made is left");
        let mode = |name: &str| fs::metadata(at.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("db.pem"), mode("db.crt"), mode("db.auth")), (0o600, 0o644, 0o644));
        fs::set_mode(at.join("db.pem"), 0o640).unwrap();
        assert!(matches!(KeySet::open(&at), Err(Error::Permissions { mode: 0o640, .. })));
    }
}
