//! Mounts, and the way into the root.

use crate::table::DeviceNumber;
use crate::{Error, Result, console};
use rustix::mount::{MountFlags, mount, mount_move};
use std::convert::Infallible;
use std::ffi::{CStr, OsString};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// Where the root is mounted; the composer makes the directory.
const ROOT: &str = "/sysroot";
/// What runs in it: the path that the kernel tries first, and where systemd is.
const INITS: [&str; 2] = ["/sbin/init", "/usr/lib/systemd/systemd"];
/// The type of the root's file system.
const TYPE: &str = "erofs";

/// What the kernel offers, and where: type, place, flags, options.
const KERNEL: [(&str, &str, MountFlags, &CStr); 3] = [
    ("devtmpfs", "/dev", MountFlags::NOSUID.union(MountFlags::NOEXEC), c"mode=0755"),
    ("proc", "/proc", SAFE, c""),
    ("sysfs", "/sys", SAFE, c""),
];
const SAFE: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// Mounts what the kernel offers.
pub(crate) fn mount_kernel() -> Result<()> {
    for (kind, place, flags, options) in KERNEL {
        match mount(kind, place, kind, flags, options) {
            // EBUSY: it is there already.
            Ok(()) | Err(rustix::io::Errno::BUSY) => {}
            Err(error) => return Err(Error::system("mount", place)(error)),
        }
    }
    Ok(())
}

/// Mounts the root. Nothing in it is believed to be a device: its own `/dev` is covered.
pub(crate) fn mount_root(device: DeviceNumber) -> Result<()> {
    let node = format!("/dev/dm-{}", device.minor);
    mount(&node, ROOT, TYPE, MountFlags::RDONLY, None).map_err(Error::system("mount", node))
}

/// Makes the root what `/` is, and runs its init in place of this program. Returns only if that is not possible.
pub(crate) fn into_root(arguments: &[OsString]) -> Result<Infallible> {
    for (_, place, ..) in KERNEL {
        let inside = format!("{ROOT}{place}");
        mount_move(place, &inside).map_err(Error::system("move a mount to", inside))?;
    }
    // The memory of an initrd is not given back by itself.
    remove_own_files();
    rustix::process::chdir(ROOT).map_err(Error::system("enter", ROOT))?;
    mount_move(".", "/").map_err(Error::system("move the root to", "/"))?;
    rustix::process::chroot(".").map_err(Error::system("make the root of", ROOT))?;
    rustix::process::chdir("/").map_err(Error::system("enter", "/"))?;
    let mut failed = Vec::new();
    for init in INITS {
        failed.push(Error::system("run", init)(Command::new(init).args(arguments).exec()));
    }
    let first = failed.swap_remove(0);
    for more in failed {
        console::say(console::Level::Error, &more.to_string());
    }
    Err(first)
}

/// Removes everything on the first file system, which is in memory, and nothing on any other one.
fn remove_own_files() {
    if let Ok(own) = device(Path::new("/")) {
        remove_below(Path::new("/"), own);
    }
}

// Deleting is not allowed to stop a start, so that errors are of no interest here.
#[allow(clippy::disallowed_methods)]
fn remove_below(directory: &Path, own: u64) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        // A mount point is on another device, and stays with all that is in it.
        if device(&path).is_ok_and(|device| device == own) {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove_below(&path, own);
                let _stays = std::fs::remove_dir(&path);
            } else {
                let _stays = std::fs::remove_file(&path);
            }
        }
    }
}

#[allow(clippy::disallowed_methods)]
fn device(path: &Path) -> std::io::Result<u64> {
    std::fs::symlink_metadata(path).map(|meta| meta.dev())
}
