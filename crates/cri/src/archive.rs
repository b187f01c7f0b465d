//! Images in files: the OCI image layout in a tar archive.
//!
//! ```text
//! oci-layout               {"imageLayoutVersion": "1.0.0"}
//! index.json               descriptors of the images, each perhaps with a name
//! blobs/sha256/HEX         manifests, configurations, layers; named by their digest
//! ```
//!
//! See <https://github.com/opencontainers/image-spec/blob/main/image-layout.md>. Everything that is read here into
//! memory has a limit and is checked against its digest; layers are passed on without being read, and whoever stores
//! them checks theirs.

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// The longest JSON document that is read, in bytes: what registries accept for manifests.
const MAX_DOCUMENT: u64 = 4 << 20;
/// More files than any image has.
const MAX_FILES: usize = 10_000;
/// An index that names an index that names an index ...
const MAX_DEPTH: usize = 4;

/// Why an archive cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file.
    #[error(transparent)]
    File(#[from] lazuli_fs::Error),
    /// It could not be read as an archive.
    #[error("{}: {source}", path.display())]
    Read {
        /// The archive.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// It is an archive, but not of an image.
    #[error("{}: {reason}", path.display())]
    Layout {
        /// The archive.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// What names a blob: its type, digest (`sha256:HEX`) and size in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// The media type.
    pub media_type: String,
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// Size in bytes.
    pub size: u64,
}

/// A blob of an image, and what it refers to, in the form in which containerd wants to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// The blob.
    pub descriptor: Descriptor,
    /// Label and digest of each blob that this one keeps alive.
    pub references: BTreeMap<String, String>,
}

/// An image of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The name that the archive gives it; some have only a tag, some nothing.
    pub name: Option<String>,
    /// Its manifest, or index of manifests.
    pub target: Descriptor,
}

/// An archive whose index has been read.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    file: File,
    /// Offset and size of each blob in the file.
    blobs: BTreeMap<String, (u64, u64)>,
    index: Value,
}

