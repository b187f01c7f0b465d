//! The root file system: composed and read-only, or an overlay.

use std::collections::BTreeSet;
use std::path::Path;

use rustix::mount::MountFlags;

use super::{Layout, NEW, c_string, canonical, guest_path, host_path};
use crate::config::Access;
use crate::ops::Op;
use crate::{Error, Sandbox};

/// The lowest layer of an overlay: mount points and account files that the root lacks.
const STUBS: &str = "/stubs";
/// What tools need to find the name of user 0.
const ACCOUNTS: [(&str, &str); 3] = [
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    ),
    ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
];

/// Directories of `/usr` with a link of the same name at the top. A root made of packages whose own
/// scripts would have made the links is completed here.
const MERGED: [&str; 4] = ["bin", "lib", "lib64", "sbin"];

/// What a mount point has to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Directory,
    File,
}

impl Layout {
    /// Makes the root file system with all mount points.
    pub(super) fn root(&mut self, sandbox: &Sandbox) -> Result<(), Error> {
        let points = self.mount_points(sandbox)?;
        let merged: Vec<&str> = MERGED
            .into_iter()
            .filter(|name| lazuli_fs::symlink_metadata(self.root.join(name)).is_err())
            .filter(|name| self.root.join("usr").join(name).is_dir())
            .filter(|name| points.iter().all(|(path, _)| path.split('/').next() != Some(name)))
            .collect();
        if let Some(upper) = &sandbox.upper {
            self.overlay_root(upper, &points, &merged)
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
            self.compose("", &composed)?;
            self.merged_links(&merged, NEW)
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
    pub(super) fn resolve(&self, path: &str) -> String {
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

    fn overlay_root(
        &mut self,
        upper: &Path,
        points: &[(String, Shape)],
        merged: &[&str],
    ) -> Result<(), Error> {
        let upper = canonical(upper)?;
        let work = canonical(&crate::overlay::work_dir(&upper))?;
        self.directory(STUBS)?;
        self.merged_links(merged, STUBS)?;
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

    fn merged_links(&mut self, names: &[&str], below: &str) -> Result<(), Error> {
        for name in names {
            self.push(Op::Symlink {
                target: c_string("path", format!("usr/{name}"))?,
                path: c_string("path", format!("{below}/{name}"))?,
            });
        }
        Ok(())
    }
}

/// Whether a read-only root's path is below what is mounted in every sandbox.
fn covered_anyway(guest: &str) -> bool {
    let top = guest.split('/').next().unwrap_or_default();
    ["dev", "proc", "tmp", "run", "root"].contains(&top)
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
