//! Finding the EFI system partition of the running system.

use crate::{Error, Result};
use lazuli_fs as fs;
use lazuli_fs::Context as _;
use lazuli_layout::esp as names;
use rustix::mount::{MountFlags, UnmountFlags};
use std::path::{Path, PathBuf};

/// Where it usually is mounted; by systemd's generator at the first of these that exists.
const PLACES: [&str; 3] = ["efi", "boot", "boot/efi"];
/// Which partition the boot loader was started from, as systemd-boot and its stub leave it.
const VARIABLE: &str = "sys/firmware/efi/efivars/LoaderDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/// A mounted EFI system partition; unmounted at the end if it was mounted here.
#[derive(Debug)]
pub struct Esp {
    path: PathBuf,
    ours: bool,
}

impl Esp {
    /// The one that the running system was started from. Nothing if it was not started by UEFI: then there
    /// is nothing to do.
    pub fn find(root: &Path) -> Result<Option<Self>> {
        Self::find_with(root, is_mounted)
    }

    fn find_with(root: &Path, is_mounted: impl Fn(&Path) -> bool) -> Result<Option<Self>> {
        if !fs::read_dir(root.join("sys/firmware/efi/efivars")).is_ok_and(|entries| !entries.is_empty()) {
            return Ok(None);
        }
        for place in PLACES {
            let path = root.join(place);
            // Looking into it has an automount mounted.
            if is_esp(&path) && is_mounted(&path) {
                return Ok(Some(Self { path, ours: false }));
            }
        }
        let looked = || Error::NoEsp { looked: PLACES.map(|p| format!("/{p}")).join(", ") };
        let uuid =
            fs::read(root.join(VARIABLE)).ok().and_then(|bytes| partition(&bytes)).ok_or_else(looked)?;
        let device = root.join("dev/disk/by-partuuid").join(uuid);
        let path = root.join("run/lazuli/esp");
        fs::create_dir_all(&path)?;
        let flags = MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOEXEC;
        rustix::mount::mount(&device, &path, c"vfat", flags, c"umask=0077").at("mount", &device)?;
        let esp = Self { path, ours: true };
        if is_esp(&esp.path) { Ok(Some(esp)) } else { Err(looked()) }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Esp {
    fn drop(&mut self) {
        if self.ours {
            // Everything was flushed; a mount that stays does no harm.
            let _ = rustix::mount::unmount(&self.path, UnmountFlags::empty());
        }
    }
}

/// An EFI system partition of ours has systemd-boot on it.
fn is_esp(path: &Path) -> bool {
    [names::SYSTEMD_BOOT_X86_64, names::SYSTEMD_BOOT_ARM64].iter().any(|b| fs::metadata(path.join(b)).is_ok())
}

/// Whether a file system of its own is there. A plain directory of the same looks, as an ESP that is not mounted
/// leaves if somebody once wrote below its mount point, is where no firmware looks.
fn is_mounted(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let device = |path: &Path| fs::metadata(path).map(|m| m.dev());
    match (device(path), device(&path.join(".."))) {
        (Ok(own), Ok(parent)) => own != parent,
        _ => false,
    }
}

/// The UUID in an EFI variable: four bytes of attributes, then UTF-16.
fn partition(variable: &[u8]) -> Option<String> {
    let units = variable.get(4..)?.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let text = String::from_utf16(&units.take_while(|unit| *unit != 0).collect::<Vec<_>>()).ok()?;
    let text = text.to_ascii_lowercase();
    let valid = text.len() == 36 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    valid.then_some(text)
}

/// Whether `/` is not the root of the first process: in a chroot, as of an image that is being made, the
/// EFI system partition in sight is that of another system.
pub fn is_chroot() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let id = |path: &str| fs::metadata(path).map(|m| (m.dev(), m.ino()));
    match (id("/"), id("/proc/1/root/.")) {
        (Ok(ours), Ok(init)) => ours != init,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(text: &str) -> Vec<u8> {
        let units = text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes);
        [7, 0, 0, 0].into_iter().chain(units).collect()
    }

    #[test]
    fn the_variable_of_the_boot_loader_is_read() {
        let uuid = "4A67B082-0A4C-41CF-B6C7-440B29BB8C4F";
        assert_eq!(partition(&variable(uuid)).as_deref(), Some(&*uuid.to_lowercase()));
        for bad in ["", "../../../sda", "4A67B082-0A4C-41CF-B6C7-440B29BB8C4/"] {
            assert_eq!(partition(&variable(bad)), None, "{bad}");
        }
        assert_eq!(partition(&[7, 0]), None);
    }

    #[test]
    fn a_machine_without_uefi_has_none() {
        let root = tempfile::tempdir().expect("a directory");
        assert!(Esp::find(root.path()).expect("no error").is_none());
        // Firmware variables, but no partition.
        fs::create_dir_all(root.path().join("sys/firmware/efi/efivars/x")).expect("a folder");
        let error = Esp::find(root.path()).expect_err("none").to_string();
        assert!(error.contains("/efi, /boot"), "{error}");
        fs::create_dir_all(root.path().join("boot/EFI/systemd")).expect("a folder");
        fs::write(root.path().join("boot").join(names::SYSTEMD_BOOT_X86_64), "x").expect("a file");
        // It is a plain directory.
        Esp::find(root.path()).expect_err("none");
        assert!(!is_mounted(root.path()) && is_mounted(Path::new("/proc")));
        let esp = Esp::find_with(root.path(), |_| true).expect("no error").expect("a partition");
        assert_eq!(esp.path(), root.path().join("boot"));
    }
}
