//! The peer: a disk with Debian stable, installed by Debian's own tools from its own packages.
//!
//! `mmdebstrap` unpacks and configures packages, maintainer scripts and all, in a tool root without a network. The
//! sandbox has one user; `fakeroot` remembers who owns what, and the archive that comes out has the true owners.
//! A scratch file system in memory holds the system meanwhile: there no inode number is used twice, and
//! `fakeroot`, which tells files apart by it, does not see every removal.
//!
//! Nothing is taken away from Debian and its defaults stand: kernel and initial RAM disk as its packages make
//! them, every service that its packages enable. Added is what its cloud images have in one form or another: an
//! address by DHCP from systemd-networkd, a root in fstab, no machine ID before the first boot. What is only
//! recommended is left out, as in our image, and so is `cloud-init`. Keys of the SSH server are made while it is
//! installed, not in the first boot; the disk has its full size from the beginning. Kernel and boot loader are signed
//! with the development keys, so that the firmware does for it what it does for ours.

use super::Error;
use super::archive::Archive;
use crate::user::lazuli;
use lazuli_debian::closure::closure;
use lazuli_debian::index::{BinaryPackage, Priority};
use lazuli_fs as fs;
use lazuli_image::gpt::{FileDevice, Partition, Table};
use lazuli_image::{esp, qcow2, sparse};
use lazuli_layout::{
    ALIGNMENT, Architecture, ESP_LABEL, Guid, PartitionFlags, PartitionType, ROOT_LABEL, esp as names,
};
use lazuli_sandbox::{Access, Sandbox};
use lazuli_secureboot::{Key, authenticode};
use lazuli_store::ActionKey;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What `container-host` has, by its name in Debian. The packages of priority `required` come with them.
const PACKAGES: &[&str] = &[
    "apt",
    "bash",
    "ca-certificates",
    "chrony",
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "cryptsetup-bin",
    "dbus",
    "dmsetup",
    "e2fsprogs",
    "hostname",
    "initramfs-tools",
    "iproute2",
    "iptables",
    "kmod",
    "libnss-myhostname",
    "libnss-resolve",
    "libpam-systemd",
    "linux-image-cloud-amd64",
    "login",
    "mount",
    "netbase",
    "openssh-server",
    "passwd",
    "procps",
    "runc",
    "systemd",
    "systemd-boot",
    "systemd-boot-efi-amd64-signed",
    "systemd-resolved",
    "systemd-sysv",
    "tzdata",
    "udev",
    "util-linux",
];

/// What installs them.
const TOOLS: &[&str] = &[
    "apt",
    "apt-utils",
    "base-files",
    "bash",
    "coreutils",
    "dash",
    "debianutils",
    "diffutils",
    "dpkg",
    "fakeroot",
    "findutils",
    "grep",
    "gzip",
    "hostname",
    "libc-bin",
    "mmdebstrap",
    "mount",
    "sed",
    "tar",
    "util-linux",
    "xz-utils",
    "zstd",
];

/// Change when the same packages are made into something else.
const VERSION: u32 = 1;

const DISK: u64 = super::DISK;
const ESP_SIZE: u64 = 512 << 20;
const ROOT_SIZE: u64 = DISK - ESP_SIZE - 2 * ALIGNMENT;
/// Its file system.
const ROOT: Guid = Guid::from_u128(0x0e2d8f4e_9d3c_4c0b_8a55_0d5b8ab7c101);
/// Its partition.
const ROOT_PARTITION: Guid = Guid::from_u128(0x0e2d8f4e_9d3c_4c0b_8a55_0d5b8ab7c102);

/// Debian's default is `quiet`; the consoles are those of our image.
const COMMAND_LINE: &str = "ro console=tty0 console=ttyS0,115200n8 quiet";
/// As on our disk: no menu, no wait.
const LOADER_CONF: &str = "timeout 0\n";
const ENTRY: &str = "loader/entries/debian.conf";

