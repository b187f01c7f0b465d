//! Reading back what a command changed in a writable root.
//!
//! The upper directory of an overlay holds every path that was made or changed, under the same path
//! with its new content. Two kinds of entry are marks of overlayfs: a character device 0/0 stands for a
//! path that was removed, and a directory with the attribute `user.overlay.opaque` = `y` replaces the
//! lower one with all it had.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use lazuli_tree::TreePath;

use crate::Error;

/// One entry of an overlay's upper directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The path was made or changed: its new state is in the upper directory under the same path.
    Write(TreePath),
    /// The path was removed.
    Delete(TreePath),
    /// The directory was replaced: nothing of the old one below it remains.
    Opaque(TreePath),
}

/// Overlayfs' own scratch directory beside `upper`; it must be on the same file system.
pub(crate) fn work_dir(upper: &Path) -> PathBuf {
    let mut name = upper.file_name().unwrap_or_default().to_owned();
    name.push(".overlay-work");
    upper.with_file_name(name)
}

/// Makes both directories.
pub(crate) fn prepare(upper: &Path) -> Result<(), Error> {
    lazuli_fs::create_dir_all(upper)?;
    let work = work_dir(&{
        use lazuli_fs::Context as _;
        upper.canonicalize().at("find", upper)?
    });
    // What an earlier command left there is of no use to the next one.
    unlock(&work);
    lazuli_fs::remove_dir_all(&work)?;
    Ok(lazuli_fs::create_dir_all(work)?)
}

/// Removes overlayfs' scratch directory beside `upper`, when no more commands will run on it.
pub fn finish(upper: &Path) -> Result<(), Error> {
    use lazuli_fs::Context as _;
    let work = work_dir(&upper.canonicalize().at("find", upper)?);
    unlock(&work);
    Ok(lazuli_fs::remove_dir_all(work)?)
}

/// Overlayfs leaves a directory without any permission in its work directory, with a whiteout in it that
/// an ordinary user could otherwise not remove.
fn unlock(work: &Path) {
    // Absent when nothing was written.
    let _absent = lazuli_fs::set_mode(work.join("work"), 0o700);
}

/// The changes in `upper`, sorted, parents first. The directory itself is not among them, and neither
/// are directories on the way that were only passed through: overlayfs does not tell the difference, so
/// each directory with a change below it is a [`Change::Write`] too.
pub fn changes(upper: &Path) -> Result<Vec<Change>, Error> {
    let mut found = Vec::new();
    collect(upper, &TreePath::root(), &mut found)?;
    Ok(found)
}

fn collect(dir: &Path, at: &TreePath, found: &mut Vec<Change>) -> Result<(), Error> {
    for path in lazuli_fs::read_dir(dir)? {
        let metadata = lazuli_fs::symlink_metadata(&path)?;
        let invalid =
            |reason: String| Error::Invalid { what: format!("the path {}", path.display()), reason };
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| invalid("it is not UTF-8".to_owned()))?;
        let here = at.join(name).map_err(|e| invalid(e.to_string()))?;
        if metadata.file_type().is_char_device() && metadata.rdev() == 0 {
            found.push(Change::Delete(here));
        } else if metadata.is_dir() {
            let mut mark = [0; 2];
            let opaque = rustix::fs::lgetxattr(&path, "user.overlay.opaque", &mut mark[..])
                .is_ok_and(|length| length == 1 && mark[0] == b'y');
            found.push(if opaque { Change::Opaque(here.clone()) } else { Change::Write(here.clone()) });
            collect(&path, &here, found)?;
        } else {
            found.push(Change::Write(here));
        }
    }
    Ok(())
}
