use super::*;
use crate::testing::{ArchiveBuilder, image};
use serde_json::json;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn open(bytes: &[u8]) -> (tempfile::TempDir, Result<Archive, Error>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image.tar");
    lazuli_fs::write(&path, bytes).unwrap();
    let archive = Archive::open(&path);
    (dir, archive)
}

fn refused(bytes: &[u8]) -> String {
    let (_dir, archive) = open(bytes);
    let error = archive.and_then(|mut archive| {
        let images = archive.images()?;
        archive.blobs(&images[0])
    });
    error.unwrap_err().to_string()
}

#[test]
fn blobs_come_before_what_refers_to_them() {
    let (_dir, archive) = open(&image("localhost/a:1", &[("bin/a", b"content")], &["/bin/a"]).unwrap());
    let mut archive = archive.unwrap();
    let images = archive.images().unwrap();
    assert_eq!(images[0].name.as_deref(), Some("localhost/a:1"));
    let blobs = archive.blobs(&images[0]).unwrap();
    assert_eq!(blobs.len(), 3);
    assert_eq!(blobs[2].descriptor, images[0].target);
    let kept: Vec<&String> = blobs[2].references.values().collect();
    assert_eq!(kept, [&blobs[0].descriptor.digest, &blobs[1].descriptor.digest]);
    let mut layer = Vec::new();
    archive.read(&blobs[1].descriptor).unwrap().read_to_end(&mut layer).unwrap();
    assert!(layer.windows(7).any(|w| w == b"content"));
}

#[test]
fn other_platforms_may_be_absent() {
    let mut archive = ArchiveBuilder::default();
    let config = archive.blob("application/vnd.oci.image.config.v1+json", b"{}");
    let manifest = json!({"config": config, "layers": []}).to_string();
    let here = archive.blob(MANIFEST, manifest.as_bytes());
    let elsewhere = json!({"mediaType": MANIFEST, "digest": format!("sha256:{}", "0".repeat(64)), "size": 1});
    let index = archive.blob(INDEX, json!({"manifests": [elsewhere, here]}).to_string().as_bytes());
    archive.file("oci-layout", r#"{"imageLayoutVersion": "1.0.0"}"#);
    archive.file("index.json", json!({"manifests": [index]}).to_string());
    let (_dir, archive) = open(&archive.finish().unwrap());
    let mut archive = archive.unwrap();
    let images = archive.images().unwrap();
    let blobs = archive.blobs(&images[0]).unwrap();
    assert_eq!(blobs.len(), 3);
    assert_eq!(blobs[2].references.len(), 1);
}

#[test]
fn what_is_no_image_is_refused() {
    assert!(refused(b"text").contains("image.tar"));
    assert!(refused(&ArchiveBuilder::default().finish().unwrap()).contains("no OCI archive"));
    let mut archive = ArchiveBuilder::default();
    archive
        .file("oci-layout", r#"{"imageLayoutVersion": "1.0.0"}"#)
        .file("index.json", r#"{"manifests": []}"#);
    assert!(refused(&archive.finish().unwrap()).contains("names no image"));
}

#[test]
fn names_that_lead_elsewhere_and_altered_manifests_are_refused() {
    let with = |descriptor: Value, content: &[u8]| {
        let mut archive = ArchiveBuilder::default();
        let hex = descriptor["digest"].as_str().unwrap_or_default().trim_start_matches("sha256:").to_owned();
        archive.file("oci-layout", r#"{"imageLayoutVersion": "1.0.0"}"#);
        archive.file(&format!("blobs/sha256/{hex}"), content);
        archive.file("index.json", json!({"manifests": [descriptor]}).to_string());
        refused(&archive.finish().unwrap())
    };
    let digest = format!("sha256:{}", "a".repeat(64));
    let descriptor = |digest: &str, size| json!({"mediaType": MANIFEST, "digest": digest, "size": size});
    assert!(with(descriptor("sha256:x", 2), b"{}").contains("not a descriptor"));
    assert!(with(descriptor(&digest, 3), b"{}").contains("has 2 bytes and should have 3"));
    assert!(with(descriptor(&digest, 2), b"{}").contains("was altered"));
    assert!(
        with(json!({"mediaType": MANIFEST, "digest": digest, "size": 5 << 20}), b"{}")
            .contains("has 5242880 bytes")
    );
}
