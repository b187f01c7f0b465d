//! Scriptlets of packages that are not ours.
//!
//! Our own packages have none that a pass does not replace. Those of others run over the composed tree
//! in the sandbox, with the tree itself as root file system and an overlay above it; what they
//! changed is folded back. Order as RPM has it: every `%pretrans`, then for each package `%pre` and
//! `%post`, every `%posttrans`. What differs from a host: a `%pre` sees its package's files already.

use crate::{Context, Error, InstalledRpm, Result};
use lazuli_rpm::{Header, order, tag};
use lazuli_sandbox::overlay::{Change, changes};
use lazuli_sandbox::{Sandbox, Stdin};
use lazuli_tree::{Kind, Materialise, Node, Tree, TreePath, materialise};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// What a scriptlet is called, its tag and that of its interpreter.
type Slot = (&'static str, u32, u32);

const PRETRANS: Slot = ("%pretrans", tag::PRETRANS, tag::PRETRANSPROG);
const PRE: Slot = ("%pre", tag::PREIN, tag::PREINPROG);
const POST: Slot = ("%post", tag::POSTIN, tag::POSTINPROG);
const POSTTRANS: Slot = ("%posttrans", tag::POSTTRANS, tag::POSTTRANSPROG);

/// The permission bits that files have when they are laid out as hard links to the store.
const BLOB_MODE: u32 = 0o555;

/// Runs the scriptlets of `packages` over `tree`.
pub fn run(ctx: &Context<'_>, tree: &mut Tree, packages: &[&InstalledRpm]) -> Result<()> {
    let headers: Vec<Header> = packages.iter().map(|p| p.parse_header(ctx.store)).collect::<Result<_>>()?;
    let scripted =
        |h: &Header| [PRETRANS, PRE, POST, POSTTRANS].iter().any(|slot| h.has(slot.1) || h.has(slot.2));
    if !headers.iter().any(scripted) {
        return Ok(());
    }
    let items: Vec<order::Item> = packages
        .iter()
        .zip(&headers)
        .map(|(p, h)| order::Item {
            nevra: p.nevra.clone(),
            provides: h.provides(),
            files: h.paths(),
            requires: h.requires(),
        })
        .collect();
    let sequence = order::order(&items);
    let work = ctx.store.tempdir()?;
    let (lower, upper) = (work.path().join("root"), work.path().join("upper"));
    materialise(tree, ctx.store, &lower, Materialise::HardLink)?;
    for slots in [&[PRETRANS][..], &[PRE, POST], &[POSTTRANS]] {
        for &index in &sequence {
            for slot in slots {
                run_one(ctx, packages[index], &headers[index], *slot, &lower, &upper)?;
            }
        }
    }
    if upper.is_dir() {
        fold(ctx, tree, &upper)?;
        lazuli_sandbox::overlay::finish(&upper)
            .map_err(|source| Error::Tool { what: "clean up after the scriptlets".to_owned(), source })?;
    }
    Ok(())
}

fn run_one(
    ctx: &Context<'_>,
    package: &InstalledRpm,
    header: &Header,
    (scriptlet, body, interpreter): Slot,
    lower: &Path,
    upper: &Path,
) -> Result<()> {
    let argv = header.strings(interpreter);
    let argv = match argv.as_slice() {
        [] if header.has(interpreter) => header.string(interpreter).into_iter().collect(),
        _ => argv,
    };
    let (Some(body), [program, args @ ..]) = (header.string(body), argv.as_slice()) else { return Ok(()) };
    ctx.progress(&format!("{scriptlet} of {}", package.nevra));
    let fail = |source| Error::Scriptlet { package: package.nevra.to_string(), scriptlet, source };
    if program.starts_with('<') {
        let reason = "only rpm itself can run it; replace it by what a pass does".to_owned();
        let what = format!("a scriptlet in {program}");
        return Err(fail(lazuli_sandbox::Error::Invalid { what, reason }));
    }
    // `-` would not do for every interpreter; RPM hands over a file too. Its argument is the number of
    // versions that are installed afterwards.
    Sandbox::new(lower)
        .overlay(upper)
        .source_date_epoch(ctx.source_date_epoch)
        .command(program)
        .args(args)
        .args(["/dev/stdin", "1"])
        .stdin(Stdin::Bytes(body.into_bytes()))
        .run(|line| tracing::debug!("{line}"))
        .map_err(fail)?;
    Ok(())
}

/// Puts what is in the overlay's upper directory over the tree.
fn fold(ctx: &Context<'_>, tree: &mut Tree, upper: &Path) -> Result<()> {
    let tool = |source| Error::Tool { what: "read what the scriptlets changed".to_owned(), source };
    for change in changes(upper).map_err(tool)? {
        match change {
            Change::Delete(path) => tree.retain(|p, _| !p.starts_with(&path)),
            Change::Opaque(path) => tree.retain(|p, _| p == &path || !p.starts_with(&path)),
            Change::Write(path) => {
                // The sandbox's own places are no part of the system.
                if ["dev", "proc", "sys", "run", "tmp"].iter().any(|d| path.components().next() == Some(d)) {
                    continue;
                }
                write_back(ctx, tree, &path, &upper.join(path.as_str()))?;
            }
        }
    }
    Ok(())
}

fn write_back(ctx: &Context<'_>, tree: &mut Tree, path: &TreePath, from: &Path) -> Result<()> {
    let meta = lazuli_fs::symlink_metadata(from)?;
    let kind = if meta.is_dir() {
        Kind::Directory
    } else if meta.is_symlink() {
        let target =
            std::fs::read_link(from).map_err(|e| lazuli_fs::Error::new("read the symbolic link", from, e))?;
        Kind::Symlink { target: target.to_string_lossy().into_owned() }
    } else if meta.is_file() {
        let (digest, size) = ctx.store.put_file(from)?;
        Kind::File { digest, size }
    } else {
        return Ok(());
    };
    let mode = meta.permissions().mode() & 0o7777;
    let there = tree.get(path).filter(|node| node.kind.word() == kind.word());
    let node = match there {
        // The laid-out file had not its own mode but the blob's; if that is unchanged, so is the real one.
        Some(node) if kind == Kind::Directory || mode == BLOB_MODE => Node { kind, ..node.clone() },
        Some(node) => Node { kind, mode, ..node.clone() },
        None => Node::new(kind, mode),
    };
    tree.insert(path.clone(), node);
    Ok(())
}
