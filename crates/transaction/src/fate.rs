//! The rules for configuration files, as in RPM's `rpmfilesDecideFate`. Pure: what is on the disk is an
//! argument.

use crate::files::{FileInfo, Kind};
use lazuli_rpm::builder::FileFlags;

/// What becomes of a file of a package that comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is put in its place.
    Create,
    /// What is on the disk has the right content.
    Touch,
    /// What is on the disk, or is not, stays.
    Skip,
    /// It is put beside what stays: `.rpmnew`.
    New,
    /// It is put in its place, what was there becomes `.rpmsave`.
    Save,
    /// It is put in its place, what was there becomes `.rpmorig`.
    Orig,
}

/// What is on the disk. A digest is that by the algorithm of the file it is compared with.
pub(crate) struct Disk<'a> {
    pub(crate) kind: Kind,
    pub(crate) size: u64,
    pub(crate) link: String,
    /// Digest by the algorithm with this number; `None` if it cannot be read.
    pub(crate) digest: &'a dyn Fn(u32) -> Option<String>,
}

impl Disk<'_> {
    fn has_content_of(&self, file: &FileInfo) -> bool {
        self.kind == Kind::Regular
            && file.kind() == Kind::Regular
            && !file.digest.is_empty()
            && (self.digest)(file.algorithm).is_some_and(|digest| digest.eq_ignore_ascii_case(&file.digest))
    }

    fn links_like(&self, file: &FileInfo) -> bool {
        self.kind == Kind::Symlink && file.kind() == Kind::Symlink && self.link == file.link
    }
}

/// The fate of a file of which an installed package, `old`, has a version. Either is a configuration
/// file.
pub(crate) fn of_upgraded(old: &FileInfo, new: &FileInfo, disk: Option<&Disk<'_>>) -> Fate {
    if new.is(FileFlags::GHOST) {
        return Fate::Skip;
    }
    let Some(disk) = disk else {
        // Somebody removed it, and the package says that this is fine.
        return if new.is(FileFlags::MISSINGOK) { Fate::Skip } else { Fate::Create };
    };
    let changed = if new.is(FileFlags::NOREPLACE) { Fate::New } else { Fate::Save };
    match old.kind() {
        Kind::Regular => {
            if disk.has_content_of(new) {
                return Fate::Touch;
            }
            if disk.has_content_of(old) {
                return Fate::Create;
            }
            let same = new.kind() == Kind::Regular
                && old.algorithm == new.algorithm
                && old.digest == new.digest
                && !old.digest.is_empty();
            // Somebody changed it, but the packages did not.
            if !new.is(FileFlags::CONFIG) {
                Fate::Save
            } else if same {
                Fate::Skip
            } else {
                changed
            }
        }
        Kind::Symlink => {
            if disk.links_like(new) || disk.links_like(old) {
                return Fate::Create;
            }
            if new.kind() == Kind::Symlink && old.link == new.link {
                return Fate::Skip;
            }
            if new.is(FileFlags::CONFIG) { changed } else { Fate::Save }
        }
        _ => Fate::Create,
    }
}

/// The fate of a file that no installed package has.
pub(crate) fn of_new(new: &FileInfo, disk: Option<&Disk<'_>>) -> Fate {
    if new.is(FileFlags::GHOST) {
        return Fate::Skip;
    }
    let Some(disk) = disk.filter(|_| new.is(FileFlags::CONFIG)) else { return Fate::Create };
    let same = match new.kind() {
        Kind::Regular => disk.size == new.size && disk.has_content_of(new),
        Kind::Symlink => disk.links_like(new),
        _ => true,
    };
    match (same, new.is(FileFlags::NOREPLACE)) {
        (true, _) => Fate::Create,
        (false, true) => Fate::New,
        (false, false) => Fate::Orig,
    }
}

/// Whether a file of a package that goes must be kept as `.rpmsave`: somebody changed it.
pub(crate) fn save_erased(old: &FileInfo, disk: &Disk<'_>) -> bool {
    old.is(FileFlags::CONFIG)
        && old.kind() == Kind::Regular
        && disk.kind == Kind::Regular
        && !(disk.has_content_of(old))
}
