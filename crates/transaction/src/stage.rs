//! Staging: every new file, complete and verified, in a hidden directory on the file system where it will
//! be.
//!
//! Packages are unpacked in parallel. Nothing in the root's own directories changes.

use crate::digest::{self, Hasher};
use crate::disk::{self, Owner};
use crate::files::{FileInfo, Kind};
use crate::package::Tail;
use crate::plan::{FileAction, Meta, Plan, Step, file_number};
use crate::prepare::{Incoming, Ordered};
use crate::root::{Root, split};
use crate::{Error, Event, Note, Observer, Ownership, Package, effect};
use lazuli_rpm::payload::Members;
use lazuli_tree::Accounts;
use rayon::prelude::*;
use rustix::fd::{AsFd as _, OwnedFd};
use rustix::fs::FileType;
use rustix::io::Errno;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::{BufReader, Read as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// Payloads up to this size are read into memory, where their frames are unpacked in parallel; larger ones are
/// streamed, so that what is in memory does not grow with the packages.
const IN_MEMORY: u64 = 2 << 20;
/// How much of a file is written at once.
const CHUNK: usize = 256 << 10;

/// A file that is to be staged: its number in the package, and where.
struct Wanted {
    file: usize,
    stage: usize,
    name: String,
    meta: Meta,
}

/// What came of staging a package.
#[derive(Default)]
struct Staged {
    /// Inode numbers by name.
    inodes: HashMap<String, u64>,
    notes: Vec<Note>,
    /// How many files could not be given their owner.
    unowned: u64,
}

/// What all packages share.
struct Context<'a> {
    stages: &'a [OwnedFd],
    labels: &'a [String],
    accounts: &'a Accounts,
    ownership: Ownership,
    progress: &'a AtomicU64,
}

/// Makes the staging directories, which must not exist, and in them one for each element: threads that make files
/// in one directory wait for each other.
pub(crate) fn make_directories(root: &Root, plan: &Plan) -> Result<(), Error> {
    let mut needed: Vec<BTreeSet<&str>> = vec![BTreeSet::new(); plan.stages.len()];
    for (stage, name) in plan.steps.iter().flat_map(Step::staged) {
        needed[stage].insert(split(name).0);
    }
    for (stage, elements) in plan.stages.iter().zip(needed) {
        let (parent, name) = split(stage);
        let directory = root.for_sync(parent)?;
        effect::mkdir(directory.as_fd(), name, 0o700, &root.label(stage))?;
        let directory = root.for_sync(stage)?;
        for element in elements {
            effect::mkdir(directory.as_fd(), element, 0o700, &root.label(&format!("{stage}/{element}")))?;
        }
    }
    Ok(())
}

/// Unpacks all packages, and fills in the inode numbers of the plan. What may not be made here is taken
/// out of the plan.
pub(crate) fn unpack(
    root: &Root,
    plan: &mut Plan,
    elements: &[Ordered],
    observer: &mut dyn Observer,
) -> Result<Vec<Note>, Error> {
    let labels: Vec<String> = plan.stages.iter().map(|stage| root.label(stage)).collect();
    let stages = plan.stages.iter().map(|s| root.for_sync(s)).collect::<Result<Vec<_>, _>>()?;
    let accounts = disk::accounts(root)?;
    let progress = AtomicU64::new(0);
    let context = Context {
        stages: &stages,
        labels: &labels,
        accounts: &accounts,
        ownership: plan.ownership,
        progress: &progress,
    };
    let mut jobs: Vec<(usize, &Incoming, Vec<Wanted>)> = plan
        .steps
        .iter()
        .zip(elements)
        .enumerate()
        .filter_map(|(i, (step, element))| Some((i, element.add.as_ref()?, wanted(&step.files))))
        .filter(|(_, _, wanted)| !wanted.is_empty())
        .collect();
    // The longest first: it would be late otherwise, and all others wait for it.
    jobs.sort_by_key(|(_, incoming, _)| std::cmp::Reverse(incoming.package.payload_size));
    let total: u64 = jobs.iter().map(|(_, i, w)| w.iter().map(|w| i.files[w.file].size).sum::<u64>()).sum();
    let mut done = std::thread::scope(|scope| {
        let (send, receive) = channel();
        let (context, jobs) = (&context, &jobs);
        scope.spawn(move || {
            let done: Result<Vec<(usize, Staged)>, Error> = jobs
                .par_iter()
                .with_max_len(1)
                .map(|(i, incoming, wanted)| Ok((*i, package(context, incoming, wanted)?)))
                .collect();
            // Nobody listens only if the observer panicked.
            let _ = send.send(done);
        });
        loop {
            match receive.recv_timeout(Duration::from_millis(50)) {
                Ok(done) => break done,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    break Err(Error::Files {
                        package: "staging".into(),
                        reason: "a thread ended unexpectedly".into(),
                    });
                }
            }
            observer.event(Event::Staged { bytes: progress.load(Ordering::Relaxed), total });
        }
    })?;
    observer.event(Event::Staged { bytes: total, total });
    done.sort_by_key(|(i, _)| *i);
    let (mut notes, mut unowned) = (Vec::new(), 0);
    for (i, staged) in done {
        plan.steps[i].files.retain_mut(|action| match action {
            FileAction::Place { name, ino, .. } => match staged.inodes.get(name) {
                Some(number) => {
                    *ino = *number;
                    true
                }
                None => false,
            },
            _ => true,
        });
        notes.extend(staged.notes);
        unowned += staged.unowned;
    }
    if unowned > 0 {
        notes.push(Note::Ownership { paths: unowned });
    }
    Ok(notes)
}

