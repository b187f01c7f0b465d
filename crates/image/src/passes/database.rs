//! The package database, as the last pass: its content is the headers of everything that was merged.

use crate::{Context, Error, InstalledRpm, Result};
use lazuli_rpmdb::{FileState, InstalledPackage};
use lazuli_store::{ActionResult, Digest};
use lazuli_tree::{Node, Tree, TreePath};
use std::collections::BTreeSet;

/// Where rpm looks for its database unless its macros say otherwise.
const USUAL: &str = "var/lib/rpm";

/// Where packages put the keys that sign packages. `rpm` itself trusts only what its database holds.
const KEYS: &str = "etc/pki/rpm-gpg";

/// What an error calls one of them.
const KEY: &str = "public key";

/// Writes the package database ([`lazuli_rpmdb::PATH`]), and a link to it from the usual place.
/// `left_out` are the paths that packages have and the image has not: they count as "not installed", as
/// after `rpm --nodocs`, so that `rpm --verify` does not miss them.
///
/// The keys below `/etc/pki/rpm-gpg` are imported, so that `rpm` on the running system verifies packages
/// from the first one on.
pub fn package_database(
    ctx: &Context<'_>,
    tree: &mut Tree,
    packages: &[&InstalledRpm],
    left_out: &[TreePath],
) -> Result<()> {
    let place = |text: &str| TreePath::new(text).map_err(super::Error::from);
    let paths: Vec<&str> = left_out.iter().map(TreePath::as_str).collect();
    let keys = public_keys(ctx, tree)?;
    // No tool is used; what it depends on are the packages, the keys, the time and the code.
    let mut key = lazuli_store::ActionKey::new("package-database", 2)
        .field("time", ctx.source_date_epoch.to_string())
        .input("left out", &Digest::of(paths.join("\n")));
    for package in packages {
        key = key.input("header", &package.header).input("signature", &package.signature);
    }
    for (path, armored) in &keys {
        key = key.input(path.as_str(), &Digest::of(armored));
    }
    let (result, _) = ctx.store.cached(&key.finish(), || {
        ctx.progress("write the package database");
        let left_out: BTreeSet<&str> = paths.iter().copied().collect();
        let mut packages: Vec<InstalledPackage> =
            packages.iter().map(|package| installed(ctx, package, &left_out)).collect::<Result<_>>()?;
        for (path, armored) in &keys {
            let imported = InstalledPackage::public_keys(armored);
            packages.extend(imported.map_err(|e| Error::format(KEY, format!("{path}: {e}")))?);
        }
        let work = ctx.store.tempdir()?;
        let path = work.path().join("rpmdb.sqlite");
        lazuli_rpmdb::write(&path, &packages, ctx.source_date_epoch)?;
        let (digest, size) = ctx.store.adopt_file(&path)?;
        Ok::<_, Error>(ActionResult::default().with("database", digest, size))
    })?;
    let database = result.outputs.get("database");
    let database = database.ok_or_else(|| Error::format("package database", "no output recorded"))?;
    let path = place(lazuli_rpmdb::PATH)?;
    tree.insert(path.clone(), Node::file(database.digest, database.size));
    let usual = place(USUAL)?;
    let empty = tree.get(&usual).is_none_or(Node::is_directory) && tree.below(&usual).next().is_none();
    if empty && let Some(dir) = path.parent() {
        tree.insert(usual, Node::symlink(format!("../../{}", dir.as_str())));
    }
    tree.ensure_parents();
    Ok(())
}

/// The armored keys that the tree carries, by path.
fn public_keys(ctx: &Context<'_>, tree: &Tree) -> Result<Vec<(TreePath, String)>> {
    let dir = TreePath::new(KEYS).map_err(super::Error::from)?;
    let paths: Vec<&TreePath> = tree.below(&dir).map(|(path, _)| path).collect();
    let mut keys = Vec::new();
    for path in paths {
        let Some(content) = tree.read(ctx.store, path)? else { continue };
        let armored = String::from_utf8(content)
            .map_err(|_| Error::format(KEY, format!("{path}: it is not armored (ASCII)")))?;
        keys.push((path.clone(), armored));
    }
    Ok(keys)
}

fn installed(
    ctx: &Context<'_>,
    package: &InstalledRpm,
    left_out: &BTreeSet<&str>,
) -> Result<InstalledPackage> {
    let header = package.parse_header(ctx.store)?;
    let signature = package.parse_signature(ctx.store)?;
    let states: Vec<FileState> = header
        .paths()
        .iter()
        .map(|path| {
            let left_out = left_out.contains(path.trim_start_matches('/'));
            if left_out { FileState::NotInstalled } else { FileState::Normal }
        })
        .collect();
    Ok(InstalledPackage { header, signature, states })
}
