//! What becomes of each file of the packages that come.

use super::Work;
use crate::fate::{self, Disk, Fate};
use crate::files::{FileInfo, Kind};
use crate::plan::{FileAction, Keep, Meta, Step, file_number, staged_name};
use crate::root::{Root, split};
use crate::{Error, Problem, digest};
use lazuli_rpm::builder::FileFlags;
use lazuli_rpm::tag;
use lazuli_rpmdb::FileState;
use std::collections::{BTreeMap, HashSet};

/// The colour of 64-bit files, which wins where two packages bring one file in both.
const PREFERRED: u32 = 2;

/// What is at a real path of a root.
pub(crate) struct Found {
    pub(crate) kind: Kind,
    size: u64,
    link: String,
}

pub(crate) fn look(root: &Root, real: &str) -> Result<Option<Found>, Error> {
    let Some(stat) = root.stat(real)? else { return Ok(None) };
    let kind = Kind::of(stat.st_mode);
    let link = if kind == Kind::Symlink { root.read_link(real)? } else { String::new() };
    Ok(Some(Found { kind, size: stat.st_size as u64, link }))
}

/// The digest of the file at a real path, if it can be read.
pub(crate) fn disk_digest(root: &Root, real: &str, algorithm: u32) -> Option<String> {
    digest::of(algorithm, &mut root.read(real).ok()?).ok()?
}

impl Found {
    pub(crate) fn with<'a>(&self, digest: &'a dyn Fn(u32) -> Option<String>) -> Disk<'a> {
        Disk { kind: self.kind, size: self.size, link: self.link.clone(), digest }
    }
}

pub(crate) fn meta(file: &FileInfo, capabilities: bool) -> Meta {
    let name = |name: &str| if name == "root" { String::new() } else { name.to_owned() };
    Meta {
        mode: file.mode,
        mtime: file.mtime,
        user: name(&file.user),
        group: name(&file.group),
        capabilities: file.capabilities.clone().filter(|_| capabilities && file.kind() == Kind::Regular),
    }
}

/// Which of two different files of one path and of different ELF classes is installed.
enum Color {
    /// They conflict.
    Neither,
    /// The new one.
    New,
    /// The other one.
    Other,
}

fn color(new: &FileInfo, other: &FileInfo) -> Color {
    match (new.color, other.color) {
        (0, _) | (_, 0) => Color::Neither,
        (a, b) if a == b => Color::Neither,
        (_, b) if b & PREFERRED != 0 => Color::Other,
        (a, _) if a & PREFERRED != 0 => Color::New,
        _ => Color::Neither,
    }
}

