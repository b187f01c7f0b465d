//! From a sandbox's description to the list of steps that builds it.
//!
//! While it is being built, a scratch tmpfs is the root directory: the host's root hangs at [`HOST`],
//! the new root at [`NEW`]. In the end `NEW` becomes the root and everything else is let go of.
//!
//! A read-only root is composed, so that mount points which it lacks need no writing to it: `NEW` is
//! a tmpfs, and each entry of the root's top level is bound into it. A deeper directory that lacks a
//! mount point is composed in the same way. A writable root is an overlay whose lowest layer has the
//! missing mount points.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::mount::MountFlags;

use crate::config::Access;
use crate::ops::Op;
use crate::{Error, Network, Sandbox};

/// Where the host's root is while the sandbox is being built.
pub(crate) const HOST: &str = "/host";
/// Where the new root is while the sandbox is being built.
pub(crate) const NEW: &str = "/new";
/// The lowest layer of an overlay: mount points and account files that the root lacks.
const STUBS: &str = "/stubs";
/// Contents of [`Sandbox::file`].
const FILES: &str = "/files";

/// Scratch file systems that every sandbox has, with their options.
const SCRATCH: [(&str, &str); 2] = [("tmp", "mode=1777"), ("run", "mode=0755")];
/// Device nodes that every sandbox has.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// What tools need to find the name of user 0.
const ACCOUNTS: [(&str, &str); 3] = [
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    ),
    ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
];

/// What a mount point has to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Directory,
    File,
}

/// A path or text for a system call.
pub(crate) fn c_string(what: &str, bytes: impl AsRef<[u8]>) -> Result<CString, Error> {
    CString::new(bytes.as_ref()).map_err(|_| Error::Invalid {
        what: format!("{what} `{}`", String::from_utf8_lossy(bytes.as_ref()).escape_debug()),
        reason: "it has a NUL byte".to_owned(),
    })
}

/// The steps for `sandbox`, in order. `uid` and `gid` are the caller's effective ones.
pub(crate) fn plan(sandbox: &Sandbox, uid: u32, gid: u32, terminal: bool) -> Result<Vec<Op>, Error> {
    let root = canonical(&sandbox.root)?;
    let mut layout = Layout { ops: Vec::new(), root, covered: Vec::new(), writable: sandbox.upper.is_some() };
    layout.namespaces(uid, gid)?;
    let base = ["/tmp", "/run", "/mnt", "/var"].into_iter().find(|p| Path::new(p).is_dir()).unwrap_or("/");
    layout.enter_scratch(base)?;
    layout.root(sandbox)?;
    layout.devices(sandbox, terminal)?;
    for (path, options) in SCRATCH {
        layout.tmpfs(path, options)?;
    }
    if sandbox.upper.is_none() {
        layout.tmpfs("root", "mode=0700")?;
    }
    layout.proc()?;
    for bind in &sandbox.binds {
        layout.bind(&bind.host, &guest_path(&bind.guest)?, bind.access)?;
    }
    for (number, (path, content)) in sandbox.files.iter().enumerate() {
        layout.file(number, &guest_path(path)?, content)?;
    }
    layout.finish(sandbox)?;
    Ok(layout.ops)
}

/// An absolute path inside, without its leading slash and never leaving the root.
fn guest_path(text: &str) -> Result<String, Error> {
    let path = lazuli_tree::TreePath::new(text)
        .map_err(|e| Error::Invalid { what: format!("the path `{text}` inside"), reason: e.to_string() })?;
    if path.as_str().is_empty() {
        return Err(Error::Invalid {
            what: format!("the path `{text}` inside"),
            reason: "nothing can be put over the whole root; make it the sandbox's root".to_owned(),
        });
    }
    Ok(path.as_str().to_owned())
}

/// Symbolic links must be followed now: the child sees the host's root at another place.
fn canonical(path: &Path) -> Result<PathBuf, Error> {
    use lazuli_fs::Context as _;
    Ok(path.canonicalize().at("find", path)?)
}

struct Layout {
    ops: Vec<Op>,
    root: PathBuf,
    /// Guest paths with a mount of their own: what is below them is not the root's business.
    covered: Vec<String>,
    writable: bool,
}

impl Layout {
    fn push(&mut self, op: Op) {
        self.ops.push(op);
    }

    fn namespaces(&mut self, uid: u32, gid: u32) -> Result<(), Error> {
        for (path, content) in [
            ("/proc/self/setgroups", "deny".to_owned()),
            ("/proc/self/uid_map", format!("0 {uid} 1")),
            ("/proc/self/gid_map", format!("0 {gid} 1")),
        ] {
            self.push(Op::Proc { path: c_string("path", path)?, content: content.into_bytes() });
        }
        Ok(())
    }

