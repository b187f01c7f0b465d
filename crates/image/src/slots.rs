//! Images with slots: a root that dm-verity proves, twice its room on the disk, and a state partition.
//!
//! ```text
//! 1 MiB   1 ESP
//! then    2 root A      erofs                         label os_VERSION   GUID: first half of the root hash
//!         3 verity A    superblock, hash tree         label os_VERSION   GUID: second half of the root hash
//!         4 root B      empty                         label _empty
//!         5 verity B    empty                         label _empty
//!         6 state       empty; made on first boot     label state
//! ```
//!
//! The root partitions have twice the size of the file system, the verity partitions what the tree over a full root
//! partition takes. Nothing but the state partition can ever grow.
//!
//! # Command line
//!
//! `dm-mod.create=` makes the kernel itself map the root (drivers/md/dm-init.c): it finds data and tree by GUIDs that
//! follow from the root hash, in whichever slot they are, so one signed unified kernel image serves both and can never
//! meet another root. There is no `dm-mod.waitfor=` and no `rootwait`: both wait for ever, and a machine whose disk is not
//! there has to panic, restart and use up a boot try. The kernel waits for its drivers to have probed either way.
//!
//! With `[recovery]` in the description there is a second profile, whose initrd makes the same mapping of the same text,
//! `lazuli.verity=`, and may wait (crates/initrd).
//!
//! The signature of the root hash is an argument of the verity target (`root_hash_sig_base64`, a patch of ours, see
//! distro/components/kernel): there is no user space yet that could put it into a key ring.

use crate::boot_files::{self, BootFiles, CommandLines};
use crate::disk::{Identifiers, copy_into, finished};
use crate::gpt::{FileDevice, Partition, Table};
use crate::signing::{self, Part};
use crate::{Context, Error, Image, Result, Root, Signing, erofs, ext4, initrd};
use lazuli_fs::Context as _;
use lazuli_initrd::command_line::{RECOVERY, TABLE};
use lazuli_layout::{
    ALIGNMENT, Architecture, ESP_LABEL, Guid, PartitionFlags, PartitionType, STATE_LABEL, SlotLabel, UkiName,
};
use lazuli_rpm::base64;
use lazuli_secureboot::Certificate;
use lazuli_store::{ActionResult, Digest};
use lazuli_verity::{BLOCK, Salt, Superblock, Table as VerityTable, Tree as HashTree, tree_blocks};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// What changes when the code here makes other bytes of the same tree.
const VERSION: u32 = 2;

/// A string parameter of the kernel may have so many bytes (kernel/params.c).
const LONGEST_PARAMETER: usize = 1024;
/// COMMAND_LINE_SIZE of x86, with the byte that ends it.
const LONGEST_COMMAND_LINE: usize = 2048;

/// A root file system and its hash tree.
#[derive(Debug, Clone)]
pub struct VerityRoot {
    /// The file system, in the store.
    pub file: PathBuf,
    /// Its size in bytes, a multiple of [`BLOCK`].
    pub size: u64,
    /// The salt of the product.
    pub salt: Salt,
    /// The root hash.
    pub hash: lazuli_verity::Digest,
    /// The blob with superblock and tree.
    tree: Digest,
}

impl VerityRoot {
    /// Blocks of data.
    pub fn blocks(&self) -> u64 {
        self.size / BLOCK as u64
    }
}

/// Sizes of partitions in bytes, multiples of [`ALIGNMENT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// The EFI system partition.
    pub esp: u64,
    /// The root partition of a slot.
    pub root: u64,
    /// The verity partition of a slot.
    pub verity: u64,
    /// The state partition.
    pub state: u64,
}

impl Sizes {
    fn of(image: &Image, root: u64) -> Result<Self> {
        let disk = &image.spec.disk;
        let slot = disk.root.size.map_or((2 * root).next_multiple_of(ALIGNMENT), |size| size.0);
        if slot < root {
            return Err(Error::TooSmall {
                what: "root partition",
                needed: root,
                size: slot,
                key: "disk.root.size",
            });
        }
        let verity = ((1 + tree_blocks(slot / BLOCK as u64)) * BLOCK as u64).next_multiple_of(ALIGNMENT);
        Ok(Self { esp: disk.esp.0, root: slot, verity, state: disk.state_size() })
    }

