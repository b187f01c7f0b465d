//! What becomes of each file of the packages that go.

use super::Work;
use super::decide::{disk_digest, look};
use crate::Error;
use crate::fate;
use crate::files::Kind;
use crate::plan::{EraseAction, Keep, Step, erased_name};
use lazuli_rpm::builder::FileFlags;
use lazuli_rpmdb::FileState;

impl Work<'_> {
    /// Fills in what is erased. A path goes when nobody owns it any more after the transaction, with the
    /// last element that removes an owner.
    pub(super) fn erase(&mut self, steps: &mut [Step]) -> Result<(), Error> {
        for (at, step) in steps.iter_mut().enumerate() {
            let mut actions = Vec::new();
            for hnum in self.elements[at].remove.clone() {
                let count = self.rows.get(&hnum).map_or(0, |row| row.files.len());
                for index in 0..count {
                    match self.erase_file(at, hnum, index)? {
                        Some(action) => actions.push(action),
                        None => {
                            if let Some(row) = self.rows.get_mut(&hnum) {
                                row.stays.insert(index);
                            }
                        }
                    }
                }
            }
            actions.sort_by(|a, b| path(b).cmp(path(a)));
            step.erase = actions;
        }
        Ok(())
    }

    fn erase_file(&mut self, at: usize, hnum: u32, index: usize) -> Result<Option<EraseAction>, Error> {
        let Some(row) = self.rows.get(&hnum) else { return Ok(None) };
        if row.installed.state(index) != FileState::Normal {
            return Ok(None);
        }
        let file = row.files[index].clone();
        let real = self.resolver.path(&file.path)?;
        if real.is_empty() || self.is_owned_later(at, hnum, &real)? {
            return Ok(None);
        }
        let found = look(self.root, &real)?;
        if file.kind() == Kind::Directory {
            // A link in the place of a directory is not the package's.
            let ours = found.is_none_or(|f| f.kind == Kind::Directory);
            return Ok(ours.then_some(EraseAction::Directory { path: file.path }));
        }
        if found.as_ref().is_some_and(|f| f.kind == Kind::Directory) {
            return Ok(None);
        }
        let root = self.root;
        let by = |algorithm| disk_digest(root, &real, algorithm);
        // Of several owners that go, one that has it as configuration is enough to keep it.
        let mut owners = vec![file.clone()];
        for (other, index) in self.owners.get(&real).into_iter().flatten() {
            if let Some(row) = self.rows.get(other).filter(|row| row.goes.is_some())
                && row.installed.state(*index) == FileState::Normal
            {
                owners.extend(row.files.get(*index).cloned());
            }
        }
        let changed = |f: &super::decide::Found| owners.iter().any(|o| fate::save_erased(o, &f.with(&by)));
        let save = found.as_ref().is_some_and(changed);
        let stage = self.mount(&real)?;
        Ok(Some(EraseAction::File {
            path: file.path,
            stage,
            name: erased_name(at, hnum, index),
            keep: if save { Keep::Save } else { Keep::No },
        }))
    }

    /// Whether a package that stays or comes owns the path, or one that goes later.
    fn is_owned_later(&mut self, at: usize, hnum: u32, real: &str) -> Result<bool, Error> {
        for (other, index) in self.claims.get(real).into_iter().flatten() {
            let Some(incoming) = &self.elements[*other].add else { continue };
            if incoming.states[*index] == FileState::Normal || incoming.files[*index].is(FileFlags::GHOST) {
                return Ok(true);
            }
        }
        for (other, index) in self.owners.get(real).cloned().unwrap_or_default() {
            if other == hnum {
                continue;
            }
            let Some((_, state)) = self.installed_file(other, index)? else { continue };
            let later = match self.rows[&other].goes {
                None => true,
                Some(element) => (element, other) > (at, hnum),
            };
            if state == FileState::Normal && later {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn path(action: &EraseAction) -> &str {
    match action {
        EraseAction::Directory { path } | EraseAction::File { path, .. } => path,
    }
}
