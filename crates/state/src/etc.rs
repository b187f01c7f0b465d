//! The layer over `/etc`. It is in memory: the next boot begins with what is in the image, and gets the settings that
//! were kept.

use crate::error::{Error, Result};
use lazuli_fs as fs;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::ffi::CString;
use std::os::fd::AsRawFd as _;
use std::path::Path;

/// Where the layer is mounted.
const LAYER: &str = "/run/lazuli/etc";
/// A setting is a file, and nothing in `/etc` is a device.
const FLAGS: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// Lays it. systemd has found the machine's identity by then.
pub fn lay() -> Result<()> {
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let layer = Path::new(LAYER);
    fs::create_dir_all(layer)?;
    // A file system of its own, so that a full /etc fills nothing else.
    let options = c"mode=0755,size=64M,nr_inodes=16k";
    mount("lazuli-etc", layer, "tmpfs", FLAGS, options).map_err(Error::system("mount a tmpfs on", layer))?;
    let (upper, work) = (layer.join("upper"), layer.join("work"));
    fs::create_dir_all(&upper)?;
    fs::create_dir_all(&work)?;
    // The identity that systemd found (from the firmware, or made for this boot) is mounted over the image's file, and
    // mounts do not show through an overlay.
    let identity_mount = rustix::fs::open("/etc/machine-id", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(Error::system("open", "/etc/machine-id"))?;
    let identity = upper.join("machine-id");
    fs::write(&identity, fs::read("/etc/machine-id")?)?;
    fs::set_mode(&identity, 0o444)?;
    let options = format!("lowerdir=/etc,upperdir={},workdir={}", upper.display(), work.display());
    let options = CString::new(options).unwrap_or_default();
    mount("lazuli-etc", "/etc", "overlay", FLAGS, options.as_c_str())
        .map_err(Error::system("mount an overlay on", "/etc"))?;
    // Below the overlay nobody could unmount that file when the machine stops. By now nobody looks for it there.
    match unmount(format!("/proc/self/fd/{}", identity_mount.as_raw_fd()), UnmountFlags::DETACH) {
        // It was never mounted.
        Ok(()) | Err(Errno::INVAL) => {}
        Err(error) => eprintln!("<4>etc: /etc/machine-id stays mounted below the overlay: {error}"),
    }
    Ok(())
}