    /// The whole disk.
    pub fn disk(&self) -> u64 {
        ALIGNMENT + self.esp + 2 * (self.root + self.verity) + self.state + ALIGNMENT
    }
}

/// What an update to an image consists of, all in the store.
#[derive(Debug, Clone)]
pub struct Release {
    /// IMAGE_ID of os-release: the image's name.
    pub product: String,
    /// IMAGE_VERSION of os-release.
    pub version: String,
    /// The root.
    pub root: VerityRoot,
    /// The file name of the unified kernel image, without boot counter.
    pub uki_name: UkiName,
    /// The unified kernel image, signed.
    pub uki: PathBuf,
    /// systemd-boot, signed.
    pub systemd_boot: PathBuf,
    /// The command line of the unified kernel image's default profile.
    pub command_line: String,
    /// How large partitions are.
    pub sizes: Sizes,
    /// Changes when any of this does.
    pub(crate) key: Digest,
}

/// What has to be signed for an image.
#[derive(Debug, Clone)]
pub struct ToSign {
    /// IMAGE_ID of os-release.
    pub product: String,
    /// IMAGE_VERSION of os-release.
    pub version: String,
    /// The root hash: 64 hexadecimal digits, without a line feed.
    pub root_hash: String,
    /// systemd-boot without a signature.
    pub systemd_boot: Vec<u8>,
    /// Name and content of the unified kernel image without a signature, once the root hash is signed.
    pub uki: Option<(UkiName, Vec<u8>)>,
}

/// What has to be signed. The unified kernel image can only be made when the signature of the root hash is there; then it
/// is checked against `trusted`.
pub fn to_sign(
    ctx: &Context<'_>,
    root: &Root,
    image: &Image,
    root_hash_signature: Option<&[u8]>,
    trusted: &[Certificate],
) -> Result<ToSign> {
    let verity = verity_root(ctx, root, image)?;
    let root_hash = verity.hash.to_string();
    let uki = root_hash_signature
        .map(|signature| {
            let signature = signing::check_root_hash(signature, &root_hash, trusted)?;
            let lines = command_lines(image, &verity, &signature)?;
            boot_files::unified_kernel(ctx, &root.load(ctx.store)?, &lines)
        })
        .transpose()?;
    Ok(ToSign {
        product: image.name.clone(),
        version: image.version(ctx.source_date_epoch),
        root_hash,
        systemd_boot: boot_files::systemd_boot(ctx)?,
        uki,
    })
}

/// Makes everything that a disk and an update need.
pub(crate) fn release(
    ctx: &Context<'_>,
    root: &Root,
    image: &Image,
    signing: &Signing<'_>,
) -> Result<Release> {
    let verity = verity_root(ctx, root, image)?;
    let signature = signing.root_hash(&verity.hash.to_string())?;
    let lines = command_lines(image, &verity, &signature)?;
    let version = image.version(ctx.source_date_epoch);
    let mut key = ctx.key("release", VERSION).input("root", &root.digest).field("command line", &lines.main);
    if let Some(line) = &lines.recovery {
        key = key.field("recovery", line).field("initrd", initrd::VERSION.to_string());
    }
    let key = key.input("signing", &signing.digest()).finish();
    let (systemd_boot, _) = finished(ctx, "systemd-boot", &key, "systemd-bootx64.efi", |path| {
        Ok(lazuli_fs::write(path, signing.image(Part::SystemdBoot, &boot_files::systemd_boot(ctx)?)?)?)
    })?;
    let tree = root.load(ctx.store)?;
    let uki_name = boot_files::uki_name(ctx, &tree)?;
    let (uki, _) = finished(ctx, "uki", &key, &uki_name.to_string(), |path| {
        ctx.progress("make and sign the unified kernel image");
        let (_, unsigned) = boot_files::unified_kernel(ctx, &tree, &lines)?;
        Ok(lazuli_fs::write(path, signing.image(Part::Uki, &unsigned)?)?)
    })?;
    let sizes = Sizes::of(image, verity.size)?;
    Ok(Release {
        product: image.name.clone(),
        version,
        root: verity,
        uki_name,
        uki,
        systemd_boot,
        command_line: lines.main,
        sizes,
        key,
    })
}