/// Installs the packages that lie in /build/repo; leaves /build/root.tar, and beside it what the boot loader reads
/// and what is to be known. `$1` is the list of packages, `$2` the UUID of the root.
///
/// /dev is shown as it is here, because the mounts that mmdebstrap makes of it take a second user. The library is
/// where `fakeroot` looks for it for as long as programs run inside.
const INSTALL: &str = r#"
exec >&2
library=/usr/lib/x86_64-linux-gnu/libfakeroot
export packages=$1 root=$2 library
cd /build/repo
apt-ftparchive packages . > Packages
apt-ftparchive release -o APT::FTPArchive::Release::Codename=trixie . > /tmp/Release
mv /tmp/Release .
cat > /tmp/begin << 'END'
mkdir -p "$1$library"
cp "$library/libfakeroot-sysv.so" "$1$library/"
END
cat > /tmp/before << 'END'
echo "UUID=$root / ext4 errors=remount-ro 0 1" > "$1/etc/fstab"
echo debian > "$1/etc/hostname"
END
cat > /tmp/after << 'END'
printf '127.0.0.1 localhost\n127.0.1.1 debian\n::1 localhost ip6-localhost ip6-loopback\n' > "$1/etc/hosts"
printf '[Match]\nType=ether\n\n[Network]\nDHCP=yes\n' > "$1/etc/systemd/network/80-dhcp.network"
chroot "$1" systemctl enable systemd-networkd
: > "$1/etc/machine-id"
: > "$1/etc/apt/sources.list"
cp "$1"/boot/vmlinuz-* /build/linux
cp "$1"/boot/initrd.img-* /build/initrd
cp "$1/usr/lib/systemd/boot/efi/systemd-bootx64.efi.signed" /build/systemd-boot
cat "$1/etc/debian_version" > /build/version
ls "$1/usr/lib/modules" > /build/kernel
chroot "$1" dpkg-query -W -f '${Package}\n' > /build/packages
umount -l "$1/dev"
rm -r "$1$library"
END
fakeroot-sysv --lib "$library/libfakeroot-sysv.so" --faked /usr/bin/faked-sysv -- \
    mmdebstrap --mode=root --variant=minbase --format=tar \
    --aptopt='APT::Sandbox::User "root"' --dpkgopt=force-unsafe-io \
    --skip=chroot/mount/dev,chroot/mount/sys,check/qemu \
    --setup-hook='sh -eu /tmp/begin "$1"' --extract-hook='mount --rbind /dev "$1/dev"' \
    --essential-hook='sh -eu /tmp/before "$1"' --customize-hook='sh -eu /tmp/after "$1"' \
    --include="$packages" trixie /build/root.tar 'deb [trusted=yes] copy:/build/repo ./'
"#;

/// The disk and what is known of it.
pub struct Debian {
    pub raw: PathBuf,
    pub facts: Facts,
}

/// What is remembered of a disk that was made.
#[derive(Debug, Serialize, Deserialize)]
pub struct Facts {
    /// Debian's version.
    pub version: String,
    /// The kernel's.
    pub kernel: String,
    /// How many packages are installed.
    pub packages: usize,
    /// Bytes in the files of its root.
    pub root_bytes: u64,
    /// The disk as qcow2, compressed as ours is.
    pub qcow2_bytes: u64,
}

/// Makes the disk from the packages of the day, or takes the one that was made of the same before.
pub fn make(archive: &Archive, key: &Key) -> Result<Debian, Error> {
    let universe = archive.universe();
    let required = archive.newest().filter(|p| p.essential || p.priority == Priority::Required);
    let wanted: Vec<&str> = required.map(|p| p.package.as_str()).chain(PACKAGES.iter().copied()).collect();
    let packages = closure(&universe, &wanted)?;
    archive.fetch(&packages)?;
    let tools = archive.tools(TOOLS)?;
    let image_tools = PathBuf::from(lazuli(&["tool-root", "image"]).trim());

    let mut action = ActionKey::new("debian-disk", VERSION)
        .field("install", INSTALL)
        .field("command line", COMMAND_LINE)
        .field("certificate", key.certificate().der());
    for root in [&tools, &image_tools] {
        action = action.field("tools", root.file_name().unwrap_or_default().as_encoded_bytes());
    }
    for package in &packages {
        action = action.input(&package.package, &package.sha256);
    }
    let action = action.finish();
    let dir = if let Some(dir) = archive.store.dir("debian-disk", &action) {
        dir
    } else {
        eprintln!("installing {} packages of Debian", packages.len());
        let work = archive.store.tempdir()?;
        install(archive, &packages, &wanted, &tools, work.path())?;
        file_system(&image_tools, work.path())?;
        let finished = work.path().join("finished");
        disk(work.path(), key, &finished)?;
        archive.store.publish_dir("debian-disk", &action, &finished)?
    };
    let facts = serde_json::from_slice(&fs::read(dir.join("facts.json"))?)?;
    Ok(Debian { raw: dir.join("debian.raw"), facts })
}

fn install(
    archive: &Archive,
    packages: &[&BinaryPackage],
    wanted: &[&str],
    tools: &Path,
    work: &Path,
) -> Result<(), Error> {
    let repo = work.join("repo");
    fs::create_dir_all(&repo)?;
    for package in packages {
        let name = format!("{}_{}.deb", package.package, package.architecture);
        fs::hard_link(archive.store.path(&package.sha256), repo.join(name))?;
    }
    Sandbox::new(tools)
        .bind(work, "/build", Access::ReadWrite)
        .env("FAKEROOTDONTTRYCHOWN", "1")
        .command("bash")
        .args(["-euc", INSTALL, "bash", &wanted.join(","), &ROOT.to_string()])
        .run(|_| ())?;
    Ok(())
}

