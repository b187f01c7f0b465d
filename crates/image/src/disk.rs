//! From a root file system to disk images.
//!
//! Finished files are kept in the store as they are, with their holes, in a directory each:
//! `dirs/image/KEY/NAME.FORMAT`, where KEY is the digest of what the file depends on. They are not named
//! by their content: hashing gigabytes of nothing would take longer than making them. As with blobs,
//! a constant modification time marks a finished file; one that was touched since is made again.

use crate::context::derive;
use crate::ext4::{self, Ext4};
use crate::gpt::{FileDevice, Partition, Table};
use crate::passes::tools::kernel_versions;
use crate::spec::{FileSystem, Format, Image};
use crate::uki::Uki;
use crate::{Context, Error, Result, Root, esp, gpt, qcow2, sparse, vhd};
use lazuli_fs::Context as _;
use lazuli_layout::{
    ALIGNMENT, Architecture, ESP_LABEL, Guid, PartitionFlags, PartitionType, ROOT_LABEL, UkiName,
    esp as names,
};
use lazuli_store::{ActionKey, Digest};
use lazuli_tree::{Tree, TreePath};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

/// What changes when the code here makes other bytes of the same tree.
const VERSION: u32 = 1;

/// A finished disk image.
#[derive(Debug, Clone)]
pub struct DiskImage {
    /// The files, in the order of the formats asked for.
    pub files: Vec<DiskFile>,
    /// The size of the disk that a machine sees, in bytes.
    pub virtual_size: u64,
    /// The whole command line of the kernel.
    pub command_line: String,
}

/// One file of a disk image.
#[derive(Debug, Clone)]
pub struct DiskFile {
    /// Its format.
    pub format: Format,
    /// Where the store has it. It is read-only; copy it with [`sparse::copy_file`].
    pub path: PathBuf,
    /// Its length in bytes, holes included.
    pub len: u64,
    /// Whether it was there already.
    pub cached: bool,
}

impl DiskImage {
    /// The file in this format, if it was asked for.
    pub fn file(&self, format: Format) -> Option<&DiskFile> {
        self.files.iter().find(|f| f.format == format)
    }
}

/// Identifiers of one image, all derived from its root tree and name.
struct Identifiers {
    disk: Guid,
    esp: Guid,
    root: Guid,
    root_filesystem: Guid,
    hash_seed: Guid,
    volume_id: u32,
    vhd: Guid,
}

impl Identifiers {
    fn of(root: &Digest, name: &str) -> Self {
        let seed = ActionKey::new("image-identity", 1).input("root", root).field("name", name).finish();
        let guid = |purpose: &str| Guid::from_digest(derive(purpose, &seed));
        let volume = derive("FAT volume", &seed);
        Self {
            disk: guid("disk"),
            esp: guid("EFI system partition"),
            root: guid("root partition"),
            root_filesystem: guid("root file system"),
            hash_seed: guid("directory hashes"),
            volume_id: u32::from_be_bytes([volume[0], volume[1], volume[2], volume[3]]),
            vhd: guid("VHD"),
        }
    }
}

/// Makes the image in each of `formats`. What the raw disk is made from is the same for all of them, so
/// another format costs its conversion only.
pub fn build_disk(ctx: &Context<'_>, root: &Root, image: &Image, formats: &[Format]) -> Result<DiskImage> {
    let ids = Identifiers::of(&root.digest, &image.name);
    let disk = &image.spec.disk;
    let (esp_size, root_size) = (disk.esp.0, disk.root.size.0);
    let virtual_size = ALIGNMENT + esp_size + root_size + ALIGNMENT;
    let command_line = command_line(image, ids.root);
    let raw_key = ctx
        .key("disk", VERSION)
        .input("root", &root.digest)
        .field("name", &image.name)
        .field("esp", esp_size.to_string())
        .field("root size", root_size.to_string())
        .field("command line", &command_line)
        .finish();
    let raw = || {
        file(ctx, &raw_key, image, Format::Raw, |path| raw_disk(ctx, root, image, &ids, &command_line, path))
    };
    let mut files = Vec::new();
    for &format in formats {
        files.push(match format {
            Format::Raw => raw()?,
            Format::Qcow2 => {
                let key = ActionKey::new("disk-qcow2", VERSION).input("raw", &raw_key).finish();
                file(ctx, &key, image, format, |path| {
                    let from = raw()?.path;
                    ctx.progress("compress the qcow2 image");
                    qcow2::write(&lazuli_fs::open(&from)?, &from, &lazuli_fs::create_new(path, 0o600)?, path)
                })?
            }
            Format::Vhd => {
                let key = ActionKey::new("disk-vhd", VERSION).input("raw", &raw_key).finish();
                file(ctx, &key, image, format, |path| {
                    let from = raw()?.path;
                    ctx.progress("write the VHD");
                    let (input, output) = (lazuli_fs::open(&from)?, lazuli_fs::create_new(path, 0o600)?);
                    vhd::write(&input, &from, &output, path, ctx.source_date_epoch, ids.vhd)
                })?
            }
        });
    }
    Ok(DiskImage { files, virtual_size, command_line })
}

