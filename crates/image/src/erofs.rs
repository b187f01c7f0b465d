//! An erofs file system from a tree, by `mkfs.erofs` reading a tar stream.
//!
//! No mount, no privileges: owners, modes, devices and extended attributes are in the stream. UUID and time are given, so
//! that the same tree gives the same bytes.
//!
//! The layout is chosen for updates, which copy blocks that did not change:
//!
//! - no inline tails (`^inline_data`): the end of a file lies in a block of its own, not beside its inode, so a changed
//!   inode does not change file content;
//! - inodes of 32 bytes (`force-inode-compact`) without a time of their own: every file has the time of the file system,
//!   and a rebuilt package with the same content is the same on disk.

use crate::disk_spec::Compression;
use crate::{Context, Error, Result};
use lazuli_layout::Guid;
use lazuli_sandbox::{Access, Output, Sandbox, Stdin};
use lazuli_tree::{Accounts, Tree, write_tar};
use std::io::{BufWriter, Write as _};
use std::path::Path;

/// Bytes of a cluster that is compressed on its own.
const CLUSTER: u32 = 65_536;
/// zstd's level: higher ones take minutes and win little.
const LEVEL: u32 = 3;

/// Writes the file system to `DIR/NAME`; `dir` is shown to the tool. Its size is a multiple of 4 KiB.
pub fn build(
    ctx: &Context<'_>,
    tree: &Tree,
    accounts: &Accounts,
    (uuid, compression): (Guid, Compression),
    dir: &Path,
    name: &str,
) -> Result<()> {
    let messages_path = dir.join("messages");
    let messages = lazuli_fs::create(&messages_path)?;
    let tool = |source| Error::Tool { what: "make the erofs file system".to_owned(), source };
    let mut command = Sandbox::new(ctx.tool_root)
        .bind(dir, "/build", Access::ReadWrite)
        .workdir("/build")
        .env("TMPDIR", "/build")
        .source_date_epoch(ctx.source_date_epoch)
        .command("mkfs.erofs")
        .args(["--quiet", "--tar=f", "-E^inline_data,force-inode-compact"])
        .args([&format!("-T{}", ctx.source_date_epoch), "-U", &uuid.to_string()]);
    if compression == Compression::Zstd {
        command = command.args([format!("-zzstd,level={LEVEL}"), format!("-C{CLUSTER}")]);
    }
    let command = command.arg(name).stdin(Stdin::Piped).stdout(Output::Null).stderr(Output::File(messages));
    let shown = command.display();
    let mut child = command.spawn().map_err(tool)?;
    let written = match child.stdin.take() {
        Some(pipe) => {
            let mut pipe = BufWriter::with_capacity(1 << 18, pipe);
            write_tar(tree, ctx.store, accounts, &mut pipe)
                .and_then(|()| pipe.flush().map_err(lazuli_tree::Error::Output))
        }
        None => Ok(()),
    };
    let status = child.wait().map_err(tool)?;
    let tail =
        String::from_utf8_lossy(&lazuli_fs::read(&messages_path)?).lines().map(str::to_owned).collect();
    lazuli_fs::remove_file(&messages_path)?;
    // What the tool says is worth more than that its end of the pipe was closed.
    if !status.success() {
        return Err(tool(lazuli_sandbox::Error::Failed { command: shown, status, tail }));
    }
    Ok(written?)
}
