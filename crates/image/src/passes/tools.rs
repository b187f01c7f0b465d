//! Passes that run the real tool: library cache, module index, hardware database, message catalogue.
//!
//! Each is an action over the part of the tree that its tool reads, and nothing else: a changed file
//! under `/etc` does not run `depmod` again. The part is laid out as hard links, the tool runs over it in
//! the sandbox, and what it made is read back.

use crate::{Context, Error, Result};
use lazuli_sandbox::{Access, Sandbox};
use lazuli_store::ActionResult;
use lazuli_tree::{Kind, Materialise, Node, Tree, TreePath, materialise};
use std::path::Path;

/// Where the tools see the tree.
const ROOT: &str = "/image";
const MODULES: &str = "usr/lib/modules";

/// `/etc/ld.so.cache`, by `ldconfig`. Its own bookkeeping in `/var/cache/ldconfig` is left out, because
/// it has inode numbers and times in it. Links are not made: a package ships those of its libraries.
pub fn library_cache(ctx: &Context<'_>, tree: &mut Tree) -> Result<()> {
    let input = part(tree, |path, _| {
        let name = path.file_name();
        let library = (name.contains(".so") || name.starts_with("ld-"))
            && ["usr/", "lib", "opt/"].iter().any(|top| path.as_str().starts_with(top));
        library || path.as_str() == "etc/ld.so.conf" || path.as_str().starts_with("etc/ld.so.conf.d/")
    });
    let script = format!("exec ldconfig -X -i -r {ROOT}");
    let output = run(ctx, "library-cache", 1, &input, "make the library cache", &script)?;
    take(tree, output, |path| path.as_str() == "etc/ld.so.cache");
    Ok(())
}

/// `modules.dep` and its companions for every kernel, by `depmod`.
pub fn module_index(ctx: &Context<'_>, tree: &mut Tree) -> Result<()> {
    for version in kernel_versions(tree)? {
        let dir = format!("{MODULES}/{version}/");
        let input = part(tree, |path, _| {
            let path = path.as_str();
            let module = path.starts_with(&dir) && !path.ends_with("/vmlinuz") && !path.ends_with("/config");
            module || ["usr/lib/depmod.d/", "etc/depmod.d/"].iter().any(|d| path.starts_with(d))
        });
        let script = format!("exec depmod -b {ROOT} -- \"$1\"");
        let output = run_with(ctx, "module-index", 1, &input, "make the module index", &script, &[&version])?;
        take(tree, output, |path| path.as_str().starts_with(&dir));
    }
    Ok(())
}

/// `/usr/lib/udev/hwdb.bin`, by `systemd-hwdb`.
pub fn hardware_database(ctx: &Context<'_>, tree: &mut Tree) -> Result<()> {
    let input = part(tree, |path, _| path.as_str().starts_with("usr/lib/udev/hwdb.d/"));
    if input.iter().all(|(_, node)| node.size().is_none()) {
        return Ok(());
    }
    let script = format!("exec systemd-hwdb --root={ROOT} --usr --strict update");
    let output = run(ctx, "hardware-database", 1, &input, "make the hardware database", &script)?;
    take(tree, output, |path| path.as_str() == "usr/lib/udev/hwdb.bin");
    Ok(())
}

/// `/var/lib/systemd/catalog/database`: the explanations that `journalctl -x` shows. Those in other
/// languages go in for the locales that the image keeps.
pub fn message_catalogue(ctx: &Context<'_>, tree: &mut Tree, locales: &[String]) -> Result<()> {
    let input = part(tree, |path, _| {
        let Some(name) = path.as_str().strip_prefix("usr/lib/systemd/catalog/") else { return false };
        let Some(stem) = name.strip_suffix(".catalog") else { return false };
        // `systemd.catalog`, `systemd.de.catalog`
        stem.split_once('.').is_none_or(|(_, language)| locales.iter().any(|l| l == language))
    });
    if input.iter().all(|(_, node)| node.size().is_none()) {
        return Ok(());
    }
    let script = format!("exec journalctl --root={ROOT} --update-catalog");
    let output = run(ctx, "message-catalogue", 1, &input, "make the message catalogue", &script)?;
    take(tree, output, |path| path.as_str() == "var/lib/systemd/catalog/database");
    Ok(())
}

