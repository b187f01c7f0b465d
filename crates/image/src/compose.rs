//! From packages to a root file system.

use crate::passes::{self, Trim, tools};
use crate::{Context, Error, Image, InstalledRpm, Result};
use lazuli_store::{ActionResult, Digest, Store};
use lazuli_tree::{Kind, Node, Tree, TreePath, merge};
use rayon::prelude::*;

/// What changes when the code here makes something else of the same packages.
const VERSION: u32 = 2;

/// A composed root file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Root {
    /// The digest of the tree, under which the store has it.
    pub digest: Digest,
    /// Whether it was composed before.
    pub cached: bool,
}

impl Root {
    /// Reads the tree.
    pub fn load(&self, store: &Store) -> Result<Tree> {
        Ok(Tree::load(store, &self.digest)?)
    }
}

/// Merges the packages, applies the image's own files and all passes. The order of `packages` does not
/// matter.
pub fn compose(ctx: &Context<'_>, packages: &[InstalledRpm], image: &Image) -> Result<Root> {
    let mut packages: Vec<&InstalledRpm> = packages.iter().collect();
    packages.sort_by_key(|p| (p.nevra.to_string(), p.rpm));
    let mut key = ctx
        .key("compose", VERSION)
        .input("description", &image.spec.root_digest())
        .input("files", &image.files.digest());
    if let Some(lines) = release_lines(ctx, image) {
        key = key.field("os-release", lines);
    }
    for package in &packages {
        key = key.input("rpm", &package.rpm).field("foreign", if package.foreign { "yes" } else { "no" });
    }
    let (result, cached) = ctx.store.cached(&key.finish(), || {
        let tree = run(ctx, &packages, image)?;
        // Contents count as outputs, so that a tree is never used without them.
        let mut result = ActionResult::default().with("tree", tree.save(ctx.store)?, tree.content_size());
        for (_, node) in tree.iter() {
            if let Kind::File { digest, size } = node.kind {
                result = result.with(format!("content/{digest}"), digest, size);
            }
        }
        Ok::<_, Error>(result)
    })?;
    let digest =
        result.output("tree").ok_or_else(|| Error::format("root file system", "no output recorded"))?;
    Ok(Root { digest, cached })
}

fn run(ctx: &Context<'_>, packages: &[&InstalledRpm], image: &Image) -> Result<Tree> {
    let store = ctx.store;
    ctx.progress(&format!("merge {} packages", packages.len()));
    let trees: Vec<(String, Tree)> =
        packages.par_iter().map(|p| Ok((p.nevra.to_string(), p.load_tree(store)?))).collect::<Result<_>>()?;
    let merged = merge(trees.iter().map(|(name, tree)| (name.as_str(), tree)))?;
    let mut tree = merged.clone();
    tree.ensure_parents();
    passes::trim(
        &mut tree,
        &Trim { documentation: image.spec.documentation, locales: image.spec.locales.clone() },
    );
    let left_out: Vec<TreePath> =
        merged.iter().filter(|(path, _)| !tree.contains(path)).map(|(path, _)| path.clone()).collect();
    tree.extend(image.files.clone());
    tree.ensure_parents();
    check_parents(&tree)?;
    let foreign: Vec<&InstalledRpm> = packages.iter().copied().filter(|p| p.foreign).collect();
    // Users before scriptlets: these may want to change owners.
    passes::sysusers(&mut tree, store)?;
    crate::scriptlets::run(ctx, &mut tree, &foreign)?;
    passes::presets(&mut tree, store)?;
    passes::ca_bundle(&mut tree, store)?;
    tools::library_cache(ctx, &mut tree)?;
    tools::module_index(ctx, &mut tree)?;
    tools::hardware_database(ctx, &mut tree)?;
    tools::message_catalogue(ctx, &mut tree, &image.spec.locales)?;
    machine_id(&mut tree, store)?;
    if let Some(lines) = release_lines(ctx, image) {
        name_release(&mut tree, store, &lines)?;
    }
    passes::package_database(ctx, &mut tree, packages, &left_out)?;
    up_to_date(ctx, &mut tree)?;
    tree.ensure_parents();
    stamp(&mut tree, &merged, ctx.source_date_epoch);
    check_parents(&tree)?;
    Ok(tree)
}

/// Everything lies in a directory: a package that brings a file below a link (`/lib/x` on a system
/// where `/lib` is a link) is caught here and not by the file system's maker.
fn check_parents(tree: &Tree) -> Result<()> {
    for (path, _) in tree.iter() {
        let Some(parent) = path.parent() else { continue };
        if let Some(node) = tree.get(&parent)
            && !node.is_directory()
        {
            return Err(Error::NotDirectory { path: path.clone(), parent, kind: node.kind.word() });
        }
    }
    Ok(())
}

fn path(text: &str) -> Result<TreePath> {
    Ok(TreePath::new(text).map_err(passes::Error::from)?)
}

/// `/etc/machine-id` says that the first boot is still to come (machine-id(5)).
fn machine_id(tree: &mut Tree, store: &Store) -> Result<()> {
    let node = tree.put_file(store, path("etc/machine-id")?, b"uninitialized\n")?;
    node.mode = 0o444;
    Ok(())
}

/// What os-release says of an image with slots (os-release(5)): by IMAGE_VERSION the boot loader sorts, and updates tell
/// one release from the next.
fn release_lines(ctx: &Context<'_>, image: &Image) -> Option<String> {
    image
        .has_slots()
        .then(|| format!("IMAGE_ID={}\nIMAGE_VERSION={}\n", image.name, image.version(ctx.source_date_epoch)))
}

fn name_release(tree: &mut Tree, store: &Store, lines: &str) -> Result<()> {
    let path = path("usr/lib/os-release")?;
    let mut text = tree.read(store, &path)?.ok_or_else(|| Error::Missing {
        what: "os-release",
        path: format!("/{path}"),
        hint: "add `lazuli-release` to the packages".into(),
    })?;
    text.extend_from_slice(lines.as_bytes());
    tree.put_file(store, path, &text)?;
    Ok(())
}

/// `/etc/.updated` and `/var/.updated` say that users, caches and databases belong to this `/usr`
/// (systemd-update-done.service(8)), so that the first boot does not make them again. They count when
/// they are as new as `/usr` itself.
fn up_to_date(ctx: &Context<'_>, tree: &mut Tree) -> Result<()> {
    let time = ctx.source_date_epoch;
    let text = format!(
        "# The users, caches and databases of this directory were made for the /usr of this time.\n\
         TIMESTAMP_NSEC={time}000000000\n"
    );
    for dir in ["etc", "var"] {
        tree.put_file(ctx.store, path(dir)?.join(".updated").map_err(passes::Error::from)?, text.as_bytes())?;
    }
    Ok(())
}

/// What no package brought as it stands gets the image's time; so does `/usr`, see [`up_to_date`].
fn stamp(tree: &mut Tree, packages: &Tree, time: i64) {
    for (path, node) in tree.iter_mut() {
        let same = |there: &Node| there.kind == node.kind;
        if !packages.get(path).is_some_and(same) || path.as_str() == "usr" {
            node.mtime = time;
        }
    }
}

#[cfg(test)]
#[path = "compose_tests.rs"]
mod tests;