fn wanted(actions: &[FileAction]) -> Vec<Wanted> {
    let place = |action: &FileAction| match action {
        FileAction::Place { meta, stage, name, .. } => {
            let file = file_number(name)?;
            Some(Wanted { file, stage: *stage, name: name.clone(), meta: meta.clone() })
        }
        _ => None,
    };
    actions.iter().filter_map(place).collect()
}

/// Stages one package.
fn package(context: &Context<'_>, incoming: &Incoming, wanted: &[Wanted]) -> Result<Staged, Error> {
    let mut staged = Staged::default();
    // The links of one file have one content.
    let mut contents: HashMap<(u64, u64), Vec<&Wanted>> = HashMap::new();
    for want in wanted {
        let file = &incoming.files[want.file];
        if file.kind() == Kind::Regular {
            contents.entry(file.inode).or_default().push(want);
        } else if special(context, file, want, &mut staged)? {
            finish(context, file, want, &mut staged)?;
        }
    }
    if contents.is_empty() {
        return Ok(staged);
    }
    let package = &incoming.package;
    let fail = |reason: String| Error::Files { package: package.name.clone(), reason };
    // Digests that prove nothing do not protect from a change since the package was verified.
    let weak = contents.values().flatten().any(|w| !digest::is_strong(incoming.files[w.file].algorithm));
    let payload;
    let mut members = if weak || package.payload_size <= IN_MEMORY {
        payload = package.payload()?;
        if weak {
            verify_again(package, &payload)?;
        }
        Members::in_memory(&package.header, &payload)
    } else {
        let tail = Tail { file: &package.file, offset: package.payload_offset };
        Members::stream(&package.header, BufReader::with_capacity(CHUNK, tail))
    }
    .map_err(|e| fail(e.to_string()))?;
    let mut done: HashSet<(u64, u64)> = HashSet::new();
    while done.len() < contents.len() {
        let Some(entry) = members.next_member().map_err(|e| fail(e.to_string()))? else { break };
        let file = &incoming.files[entry.file];
        // Of several links the content comes with the last, unless there is none.
        if file.kind() != Kind::Regular || entry.size != file.size || !done.insert(file.inode) {
            continue;
        }
        let Some(links) = contents.get(&file.inode) else {
            done.remove(&file.inode);
            continue;
        };
        content(context, file, links, &mut members, &fail)?;
        for want in links {
            finish(context, &incoming.files[want.file], want, &mut staged)?;
        }
    }
    match contents.iter().find(|(inode, _)| !done.contains(inode)) {
        Some((_, links)) => {
            Err(fail(format!("/{} is not in the payload", incoming.files[links[0].file].path)))
        }
        None => Ok(staged),
    }
}

