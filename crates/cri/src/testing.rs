//! A small image for tests: one program, made into an OCI archive.

use crate::archive::hex;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// An OCI archive under construction.
#[derive(Debug, Default)]
pub struct ArchiveBuilder {
    files: Vec<(String, Vec<u8>)>,
}

impl ArchiveBuilder {
    /// Adds a file at a path of the archive.
    pub fn file(&mut self, path: &str, content: impl Into<Vec<u8>>) -> &mut Self {
        self.files.push((path.to_owned(), content.into()));
        self
    }

    /// Adds a blob and returns its descriptor.
    pub fn blob(&mut self, media_type: &str, content: &[u8]) -> Value {
        let hex = hex(&Sha256::digest(content));
        self.file(&format!("blobs/sha256/{hex}"), content);
        json!({"mediaType": media_type, "digest": format!("sha256:{hex}"), "size": content.len()})
    }

    /// The archive's bytes.
    pub fn finish(&self) -> std::io::Result<Vec<u8>> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, content) in &self.files {
            tar.append_data(&mut header(content.len(), 0o644), path, content.as_slice())?;
        }
        tar.into_inner()
    }
}

fn header(size: usize, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size as u64);
    header.set_mode(mode);
    header.set_mtime(0);
    header
}

/// The archive of an image named `name` whose file system has `files`, executable, and that runs `command`.
pub fn image(name: &str, files: &[(&str, &[u8])], command: &[&str]) -> std::io::Result<Vec<u8>> {
    let mut layer = tar::Builder::new(Vec::new());
    for (path, content) in files {
        layer.append_data(&mut header(content.len(), 0o755), path, *content)?;
    }
    let layer = layer.into_inner()?;
    let mut archive = ArchiveBuilder::default();
    let diff_id = format!("sha256:{}", hex(&Sha256::digest(&layer)));
    let layer = archive.blob("application/vnd.oci.image.layer.v1.tar", &layer);
    let config = json!({
        "architecture": "amd64", "os": "linux",
        "config": {"Cmd": command},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    });
    let config = archive.blob("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer]});
    let mut manifest = archive.blob(media_type, manifest.to_string().as_bytes());
    manifest["annotations"] = json!({"io.containerd.image.name": name});
    archive.file("oci-layout", r#"{"imageLayoutVersion": "1.0.0"}"#);
    archive.file("index.json", json!({"schemaVersion": 2, "manifests": [manifest]}).to_string());
    archive.finish()
}