/// The root file system and its hash tree.
fn verity_root(ctx: &Context<'_>, root: &Root, image: &Image) -> Result<VerityRoot> {
    let salt = Salt::of_product(&image.name);
    let compression = image.spec.disk.root.compression;
    // Constant for a product, as the salt it comes from: a block less to change.
    let uuid = salt.uuid();
    let key = ctx
        .key("erofs", VERSION)
        .input("tree", &root.digest)
        .field("uuid", uuid.to_string())
        .field("compression", format!("{compression:?}"))
        .finish();
    let (file, _) = finished(ctx, "erofs", &key, "root.erofs", |path| {
        ctx.progress("make the root file system");
        let tree = root.load(ctx.store)?;
        let accounts = ext4::accounts(ctx, &tree)?;
        let dir = path.parent().unwrap_or(Path::new("."));
        erofs::build(ctx, &tree, &accounts, (uuid, compression), dir, "root.erofs")
    })?;
    let size = lazuli_fs::metadata(&file)?.len();
    if size == 0 || !size.is_multiple_of(BLOCK as u64) {
        return Err(Error::format(
            "root file system",
            format!("{size} bytes are not a number of blocks of {BLOCK}"),
        ));
    }
    let key = ctx.tools_key("verity", VERSION).input("erofs", &key).field("salt", salt.as_bytes()).finish();
    let (result, _) = ctx.store.cached(&key, || {
        ctx.progress("make the hash tree");
        let blocks = size / BLOCK as u64;
        let tree = HashTree::build(&lazuli_fs::open(&file)?, blocks, &salt).at("read", &file)?;
        let mut bytes = Superblock::new(blocks, salt.clone()).to_block().to_vec();
        bytes.extend_from_slice(tree.bytes());
        let hash = tree.root().to_string();
        Ok::<_, Error>(ActionResult::default().with("tree", ctx.store.put(&bytes)?, bytes.len() as u64).with(
            "root hash",
            ctx.store.put(hash.as_bytes())?,
            hash.len() as u64,
        ))
    })?;
    let lost = || Error::format("hash tree", "no output recorded");
    let tree = result.output("tree").ok_or_else(lost)?;
    let hash = ctx.store.read(&result.output("root hash").ok_or_else(lost)?)?;
    let hash = String::from_utf8_lossy(&hash).parse().map_err(|e| Error::format("hash tree", e))?;
    Ok(VerityRoot { file, size, salt, hash, tree })
}

