use super::*;
use serde_json::{Value, json};

fn target(name: &str, size: u64) -> Value {
    json!({ "name": name, "size": size, "sha256": "ab".repeat(32) })
}

/// A valid manifest, for the others to spoil.
fn good() -> Value {
    json!({
        "format": 1,
        "product": "lazuli-container-host",
        "version": "1.2",
        "architecture": "x86-64",
        "minimum-version": "1.0",
        "root": {
            "size": 409_600, "blocks": 100, "salt": "00".repeat(32),
            "root-hash": "11".repeat(32), "sha256": "22".repeat(32),
        },
        "uki": { "file": "lazuli-1.2.efi", "target": target("uki", 1000) },
        "full": { "image": target("image", 5000), "index": target("index", 100) },
        "leaves": target("leaves", 800),
        "recipes": [{
            "base": "33".repeat(32), "target": target("recipe", 900),
            "index-size": 90, "index-sha256": "44".repeat(32),
        }],
    })
}

fn parse(value: &Value) -> Result<Manifest, ManifestError> {
    Manifest::parse(value.to_string().as_bytes())
}

#[test]
fn a_manifest_comes_back() {
    let manifest = parse(&good()).unwrap();
    assert_eq!(Manifest::parse(&manifest.to_bytes().unwrap()).unwrap(), manifest);
    assert_eq!(manifest.target_name(), "lazuli-container-host-x86-64-1.2.manifest.json");
    assert!(manifest.recipe(&Hex32([0x33; 32])).is_some());
    assert_eq!(manifest.targets().count(), 5);
}

#[test]
fn each_thing_that_is_wrong_is_refused_with_its_reason() {
    let cases: [(&str, Value, &str); 17] = [
        ("/format", json!(2), "its format is 2"),
        ("/product", json!("a/b"), "odd characters"),
        ("/version", json!("../1"), "not a version"),
        ("/minimum-version", json!("1.3"), "above its own version"),
        ("/root/size", json!(409_601), "not possible"),
        ("/root/blocks", json!(u64::MAX), "not possible"),
        ("/root/root-hash", json!("AB".repeat(32)), "hexadecimal"),
        ("/uki/file", json!("lazuli-1.2+3-0.efi"), "name of its UKI"),
        ("/uki/file", json!("lazuli-1.1.efi"), "name of its UKI"),
        ("/uki/target/size", json!(1_u64 << 40), "not within"),
        ("/leaves/size", json!(792), "do not list"),
        ("/full/image/size", json!(1_u64 << 40), "not within"),
        ("/full/index/name", json!("../index"), "not the name of a target"),
        ("/full/index/name", json!("image"), "two targets"),
        ("/recipes/0/index-size", json!(901), "an index of"),
        ("/recipes/0/target/size", json!(0), "not within"),
        ("/recipes", json!([good()["recipes"][0], good()["recipes"][0]]), "two"),
    ];
    for (pointer, value, expected) in cases {
        let mut manifest = good();
        *manifest.pointer_mut(pointer).unwrap() = value.clone();
        let error = parse(&manifest).expect_err(pointer).to_string();
        assert!(error.contains(expected), "{pointer} = {value}: {error}");
    }
}

#[test]
fn an_unknown_field_is_refused_wherever_it_is() {
    for pointer in ["", "/root", "/uki", "/uki/target", "/full", "/recipes/0"] {
        let mut manifest = good();
        manifest.pointer_mut(pointer).unwrap()["surprise"] = json!(1);
        assert!(parse(&manifest).unwrap_err().to_string().contains("surprise"), "{pointer}");
    }
}

#[test]
fn what_is_too_long_is_not_even_read() {
    let error = Manifest::parse(&vec![b' '; MAX_MANIFEST as usize + 1]).unwrap_err();
    assert!(error.to_string().contains("above the limit"), "{error}");
}
