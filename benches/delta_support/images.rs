//! Two root images from the archive: the same packages, each in its newest version and in the one before, where the
//! archive still has one.

use lazuli_component::tool_root;
use lazuli_debian::closure::closure;
use lazuli_debian::index::BinaryPackage;
use lazuli_fs as fs;
use lazuli_sandbox::{Access, Sandbox};
use lazuli_tree::{Accounts, Tree, write_tar};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

#[path = "../support/archive.rs"]
mod archive;

use archive::Archive;

pub type Error = Box<dyn std::error::Error>;

/// What a host that runs containers has. No kernel: that one is built here, and lies in the UKI.
const PACKAGES: &[&str] = &[
    "apparmor",
    "base-files",
    "base-passwd",
    "bash",
    "ca-certificates",
    "chrony",
    "containerd",
    "containernetworking-plugins",
    "coreutils",
    "cryptsetup-bin",
    "curl",
    "dbus",
    "e2fsprogs",
    "findutils",
    "grep",
    "iproute2",
    "kmod",
    "libc-bin",
    "libnss-resolve",
    "login",
    "mount",
    "nftables",
    "openssh-server",
    "openssl",
    "passwd",
    "procps",
    "rsync",
    "runc",
    "sed",
    "systemd",
    "systemd-boot",
    "systemd-resolved",
    "systemd-sysv",
    "tar",
    "tpm2-tools",
    "udev",
    "util-linux",
    "xz-utils",
    "zstd",
];

/// The tools of this measurement.
const TOOLS: &[&str] =
    &["base-files", "bash", "bsdiff", "casync", "coreutils", "dash", "erofs-utils", "xdelta3", "zstd"];

/// What images of hosts go without.
const UNWANTED: &[&str] = &[
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/info",
    "usr/share/lintian",
    "-completion",
    "usr/share/zsh",
];

/// The images and where the tools are.
pub struct Images {
    pub old: PathBuf,
    pub new: PathBuf,
    pub tools: PathBuf,
    pub what: String,
}

/// Makes both images in `dir`, or takes those that are there.
pub fn make(dir: &Path) -> Result<Images, Error> {
    let images = |tools, what| Images { old: dir.join("old.erofs"), new: dir.join("new.erofs"), tools, what };
    if let (Ok(tools), Ok(what)) =
        (fs::read_to_string(dir.join("tools")), fs::read_to_string(dir.join("what")))
    {
        return Ok(images(PathBuf::from(tools.trim()), what));
    }
    let archive = Archive::open()?;
    let universe = archive.universe();
    let tools = archive.tools(TOOLS)?;
    // An update brings no packages that nothing asked for, so both images have the same ones.
    let (mut old, mut new, mut changed) = (Vec::new(), Vec::new(), Vec::new());
    for package in closure(&universe, PACKAGES)? {
        let mut versions: Vec<&BinaryPackage> = universe.versions(&package.package).to_vec();
        versions.sort_by(|a, b| b.version.cmp(&a.version));
        let before = versions.iter().find(|other| other.version < package.version).unwrap_or(&package);
        if before.version != package.version {
            changed.push(format!("{} {} -> {}", package.package, before.version, package.version));
        }
        old.push(*before);
        new.push(package);
    }
    let what = format!("{} of {} packages changed:\n  {}", changed.len(), old.len(), changed.join("\n  "));
    fs::create_dir_all(dir)?;
    archive.image(&old, &tools, dir, "old.erofs")?;
    archive.image(&new, &tools, dir, "new.erofs")?;
    fs::write(dir.join("tools"), tools.to_string_lossy().as_bytes())?;
    fs::write(dir.join("what"), &what)?;
    Ok(images(tools, what))
}

impl Archive {
    /// One image of some packages, with the flags that root images are made with.
    fn image(&self, packages: &[&BinaryPackage], tools: &Path, dir: &Path, name: &str) -> Result<(), Error> {
        self.fetch(packages)?;
        let mut tree = Tree::new();
        for package in packages {
            tree.extend(tool_root::deb_tree(&self.store, &package.package, &package.sha256)?);
        }
        // As images of hosts have it.
        tree.retain(|path, _| UNWANTED.iter().all(|unwanted| !path.as_str().contains(unwanted)));
        tree.ensure_parents();
        for (_, node) in tree.iter_mut() {
            (node.user, node.group) = ("root".into(), "root".into());
            // As root images have it: times say nothing about content.
            node.mtime = 0;
        }
        let mut child = Sandbox::new(tools)
            .bind(dir, "/build", Access::ReadWrite)
            .workdir("/build")
            .command("mkfs.erofs")
            .args(["--quiet", "--tar=f", "-T", "0", "-x-1", "-E^inline_data,force-inode-compact"])
            .args(["-U", "00000000-0000-4000-8000-000000000000", name])
            .stdin(lazuli_sandbox::Stdin::Piped)
            .stdout(lazuli_sandbox::Output::Null)
            .stderr(lazuli_sandbox::Output::Inherit)
            .spawn()?;
        let mut pipe = BufWriter::with_capacity(1 << 18, child.stdin.take().ok_or("no pipe")?);
        write_tar(&tree, &self.store, &Accounts::root_only(), &mut pipe)?;
        pipe.flush()?;
        drop(pipe);
        let status = child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("mkfs.erofs ended with {status}").into()) }
    }
}
