//! `primary` into an index, while it is decompressed.
//!
//! ```text
//! one thread    decompresses, hashes, cuts where packages begin
//! all threads   parse the pieces: a package's record knows nothing of the others
//! this thread   adds the packages to the index, in their order
//! ```
//!
//! At no time is more in memory than a few pieces, the longest record, and what the index keeps. Content that is not as expected is
//! read once more as a whole, which has the words and the place for what is wrong.

use crate::error::{Error, Result};
use crate::index::Builder;
use lazuli_repo::{Package, Verified, parse_packages};
use lazuli_store::Digest;
use rayon::prelude::*;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// The size of a piece, roughly.
const PIECE: usize = 256 << 10;
/// No text can hold the markup that begins a package. A comment can; what is cut there is no XML.
const START: &[u8] = b"<package ";
const END: &[u8] = b"</metadata>";

/// A part of the document.
enum Piece {
    /// Everything before the first package.
    Head(Vec<u8>),
    /// Whole packages; behind the last one comes the end of the document.
    Packages(Vec<u8>),
}

/// Makes the index of `primary`, whose bytes are given as they are stored.
pub(crate) fn index(
    verified: &Verified,
    bytes: &[u8],
    repository: &str,
    path: &Path,
    digest: &Digest,
) -> Result<()> {
    let metadata = |source| Error::Metadata { repository: repository.to_owned(), source: Box::new(source) };
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut builder = Builder::new(dir)?;
    let (streamed, added) = std::thread::scope(|scope| {
        let threads = rayon::current_num_threads().max(1);
        let (send, receive) = sync_channel(threads);
        let streamed = scope.spawn(move || stream(verified, bytes, send));
        let added = add(&receive, threads, &mut builder);
        // Whoever sends must not wait for somebody who no longer listens.
        drop(receive);
        (streamed.join(), added)
    });
    match streamed {
        Ok(streamed) => streamed.map_err(metadata)?,
        Err(panic) => std::panic::resume_unwind(panic),
    }
    if !added? {
        builder = Builder::new(dir)?;
        let open = verified.open("primary", bytes).map_err(metadata)?;
        for package in parse_packages(&open, None, None).map_err(metadata)? {
            builder.package(&package)?;
        }
    }
    Ok(builder.finish(path, digest)?)
}

fn stream(verified: &Verified, bytes: &[u8], send: SyncSender<Piece>) -> lazuli_repo::Result<()> {
    let mut cutter = Cutter { pending: Vec::new(), limit: PIECE, head: false, last: None, send };
    verified.stream("primary", bytes, &mut |piece| {
        cutter.take(piece);
        Ok(())
    })?;
    cutter.finish();
    Ok(())
}

/// Cuts a document that comes in pieces of any size.
struct Cutter {
    pending: Vec<u8>,
    /// From which size on a piece is sent.
    limit: usize,
    /// Whether the head was sent.
    head: bool,
    /// Where the last package begins that is not the first of what is pending.
    last: Option<usize>,
    send: SyncSender<Piece>,
}

impl Cutter {
    fn take(&mut self, piece: &[u8]) {
        // The markup may begin in what came before.
        let mut from = self.pending.len().saturating_sub(START.len());
        self.pending.extend_from_slice(piece);
        if !self.head {
            let Some(at) = find(&self.pending, START, from) else { return };
            let rest = self.pending.split_off(at);
            self.put(rest, Piece::Head);
            self.head = true;
            from = 0;
        }
        // Only what is new is searched: a record without end would take the square of its length otherwise.
        let from = from.min(self.pending.len());
        if let Some(at) = memchr::memmem::rfind(&self.pending[from..], START).filter(|at| from + at > 0) {
            self.last = Some(from + at);
        }
        if self.pending.len() >= self.limit
            && let Some(at) = self.last.take()
        {
            let rest = self.pending.split_off(at);
            self.put(rest, Piece::Packages);
        }
    }

    fn finish(mut self) {
        if self.head {
            self.put(Vec::new(), Piece::Packages);
        }
    }

    /// Sends what is pending; `rest` is pending from now on.
    fn put(&mut self, rest: Vec<u8>, kind: fn(Vec<u8>) -> Piece) {
        let piece = std::mem::replace(&mut self.pending, rest);
        // Nobody listens any more if something was not as expected.
        let _ = self.send.send(kind(piece));
    }
}