    fn enter_scratch(&mut self, base: &str) -> Result<(), Error> {
        self.push(Op::Isolate);
        self.mount("tmpfs", base, "mode=0755")?;
        self.directory(&format!("{base}{HOST}"))?;
        self.push(Op::PivotRoot {
            path: c_string("path", base)?,
            old: c_string("path", format!("{base}{HOST}"))?,
        });
        self.push(Op::Enter { path: c"/".to_owned() });
        self.directory(NEW)
    }

    fn root(&mut self, sandbox: &Sandbox) -> Result<(), Error> {
        let points = self.mount_points(sandbox)?;
        if let Some(upper) = &sandbox.upper {
            self.overlay_root(upper, &points)
        } else {
            self.mount("tmpfs", NEW, "mode=0755")?;
            let mut composed = BTreeSet::from([String::new()]);
            let lacking = |path: &str| !covered_anyway(path) && !self.root.join(path).exists();
            for (path, _) in points.iter().filter(|(path, _)| lacking(path)) {
                let mut parent = path.as_str();
                while let Some((above, _)) = parent.rsplit_once('/') {
                    parent = above;
                    if self.root.join(parent).is_dir() {
                        composed.insert(parent.to_owned());
                    }
                }
            }
            self.compose("", &composed)
        }
    }

    /// All places something will be mounted on in the root itself, with symbolic links followed.
    fn mount_points(&self, sandbox: &Sandbox) -> Result<Vec<(String, Shape)>, Error> {
        let mut points: Vec<(String, Shape)> =
            ["dev", "proc", "tmp", "run"].map(|path| (path.to_owned(), Shape::Directory)).into();
        if sandbox.upper.is_none() {
            points.push(("root".to_owned(), Shape::Directory));
            for (path, _) in ACCOUNTS {
                points.push((self.resolve(path), Shape::File));
            }
        }
        for bind in &sandbox.binds {
            let shape = if canonical(&bind.host)?.is_dir() { Shape::Directory } else { Shape::File };
            points.push((self.resolve(&guest_path(&bind.guest)?), shape));
        }
        for (path, _) in &sandbox.files {
            points.push((self.resolve(&guest_path(path)?), Shape::File));
        }
        Ok(points)
    }