/// The finished file under `key`, or what `make` writes to the path that it is given.
fn file(
    ctx: &Context<'_>,
    key: &Digest,
    image: &Image,
    format: Format,
    make: impl FnOnce(&Path) -> Result<()>,
) -> Result<DiskFile> {
    let (path, cached) = finished(ctx, "image", key, &format!("{}.{format}", image.name), make)?;
    let len = lazuli_fs::metadata(&path)?.len();
    Ok(DiskFile { format, path, len, cached })
}

/// One second after the epoch, as for blobs.
const FINISHED: i64 = 1;

/// A large file kept under the digest of its inputs.
fn finished(
    ctx: &Context<'_>,
    kind: &str,
    key: &Digest,
    name: &str,
    make: impl FnOnce(&Path) -> Result<()>,
) -> Result<(PathBuf, bool)> {
    if let Some(dir) = ctx.store.dir(kind, key) {
        let path = dir.join(name);
        if intact(&path) {
            return Ok((path, true));
        }
        tracing::warn!(path = %path.display(), "the file was touched since it was made; making it again");
        lazuli_fs::remove_dir_all(&dir)?;
    }
    let work = ctx.store.tempdir()?;
    let dir = work.path().join("finished");
    lazuli_fs::create_dir_all(&dir)?;
    let path = dir.join(name);
    make(&path)?;
    lazuli_fs::set_mode(&path, 0o444)?;
    let stamp = rustix::fs::Timespec { tv_sec: FINISHED, tv_nsec: 0 };
    let stamps = rustix::fs::Timestamps { last_access: stamp, last_modification: stamp };
    rustix::fs::utimensat(rustix::fs::CWD, &path, &stamps, rustix::fs::AtFlags::empty())
        .at("set the times of", &path)?;
    Ok((ctx.store.publish_dir(kind, key, &dir)?.join(name), false))
}

fn intact(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    lazuli_fs::metadata(path).is_ok_and(|meta| meta.mtime() == FINISHED && meta.mtime_nsec() == 0)
}

/// What follows from the disk, then what the image says.
fn command_line(image: &Image, root: Guid) -> String {
    let FileSystem::Ext4 = image.spec.disk.root.filesystem;
    let own = format!("root=PARTUUID={root} rootfstype=ext4");
    let words =
        std::iter::once(own.as_str()).chain(image.spec.kernel_command_line.iter().map(String::as_str));
    words.collect::<Vec<_>>().join(" ")
}

fn raw_disk(
    ctx: &Context<'_>,
    root: &Root,
    image: &Image,
    ids: &Identifiers,
    command_line: &str,
    path: &Path,
) -> Result<()> {
    let disk = &image.spec.disk;
    let (esp_size, root_size) = (disk.esp.0, disk.root.size.0);
    let tree = root.load(ctx.store)?;
    let esp = system_partition(ctx, &tree, esp_size, ids, command_line)?;
    let filesystem = root_filesystem(ctx, &tree, root, root_size, ids)?;
    ctx.progress("assemble the disk");
    let out = lazuli_fs::create_new(path, 0o600)?;
    let table = Table {
        guid: ids.disk,
        size: ALIGNMENT + esp_size + root_size + ALIGNMENT,
        partitions: vec![
            Partition {
                kind: PartitionType::Esp.guid(),
                guid: ids.esp,
                label: ESP_LABEL.into(),
                flags: PartitionFlags::NONE,
                start: ALIGNMENT,
                len: esp_size,
            },
            Partition {
                kind: PartitionType::Root(Architecture::X86_64).guid(),
                guid: ids.root,
                label: ROOT_LABEL.into(),
                flags: PartitionFlags::GROW_FILE_SYSTEM,
                start: ALIGNMENT + esp_size,
                len: root_size,
            },
        ],
    };
    out.set_len(table.size).at("resize", path)?;
    table.write(&mut FileDevice { file: &out, path, durable: false })?;
    esp.write_to(&out, path, ALIGNMENT)?;
    copy_into(&filesystem, &out, path, ALIGNMENT + esp_size)
}

fn copy_into(from: &Path, out: &File, path: &Path, offset: u64) -> Result<()> {
    sparse::copy(&lazuli_fs::open(from)?, from, out, path, offset).map(drop)
}

/// The root file system as a file of its own: a changed command line does not make it again.
fn root_filesystem(
    ctx: &Context<'_>,
    tree: &Tree,
    root: &Root,
    size: u64,
    ids: &Identifiers,
) -> Result<PathBuf> {
    let key = ctx
        .key("ext4", VERSION)
        .input("tree", &root.digest)
        .field("size", size.to_string())
        .field("uuid", ids.root_filesystem.to_string())
        .finish();
    let (path, _) = finished(ctx, "ext4", &key, "root.ext4", |path| {
        ctx.progress("make the root file system");
        let accounts = ext4::accounts(ctx, tree)?;
        let parameters =
            Ext4 { size, label: ROOT_LABEL, uuid: ids.root_filesystem, hash_seed: ids.hash_seed };
        let dir = path.parent().unwrap_or(Path::new("."));
        ext4::build(ctx, tree, &accounts, &parameters, dir, "root.ext4")
    })?;
    Ok(path)
}