/// The kernels of the tree: directories of `/usr/lib/modules` with something in them.
pub fn kernel_versions(tree: &Tree) -> Result<Vec<String>> {
    let dir = TreePath::new(MODULES).map_err(crate::passes::Error::from)?;
    let mut versions: Vec<String> = tree
        .below(&dir)
        .filter(|(_, node)| !node.is_directory())
        .filter_map(|(path, _)| Some(path.as_str().strip_prefix(MODULES)?.split('/').nth(1)?.to_owned()))
        .collect();
    versions.dedup();
    Ok(versions)
}

/// The part of the tree that `wanted` names, with what makes its paths lead there: parents, and the
/// links of a merged `/usr`. Times and owners are taken out, so that they do not change the key.
fn part(tree: &Tree, wanted: impl Fn(&TreePath, &Node) -> bool) -> Tree {
    let mut part: Tree = tree
        .iter()
        .filter(|(path, node)| match &node.kind {
            Kind::Directory => false,
            Kind::Symlink { .. } if path.components().count() == 1 => true,
            _ => wanted(path, node),
        })
        .map(|(path, node)| (path.clone(), Node::new(node.kind.clone(), node.mode & 0o755)))
        .collect();
    // A hard link whose file is not in the part stands for the file itself.
    let links: Vec<(TreePath, TreePath)> = part
        .iter()
        .filter_map(|(path, node)| match &node.kind {
            Kind::HardLink { to } if !part.contains(to) => Some((path.clone(), to.clone())),
            _ => None,
        })
        .collect();
    for (path, to) in links {
        if let Some(file) = tree.get(&to) {
            part.insert(path, Node::new(file.kind.clone(), file.mode & 0o755));
        }
    }
    part.ensure_parents();
    part
}

/// Puts what a tool made over the tree.
fn take(tree: &mut Tree, output: Tree, wanted: impl Fn(&TreePath) -> bool) {
    for (path, node) in output {
        if wanted(&path) && (!node.is_directory() || !tree.contains(&path)) {
            tree.insert(path, node);
        }
    }
    tree.ensure_parents();
}

fn run(ctx: &Context<'_>, name: &str, version: u32, input: &Tree, what: &str, script: &str) -> Result<Tree> {
    run_with(ctx, name, version, input, what, script, &[])
}

/// Runs `script` over `input` at [`ROOT`] and returns what it made there. The result is cached by the
/// input, the script and the tools; none of these tools writes a time.
fn run_with(
    ctx: &Context<'_>,
    name: &str,
    version: u32,
    input: &Tree,
    what: &str,
    script: &str,
    args: &[&str],
) -> Result<Tree> {
    let key = ctx.tools_key(name, version).input("input", &input.digest()).field("script", script);
    let key = args.iter().fold(key, |key, arg| key.field("argument", arg)).finish();
    let (result, _) = ctx.store.cached(&key, || {
        ctx.progress(what);
        let work = ctx.store.tempdir()?;
        let root = work.path().join("root");
        materialise(input, ctx.store, &root, Materialise::HardLink)?;
        Sandbox::new(ctx.tool_root)
            .bind(&root, ROOT, Access::ReadWrite)
            .command("/bin/sh")
            .args(["-euc", script, "sh"])
            .args(args)
            .run(|line| tracing::debug!("{line}"))
            .map_err(|source| Error::Tool { what: what.to_owned(), source })?;
        let mut made = Tree::new();
        collect(ctx, &root, &TreePath::root(), input, &mut made)?;
        let digest = made.save(ctx.store)?;
        Ok::<_, Error>(ActionResult::default().with("tree", digest, 0))
    })?;
    let digest =
        result.output("tree").ok_or_else(|| Error::format("root file system", "no output recorded"))?;
    Ok(Tree::load(ctx.store, &digest)?)
}

/// Everything on disk that is not in `input`.
fn collect(ctx: &Context<'_>, dir: &Path, at: &TreePath, input: &Tree, made: &mut Tree) -> Result<()> {
    for entry in lazuli_fs::read_dir(dir)? {
        let name = entry.file_name().unwrap_or_default();
        let path = TreePath::from_bytes(name.as_encoded_bytes())
            .and_then(|name| at.join(name.as_str()))
            .map_err(crate::passes::Error::from)?;
        let meta = lazuli_fs::symlink_metadata(&entry)?;
        let known = input.contains(&path);
        if meta.is_dir() {
            if !known {
                made.insert(path.clone(), Node::directory());
            }
            collect(ctx, &entry, &path, input, made)?;
        } else if meta.is_file() && !known {
            let (digest, size) = ctx.store.put_file(&entry)?;
            made.insert(path, Node::file(digest, size));
        }
    }
    Ok(())
}
