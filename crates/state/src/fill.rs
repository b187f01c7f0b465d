//! What the image has in `/var`, where the state partition lacks it. What is there stays as it is.

use crate::error::{Error, Result};
use lazuli_fs as fs;
use rustix::fs::{AtFlags, CWD, Gid, Timespec, Timestamps, Uid, chownat, futimens};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Fills a directory. A file or directory has its name only when it is complete and on the disk. What cannot be filled in is
/// reported, and the rest goes on.
pub fn fill(from: &Path, to: &Path, report: &mut impl FnMut(&Path, Error)) {
    let sources = match fs::read_dir(from) {
        Ok(sources) => sources,
        Err(error) => return report(to, error.into()),
    };
    for source in sources {
        let target = to.join(source.file_name().unwrap_or_default());
        match fill_one(&source, &target) {
            Ok(true) => fill(&source, &target, report),
            Ok(false) => {}
            Err(error) => report(&target, error),
        }
    }
}

/// Fills in one name; whether it is a directory that may lack something.
fn fill_one(source: &Path, target: &Path) -> Result<bool> {
    let wanted = fs::symlink_metadata(source)?;
    match fs::symlink_metadata(target) {
        Ok(there) => Ok(there.is_dir() && wanted.is_dir()),
        Err(error) if error.is_not_found() => {
            copy(source, target, Durable::Yes)?;
            Ok(wanted.is_dir())
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether a copy has to be on the disk before it has its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durable {
    /// It has to.
    Yes,
    /// The file system is in memory.
    No,
}

/// The name of a copy that is not complete.
pub fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new~");
    name.into()
}

/// Copies a file, a symbolic link, or a directory without what is in it, with owner, mode and, for files, the time of the last change.
/// A file or link that has the name already is replaced in one step. Anything else has no business there, and is left out.
pub fn copy(from: &Path, to: &Path, durable: Durable) -> Result<()> {
    let meta = fs::symlink_metadata(from)?;
    let new = unfinished(to);
    match fs::symlink_metadata(&new) {
        Ok(left) if left.is_dir() => fs::remove_dir_all(&new)?,
        Ok(_) => fs::remove_file(&new)?,
        Err(_) => {}
    }
    if meta.is_dir() {
        fs::create_dir_all(&new)?;
        own(&new, &meta)?;
        fs::set_mode(&new, meta.mode() & 0o7777)?;
        if durable == Durable::Yes {
            fs::sync_dir(&new)?;
        }
    } else if meta.is_symlink() {
        let target = from.read_link().map_err(|source| fs::Error::new("read", from, source))?;
        fs::symlink(target, &new)?;
        own(&new, &meta)?;
    } else if meta.is_file() {
        let mut file = fs::create_new(&new, 0o600)?;
        // In pieces: what somebody put on the state partition may be larger than the memory.
        std::io::copy(&mut fs::open(from)?, &mut file)
            .map_err(|source| fs::Error::new("write", &new, source))?;
        own(&new, &meta)?;
        fs::set_mode(&new, meta.mode() & 0o7777)?;
        let changed = Timespec { tv_sec: meta.mtime(), tv_nsec: meta.mtime_nsec() };
        futimens(&file, &Timestamps { last_access: changed, last_modification: changed })
            .map_err(Error::system("set the time of", &new))?;
        if durable == Durable::Yes {
            file.sync_all().map_err(|source| fs::Error::new("flush", &new, source))?;
        }
    } else {
        return Ok(());
    }
    fs::rename(&new, to)?;
    if durable == Durable::Yes {
        fs::sync_dir(to.parent().unwrap_or(to))?;
    }
    Ok(())
}

fn own(path: &Path, meta: &Metadata) -> Result<()> {
    let (owner, group) = (Uid::from_raw(meta.uid()), Gid::from_raw(meta.gid()));
    chownat(CWD, path, Some(owner), Some(group), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(Error::system("change the owner of", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_stays_and_what_is_not_comes() {
        let dir = tempfile::tempdir().unwrap();
        let (image, state) = (dir.path().join("image"), dir.path().join("state"));
        for path in [image.join("lib/new"), image.join("log"), state.join("lib")] {
            fs::create_dir_all(path).unwrap();
        }
        fs::set_mode(image.join("lib/new"), 0o2750).unwrap();
        fs::write(image.join("lib/new/file"), "from the image").unwrap();
        fs::set_mode(image.join("lib/new/file"), 0o640).unwrap();
        fs::write(image.join("lib/kept"), "from the image").unwrap();
        fs::write(state.join("lib/kept"), "the machine's").unwrap();
        fs::write(state.join("log"), "a file where the image has a directory").unwrap();
        fs::symlink("../run", image.join("run")).unwrap();
        // Left by a cut.
        fs::write(state.join("run.new~"), "half").unwrap();
        fs::create_dir_all(state.join("lib/new.new~")).unwrap();

        for _ in 0..2 {
            fill(&image, &state, &mut |path, error| panic!("{}: {error}", path.display()));
            assert!(!state.join("lib/new.new~").exists());
            assert_eq!(fs::read_to_string(state.join("lib/new/file")).unwrap(), "from the image");
            assert_eq!(fs::read_to_string(state.join("lib/kept")).unwrap(), "the machine's");
            assert!(fs::metadata(state.join("log")).unwrap().is_file());
            assert_eq!(state.join("run").read_link().unwrap(), Path::new("../run"));
            let mode = |path: &str| fs::metadata(state.join(path)).unwrap().mode() & 0o7777;
            assert_eq!((mode("lib/new"), mode("lib/new/file")), (0o2750, 0o640));
            assert_eq!(fs::read_dir(&state).unwrap().len(), 3, "nothing is left behind");
        }
    }
    #[test]
    fn what_cannot_be_filled_in_is_told_and_the_rest_is() {
        let dir = tempfile::tempdir().unwrap();
        let (image, state) = (dir.path().join("image"), dir.path().join("state"));
        fs::create_dir_all(image.join("b")).unwrap();
        fs::create_dir_all(&state).unwrap();
        fs::write(image.join("b/file"), "").unwrap();
        // A name that is as long as names may be leaves no room for that of an unfinished copy.
        let long = "a".repeat(255);
        fs::write(image.join(&long), "").unwrap();
        let mut missing = Vec::new();
        fill(&image, &state, &mut |path, _| missing.push(path.to_owned()));
        assert_eq!(missing, [state.join(&long)]);
        assert!(state.join("b/file").exists());
    }
}
