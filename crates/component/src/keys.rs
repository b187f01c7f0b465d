//! Development keys: made on first use, kept outside the checkout, readable by their owner only.
//!
//! `KEYS/` is `$LAZULI_KEYS`, else `$XDG_DATA_HOME/lazuli/keys`, else `~/.local/share/lazuli/keys`:
//!
//! ```text
//! repo.secret.asc   OpenPGP secret key that signs packages and repository metadata   0600
//! repo.asc          its public half                                                  0644
//! modules.pem       private key and X.509 certificate that sign kernel modules       0600
//! secureboot/       PK, KEK and db for Secure Boot (crate `secureboot`)              0700
//! ```
//!
//! Everything that is built depends on these keys; with the same keys two builds are identical.

use lazuli_fs::{self as fs, Context as _};
use lazuli_rpm::{KeyRing, Signer};
use lazuli_store::Digest;
use std::path::{Path, PathBuf};

/// What is wrong with the keys.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// Neither variable nor home directory says where keys are kept.
    #[error("cannot tell where to keep keys: neither LAZULI_KEYS nor HOME is set")]
    NoHome,
    /// Others can read a secret key.
    #[error("{path} can be read by others (mode {mode:o}); run: chmod 600 {path}", path = .path.display())]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A key file that is not valid.
    #[error("{path}: {reason}; restore it, or move it away to have a new key made", path = .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// The directory of the keys.
#[derive(Debug, Clone)]
pub struct Keys {
    dir: PathBuf,
}

impl Keys {
    /// Where the environment says that keys are kept.
    pub fn discover() -> Result<Self, Error> {
        let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let dir = set("LAZULI_KEYS")
            .or_else(|| set("XDG_DATA_HOME").map(|d| d.join("lazuli/keys")))
            .or_else(|| set("HOME").map(|d| d.join(".local/share/lazuli/keys")))
            .ok_or(Error::NoHome)?;
        Ok(Self { dir })
    }

    /// Keys in `dir`.
    pub fn in_dir(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The key that signs packages and metadata; made now (created at `now`, seconds since 1970) if
    /// it is not there.
    pub fn signer(&self, user_id: &str, now: i64) -> Result<Signer, Error> {
        let secret = self.dir.join("repo.secret.asc");
        let invalid = |reason: String| Error::Invalid { path: secret.clone(), reason };
        if !secret.exists() {
            let _held = self.lock()?;
            // Another run may have been faster; two keys would leave one of the runs without its own.
            if !secret.exists() {
                let armored = Signer::generate(user_id, now).map_err(|e| invalid(e.to_string()))?;
                tracing::info!(path = %secret.display(), "made a development key for packages");
                // The secret half last: where it is, the public half is too.
                fs::write_atomic(self.dir.join("repo.asc"), armored.public, 0o644)?;
                fs::write_atomic(&secret, armored.secret, 0o600)?;
            }
        }
        check_private(&secret)?;
        Signer::from_armored(&fs::read_to_string(&secret)?).map_err(|e| invalid(e.to_string()))
    }

    /// The public half, armored.
    pub fn public(&self) -> Result<String, Error> {
        Ok(fs::read_to_string(self.dir.join("repo.asc"))?)
    }

    /// The public half as a key ring.
    pub fn key_ring(&self) -> Result<KeyRing, Error> {
        let path = self.dir.join("repo.asc");
        KeyRing::from_armored(&self.public()?).map_err(|e| Error::Invalid { path, reason: e.to_string() })
    }

    /// The PEM file that signs kernel modules, if it is there.
    pub fn module_key(&self) -> Result<Option<PathBuf>, Error> {
        let path = self.dir.join("modules.pem");
        if !path.exists() {
            return Ok(None);
        }
        check_private(&path)?;
        Ok(Some(path))
    }

    /// Keeps a module key that was just made, unless another run has kept one meanwhile: then that one
    /// counts.
    pub fn store_module_key(&self, pem: &[u8]) -> Result<PathBuf, Error> {
        let path = self.dir.join("modules.pem");
        let _held = self.lock()?;
        if !path.exists() {
            fs::write_atomic(&path, pem, 0o600)?;
            tracing::info!(path = %path.display(), "made a development key for kernel modules");
        }
        check_private(&path)?;
        Ok(path)
    }

    /// Excludes other runs from making keys until the file is dropped.
    fn lock(&self) -> Result<std::fs::File, Error> {
        make_private_dir(&self.dir)?;
        let path = self.dir.join("lock");
        let file = match fs::create_new(&path, 0o600) {
            Err(error) if error.source.kind() == std::io::ErrorKind::AlreadyExists => fs::open(&path)?,
            made => made?,
        };
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).at("lock", &path)?;
        Ok(file)
    }

    /// A digest that changes when the module key does.
    pub fn module_key_digest(&self) -> Result<Option<Digest>, Error> {
        Ok(match self.module_key()? {
            Some(path) => Some(Digest::of(fs::read(path)?)),
            None => None,
        })
    }
}

/// Makes the directory if it is not there. One that is there keeps its mode: it may be a home directory, or
/// `/tmp`; the secret files in it have modes of their own.
fn make_private_dir(dir: &Path) -> Result<(), Error> {
    if dir.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(dir)?;
    Ok(fs::set_mode(dir, 0o700)?)
}

fn check_private(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Error::Permissions { path: path.to_owned(), mode });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_first_runs_agree_on_one_key_and_others_cannot_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::in_dir(dir.path().join("keys"));
        let fingerprints: std::collections::BTreeSet<String> = std::thread::scope(|scope| {
            let runs: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| keys.signer("test", 1_700_000_000).unwrap().fingerprint()))
                .collect();
            runs.into_iter().map(|run| run.join().unwrap()).collect()
        });
        assert_eq!(fingerprints.len(), 1);
        assert_eq!(keys.key_ring().unwrap().fingerprints(), fingerprints.into_iter().collect::<Vec<_>>());
        fs::set_mode(keys.dir().join("repo.secret.asc"), 0o644).unwrap();
        assert!(matches!(keys.signer("test", 0), Err(Error::Permissions { mode: 0o644, .. })));
    }

    #[test]
    fn only_a_directory_that_was_made_for_keys_is_closed_to_others() {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let dir = tempfile::tempdir().unwrap();
        let (shared, own) = (dir.path().join("shared"), dir.path().join("own"));
        fs::create_dir_all(&shared).unwrap();
        fs::set_mode(&shared, 0o1777).unwrap();
        for dir in [&shared, &own] {
            Keys::in_dir(dir).signer("test", 1_700_000_000).unwrap();
        }
        assert_eq!((mode(&shared), mode(&own)), (0o1777, 0o700));
    }
}
