//! The payload of a package that is being written.

use super::Error;
use super::class::{Class, HEAD};
use super::files::Item;
use crate::payload::{self, FrameWriter, Member, TRAILER};
use lazuli_store::{Digest, Hasher, Store};
use std::collections::HashMap;
use std::io::{self, Write};

/// Writes the compressed archive; returns digest and size of the uncompressed one. Contents are checked
/// against their digests on the way, and classified. `stripped` is the form for large files.
pub(super) fn write(
    items: &mut [Item<'_>],
    store: &Store,
    stripped: bool,
    level: i32,
    out: &mut impl Write,
) -> Result<(Digest, u64), Error> {
    let mut archive = FrameWriter::new(out, level);
    let mut classes: HashMap<u32, Class> = HashMap::new();
    for number in order(items) {
        let item = &items[number];
        let content = item.content().filter(|_| item.carrier);
        let target = item.target();
        let size = content.map(|(_, size)| size).or(target.map(|t| t.len() as u64)).unwrap_or(0);
        if stripped {
            payload::write_stripped(&mut archive, number as u32)?;
        } else {
            let member = Member {
                path: item.path.as_str(),
                inode: item.inode,
                mode: item.mode(),
                links: item.links,
                mtime: item.mtime(),
                size: size as u32,
                rdev: item.rdev(),
            };
            payload::write_member(&mut archive, &member)?;
        }
        if let Some(target) = target {
            archive.write_all(target.as_bytes())?;
        }
        if let Some((digest, size)) = content {
            let mut blob = store.open_blob(&digest)?;
            let mut copy = Copy { out: &mut archive, hasher: Hasher::new(), head: Vec::new() };
            let copied = io::copy(&mut blob, &mut copy)?;
            classes.insert(item.inode, Class::of_content(&copy.head));
            if copied != size || copy.hasher.finish() != digest {
                let reason =
                    format!("its content {digest} in the store is damaged; run `lazuli store verify`");
                return Err(Error::File { path: item.path.clone(), reason });
            }
        }
        payload::pad(&mut archive, size)?;
    }
    let trailer = Member { path: TRAILER, inode: 0, mode: 0, links: 1, mtime: 0, size: 0, rdev: (0, 0) };
    payload::write_member(&mut archive, &trailer)?;
    let (_, digest, size) = archive.finish()?;
    for item in items {
        if let Some(class) = classes.get(&item.inode) {
            item.class = *class;
        }
    }
    Ok((digest, size))
}

/// The files that are shipped, in the order of the archive: hard links last, those of one file one after
/// another. RPM remembers one file at a time to link others to, and joins the wrong ones otherwise.
fn order(items: &[Item<'_>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..items.len()).filter(|i| !items[*i].ghost()).collect();
    order.sort_by_key(|i| if items[*i].links > 1 { items[*i].inode } else { 0 });
    order
}

/// Passes a file's content on, hashing it and keeping its first bytes.
struct Copy<W> {
    out: W,
    hasher: Hasher,
    head: Vec<u8>,
}

impl<W: Write> Write for Copy<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        let missing = HEAD - self.head.len();
        self.head.extend_from_slice(&bytes[..n.min(missing)]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
