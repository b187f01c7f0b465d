//! The bundle of trusted certificate authorities, in place of `update-ca-certificates`.

use super::{Error, Result};
use lazuli_store::Store;
use lazuli_tree::{Node, Tree, TreePath};

const SOURCES: [&str; 2] = ["usr/share/ca-certificates", "usr/local/share/ca-certificates"];
const BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Writes `/etc/ssl/certs/ca-certificates.crt` from all `*.crt` below `/usr/share/ca-certificates` and
/// `/usr/local/share/ca-certificates`, in the order of their paths. A tree without any is left alone.
pub fn ca_bundle(tree: &mut Tree, store: &Store) -> Result<()> {
    let mut bundle = Vec::new();
    for source in SOURCES {
        let dir = TreePath::new(source)?;
        let paths: Vec<TreePath> = tree
            .below(&dir)
            .filter(|(path, node)| {
                !node.is_directory() && path.file_name().rsplit_once('.').is_some_and(|(_, end)| end == "crt")
            })
            .map(|(path, _)| path.clone())
            .collect();
        for path in paths {
            let Some(content) = tree.read(store, &path)? else { continue };
            check(&content).map_err(|reason| Error::Certificate { path, reason: reason.to_owned() })?;
            bundle.extend_from_slice(&content);
            if !content.ends_with(b"\n") {
                bundle.push(b'\n');
            }
        }
    }
    if bundle.is_empty() {
        return Ok(());
    }
    for dir in ["etc", "etc/ssl", "etc/ssl/certs"] {
        let dir = TreePath::new(dir)?;
        if !tree.contains(&dir) {
            tree.insert(dir, Node::directory());
        }
    }
    tree.put_file(store, TreePath::new(BUNDLE)?, &bundle)?;
    Ok(())
}

/// A damaged file would make every reader of the bundle stop in the middle.
fn check(content: &[u8]) -> std::result::Result<(), &'static str> {
    let text = std::str::from_utf8(content).map_err(|_| "not PEM text")?;
    let mut inside = false;
    let mut certificates = 0;
    for line in text.lines().map(str::trim) {
        match line {
            BEGIN if inside => return Err("a certificate begins inside another"),
            BEGIN => inside = true,
            END if !inside => return Err("a certificate ends that did not begin"),
            END => {
                inside = false;
                certificates += 1;
            }
            line if inside && !line.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b)) => {
                return Err("a line that is not base64");
            }
            _ => {}
        }
    }
    if inside || certificates == 0 { Err("no complete certificate in it") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_certificates_in_order_and_damage_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let mut tree = Tree::new();
        let pem = |body: &str| format!("{BEGIN}\n{body}\n{END}");
        let path = |name: &str| TreePath::new(&format!("usr/share/ca-certificates/mozilla/{name}")).unwrap();
        tree.put_file(&store, path("b.crt"), pem("QkI=").as_bytes()).unwrap();
        tree.put_file(&store, path("a.crt"), pem("QUE=").as_bytes()).unwrap();
        tree.put_file(&store, path("README"), b"no").unwrap();
        ca_bundle(&mut tree, &store).unwrap();
        let bundle = tree.read(&store, &TreePath::new(BUNDLE).unwrap()).unwrap().unwrap();
        assert_eq!(String::from_utf8(bundle).unwrap(), format!("{}\n{}\n", pem("QUE="), pem("QkI=")));
        tree.put_file(&store, path("c.crt"), pem("<html>").as_bytes()).unwrap();
        let error = ca_bundle(&mut tree, &store).unwrap_err().to_string();
        assert_eq!(error, "/usr/share/ca-certificates/mozilla/c.crt: a line that is not base64");
    }
}
