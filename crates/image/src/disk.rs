//! From a root file system to disk images.
//!
//! Finished files are kept in the store as they are, with their holes, in a directory each:
//! `dirs/image/KEY/NAME.FORMAT`, where KEY is the digest of what the file depends on. They are not named
//! by their content: hashing gigabytes of nothing would take longer than making them. As with blobs,
//! a constant modification time marks a finished file; one that was touched since is made again.

use crate::boot_files::{self, BootFiles, CommandLines};
use crate::context::derive;
use crate::disk_spec::{FileSystem, Format};
use crate::ext4::{self, Ext4};
use crate::gpt::{FileDevice, Partition, Table};
use crate::slots::{self, Release};
use crate::{Context, Error, Image, Result, Root, Signing, gpt, qcow2, sparse, vhd};
use lazuli_fs::Context as _;
use lazuli_layout::{ALIGNMENT, Architecture, ESP_LABEL, Guid, PartitionFlags, PartitionType, ROOT_LABEL};
use lazuli_store::{ActionKey, Digest};
use lazuli_tree::Tree;
use std::fs::File;
use std::path::{Path, PathBuf};

/// What changes when the code here makes other bytes of the same tree.
const VERSION: u32 = 3;

/// A finished disk image.
#[derive(Debug, Clone)]
pub struct DiskImage {
    /// The files, in the order of the formats asked for.
    pub files: Vec<DiskFile>,
    /// The size of the disk that a machine sees, in bytes.
    pub virtual_size: u64,
    /// The whole command line of the kernel.
    pub command_line: String,
    /// What an update of an image with slots consists of.
    pub release: Option<Release>,
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
pub(crate) struct Identifiers {
    seed: Digest,
    pub(crate) disk: Guid,
    pub(crate) esp: Guid,
    root: Guid,
    root_filesystem: Guid,
    hash_seed: Guid,
    pub(crate) volume_id: u32,
    vhd: Guid,
}

impl Identifiers {
    pub(crate) fn of(root: &Digest, name: &str) -> Self {
        let seed = ActionKey::new("image-identity", 1).input("root", root).field("name", name).finish();
        let guid = |purpose: &str| Guid::from_digest(derive(purpose, &seed));
        let volume = derive("FAT volume", &seed);
        Self {
            seed,
            disk: guid("disk"),
            esp: guid("EFI system partition"),
            root: guid("root partition"),
            root_filesystem: guid("root file system"),
            hash_seed: guid("directory hashes"),
            volume_id: u32::from_be_bytes([volume[0], volume[1], volume[2], volume[3]]),
            vhd: guid("VHD"),
        }
    }

    /// One more, for another purpose.
    pub(crate) fn guid(&self, purpose: &str) -> Guid {
        Guid::from_digest(derive(purpose, &self.seed))
    }
}

/// Makes the image in each of `formats`. What the raw disk is made from is the same for all of them, so
/// another format costs its conversion only. An image with slots has to be signed; others are not.
pub fn build_disk(
    ctx: &Context<'_>,
    root: &Root,
    image: &Image,
    formats: &[Format],
    signing: Option<&Signing<'_>>,
) -> Result<DiskImage> {
    let ids = Identifiers::of(&root.digest, &image.name);
    let disk = &image.spec.disk;
    let release = match disk.root.filesystem {
        FileSystem::Ext4 => None,
        FileSystem::Erofs => Some(slots::release(ctx, root, image, signing.ok_or(Error::NoSigner)?)?),
    };
    let (virtual_size, command_line) = match &release {
        Some(release) => (release.sizes.disk(), release.command_line.clone()),
        None => (ALIGNMENT + disk.esp.0 + disk.root_size() + ALIGNMENT, command_line(image, ids.root)),
    };
    let mut raw_key = ctx
        .key("disk", VERSION)
        .input("root", &root.digest)
        .field("name", &image.name)
        .field("esp", disk.esp.0.to_string())
        .field("command line", &command_line);
    raw_key = match &release {
        Some(release) => {
            raw_key.input("release", &release.key).field("sizes", format!("{:?}", release.sizes))
        }
        None => raw_key.field("root size", disk.root_size().to_string()),
    };
    let raw_key = raw_key.finish();
    let raw = || {
        file(ctx, &raw_key, image, Format::Raw, |path| match &release {
            Some(release) => slots::raw_disk(ctx, release, image, &ids, path),
            None => raw_disk(ctx, root, image, &ids, &command_line, path),
        })
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
    Ok(DiskImage { files, virtual_size, command_line, release })
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
pub(crate) fn finished(
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
    let (esp_size, root_size) = (disk.esp.0, disk.root_size());
    let tree = root.load(ctx.store)?;
    let lines = CommandLines { main: command_line.to_owned(), recovery: None };
    let (name, uki) = boot_files::unified_kernel(ctx, &tree, &lines)?;
    let boot = BootFiles { systemd_boot: boot_files::systemd_boot(ctx)?, uki, name };
    let esp = boot_files::system_partition(ctx, &boot, esp_size, ids.volume_id)?;
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

pub(crate) fn copy_into(from: &Path, out: &File, path: &Path, offset: u64) -> Result<()> {
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

// Both lengths end on sectors because sizes are multiples of 1 MiB.
const _: () = assert!(ALIGNMENT.is_multiple_of(lazuli_layout::SECTOR));

/// Reads the partition table of a raw image, for reports.
pub fn read_table(path: &Path) -> Result<Table> {
    use std::os::unix::fs::FileExt as _;
    let file = lazuli_fs::open(path)?;
    let size = file.metadata().at("stat", path)?.len();
    gpt::Table::read(size, |at, buf| Ok(file.read_exact_at(buf, at).at("read", path)?))
}