    /// Follows the root's symbolic links in a guest path, never leaving the root. What does not exist
    /// is kept as it is.
    fn resolve(&self, path: &str) -> String {
        let mut done: Vec<String> = Vec::new();
        let mut todo: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let mut links = 0;
        while let Some(part) = todo.pop() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    done.pop();
                    continue;
                }
                _ => {}
            }
            let here = self.root.join(done.join("/")).join(&part);
            match rustix::fs::readlink(&here, Vec::new()) {
                Ok(target) if links < 40 => {
                    links += 1;
                    let target = target.to_string_lossy().into_owned();
                    if target.starts_with('/') {
                        done.clear();
                    }
                    todo.extend(target.split('/').rev().map(str::to_owned));
                }
                _ => done.push(part),
            }
        }
        done.join("/")
    }

    fn compose(&mut self, dir: &str, composed: &BTreeSet<String>) -> Result<(), Error> {
        for host in lazuli_fs::read_dir(self.root.join(dir))? {
            let Some(name) = host.file_name() else { continue };
            let name = name.to_str().ok_or_else(|| Error::Invalid {
                what: format!("the file name {}", host.display()),
                reason: "it is not UTF-8".to_owned(),
            })?;
            let guest = if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") };
            let target = format!("{NEW}/{guest}");
            let kind = lazuli_fs::symlink_metadata(&host)?.file_type();
            if kind.is_symlink() {
                use lazuli_fs::Context as _;
                let link = rustix::fs::readlink(&host, Vec::new()).at("read the symbolic link", &host)?;
                self.push(Op::Symlink { target: link, path: c_string("path", target)? });
            } else if composed.contains(&guest) {
                self.directory(&target)?;
                self.compose(&guest, composed)?;
            } else if kind.is_dir() {
                self.directory(&target)?;
                if !covered_anyway(&guest) {
                    self.show(&host, &target, Access::ReadOnly)?;
                }
            } else if kind.is_file() {
                self.placeholder(&target)?;
                self.show(&host, &target, Access::ReadOnly)?;
            }
        }
        if dir.is_empty() {
            for (path, content) in ACCOUNTS {
                let path = self.resolve(path);
                if !self.root.join(&path).exists() {
                    self.parents(&path)?;
                    self.push(Op::File {
                        path: c_string("path", format!("{NEW}/{path}"))?,
                        content: content.as_bytes().to_vec(),
                    });
                }
            }
        }
        Ok(())
    }

    fn overlay_root(&mut self, upper: &Path, points: &[(String, Shape)]) -> Result<(), Error> {
        let upper = canonical(upper)?;
        let work = canonical(&crate::overlay::work_dir(&upper))?;
        self.directory(STUBS)?;
        let mut made = BTreeSet::new();
        let accounts = ACCOUNTS.map(|(path, content)| (self.resolve(path), Some(content)));
        let missing = points
            .iter()
            .map(|(path, shape)| (path.clone(), (*shape == Shape::File).then_some("")))
            .chain(accounts)
            .filter(|(path, _)| !self.root.join(path).exists())
            .collect::<Vec<_>>();
        for (path, content) in missing {
            let mut above = String::new();
            for part in path.split('/') {
                above = format!("{above}/{part}");
                let target = format!("{STUBS}{above}");
                let last = above.len() == path.len() + 1;
                if !made.insert(target.clone()) {
                    continue;
                }
                match content {
                    Some(content) if last => self.push(Op::File {
                        path: c_string("path", target)?,
                        content: content.as_bytes().to_vec(),
                    }),
                    _ => self.directory(&target)?,
                }
            }
        }
        let mut options = b"userxattr,lowerdir=".to_vec();
        escape(&host_path(&self.root), &mut options);
        options.extend_from_slice(b":");
        options.extend_from_slice(STUBS.as_bytes());
        options.extend_from_slice(b",upperdir=");
        escape(&host_path(&upper), &mut options);
        options.extend_from_slice(b",workdir=");
        escape(&host_path(&work), &mut options);
        self.push(Op::Mount {
            kind: c"overlay".to_owned(),
            target: c_string("path", NEW)?,
            flags: MountFlags::NOSUID | MountFlags::NODEV,
            data: c_string("overlay options", options)?,
        });
        Ok(())
    }

    fn devices(&mut self, sandbox: &Sandbox, terminal: bool) -> Result<(), Error> {
        self.tmpfs("dev", "mode=0755")?;
        let extra = sandbox.devices.iter().map(|path| path.strip_prefix("/dev").unwrap_or(path).to_owned());
        for name in DEVICES.map(PathBuf::from).into_iter().chain(extra) {
            let host = Path::new("/dev").join(&name);
            // A process without a terminal may be without /dev/tty too.
            if name == Path::new("tty") && !terminal && !host.exists() {
                continue;
            }
            let guest = format!("dev/{}", name.display());
            self.parents(&guest)?;
            self.placeholder(&format!("{NEW}/{guest}"))?;
            self.push(Op::Bind {
                source: c_string("path", host_path(&host))?,
                target: c_string("path", format!("{NEW}/{guest}"))?,
            });
        }
        for (target, name) in [
            ("/proc/self/fd", "fd"),
            ("/proc/self/fd/0", "stdin"),
            ("/proc/self/fd/1", "stdout"),
            ("/proc/self/fd/2", "stderr"),
            ("pts/ptmx", "ptmx"),
        ] {
            self.push(Op::Symlink {
                target: c_string("path", target)?,
                path: c_string("path", format!("{NEW}/dev/{name}"))?,
            });
        }
        self.directory(&format!("{NEW}/dev/pts"))?;
        self.push(Op::Mount {
            kind: c"devpts".to_owned(),
            target: c_string("path", format!("{NEW}/dev/pts"))?,
            flags: MountFlags::NOSUID | MountFlags::NOEXEC,
            data: c"newinstance,ptmxmode=0666,mode=0620".to_owned(),
        });
        self.tmpfs("dev/shm", "mode=1777")
    }

    fn proc(&mut self) -> Result<(), Error> {
        self.directory(&format!("{NEW}/proc"))?;
        self.covered.push("proc".to_owned());
        self.push(Op::Mount {
            kind: c"proc".to_owned(),
            target: c_string("path", format!("{NEW}/proc"))?,
            flags: MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC,
            data: CString::default(),
        });
        Ok(())
    }

    fn bind(&mut self, host: &Path, guest: &str, access: Access) -> Result<(), Error> {
        let host = canonical(host)?;
        let guest = self.place(guest);
        self.parents(&guest)?;
        let target = format!("{NEW}/{guest}");
        if host.is_dir() {
            self.directory(&target)?;
        } else {
            self.placeholder(&target)?;
        }
        self.show(&host, &target, access)?;
        self.covered.push(guest);
        Ok(())
    }

    fn file(&mut self, number: usize, guest: &str, content: &[u8]) -> Result<(), Error> {
        if number == 0 {
            self.directory(FILES)?;
        }
        let source = format!("{FILES}/{number}");
        self.push(Op::File { path: c_string("path", &source)?, content: content.to_vec() });
        let guest = self.place(guest);
        self.parents(&guest)?;
        let target = c_string("path", format!("{NEW}/{guest}"))?;
        self.push(Op::Placeholder { path: target.clone() });
        self.push(Op::Bind { source: c_string("path", source)?, target: target.clone() });
        self.push(Op::Restrict { target, read_only: true, recursive: false });
        Ok(())
    }

    fn finish(&mut self, sandbox: &Sandbox) -> Result<(), Error> {
        if !self.writable {
            self.push(Op::Restrict { target: c_string("path", NEW)?, read_only: true, recursive: false });
        }
        self.push(Op::Hostname { name: sandbox.hostname.clone().into_bytes() });
        if sandbox.network == Network::None {
            self.push(Op::Loopback);
        }
        self.push(Op::Enter { path: c_string("path", NEW)? });
        // The old root lands on top of the new one and is taken off again, so no directory for it
        // has to exist.
        self.push(Op::PivotRoot { path: c".".to_owned(), old: c".".to_owned() });
        self.push(Op::Detach { path: c".".to_owned() });
        self.push(Op::Enter { path: c_string("working directory", &sandbox.workdir)? });
        self.push(Op::NoNewPrivileges);
        Ok(())
    }

    /// Where a guest path really is: below something already mounted as it stands, else with the
    /// root's symbolic links followed.
    fn place(&self, guest: &str) -> String {
        let below = |mount: &String| guest.strip_prefix(mount.as_str()).is_some_and(|r| r.starts_with('/'));
        if self.covered.iter().any(below) { guest.to_owned() } else { self.resolve(guest) }
    }

    fn show(&mut self, host: &Path, target: &str, access: Access) -> Result<(), Error> {
        let target = c_string("path", target)?;
        self.push(Op::Bind { source: c_string("path", host_path(host))?, target: target.clone() });
        self.push(Op::Restrict { target, read_only: access == Access::ReadOnly, recursive: true });
        Ok(())
    }

    fn tmpfs(&mut self, guest: &str, options: &str) -> Result<(), Error> {
        self.directory(&format!("{NEW}/{guest}"))?;
        self.mount("tmpfs", &format!("{NEW}/{guest}"), options)?;
        self.covered.push(guest.to_owned());
        Ok(())
    }

    fn mount(&mut self, kind: &str, target: &str, options: &str) -> Result<(), Error> {
        self.push(Op::Mount {
            kind: c_string("file system", kind)?,
            target: c_string("path", target)?,
            flags: MountFlags::NOSUID | MountFlags::NODEV,
            data: c_string("options", options)?,
        });
        Ok(())
    }

    fn parents(&mut self, guest: &str) -> Result<(), Error> {
        for (end, _) in guest.match_indices('/') {
            let above = guest.get(..end).unwrap_or_default();
            self.directory(&format!("{NEW}/{above}"))?;
        }
        Ok(())
    }

    fn directory(&mut self, path: &str) -> Result<(), Error> {
        self.push(Op::Directory { path: c_string("path", path)?, mode: 0o755 });
        Ok(())
    }

    fn placeholder(&mut self, path: &str) -> Result<(), Error> {
        self.push(Op::Placeholder { path: c_string("path", path)? });
        Ok(())
    }
}

/// Whether a read-only root's path is below what is mounted in every sandbox.
fn covered_anyway(guest: &str) -> bool {
    let top = guest.split('/').next().unwrap_or_default();
    ["dev", "proc", "tmp", "run", "root"].contains(&top)
}

/// A host path as the child sees it while it builds.
fn host_path(path: &Path) -> Vec<u8> {
    let mut text = HOST.as_bytes().to_vec();
    text.extend_from_slice(path.as_os_str().as_bytes());
    text
}

/// Overlay options take `\` before a comma, a colon and itself.
fn escape(path: &[u8], into: &mut Vec<u8>) {
    for &byte in path {
        if matches!(byte, b',' | b':' | b'\\') {
            into.push(b'\\');
        }
        into.push(byte);
    }
}