/// What follows from the root, then what the image says.
fn command_lines(image: &Image, root: &VerityRoot, signature: &[u8]) -> Result<CommandLines> {
    let options = ["panic_on_corruption", "root_hash_sig_base64", &base64::encode(signature)];
    let table = VerityTable {
        root: root.hash,
        data_blocks: root.blocks(),
        salt: root.salt.clone(),
        options: options.map(str::to_owned).to_vec(),
    };
    // Name, UUID, minor number, flags: the one device that the kernel makes is /dev/dm-0.
    let create = format!("root,,0,ro,{table}");
    let limit = |what: &str, len: usize, most: usize| {
        if len < most {
            return Ok(());
        }
        Err(Error::format(
            "command line",
            format!("{what} has {len} bytes, and fewer than {most} are possible"),
        ))
    };
    limit("dm-mod.create= with the signature of the root hash", create.len(), LONGEST_PARAMETER)?;
    // No verity device without a signature, not even one that is made later. `gpt`: the kernel takes the backup table
    // where the primary one is torn (block/partitions/efi.c); without the word it would find no partitions.
    let own = "dm_verity.require_signatures=1 root=/dev/dm-0 rootfstype=erofs ro gpt";
    let common = image.spec.kernel_command_line.iter().map(String::as_str);
    let mapping = format!("dm-mod.create=\"{create}\"");
    let main = [mapping.as_str(), own].into_iter().chain(common.clone()).collect::<Vec<_>>().join(" ");
    limit("it", main.len(), LONGEST_COMMAND_LINE)?;
    let recovery = image.spec.recovery.as_ref().map(|recovery| {
        let mapping = [format!("{TABLE}=\"{create}\""), own.to_owned(), format!("{RECOVERY}=1")];
        let more = recovery.kernel_command_line.iter().map(String::as_str);
        // Of two settings the last one counts.
        mapping.iter().map(String::as_str).chain(common).chain(more).collect::<Vec<_>>().join(" ")
    });
    if let Some(line) = &recovery {
        limit("that of `[recovery]`", line.len(), LONGEST_COMMAND_LINE)?;
    }
    Ok(CommandLines { main, recovery })
}

/// Writes the disk: slot A as it runs, slot B and state empty.
pub(crate) fn raw_disk(
    ctx: &Context<'_>,
    release: &Release,
    image: &Image,
    ids: &Identifiers,
    path: &Path,
) -> Result<()> {
    let sizes = &release.sizes;
    let boot = BootFiles {
        systemd_boot: lazuli_fs::read(&release.systemd_boot)?,
        uki: lazuli_fs::read(&release.uki)?,
        name: release.uki_name.clone(),
    };
    let esp = boot_files::system_partition(ctx, &boot, sizes.esp, ids.volume_id)?;
    ctx.progress("assemble the disk");
    let table = Table { guid: ids.disk, size: sizes.disk(), partitions: partitions(release, ids) };
    let out = lazuli_fs::create_new(path, 0o600)?;
    out.set_len(table.size).at("resize", path)?;
    table.write(&mut FileDevice { file: &out, path, durable: false })?;
    esp.write_to(&out, path, table.partitions[0].start)?;
    copy_into(&release.root.file, &out, path, table.partitions[1].start)?;
    let tree = ctx.store.read(&release.root.tree)?;
    out.write_all_at(&tree, table.partitions[2].start).at("write", path)?;
    tracing::debug!(image = image.name, root = %release.root.hash, "disk with slots");
    Ok(())
}

/// The partitions in the order of their numbers.
fn partitions(release: &Release, ids: &Identifiers) -> Vec<Partition> {
    let architecture = Architecture::X86_64;
    let (data, tree) = release.root.hash.partition_guids();
    let version = SlotLabel::Version(release.version.clone()).to_string();
    let empty = SlotLabel::Empty.to_string();
    let sizes = &release.sizes;
    let (root_kind, verity_kind) =
        (PartitionType::Root(architecture), PartitionType::RootVerity(architecture));
    let read_only = PartitionFlags::READ_ONLY;
    let mut start = ALIGNMENT;
    let mut partition = |kind: PartitionType, guid: Guid, label: &str, flags: PartitionFlags, len: u64| {
        let partition = Partition { kind: kind.guid(), guid, label: label.to_owned(), flags, start, len };
        start += len;
        partition
    };
    vec![
        partition(PartitionType::Esp, ids.esp, ESP_LABEL, PartitionFlags::NONE, sizes.esp),
        partition(root_kind, data, &version, read_only, sizes.root),
        partition(verity_kind, tree, &version, read_only, sizes.verity),
        partition(root_kind, ids.guid("root B"), &empty, read_only, sizes.root),
        partition(verity_kind, ids.guid("verity B"), &empty, read_only, sizes.verity),
        partition(
            PartitionType::Var,
            ids.guid("state"),
            STATE_LABEL,
            PartitionFlags::GROW_FILE_SYSTEM,
            sizes.state,
        ),
    ]
}

#[cfg(test)]
#[path = "slots_tests.rs"]
mod tests;
