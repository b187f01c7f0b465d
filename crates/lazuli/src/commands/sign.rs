//! `lazuli image unsigned` and `lazuli image attach`: signing with a key that is elsewhere.
//!
//! ```text
//! DIR/manifest.json             what each file is and how it is signed
//! DIR/root-hash                 64 hexadecimal digits, no line feed
//! DIR/systemd-bootx64.efi
//! DIR/ID-VERSION.efi            the unified kernel image, once root-hash.p7s is there
//!
//! expected back:
//! DIR/root-hash.p7s             PKCS#7, detached, DER
//! DIR/systemd-bootx64.efi.signed
//! DIR/ID-VERSION.efi.signed
//! DIR/db.crt                    the signer's certificate (or --certificate)
//! ```
//!
//! There are two rounds, because the command line in the unified kernel image contains the signature of the root hash.

use crate::cli::{AttachArgs, UnsignedArgs};
use crate::commands::build::{parse_format, write};
use crate::ui::say;
use crate::workspace::Workspace;
use anyhow::{Context as _, Result};
use lazuli_image::{Signatures, Signing};
use lazuli_secureboot::Certificate;
use lazuli_store::Digest;
use serde::Serialize;
use std::path::{Path, PathBuf};

const ROOT_HASH: &str = "root-hash";
const SYSTEMD_BOOT: &str = "systemd-bootx64.efi";
const CERTIFICATE: &str = "db.crt";
const PKCS7: &str = "PKCS#7 signedData, DER, detached, SHA-256, RSA, without certificates and signed attributes; the signer \
                     named by its key identifier (as `openssl cms -sign -binary -noattr -nocerts -keyid` makes it)";
const AUTHENTICODE: &str = "Authenticode, SHA-256, RSA (as `sbsign` makes it)";

/// The manifest of what has to be signed.
#[derive(Debug, Serialize)]
struct Manifest {
    /// Of this file.
    format: u32,
    product: String,
    version: String,
    /// Whether everything is there, or the unified kernel image waits for the signature of the root hash.
    complete: bool,
    items: Vec<Item>,
}

/// One thing to be signed.
#[derive(Debug, Serialize)]
struct Item {
    file: String,
    what: &'static str,
    signature: &'static str,
    /// The file that `attach` looks for.
    signed_file: String,
    bytes: usize,
    sha256: String,
}

impl Item {
    fn new(file: &str, what: &'static str, content: &[u8]) -> Self {
        let (signature, ending) = if file == ROOT_HASH { (PKCS7, "p7s") } else { (AUTHENTICODE, "signed") };
        Self {
            file: file.to_owned(),
            what,
            signature,
            signed_file: format!("{file}.{ending}"),
            bytes: content.len(),
            sha256: Digest::of(content).to_string(),
        }
    }
}

fn root_hash_signature(dir: &Path) -> PathBuf {
    dir.join(format!("{ROOT_HASH}.p7s"))
}

/// The certificate whose owner signs.
fn trusted(dir: &Path, given: Option<&PathBuf>) -> Result<Vec<Certificate>> {
    let path = given.cloned().unwrap_or_else(|| dir.join(CERTIFICATE));
    let bytes = lazuli_fs::read(&path).with_context(|| {
        format!("name the signer's certificate with --certificate, or put it at {}", path.display())
    })?;
    Ok(vec![Certificate::from_bytes(&bytes).with_context(|| path.display().to_string())?])
}

/// Writes what has to be signed.
pub fn unsigned(workspace: &Workspace, args: &UnsignedArgs) -> Result<()> {
    let dir = &args.to;
    lazuli_fs::create_dir_all(dir)?;
    let path = root_hash_signature(dir);
    let signature = if path.exists() { Some(lazuli_fs::read(&path)?) } else { None };
    let trusted = if signature.is_some() { trusted(dir, args.certificate.as_ref())? } else { Vec::new() };
    let made = workspace.to_sign(&args.name, signature.as_deref(), &trusted)?;
    let mut files = vec![
        (ROOT_HASH.to_owned(), "verity root hash", made.root_hash.into_bytes()),
        (SYSTEMD_BOOT.to_owned(), "boot loader", made.systemd_boot),
    ];
    let complete = made.uki.is_some();
    files.extend(made.uki.map(|(name, content)| (name.to_string(), "unified kernel image", content)));
    let mut items = Vec::new();
    for (file, what, content) in &files {
        lazuli_fs::write_atomic(dir.join(file), content, 0o644)?;
        items.push(Item::new(file, what, content));
    }
    let manifest = Manifest { format: 1, product: made.product, version: made.version, complete, items };
    let text = serde_json::to_string_pretty(&manifest)?;
    lazuli_fs::write_atomic(dir.join("manifest.json"), format!("{text}\n"), 0o644)?;
    if workspace.global.json {
        say!("{text}");
        return Ok(());
    }
    for item in &manifest.items {
        say!("sign      {} ({}) -> {}", dir.join(&item.file).display(), item.what, item.signed_file);
    }
    if complete {
        say!("then      lazuli image attach {} --from {}", args.name, dir.display());
    } else {
        say!(
            "then      run this again for the unified kernel image: it contains the signature of the root hash"
        );
    }
    Ok(())
}

/// Takes signatures back, checks them and writes the image.
pub fn attach(workspace: &Workspace, args: &AttachArgs) -> Result<()> {
    let dir = &args.from;
    let formats = args.format.iter().map(|f| parse_format(f)).collect::<Result<Vec<_>>>()?;
    let read = |file: &str| -> Result<Vec<u8>> {
        let path = dir.join(file);
        lazuli_fs::read(&path)
            .with_context(|| format!("{} is missing; sign what manifest.json lists", path.display()))
    };
    let trusted = trusted(dir, args.certificate.as_ref())?;
    let root_hash = read(&format!("{ROOT_HASH}.p7s"))?;
    // Says first whether the signature of the root hash is good and belongs to what is built here.
    let made = workspace.to_sign(&args.name, Some(&root_hash), &trusted)?;
    let (name, _) = made.uki.context("no unified kernel image was made")?;
    let signatures = Signatures {
        trusted,
        root_hash,
        systemd_boot: read(&format!("{SYSTEMD_BOOT}.signed"))?,
        uki: read(&format!("{name}.signed"))?,
    };
    let signing = Signing::Attached(&signatures);
    let built = workspace.build_image_signed(&args.name, &formats, Some(&signing))?;
    let report = write(&built, &args.name, &args.output)?;
    if workspace.global.json {
        say!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        report.show();
    }
    Ok(())
}
