//! Whether everything has room: staged files beside the old ones, the database, the journal.

use super::Work;
use crate::plan::{FileAction, Step, file_number};
use crate::{Error, Problem};
use lazuli_fs::Context as _;
use std::collections::HashSet;

/// What a file system must keep free for others, and for what is not counted here: directories, extents.
const RESERVE: u64 = 4 << 20;

impl Work<'_> {
    /// Adds a problem for each file system that is too small.
    pub(super) fn check_space(&mut self, steps: &[Step]) -> Result<(), Error> {
        if self.options.ignore_space {
            return Ok(());
        }
        // The database and the journal.
        let headers: Vec<_> =
            self.elements.iter().filter_map(|e| e.add.as_ref()).map(|a| &a.package.header).collect();
        let database = self.database.space_for(headers.iter().copied());
        let journal: u64 = headers.iter().map(|h| h.size() as u64 * 2).sum();
        let at_database = self.mount("usr/lib/sysimage/rpm/x")?;
        let at_journal = self.mount("var/lib/lapis/txn/x")?;
        let mut needs = vec![(0_u64, 0_u64); self.mounts.list.len()];
        needs[at_database].0 += database;
        needs[at_journal].0 += journal;
        for (step, element) in steps.iter().zip(&self.elements) {
            let Some(incoming) = &element.add else { continue };
            let mut counted = HashSet::new();
            for action in &step.files {
                let FileAction::Place { stage, name, .. } = action else { continue };
                let index: usize = file_number(name).unwrap_or(0);
                let Some(file) = incoming.files.get(index) else { continue };
                if counted.insert(file.inode) {
                    needs[*stage].0 += file.size.next_multiple_of(4096);
                    needs[*stage].1 += 1;
                }
            }
        }
        for ((bytes, inodes), (_, top)) in needs.into_iter().zip(&self.mounts.list) {
            let Some(directory) = self.root.directory(top)? else { continue };
            let label = self.root.path().join(top);
            let free = rustix::fs::fstatvfs(&*directory).at("ask the size of", &label)?;
            let available = free.f_bavail.saturating_mul(free.f_frsize);
            if bytes > 0 && bytes + RESERVE > available {
                let needed = (bytes + RESERVE).saturating_sub(available);
                self.problems.push(Problem::Space { mount: label.clone(), needed, available });
            }
            // File systems such as btrfs count no inodes, and say 0.
            if free.f_files > 0 && inodes > free.f_favail {
                let available = free.f_favail;
                self.problems.push(Problem::Inodes { mount: label, needed: inodes, available });
            }
        }
        Ok(())
    }
}
