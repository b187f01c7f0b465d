//! Packages as an image takes them: verified, unpacked into the store, known by digests.

use crate::{Error, Result};
use lazuli_rpm::{Header, KeyRing, Nevra, PackageFile, payload_tree};
use lazuli_store::{ActionKey, ActionResult, Digest, Store};
use lazuli_tree::Tree;

/// A package that goes into an image. Everything large is in the store.
#[derive(Debug, Clone)]
pub struct InstalledRpm {
    /// Name, version, architecture.
    pub nevra: Nevra,
    /// The RPM file.
    pub rpm: Digest,
    /// Its files: a saved [`Tree`].
    pub tree: Digest,
    /// Its header with the magic, as it stands in the file.
    pub header: Digest,
    /// Its signature header, likewise.
    pub signature: Digest,
    /// Whether it is not ours, so that its scriptlets run. Ours have none that a pass does not replace.
    pub foreign: bool,
}

impl InstalledRpm {
    /// Verifies and unpacks the RPM `rpm` of the store, once: signature by one of `keys`, digests of
    /// header and payload, digest of every file.
    pub fn read(store: &Store, rpm: &Digest, keys: &KeyRing, foreign: bool) -> Result<Self> {
        let mut fingerprints = keys.fingerprints();
        fingerprints.sort();
        let key =
            ActionKey::new("unpack-rpm", 1).input("rpm", rpm).field("keys", fingerprints.join(" ")).finish();
        let (result, _) = store.cached(&key, || unpack(store, rpm, keys))?;
        let output = |name: &str| result.output(name).ok_or_else(|| lost(rpm));
        let header = output("header")?;
        let value = |name: &str| result.values.get(name).cloned().ok_or_else(|| lost(rpm));
        let evr = value("evr")?.parse().map_err(|_| lost(rpm))?;
        let nevra = Nevra { name: value("name")?, evr, arch: value("arch")? };
        Ok(Self { nevra, rpm: *rpm, tree: output("tree")?, header, signature: output("signature")?, foreign })
    }

    /// The header, parsed.
    pub(crate) fn parse_header(&self, store: &Store) -> Result<Header> {
        self.parse(store, &self.header, lazuli_rpm::package::Error::Header)
    }

    /// The signature header, parsed.
    pub(crate) fn parse_signature(&self, store: &Store) -> Result<Header> {
        self.parse(store, &self.signature, lazuli_rpm::package::Error::SignatureHeader)
    }

    fn parse(
        &self,
        store: &Store,
        header: &Digest,
        fail: fn(lazuli_rpm::header::Error) -> lazuli_rpm::package::Error,
    ) -> Result<Header> {
        Header::parse(&store.read(header)?)
            .map_err(|e| Error::Package { rpm: self.nevra.to_string(), source: fail(e) })
    }

    /// The files.
    pub(crate) fn load_tree(&self, store: &Store) -> Result<Tree> {
        Ok(Tree::load(store, &self.tree)?)
    }
}

fn lost(rpm: &Digest) -> Error {
    Error::format("root file system", format!("the record of unpacking {} is incomplete", rpm.short()))
}

fn unpack(store: &Store, rpm: &Digest, keys: &KeyRing) -> Result<ActionResult> {
    let bytes = store.read(rpm)?;
    let bad = |source| Error::Package { rpm: format!("RPM {}", rpm.short()), source };
    let file = PackageFile::parse(&bytes).map_err(bad)?;
    let nevra = file.header.nevra().map_err(|e| bad(lazuli_rpm::package::Error::Header(e)))?;
    file.verify(keys).map_err(|source| Error::Package { rpm: nevra.to_string(), source })?;
    let tree = payload_tree(&file.header, file.payload(), store)
        .map_err(|source| Error::Payload { rpm: nevra.to_string(), source })?;
    // Contents that garbage collection took would make the tree useless, so they count as outputs too.
    let mut result = ActionResult::default();
    for node in tree.iter().map(|(_, node)| node) {
        if let lazuli_tree::Kind::File { digest, size } = node.kind {
            result = result.with(format!("content/{digest}"), digest, size);
        }
    }
    let put = |bytes: &[u8]| store.put(bytes).map(|digest| (digest, bytes.len() as u64));
    let (header, header_size) = put(file.header.bytes())?;
    let (signature, signature_size) = put(file.signature.bytes())?;
    for (name, value) in [("name", nevra.name), ("evr", nevra.evr.to_string()), ("arch", nevra.arch)] {
        result.values.insert(name.into(), value);
    }
    Ok(result.with("tree", tree.save(store)?, 0).with("header", header, header_size).with(
        "signature",
        signature,
        signature_size,
    ))
}