impl Archive {
    /// Reads where everything is.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let mut file = lazuli_fs::open(path)?;
        let mut blobs = BTreeMap::new();
        let mut documents = BTreeMap::new();
        let read = |source| Error::Read { path: path.to_owned(), source };
        let mut archive = tar::Archive::new(&mut file);
        // Raw: headers that only extend the next one are entries too, instead of being read whole, however long they
        // say they are. All names that count fit into a plain header.
        for (count, entry) in archive.entries_with_seek().map_err(read)?.raw(true).enumerate() {
            let mut entry = entry.map_err(read)?;
            if count >= MAX_FILES {
                return Err(layout(path, format!("it has more than {MAX_FILES} files")));
            }
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let name = entry.path().map_err(read)?.to_string_lossy().into_owned();
            let name = name.strip_prefix("./").unwrap_or(&name).to_owned();
            if let Some(hex) = name.strip_prefix("blobs/sha256/") {
                blobs.insert(format!("sha256:{hex}"), (entry.raw_file_position(), entry.size()));
            } else if ["oci-layout", "index.json"].contains(&name.as_str()) {
                if entry.size() > MAX_DOCUMENT {
                    return Err(layout(path, format!("{name} has {} bytes", entry.size())));
                }
                let mut text = Vec::new();
                entry.read_to_end(&mut text).map_err(read)?;
                let json: Value = serde_json::from_slice(&text)
                    .map_err(|error| layout(path, format!("{name} is not JSON: {error}")))?;
                documents.insert(name, json);
            }
        }
        let version = documents.get("oci-layout").and_then(|d| d["imageLayoutVersion"].as_str());
        if version != Some("1.0.0") {
            return Err(layout(
                path,
                "it is no OCI archive: there is no oci-layout of version 1.0.0".to_owned(),
            ));
        }
        let Some(index) = documents.remove("index.json") else {
            return Err(layout(path, "it has no index.json".to_owned()));
        };
        Ok(Self { path: path.to_owned(), file, blobs, index })
    }

    /// The images that it has.
    pub fn images(&self) -> Result<Vec<Image>, Error> {
        let manifests = self.index["manifests"].as_array().map(Vec::as_slice).unwrap_or_default();
        let images: Vec<Image> = manifests
            .iter()
            .map(|manifest| {
                let annotations = &manifest["annotations"];
                let name = ["io.containerd.image.name", "org.opencontainers.image.ref.name"]
                    .iter()
                    .find_map(|key| annotations[*key].as_str());
                Ok(Image { name: name.map(str::to_owned), target: self.descriptor(manifest)? })
            })
            .collect::<Result<_, Error>>()?;
        if images.is_empty() {
            return Err(layout(&self.path, "index.json names no image".to_owned()));
        }
        Ok(images)
    }

    /// All blobs of an image, those that others refer to first.
    pub fn blobs(&mut self, image: &Image) -> Result<Vec<Blob>, Error> {
        let (mut out, mut seen) = (Vec::new(), BTreeSet::new());
        self.walk(&image.target, 0, &mut seen, &mut out)?;
        Ok(out)
    }

    fn walk(
        &mut self,
        descriptor: &Descriptor,
        depth: usize,
        seen: &mut BTreeSet<String>,
        out: &mut Vec<Blob>,
    ) -> Result<(), Error> {
        if !seen.insert(descriptor.digest.clone()) {
            return Ok(());
        }
        if depth > MAX_DEPTH {
            return Err(layout(&self.path, "indexes are nested too deeply".to_owned()));
        }
        let mut references = BTreeMap::new();
        if is_index(&descriptor.media_type) {
            let document = self.document(descriptor)?;
            let children = document["manifests"].as_array().cloned().unwrap_or_default();
            for (at, child) in children.iter().enumerate() {
                let child = self.descriptor(child)?;
                // An index may name other platforms whose blobs the archive does not carry.
                if self.blobs.contains_key(&child.digest) {
                    references.insert(format!("containerd.io/gc.ref.content.m.{at}"), child.digest.clone());
                    self.walk(&child, depth + 1, seen, out)?;
                }
            }
            if references.is_empty() {
                return Err(layout(&self.path, format!("of {} it has no manifest", descriptor.digest)));
            }
        } else if is_manifest(&descriptor.media_type) {
            let document = self.document(descriptor)?;
            let config = self.descriptor(&document["config"])?;
            references.insert("containerd.io/gc.ref.content.config".to_owned(), config.digest.clone());
            self.walk(&config, depth + 1, seen, out)?;
            let layers = document["layers"].as_array().cloned().unwrap_or_default();
            for (at, layer) in layers.iter().enumerate() {
                let layer = self.descriptor(layer)?;
                references.insert(format!("containerd.io/gc.ref.content.l.{at}"), layer.digest.clone());
                self.walk(&layer, depth + 1, seen, out)?;
            }
        }
        self.extent(descriptor)?;
        out.push(Blob { descriptor: descriptor.clone(), references });
        Ok(())
    }

    /// A blob's content, from its beginning.
    pub fn read(&mut self, descriptor: &Descriptor) -> Result<impl Read + '_, Error> {
        let (offset, size) = self.extent(descriptor)?;
        let path = &self.path;
        self.file
            .seek(SeekFrom::Start(offset))
            .map_err(|source| Error::Read { path: path.clone(), source })?;
        Ok((&mut self.file).take(size))
    }

    fn extent(&self, descriptor: &Descriptor) -> Result<(u64, u64), Error> {
        match self.blobs.get(&descriptor.digest) {
            Some(&(offset, size)) if size == descriptor.size => Ok((offset, size)),
            Some((_, size)) => Err(layout(
                &self.path,
                format!("{} has {size} bytes and should have {}", descriptor.digest, descriptor.size),
            )),
            None => Err(layout(&self.path, format!("it lacks {}", descriptor.digest))),
        }
    }

    /// A blob that is JSON, checked against its digest.
    fn document(&mut self, descriptor: &Descriptor) -> Result<Value, Error> {
        let path = self.path.clone();
        let digest = &descriptor.digest;
        if descriptor.size > MAX_DOCUMENT {
            return Err(layout(&path, format!("the manifest {digest} has {} bytes", descriptor.size)));
        }
        let mut text = Vec::new();
        self.read(descriptor)?
            .read_to_end(&mut text)
            .map_err(|source| Error::Read { path: path.clone(), source })?;
        let actual = format!("sha256:{}", hex(&Sha256::digest(&text)));
        if actual != *digest {
            return Err(layout(&path, format!("the manifest {digest} was altered: its content is {actual}")));
        }
        serde_json::from_slice(&text).map_err(|error| layout(&path, format!("{digest} is not JSON: {error}")))
    }

    fn descriptor(&self, json: &Value) -> Result<Descriptor, Error> {
        let text = |key: &str| json[key].as_str().map(str::to_owned);
        let digest = text("digest").filter(|digest| is_digest(digest));
        match (text("mediaType"), digest, json["size"].as_u64()) {
            (Some(media_type), Some(digest), Some(size)) => Ok(Descriptor { media_type, digest, size }),
            _ => Err(layout(
                &self.path,
                format!("not a descriptor with mediaType, sha256 digest and size: {json}"),
            )),
        }
    }
}

fn layout(path: &Path, reason: String) -> Error {
    Error::Layout { path: path.to_owned(), reason }
}

/// Whether it is `sha256:` and 64 digits of base 16 in lower case: nothing else becomes part of a path or a request.
fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

fn is_index(media_type: &str) -> bool {
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"]
        .contains(&media_type)
}

fn is_manifest(media_type: &str) -> bool {
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"]
        .contains(&media_type)
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