impl Work<'_> {
    /// Fills in the file actions of all steps, and the states of files.
    pub(super) fn decide(&mut self, steps: &mut [Step]) -> Result<(), Error> {
        // New states of files of installed packages: by row, then by file.
        let mut changed: BTreeMap<(usize, u32), Vec<(usize, FileState)>> = BTreeMap::new();
        for (at, step) in steps.iter_mut().enumerate() {
            let Some(incoming) = &self.elements[at].add else { continue };
            let mut actions = Vec::new();
            let lua = incoming.package.header.has(tag::PRETRANS);
            for index in 0..incoming.files.len() {
                let Some(incoming) = &self.elements[at].add else { continue };
                let (file, real) = (incoming.files[index].clone(), incoming.real[index].clone());
                let (fate, state) = self.fate(at, &file, &real, &mut changed)?;
                if let Some(incoming) = &mut self.elements[at].add {
                    incoming.states[index] = state;
                    match fate {
                        Fate::Skip => drop(incoming.skipped.insert(index)),
                        Fate::New => drop(incoming.beside.insert(index)),
                        _ => {}
                    }
                }
                self.claims.entry(real.clone()).or_default().push((at, index));
                if fate != Fate::Skip
                    && let Some(action) = self.action(at, index, &file, &real, fate, lua)?
                {
                    actions.push(action);
                }
            }
            // Directories come before what is in them.
            actions.sort_by(|a, b| path(a).cmp(path(b)));
            step.files = actions;
        }
        for (at, step) in steps.iter_mut().enumerate() {
            let Some(incoming) = &self.elements[at].add else { continue };
            step.files.retain_mut(|action| {
                let FileAction::Place { name, keep, .. } = action else { return true };
                let index = file_number(name).unwrap_or(usize::MAX);
                if *keep == Keep::No {
                    *keep = incoming.keep.get(&index).copied().unwrap_or(Keep::No);
                }
                !incoming.left.contains(&index)
            });
        }
        for ((at, hnum), states) in changed {
            if let Some(row) = self.rows.get(&hnum) {
                let mut all: Vec<u8> = (0..row.files.len()).map(|i| row.installed.state(i) as u8).collect();
                for (index, state) in states {
                    all[index] = state as u8;
                }
                steps[at].states.push((hnum, all));
            }
        }
        self.check_parents()
    }

    /// The fate and the state of one file.
    fn fate(
        &mut self,
        at: usize,
        file: &FileInfo,
        real: &str,
        changed: &mut BTreeMap<(usize, u32), Vec<(usize, FileState)>>,
    ) -> Result<(Fate, FileState), Error> {
        let options = self.options;
        let absolute = format!("/{}", file.path);
        let excluded = options.exclude_paths.iter().any(|prefix| {
            let rest = absolute.strip_prefix(prefix.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        if excluded || options.nodocs && file.is(FileFlags::DOC) {
            return Ok((Fate::Skip, FileState::NotInstalled));
        }
        if options.color != 0 && file.color != 0 && file.color & options.color == 0 {
            return Ok((Fate::Skip, FileState::WrongColor));
        }
        let found = look(self.root, real)?;
        let root = self.root;
        let by = |algorithm| disk_digest(root, real, algorithm);
        let disk = found.as_ref().map(|found| found.with(&by));
        let mut fate = None;
        for (hnum, other) in self.owners.get(real).cloned().unwrap_or_default() {
            let Some((old, state)) = self.installed_file(hnum, other)? else { continue };
            let goes = self.rows[&hnum].goes.is_some();
            let config = old.is(FileFlags::CONFIG) || file.is(FileFlags::CONFIG);
            if !goes && state == FileState::Normal && !old.same(file) {
                match color(file, &old) {
                    Color::Other => return Ok((Fate::Skip, FileState::WrongColor)),
                    Color::New => {
                        changed.entry((at, hnum)).or_default().push((other, FileState::WrongColor));
                    }
                    Color::Neither if options.replace_files => {
                        if !config {
                            changed.entry((at, hnum)).or_default().push((other, FileState::Replaced));
                        }
                    }
                    Color::Neither => self.problems.push(Problem::Conflict {
                        path: absolute.clone(),
                        package: self.elements[at].label.clone(),
                        other: self.rows[&hnum].installed.nevra().to_string(),
                        installed: true,
                    }),
                }
            }
            if config {
                fate = Some(fate::of_upgraded(&old, file, disk.as_ref()));
            }
        }
        let mut fate = fate.unwrap_or_else(|| fate::of_new(file, disk.as_ref()));
        for (earlier, other) in self.claims.get(real).cloned().unwrap_or_default() {
            let Some(first) = &mut self.elements[earlier].add else { continue };
            if first.states[other] != FileState::Normal {
                continue;
            }
            let theirs = first.files[other].clone();
            if theirs.same(file) {
                // The first one puts aside what is there; after it, there is nothing of anybody's.
                match fate {
                    Fate::Save | Fate::Orig => {
                        let keep = if fate == Fate::Save { Keep::Save } else { Keep::Orig };
                        first.keep.entry(other).or_insert(keep);
                        fate = Fate::Skip;
                    }
                    // One that has it as configuration is enough to leave alone what somebody wrote.
                    _ if first.beside.contains(&other) => fate = Fate::Skip,
                    Fate::New => drop(first.left.insert(other)),
                    _ => {}
                }
                continue;
            }
            match color(file, &theirs) {
                Color::Other => return Ok((Fate::Skip, FileState::WrongColor)),
                Color::New => first.states[other] = FileState::WrongColor,
                Color::Neither if options.replace_files => first.states[other] = FileState::Replaced,
                Color::Neither => {
                    let other = self.elements[earlier].label.clone();
                    let package = self.elements[at].label.clone();
                    self.problems.push(Problem::Conflict {
                        path: absolute.clone(),
                        package,
                        other,
                        installed: false,
                    });
                }
            }
        }
        Ok((fate, FileState::Normal))
    }

    fn action(
        &mut self,
        at: usize,
        index: usize,
        file: &FileInfo,
        real: &str,
        fate: Fate,
        pretrans: bool,
    ) -> Result<Option<FileAction>, Error> {
        let meta = meta(file, !self.options.no_capabilities);
        let found = look(self.root, real)?;
        if file.kind() == Kind::Directory {
            // A link to a directory is as good as a directory: `/bin` is one.
            if found.is_some_and(|f| f.kind == Kind::Symlink) {
                let target = self.resolver.directory(&file.path, 0)?;
                if look(self.root, &target)?.is_some_and(|f| f.kind == Kind::Directory) {
                    return Ok(None);
                }
            }
            let owners = self.owners.get(real).into_iter().flatten();
            let replaces =
                owners.copied().any(|(hnum, _)| self.rows.get(&hnum).is_some_and(|r| r.goes.is_some()));
            return Ok(Some(FileAction::Directory { path: file.path.clone(), meta, replaces }));
        }
        if fate == Fate::Touch {
            return Ok(Some(FileAction::Touch { path: file.path.clone(), meta }));
        }
        let directory = found.as_ref().is_some_and(|f| f.kind == Kind::Directory);
        if directory && fate != Fate::New && !pretrans {
            self.problems.push(Problem::Directory {
                path: format!("/{}", file.path),
                package: self.elements[at].label.clone(),
            });
            return Ok(None);
        }
        let keep = match fate {
            Fate::Save => Keep::Save,
            Fate::Orig => Keep::Orig,
            _ => Keep::No,
        };
        let old = (keep != Keep::No).then(|| disk_digest(self.root, real, file.algorithm)).flatten();
        let stage = self.mount(real)?;
        let path = match fate {
            Fate::New => format!("{}.rpmnew", file.path),
            _ => file.path.clone(),
        };
        Ok(Some(FileAction::Place {
            instead_of: (fate == Fate::New).then(|| format!("/{}", file.path)),
            path,
            meta,
            stage,
            name: staged_name(at, index),
            ino: 0,
            keep,
            old,
        }))
    }

    /// A file cannot be where another needs a directory.
    fn check_parents(&mut self) -> Result<(), Error> {
        let mut problems = Vec::new();
        let mut fine: HashSet<String> = HashSet::new();
        for incoming in self.elements.iter().filter_map(|e| e.add.as_ref()) {
            for (index, (file, real)) in incoming.files.iter().zip(&incoming.real).enumerate() {
                if incoming.skipped.contains(&index) {
                    continue;
                }
                let mut above = split(real).0;
                while !above.is_empty() && fine.insert(above.to_owned()) {
                    if self.is_obstacle(above)? {
                        fine.remove(above);
                        let (path, obstacle) = (format!("/{}", file.path), format!("/{above}"));
                        problems.push(Problem::Obstacle { path, obstacle });
                        break;
                    }
                    above = split(above).0;
                }
            }
        }
        self.problems.extend(problems);
        Ok(())
    }

    /// Whether something that is not a directory is at a real path, and will be.
    fn is_obstacle(&self, real: &str) -> Result<bool, Error> {
        let claims = self.claims.get(real).into_iter().flatten();
        let mut kinds = claims.filter_map(|(at, index)| {
            let incoming = self.elements[*at].add.as_ref()?;
            // A directory is there whatever becomes of its metadata.
            let file = &incoming.files[*index];
            let counts = file.kind() == Kind::Directory || incoming.states[*index] == FileState::Normal;
            counts.then(|| file.kind())
        });
        Ok(match kinds.next() {
            Some(kind) => kind != Kind::Directory || kinds.any(|kind| kind != Kind::Directory),
            None => look(self.root, real)?.is_some_and(|found| found.kind != Kind::Directory),
        })
    }
}

fn path(action: &FileAction) -> &str {
    match action {
        FileAction::Directory { path, .. }
        | FileAction::Touch { path, .. }
        | FileAction::Place { path, .. } => path,
    }
}