fn verify_again(package: &Package, payload: &[u8]) -> Result<(), Error> {
    let fail = |source| Error::Package { file: package.name.clone(), source };
    let head = lazuli_store::Digest::of(payload);
    let expected = package.header.string(lazuli_rpm::tag::PAYLOADSHA256).unwrap_or_default();
    if expected.parse() == Ok(head) {
        return Ok(());
    }
    Err(fail(lazuli_rpm::package::Error::Digest { what: "payload", expected, actual: head }))
}

/// Writes a content to the first of its links in each staging directory, and links the others.
fn content(
    context: &Context<'_>,
    file: &FileInfo,
    links: &[&Wanted],
    members: &mut Members<'_>,
    fail: &dyn Fn(String) -> Error,
) -> Result<(), Error> {
    let mut firsts: Vec<&Wanted> = Vec::new();
    for want in links {
        if !firsts.iter().any(|first| first.stage == want.stage) {
            firsts.push(want);
        }
    }
    let label = format!("/{}", file.path);
    let mut outputs = firsts
        .iter()
        .map(|w| effect::create(context.stages[w.stage].as_fd(), &w.name, &label))
        .collect::<Result<Vec<_>, _>>()?;
    let mut hasher = Hasher::new(file.algorithm)
        .ok_or_else(|| fail(format!("{label}: the digest algorithm {} is not known", file.algorithm)))?;
    let mut buffer = vec![0; CHUNK.min(usize::try_from(file.size).unwrap_or(CHUNK)).max(1)];
    let mut left = file.size;
    while left > 0 {
        let want = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        members.read_exact(&mut buffer[..want]).map_err(|e| fail(format!("{label}: {e}")))?;
        hasher.update(&buffer[..want]);
        for output in &mut outputs {
            effect::write(output, &buffer[..want], &label)?;
        }
        left -= want as u64;
        context.progress.fetch_add(want as u64, Ordering::Relaxed);
    }
    if !hasher.finish().eq_ignore_ascii_case(&file.digest) {
        return Err(fail(format!("the content of {label} does not have the digest of the header")));
    }
    for want in links {
        let Some(first) = firsts.iter().find(|first| first.stage == want.stage) else { continue };
        if first.name != want.name {
            effect::link(context.stages[want.stage].as_fd(), &first.name, &want.name, &label)?;
        }
    }
    Ok(())
}

/// Makes what is not a regular file; false if that is not permitted here.
fn special(
    context: &Context<'_>,
    file: &FileInfo,
    want: &Wanted,
    staged: &mut Staged,
) -> Result<bool, Error> {
    let label = format!("/{}", file.path);
    let directory = context.stages[want.stage].as_fd();
    let kind = match file.kind() {
        Kind::Symlink => {
            effect::symlink(&file.link, directory, &want.name, &label)?;
            return Ok(true);
        }
        Kind::Character => FileType::CharacterDevice,
        Kind::Block => FileType::BlockDevice,
        Kind::Fifo => FileType::Fifo,
        Kind::Regular | Kind::Directory | Kind::Other => {
            let reason = format!("a file of type {:o} is left out", file.mode & 0o170_000);
            staged.notes.push(Note::Skipped { path: label, reason });
            return Ok(false);
        }
    };
    match effect::mknod(directory, &want.name, kind, file.rdev, &label) {
        Ok(()) => Ok(true),
        Err(e) if disk::is(&e, &[Errno::PERM, Errno::ACCESS, Errno::NOTSUP]) => {
            let reason = format!("device nodes cannot be made here: {}", e.source);
            staged.notes.push(Note::Skipped { path: label, reason });
            Ok(false)
        }
        Err(e) => Err(e.into()),
    }
}

/// Sets the metadata of a staged file. An owner who is not known yet may be made by a script of the
/// transaction: it is looked up again before the file gets its name.
fn finish(context: &Context<'_>, file: &FileInfo, want: &Wanted, staged: &mut Staged) -> Result<(), Error> {
    let directory = context.stages[want.stage].as_fd();
    let label = format!("/{}", file.path);
    let owner = Owner::of(&want.meta, context.accounts);
    if !disk::set_meta(directory, &want.name, &want.meta, &owner, context.ownership, &label)? {
        staged.unowned += 1;
    }
    let stat = disk::stat(directory, &want.name, &context.labels[want.stage])?;
    staged.inodes.insert(want.name.clone(), stat.map_or(0, |stat| stat.st_ino));
    Ok(())
}
