//! Keys that sign metadata, in files or elsewhere.
//!
//! A directory holds the keys that a publisher has at hand, one file each:
//!
//! ```text
//! NAME.ed25519     an Ed25519 key, PKCS #8 (RFC 5958) version 2 in DER, mode 0600: made here, for development
//! NAME.external    a key that is elsewhere, as JSON: {"public": "HEX", "command": ["PROGRAM", "ARGUMENT"...]}
//! ```
//!
//! The command of an external key gets the bytes to be signed on standard input and writes the 64 bytes of the
//! Ed25519 signature (RFC 8032) to standard output: a client of a vault, of an HSM, or of a person with a
//! smart card. For a key that no command reaches see
//! [`Publisher::pending_root`](crate::publisher::Publisher::pending_root).

use crate::{Error, Result};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use lazuli_fs::{self as fs, Context as _};
use serde::Deserialize;
use std::collections::HashMap;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use tough::schema::decoded::{Decoded, Hex};
use tough::schema::key::{Ed25519Key, Ed25519Scheme, Key as TufKey};

/// A key that can sign.
pub struct Key {
    name: String,
    public: Vec<u8>,
    secret: Secret,
}

enum Secret {
    Here(Ed25519KeyPair),
    Elsewhere(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct External {
    public: Decoded<Hex>,
    command: Vec<String>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Whether this is a signature of a key that metadata lists. Only Ed25519 keys sign here.
pub(crate) fn verifies(key: &TufKey, message: &[u8], signature: &[u8]) -> bool {
    match key {
        TufKey::Ed25519 { keyval, .. } => {
            UnparsedPublicKey::new(&ED25519, &keyval.public[..]).verify(message, signature).is_ok()
        }
        _ => false,
    }
}

impl Key {
    /// Makes a key and keeps it in `directory` as NAME.ed25519, which must not be there.
    pub fn generate(directory: &Path, name: &str) -> Result<Self> {
        let fail = |reason: &str| Error::Key { name: name.to_owned(), reason: reason.to_owned() };
        let random = aws_lc_rs::rand::SystemRandom::new();
        let document = Ed25519KeyPair::generate_pkcs8(&random).map_err(|_| fail("it cannot be generated"))?;
        fs::create_dir_all(directory)?;
        let path = directory.join(format!("{name}.ed25519"));
        let mut file = fs::create_new(&path, 0o600)?;
        file.write_all(document.as_ref()).and_then(|()| file.sync_all()).at("write", &path)?;
        fs::sync_dir(directory)?;
        Self::load(&path)
    }

    /// Reads one key file.
    pub fn load(path: &Path) -> Result<Self> {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let fail = |reason: String| Error::Key { name: name.clone(), reason };
        let bytes = fs::read(path)?;
        if path.extension().is_some_and(|e| e == "external") {
            let external: External = serde_json::from_slice(&bytes).map_err(|e| fail(e.to_string()))?;
            let public = external.public.into_vec();
            if public.len() != 32 || external.command.is_empty() {
                return Err(fail(
                    "`public` must be 32 bytes in hexadecimal, and `command` must not be empty".into(),
                ));
            }
            return Ok(Self { name, public, secret: Secret::Elsewhere(external.command) });
        }
        let mode = fs::metadata(path)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let reason =
                format!("{0} can be read by others (mode {mode:o}); run: chmod 600 {0}", path.display());
            return Err(fail(reason));
        }
        let pair =
            Ed25519KeyPair::from_pkcs8(&bytes).map_err(|e| fail(format!("not an Ed25519 key: {e}")))?;
        Ok(Self { name, public: pair.public_key().as_ref().to_vec(), secret: Secret::Here(pair) })
    }

    /// Reads all keys of a directory, by name. One that is not there has none.
    pub fn load_all(directory: &Path) -> Result<Vec<Self>> {
        let entries = match fs::read_dir(directory) {
            Err(e) if e.is_not_found() => return Ok(Vec::new()),
            entries => entries?,
        };
        let ours =
            |path: &&std::path::PathBuf| path.extension().is_some_and(|e| e == "ed25519" || e == "external");
        entries.iter().filter(ours).map(|path| Self::load(path)).collect()
    }

    /// The name of its file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The 32 bytes of its public half.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// The key as metadata lists it.
    pub(crate) fn tuf(&self) -> TufKey {
        TufKey::Ed25519 {
            keyval: Ed25519Key { public: self.public.clone().into(), _extra: HashMap::new() },
            scheme: Ed25519Scheme::Ed25519,
            _extra: HashMap::new(),
        }
    }

    /// Its identity in metadata: the SHA-256 of what metadata lists.
    pub fn id(&self) -> Result<Decoded<Hex>> {
        self.tuf().key_id().map_err(|e| Error::Key { name: self.name.clone(), reason: e.to_string() })
    }

    /// Signs. What an external command returned is verified.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let signature = match &self.secret {
            Secret::Here(pair) => pair.sign(message).as_ref().to_vec(),
            Secret::Elsewhere(command) => self.run(command, message)?,
        };
        UnparsedPublicKey::new(&ED25519, &self.public).verify(message, &signature).map_err(|_| {
            Error::Key { name: self.name.clone(), reason: "the signature is not one of this key".into() }
        })?;
        Ok(signature)
    }

    fn run(&self, command: &[String], message: &[u8]) -> Result<Vec<u8>> {
        let fail = |reason: String| Error::Key { name: self.name.clone(), reason };
        let Some((program, arguments)) = command.split_first() else { return Err(fail("no command".into())) };
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| fail(format!("cannot run {program}: {e}")))?;
        if let Some(mut input) = child.stdin.take() {
            // A command that does not read everything fails by its signature.
            drop(input.write_all(message));
        }
        let output = child.wait_with_output().map_err(|e| fail(format!("{program}: {e}")))?;
        if !output.status.success() {
            return Err(fail(format!("{program} ended with {}", output.status)));
        }
        Ok(output.stdout)
    }
}