/// systemd-boot shows no menu unless a key is held, and lets nobody edit the command line.
const LOADER_CONF: &str = "timeout 0\neditor no\n";

fn system_partition(
    ctx: &Context<'_>,
    tree: &Tree,
    size: u64,
    ids: &Identifiers,
    command_line: &str,
) -> Result<sparse::SparseBuffer> {
    ctx.progress("make the EFI system partition");
    let efi = ctx.tool_root.join("usr/lib/systemd/boot/efi");
    let boot = lazuli_fs::read(efi.join("systemd-bootx64.efi"))?;
    let stub = lazuli_fs::read(efi.join("linuxx64.efi.stub"))?;
    let (uname, linux) = kernel(ctx, tree)?;
    let osrel = os_release(ctx, tree)?;
    let field = |key: &str| os_release_field(&osrel, key).unwrap_or_default();
    let (id, version) = (field("ID"), field("VERSION_ID"));
    let sbat = format!(
        "uki,1,UKI,uki,1,https://uapi-group.org/specifications/specs/unified_kernel_image/\n\
         {id},1,{},{id},{version},{}\n",
        field("NAME"),
        field("HOME_URL"),
    );
    let uki =
        Uki { stub: &stub, linux: &linux, osrel: &osrel, cmdline: command_line, uname: &uname, sbat: &sbat };
    let uki = uki.build().map_err(|e| Error::format("unified kernel image", e))?;
    let name = UkiName { id, version, counter: None };
    let files = BTreeMap::from([
        (names::FALLBACK_X86_64.to_owned(), boot.clone()),
        (names::SYSTEMD_BOOT_X86_64.to_owned(), boot),
        (format!("{}/{name}", names::UKI_DIRECTORY), uki),
        (names::LOADER_CONF.to_owned(), LOADER_CONF.as_bytes().to_vec()),
    ]);
    let volume = esp::Volume { size, start: ALIGNMENT, id: ids.volume_id, time: ctx.source_date_epoch };
    esp::build(&volume, &files)
}

/// The one kernel of the tree: its release and its image.
fn kernel(ctx: &Context<'_>, tree: &Tree) -> Result<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for version in kernel_versions(tree)? {
        let path = TreePath::new(&format!("usr/lib/modules/{version}/vmlinuz"))
            .map_err(crate::passes::Error::from)?;
        if let Some(image) = tree.read(ctx.store, &path)? {
            found.push((version, image));
        }
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Error::Missing {
            what: "kernel",
            path: "/usr/lib/modules/VERSION/vmlinuz".into(),
            hint: "add `kernel` to the image's packages".into(),
        }),
        _ => {
            let versions: Vec<&str> = found.iter().map(|(v, _)| v.as_str()).collect();
            let reason = format!("the image has several kernels ({}); keep one", versions.join(", "));
            Err(Error::format("unified kernel image", reason))
        }
    }
}

fn os_release(ctx: &Context<'_>, tree: &Tree) -> Result<String> {
    let path = TreePath::new("usr/lib/os-release").map_err(crate::passes::Error::from)?;
    let missing =
        |hint: &str| Error::Missing { what: "os-release", path: path.to_string(), hint: hint.into() };
    let text = tree.read(ctx.store, &path)?.ok_or_else(|| missing("add `lazuli-release` to the packages"))?;
    let text = String::from_utf8(text).map_err(|_| missing("it is not UTF-8"))?;
    for key in ["ID", "VERSION_ID", "NAME"] {
        if os_release_field(&text, key).is_none_or(|value| value.is_empty()) {
            return Err(missing(&format!("it has no {key}")));
        }
    }
    Ok(text)
}

/// A value of os-release(5), without its quotes.
fn os_release_field(text: &str, key: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?.trim();
    let bare = |quote: char| value.strip_prefix(quote).and_then(|v| v.strip_suffix(quote));
    // A comma would end a field of .sbat.
    Some(bare('"').or_else(|| bare('\'')).unwrap_or(value).replace(['\\', ','], ""))
}

// Both lengths end on sectors because sizes are multiples of 1 MiB.
const _: () = assert!(ALIGNMENT.is_multiple_of(lazuli_layout::SECTOR));

/// Reads the partition table of a raw image, for reports.
pub fn read_table(path: &Path) -> Result<Table> {
    use std::os::unix::fs::FileExt as _;
    let file = lazuli_fs::open(path)?;
    let size = file.metadata().at("stat", path)?.len();
    gpt::Table::read(size, |at, buf| Ok(file.read_exact_at(buf, at).at("read", path)?))
}