/// Makes `root.ext4` of `root.tar`, with the features that Debian's mke2fs.conf names.
fn file_system(tools: &Path, work: &Path) -> Result<(), Error> {
    Sandbox::new(tools)
        .bind(work, "/build", Access::ReadWrite)
        .workdir("/build")
        .file("/etc/mtab", "")
        .command("mke2fs")
        // Nothing is left for the first boot to do.
        .args(["-q", "-F", "-t", "ext4", "-E", "assume_storage_prezeroed=1,nodiscard", "-L", ROOT_LABEL])
        .args(["-U", &ROOT.to_string(), "-d", "root.tar", "root.ext4", &format!("{}k", ROOT_SIZE >> 10)])
        .run(|_| ())?;
    Ok(())
}

/// Puts the disk together in `to`.
fn disk(work: &Path, key: &Key, to: &Path) -> Result<(), Error> {
    let signed =
        |name: &str| -> Result<Vec<u8>, Error> { Ok(authenticode::sign(key, &fs::read(work.join(name))?)?) };
    let entry = format!(
        "title Debian\nlinux /debian/linux\ninitrd /debian/initrd\noptions root=PARTUUID={ROOT_PARTITION} {COMMAND_LINE}\n"
    );
    let systemd_boot = signed("systemd-boot")?;
    let files = BTreeMap::from([
        (names::FALLBACK_X86_64.to_owned(), systemd_boot.clone()),
        (names::SYSTEMD_BOOT_X86_64.to_owned(), systemd_boot),
        (names::LOADER_CONF.to_owned(), LOADER_CONF.as_bytes().to_vec()),
        (ENTRY.to_owned(), entry.into_bytes()),
        ("debian/linux".to_owned(), signed("linux")?),
        ("debian/initrd".to_owned(), fs::read(work.join("initrd"))?),
    ]);
    let volume = esp::Volume { size: ESP_SIZE, start: ALIGNMENT, id: 0x0e2d_8f4e, time: 1_700_000_000 };
    let partition = |kind: PartitionType, guid, label: &str, start, len| Partition {
        kind: kind.guid(),
        guid,
        label: label.into(),
        flags: PartitionFlags::NONE,
        start,
        len,
    };
    let esp_guid = Guid::from_u128(0x0e2d8f4e_9d3c_4c0b_8a55_0d5b8ab7c103);
    let root = PartitionType::Root(Architecture::X86_64);
    let table = Table {
        guid: Guid::from_u128(0x0e2d8f4e_9d3c_4c0b_8a55_0d5b8ab7c104),
        size: DISK,
        partitions: vec![
            partition(PartitionType::Esp, esp_guid, ESP_LABEL, ALIGNMENT, ESP_SIZE),
            partition(root, ROOT_PARTITION, ROOT_LABEL, ALIGNMENT + ESP_SIZE, ROOT_SIZE),
        ],
    };
    fs::create_dir_all(to)?;
    let path = to.join("debian.raw");
    let raw = fs::create_new(&path, 0o644)?;
    raw.set_len(DISK)?;
    table.write(&mut FileDevice { file: &raw, path: &path, durable: false })?;
    esp::build(&volume, &files)?.write_to(&raw, &path, ALIGNMENT)?;
    let root = work.join("root.ext4");
    sparse::copy(&fs::open(&root)?, &root, &raw, &path, ALIGNMENT + ESP_SIZE)?;

    let small = work.join("debian.qcow2");
    qcow2::write(&fs::open(&path)?, &path, &fs::create_new(&small, 0o644)?, &small)?;
    let text =
        |name: &str| -> Result<String, Error> { Ok(fs::read_to_string(work.join(name))?.trim().to_owned()) };
    let facts = Facts {
        version: text("version")?,
        kernel: text("kernel")?,
        packages: text("packages")?.lines().count(),
        root_bytes: contents(&work.join("root.tar"))?,
        qcow2_bytes: fs::metadata(&small)?.len(),
    };
    fs::write(to.join("facts.json"), serde_json::to_vec_pretty(&facts)?)?;
    Ok(())
}

/// Bytes in the files of an archive.
fn contents(archive: &Path) -> Result<u64, Error> {
    let mut bytes = 0;
    for entry in tar::Archive::new(std::io::BufReader::new(fs::open(archive)?)).entries()? {
        bytes += entry?.size();
    }
    Ok(bytes)
}
