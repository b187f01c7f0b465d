//! Putting one file in its place, or taking it away. Each can be done again, and then does what is left.

use super::Apply;
use crate::disk::{self, Owner};
use crate::files::Kind;
use crate::plan::{EraseAction, FileAction, Keep, Meta};
use crate::root::split;
use crate::{Error, Note, Ownership, effect};
use rustix::fd::{AsFd as _, BorrowedFd};
use rustix::io::Errno;

/// Errors that may be gone at the next try: the transaction waits for it.
const LATER: [Errno; 5] = [Errno::NOSPC, Errno::IO, Errno::DQUOT, Errno::NOMEM, Errno::NFILE];

/// The suffix of what was in the way and belongs to nobody.
const MOVED: &str = ".rpmmoved";

/// A staged file.
struct Staged<'a> {
    stage: &'a str,
    name: &'a str,
    ino: u64,
    keep: Keep,
}

impl Apply<'_> {
    /// One file of a package that comes. A path that refuses, because it is immutable or a mount point,
    /// does not stop the transaction: it is noted.
    pub(super) fn file(&mut self, action: &FileAction) -> Result<(), Error> {
        let (path, result) = match action {
            FileAction::Directory { path, meta, replaces } => (path, self.directory(path, meta, *replaces)),
            FileAction::Touch { path, meta } => (path, self.touch(path, meta)),
            FileAction::Place { path, meta, stage, name, ino, keep, instead_of, .. } => {
                let staged = Staged { stage: &self.plan.stages[*stage], name, ino: *ino, keep: *keep };
                let result = self.place(path, meta, &staged);
                let result = match (result, instead_of) {
                    (Ok(()), Some(config)) => {
                        self.note(Note::NewConfig { path: config.clone(), new: format!("/{path}") })
                    }
                    (result, _) => result,
                };
                (path, result)
            }
        };
        self.tolerate(path, result)
    }

    /// Turns an error that would come again at every try into a note.
    fn tolerate(&mut self, path: &str, result: Result<(), Error>) -> Result<(), Error> {
        match result {
            Err(Error::Fs(e)) if e.source.raw_os_error().is_some() && !disk::is(&e, &LATER) => {
                self.note(Note::Kept { path: format!("/{path}"), reason: e.to_string() })
            }
            Err(Error::Problems(problems)) => {
                self.note(Note::Kept { path: format!("/{path}"), reason: problems.to_string() })
            }
            other => other,
        }
    }

    fn set_meta(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &str,
        meta: &Meta,
        path: &str,
    ) -> Result<(), Error> {
        let owner = Owner::of(meta, &self.accounts);
        let label = self.root.label(path);
        disk::set_meta(directory, name, meta, &owner, self.plan.ownership, &label)?;
        match owner.unknown {
            Some(unknown) => {
                let name = unknown.to_owned();
                self.note(Note::Owner { path: format!("/{path}"), name })
            }
            None => Ok(()),
        }
    }

    fn directory(&mut self, path: &str, meta: &Meta, replaces: bool) -> Result<(), Error> {
        let (parent, name) = split(path);
        disk::make_directories(self.root, parent)?;
        let Some(directory) = self.root.directory(parent)? else { return self.obstacle(path) };
        let label = self.root.label(path);
        match disk::stat(directory.as_fd(), name, &label)? {
            None => effect::mkdir(directory.as_fd(), name, 0o700, &label)?,
            Some(stat) => match Kind::of(stat.st_mode) {
                Kind::Directory => {}
                Kind::Symlink if self.root.directory(path)?.is_some() => return Ok(()),
                _ => {
                    if replaces {
                        effect::unlink(directory.as_fd(), name, &label)?;
                    } else {
                        self.move_aside(directory.as_fd(), (directory.as_fd(), name), path, ".rpmorig")?;
                    }
                    effect::mkdir(directory.as_fd(), name, 0o700, &label)?;
                }
            },
        }
        self.set_meta(directory.as_fd(), name, meta, path)
    }

    fn obstacle(&self, path: &str) -> Result<(), Error> {
        let source = std::io::Error::from(std::io::ErrorKind::NotADirectory);
        Err(lazuli_fs::Error::new("open the directory above", self.root.label(path), source).into())
    }

    fn touch(&mut self, path: &str, meta: &Meta) -> Result<(), Error> {
        let (parent, name) = split(path);
        let Some(directory) = self.root.directory(parent)? else { return Ok(()) };
        let there = disk::stat(directory.as_fd(), name, &self.root.label(path))?;
        // It was looked at before scripts ran.
        match there {
            Some(stat) if Kind::of(stat.st_mode) == Kind::of(meta.mode) => {
                self.set_meta(directory.as_fd(), name, meta, path)
            }
            _ => Ok(()),
        }
    }

    /// Renames what is in the way to a name beside `path` that is free.
    fn move_aside(
        &mut self,
        directory: BorrowedFd<'_>,
        from: (BorrowedFd<'_>, &str),
        path: &str,
        suffix: &str,
    ) -> Result<(), Error> {
        let name = split(path).1;
        for number in 0..1000 {
            let end = if number == 0 { suffix.to_owned() } else { format!("{suffix}.{number}") };
            let to = format!("{name}{end}");
            let label = self.root.label(&format!("{path}{end}"));
            match effect::rename_new(from, (directory, &to), &label) {
                Err(e) if disk::is(&e, &[Errno::EXIST]) => {}
                Err(e) => return Err(e.into()),
                Ok(()) => {
                    let (path, saved) = (format!("/{path}"), format!("/{path}{end}"));
                    return self.note(Note::Saved { path, saved });
                }
            }
        }
        self.obstacle(path)
    }

    fn place(&mut self, path: &str, meta: &Meta, staged: &Staged<'_>) -> Result<(), Error> {
        let Some(stage) = self.root.directory(staged.stage)? else { return Ok(()) };
        let from = (stage.as_fd(), staged.name);
        let there = disk::stat(from.0, from.1, &self.root.label(staged.stage))?;
        // Neither the new file nor an old one: all of this was done.
        let Some(stat) = there else { return Ok(()) };
        let (parent, name) = split(path);
        if stat.st_ino == staged.ino {
            self.correct_owner(from, stat.st_uid, stat.st_gid, meta, path)?;
            disk::make_directories(self.root, parent)?;
            let Some(directory) = self.root.directory(parent)? else { return self.obstacle(path) };
            let (to, label) = ((directory.as_fd(), name), self.root.label(path));
            if disk::stat(to.0, to.1, &label)?.is_none() {
                return rename_new(from, to, &label);
            }
            match effect::exchange(from, to, &label) {
                Ok(()) => {}
                Err(e) if disk::is(&e, &[Errno::INVAL, Errno::NOSYS]) => {
                    return self.place_without_exchange(from, to, path, staged.keep);
                }
                Err(e) => return Err(e.into()),
            }
        }
        // The old one is in the staging directory now.
        let Some(directory) = self.root.directory(parent)? else { return self.obstacle(path) };
        let Some(stat) = disk::stat(from.0, from.1, &self.root.label(staged.stage))? else { return Ok(()) };
        if Kind::of(stat.st_mode) == Kind::Directory {
            return self.move_aside(directory.as_fd(), from, path, MOVED);
        }
        self.keep(directory.as_fd(), from, path, staged.keep)
    }

    /// Moves an old file to its `.rpmsave` or `.rpmorig`, over an older one of that name.
    fn keep(
        &mut self,
        directory: BorrowedFd<'_>,
        from: (BorrowedFd<'_>, &str),
        path: &str,
        keep: Keep,
    ) -> Result<(), Error> {
        let Some(suffix) = keep.suffix() else { return Ok(()) };
        let saved = format!("{path}{suffix}");
        // Before the rename, so that a crash between the two does not lose the note.
        self.note(Note::Saved { path: format!("/{path}"), saved: format!("/{saved}") })?;
        match effect::rename(from, (directory, split(&saved).1), &self.root.label(&saved)) {
            Err(e) if disk::is(&e, &[Errno::ISDIR]) => self.move_aside(directory, from, path, suffix),
            other => Ok(other?),
        }
    }

    /// For file systems that cannot exchange names.
    fn place_without_exchange(
        &mut self,
        from: (BorrowedFd<'_>, &str),
        to: (BorrowedFd<'_>, &str),
        path: &str,
        keep: Keep,
    ) -> Result<(), Error> {
        let label = self.root.label(path);
        let directory =
            disk::stat(to.0, to.1, &label)?.is_some_and(|s| Kind::of(s.st_mode) == Kind::Directory);
        if directory {
            self.move_aside(to.0, to, path, MOVED)?;
        } else if keep != Keep::No {
            self.keep(to.0, to, path, keep)?;
        }
        Ok(effect::rename(from, to, &label)?)
    }

    /// Gives a staged file its owner, who may have been made since it was staged.
    fn correct_owner(
        &mut self,
        from: (BorrowedFd<'_>, &str),
        uid: u32,
        gid: u32,
        meta: &Meta,
        path: &str,
    ) -> Result<(), Error> {
        let owner = Owner::of(meta, &self.accounts);
        let right = owner.unknown.is_none() && (owner.uid, owner.gid) == (uid, gid);
        if right || self.plan.ownership == Ownership::Caller {
            return Ok(());
        }
        self.set_meta(from.0, from.1, meta, path)
    }

    /// One file of a package that goes.
    pub(super) fn erase(&mut self, action: &EraseAction) -> Result<(), Error> {
        let (path, result) = match action {
            EraseAction::Directory { path } => (path, self.erase_directory(path)),
            EraseAction::File { path, stage, name, keep } => {
                (path, self.erase_file(path, &self.plan.stages[*stage], name, *keep))
            }
        };
        self.tolerate(path, result)
    }

    fn erase_directory(&mut self, path: &str) -> Result<(), Error> {
        let (parent, name) = split(path);
        let Some(directory) = self.root.directory(parent)? else { return Ok(()) };
        match effect::rmdir(directory.as_fd(), name, &self.root.label(path)) {
            // Somebody has something in it: it stays, as with RPM.
            Err(e) if disk::is(&e, &[Errno::NOENT, Errno::NOTEMPTY, Errno::EXIST, Errno::NOTDIR]) => Ok(()),
            other => Ok(other?),
        }
    }

    fn erase_file(&mut self, path: &str, stage: &str, name: &str, keep: Keep) -> Result<(), Error> {
        let (parent, own) = split(path);
        let Some(stage) = self.root.directory(stage)? else { return Ok(()) };
        let Some(directory) = self.root.directory(parent)? else { return Ok(()) };
        let (label, trash) = (self.root.label(path), (stage.as_fd(), name));
        if disk::stat(trash.0, trash.1, &label)?.is_none() {
            match disk::stat(directory.as_fd(), own, &label)? {
                Some(stat) if Kind::of(stat.st_mode) != Kind::Directory => {}
                _ => return Ok(()),
            }
            effect::rename((directory.as_fd(), own), trash, &label)?;
        }
        self.keep(directory.as_fd(), trash, path, keep)
    }
}

/// Renames to a free name; plainly where that is not possible, as on some network file systems.
fn rename_new(from: (BorrowedFd<'_>, &str), to: (BorrowedFd<'_>, &str), label: &str) -> Result<(), Error> {
    match effect::rename_new(from, to, label) {
        Err(e) if disk::is(&e, &[Errno::INVAL, Errno::NOSYS]) => Ok(effect::rename(from, to, label)?),
        other => Ok(other?),
    }
}
