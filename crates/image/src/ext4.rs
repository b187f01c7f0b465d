//! An ext4 file system from a tree, by `mke2fs -d` reading a tar stream.
//!
//! No mount, no loop device, no chown: owners, modes, devices and extended attributes are in the stream.
//! UUID and hash seed are given and times come from SOURCE_DATE_EPOCH, so that the same tree gives the
//! same bytes.

use crate::{Context, Error, Result};
use lazuli_layout::Guid;
use lazuli_sandbox::{Access, Output, Sandbox, Stdin};
use lazuli_tree::{Accounts, Tree, TreePath, write_tar};
use std::io::{BufWriter, Write as _};
use std::path::Path;

/// What a file system is made with.
#[derive(Debug, Clone)]
pub struct Ext4<'a> {
    /// Size in bytes; a multiple of 4 KiB.
    pub size: u64,
    /// Label, at most 16 bytes.
    pub label: &'a str,
    /// UUID.
    pub uuid: Guid,
    /// Seed of the hashes that directories are indexed by.
    pub hash_seed: Guid,
}

/// Named one by one, so that neither mke2fs.conf nor a newer mke2fs decides. What a cloud disk needs
/// besides ext4's core: checksums of all metadata, 64-bit block numbers, and room in the descriptors to
/// grow while mounted (resize_inode).
const FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,orphan_file,filetype,extent,64bit,flex_bg,\
    metadata_csum,metadata_csum_seed,sparse_super,large_file,huge_file,dir_nlink,extra_isize";
/// mke2fs wants to know the type that is asked for; all else is on the command line.
const CONFIGURATION: &str = "[fs_types]\n\text4 = {\n\t}\n";
const BLOCK: u64 = 4096;
/// Bytes of disk for each inode.
const BYTES_PER_INODE: u64 = 16_384;
const INODE: u64 = 256;

/// Writes the file system to `DIR/NAME`; `dir` is shown to the tool.
pub fn build(
    ctx: &Context<'_>,
    tree: &Tree,
    accounts: &Accounts,
    parameters: &Ext4<'_>,
    dir: &Path,
    name: &str,
) -> Result<()> {
    check_size(tree, parameters.size)?;
    let messages_path = dir.join("messages");
    let messages = lazuli_fs::create(&messages_path)?;
    let tool = |source| Error::Tool { what: "make the ext4 file system".to_owned(), source };
    let extended =
        format!("hash_seed={},root_owner=0:0,assume_storage_prezeroed=1,nodiscard", parameters.hash_seed);
    let command = Sandbox::new(ctx.tool_root)
        .bind(dir, "/build", Access::ReadWrite)
        .workdir("/build")
        .file("/etc/mke2fs.conf", CONFIGURATION)
        .file("/etc/mtab", "")
        .source_date_epoch(ctx.source_date_epoch)
        .command("mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-O", FEATURES, "-m", "1"])
        .args(["-b", &BLOCK.to_string(), "-I", &INODE.to_string(), "-i", &BYTES_PER_INODE.to_string()])
        .args(["-L", parameters.label, "-U", &parameters.uuid.to_string(), "-E", &extended])
        .args(["-d", "-", name, &format!("{}k", parameters.size >> 10)])
        .stdin(Stdin::Piped)
        .stdout(Output::Null)
        .stderr(Output::File(messages));
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

/// Says that the tree does not fit before the tool fails in the middle of it.
fn check_size(tree: &Tree, size: u64) -> Result<()> {
    let content: u64 =
        tree.iter().map(|(_, node)| node.size().map_or(BLOCK, |s| s.next_multiple_of(BLOCK))).sum();
    // Inode tables, journal (at most 1/32 here), descriptors and the reserve of 1%.
    let overhead = size / BYTES_PER_INODE * INODE + size / 32 + size / 50;
    if content + overhead > size {
        return Err(Error::TooSmall {
            what: "root file system",
            needed: content + overhead,
            size,
            key: "disk.root.size",
        });
    }
    Ok(())
}

/// The users and groups of a tree, from its own `/etc/passwd` and `/etc/group`.
pub fn accounts(ctx: &Context<'_>, tree: &Tree) -> Result<Accounts> {
    let read = |name: &str| -> Result<String> {
        let path = TreePath::new(name).map_err(crate::passes::Error::from)?;
        let content = tree.read(ctx.store, &path)?.ok_or_else(|| Error::Missing {
            what: "users file",
            path: format!("/{name}"),
            hint: "some package must bring a sysusers.d file that defines root".to_owned(),
        })?;
        Ok(String::from_utf8_lossy(&content).into_owned())
    };
    Ok(Accounts::from_passwd_group(&read("etc/passwd")?, &read("etc/group")?))
}