/// Adds the packages of all pieces; false if something is not as expected, the announced number for example.
fn add(pieces: &Receiver<Piece>, threads: usize, builder: &mut Builder) -> Result<bool> {
    let (mut announced, mut count) = (None, 0);
    let mut batch = Vec::new();
    while let Ok(first) = pieces.recv() {
        batch.push(first);
        while batch.len() < threads
            && let Ok(more) = pieces.try_recv()
        {
            batch.push(more);
        }
        let mut bodies = Vec::new();
        for piece in batch.drain(..) {
            match piece {
                Piece::Head(head) => announced = number(&head),
                Piece::Packages(body) => bodies.push(body),
            }
        }
        let parsed: Vec<Option<Vec<Package>>> = bodies.into_par_iter().map(|body| parse(&body)).collect();
        for packages in parsed {
            let Some(packages) = packages else { return Ok(false) };
            count += packages.len();
            for package in &packages {
                builder.package(package)?;
            }
        }
    }
    Ok(announced == Some(count))
}

/// The packages of a piece, made a document by itself.
fn parse(body: &[u8]) -> Option<Vec<Package>> {
    let body = memchr::memmem::rfind(body, END).map_or(body, |end| &body[..end]);
    let count = memchr::memmem::find_iter(body, START).count();
    let mut document = format!("<metadata packages=\"{count}\">").into_bytes();
    document.reserve_exact(body.len() + END.len());
    document.extend_from_slice(body);
    document.extend_from_slice(END);
    parse_packages(&document, None, None).ok()
}

/// The number of packages that the head announces.
fn number(head: &[u8]) -> Option<usize> {
    let at = find(head, b"packages=\"", 0)?;
    let digits = head.get(at + 10..)?.split(|b| *b == b'"').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn find(bytes: &[u8], what: &[u8], from: usize) -> Option<usize> {
    memchr::memmem::find(bytes.get(from..)?, what).map(|at| at + from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(count: usize, announced: usize, between: &str) -> Vec<u8> {
        let mut text = format!("<?xml version=\"1.0\"?>\n<metadata packages=\"{announced}\">\n");
        for n in 0..count {
            text += &format!(
                "<package type=\"rpm\"><name>p{n}</name><arch>noarch</arch>\
                 <version epoch=\"0\" ver=\"{n}\" rel=\"1\"/><checksum type=\"sha256\">{n:064x}</checksum>\
                 <summary>not a &lt;package </summary><location href=\"p/{n}.rpm\"/></package>\n"
            );
            if n == count / 2 {
                text += between;
            }
        }
        (text + "</metadata>\n").into_bytes()
    }

    /// The index of a document that comes in steps and is cut at a limit; `None` if it is not as expected.
    fn indexed(document: &[u8], step: usize, limit: usize) -> Option<Vec<u8>> {
        let dir = tempfile::tempdir().expect("a directory");
        let (send, receive) = sync_channel(document.len());
        let mut cutter = Cutter { pending: Vec::new(), limit, head: false, last: None, send };
        document.chunks(step).for_each(|piece| cutter.take(piece));
        cutter.finish();
        let mut builder = Builder::new(dir.path()).expect("an index");
        if !add(&receive, 3, &mut builder).expect("packages") {
            return None;
        }
        let path = dir.path().join("index");
        builder.finish(&path, &Digest::of("source")).expect("an index");
        Some(lazuli_fs::read(path).expect("an index"))
    }

    #[test]
    fn pieces_make_the_index_that_the_whole_makes() {
        let document = document(40, 40, "");
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("index");
        let packages = parse_packages(&document, None, None).expect("packages");
        crate::index::build(&path, &Digest::of("source"), &packages).expect("an index");
        let whole = lazuli_fs::read(path).expect("an index");
        for step in [1, 7, 8, 100, 1 << 20] {
            for limit in [1, 300, 5000, 1 << 20] {
                assert!(indexed(&document, step, limit).as_ref() == Some(&whole), "{step} {limit}");
            }
        }
    }

    /// A record of 32 MiB in 8,192 steps: searching all that is pending at each of them would read 128 GiB.
    #[test]
    fn a_long_record_costs_no_more_than_its_length() {
        let long = document(4, 4, &" ".repeat(32 << 20));
        let begun = std::time::Instant::now();
        let (send, receive) = sync_channel(64);
        let mut cutter = Cutter { pending: Vec::new(), limit: PIECE, head: false, last: None, send };
        long.chunks(4096).for_each(|piece| cutter.take(piece));
        cutter.finish();
        assert!(receive.iter().count() >= 2);
        assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
    }

    #[test]
    fn what_is_odd_is_left_to_the_reader_of_the_whole() {
        for (what, odd) in [
            ("a wrong number", document(40, 41, "")),
            ("no package", document(0, 0, "")),
            ("a package in a comment", document(40, 40, "<!-- <package type=\"rpm\"></package> -->")),
            ("an unfinished package", document(40, 40, "<package type=\"rpm\">")),
        ] {
            for (step, limit) in [(7, 1), (100, 300), (1 << 20, 1 << 20)] {
                let made = indexed(&odd, step, limit);
                // In one piece a comment is a comment.
                assert!(made.is_none() || limit == 1 << 20 && what.ends_with("comment"), "{what} {step}");
            }
        }
    }
}
