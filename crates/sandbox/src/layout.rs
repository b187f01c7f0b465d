//! From a sandbox's description to the list of steps that builds it.
//!
//! While it is being built, a scratch tmpfs is the root directory: the host's root hangs at [`HOST`],
//! the new root at [`NEW`]. In the end `NEW` becomes the root and everything else is let go of.
//!
//! A read-only root is composed, so that mount points which it lacks need no writing to it: `NEW` is
//! a tmpfs, and each entry of the root's top level is bound into it. A deeper directory that lacks a
//! mount point is composed in the same way. A writable root is an overlay whose lowest layer has the
//! missing mount points.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::mount::MountFlags;

mod root;

use crate::config::Access;
use crate::ops::Op;
use crate::{Error, Network, Sandbox};

/// Where the host's root is while the sandbox is being built.
pub(crate) const HOST: &str = "/host";
/// Where the new root is while the sandbox is being built.
pub(crate) const NEW: &str = "/new";
/// Contents of [`Sandbox::file`].
const FILES: &str = "/files";

/// Scratch file systems that every sandbox has, with their options.
const SCRATCH: [(&str, &str); 2] = [("tmp", "mode=1777"), ("run", "mode=0755")];
/// Device nodes that every sandbox has.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
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

/// A host path as the child sees it while it builds.
fn host_path(path: &Path) -> Vec<u8> {
    let mut text = HOST.as_bytes().to_vec();
    text.extend_from_slice(path.as_os_str().as_bytes());
    text
}
