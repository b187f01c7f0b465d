//! Reading the archive.

use super::files::{File, FileList};
use super::{Error, MAX_FILE, TRAILER};
use lazuli_store::{Digest, Store};
use lazuli_tree::{Kind, Tree, TreePath};
use std::collections::HashMap;
use std::io::{self, Read};

/// Size of the fixed part of a member's header in bytes, in the newc and in the stripped form.
const NEWC: u64 = 110;
const STRIPPED: u64 = 14;
/// The longest name: a path, `./` before it and the NUL after it.
const MAX_NAME: u32 = 4096 + 3;
/// Contents up to this size are put into the store in one piece.
const SMALL: u64 = 1 << 20;

/// The links of one file.
#[derive(Default)]
struct Links<'a> {
    /// How many members are still to come.
    left: usize,
    /// Members without content, before the one with it.
    waiting: Vec<&'a File>,
    /// The one with the content.
    carrier: Option<TreePath>,
}

/// Reads the archive; regular files go into `tree`, their contents into the store.
pub(super) fn read(
    input: &mut dyn Read,
    files: &FileList,
    store: &Store,
    tree: &mut Tree,
) -> Result<(), Error> {
    let mut links: HashMap<(u64, u64), Links<'_>> = HashMap::new();
    for file in files.shipped().filter(|f| f.regular()) {
        links.entry(file.inode).or_default().left += 1;
    }
    for number in 1_usize.. {
        let fail = |reason: String| Error::Archive { member: number, reason };
        let Some((file, size)) = next(input, files, &fail)? else { break };
        if !file.regular() {
            // What is here, the target of a link, is in the header too.
            let size = size.unwrap_or(if file.link.is_empty() { 0 } else { file.size });
            if size > u64::from(MAX_NAME) {
                return Err(fail(format!("{} has {size} bytes of data", file.path)));
            }
            io::copy(&mut input.take(size), &mut io::sink())?;
            skip_padding(input, size)?;
            continue;
        }
        let set = links.entry(file.inode).or_default();
        let last = match set.left {
            0 => return Err(fail(format!("{} comes more often than the header says", file.path))),
            left => left == 1,
        };
        set.left -= 1;
        let size = size.unwrap_or(if last { file.size } else { 0 });
        if size == 0 && !(last && file.size == 0) {
            match &set.carrier {
                Some(path) => insert(tree, file, Kind::HardLink { to: path.clone() }, &fail)?,
                None => set.waiting.push(file),
            }
            continue;
        }
        if size != file.size || size > MAX_FILE {
            return Err(fail(format!("{} has {size} bytes, not {}", file.path, file.size)));
        }
        let digest = copy_content(&mut input.take(size), size, store)?;
        skip_padding(input, size)?;
        if file.digest.len() == 64 && file.digest != digest.to_string() {
            return Err(fail(format!("the content of {} does not have the digest of the header", file.path)));
        }
        insert(tree, file, Kind::File { digest, size }, &fail)?;
        for link in std::mem::take(&mut set.waiting) {
            insert(tree, link, Kind::HardLink { to: file.path.clone() }, &fail)?;
        }
        set.carrier = Some(file.path.clone());
    }
    Ok(())
}

fn insert(tree: &mut Tree, file: &File, kind: Kind, fail: &dyn Fn(String) -> Error) -> Result<(), Error> {
    match tree.insert(file.path.clone(), file.node(kind)) {
        None => Ok(()),
        Some(_) => Err(fail(format!("{} is in the archive twice", file.path))),
    }
}

/// The file of the next member, and its size if the archive says it; nothing at the end.
pub(super) fn next<'a>(
    input: &mut dyn Read,
    files: &'a FileList,
    fail: &dyn Fn(String) -> Error,
) -> Result<Option<(&'a File, Option<u64>)>, Error> {
    let mut magic = [0; 6];
    input.read_exact(&mut magic)?;
    match &magic {
        b"070701" | b"070702" => {
            let mut rest = [0; 104];
            input.read_exact(&mut rest)?;
            let field = |i: usize| hexadecimal(&rest[i * 8..i * 8 + 8], fail);
            let (size, name_len) = (field(6)?, field(11)?);
            if name_len == 0 || name_len > MAX_NAME {
                return Err(fail(format!("a name of {name_len} bytes")));
            }
            let mut name = vec![0; name_len as usize];
            input.read_exact(&mut name)?;
            name.pop();
            skip_padding(input, NEWC + u64::from(name_len))?;
            if name == TRAILER.as_bytes() {
                return Ok(None);
            }
            let path = TreePath::from_bytes(&name).map_err(|e| fail(e.to_string()))?;
            let file = files.at(&path).filter(|file| !file.ghost);
            let file = file.ok_or_else(|| fail(format!("{path} is not in the header")))?;
            Ok(Some((file, Some(u64::from(size)))))
        }
        b"07070X" => {
            let mut index = [0; 8];
            input.read_exact(&mut index)?;
            let index = hexadecimal(&index, fail)?;
            skip_padding(input, STRIPPED)?;
            let file = files.number(index as usize).filter(|file| !file.ghost);
            Ok(Some((file.ok_or_else(|| fail(format!("file {index} is not in the header")))?, None)))
        }
        _ => Err(fail("it does not start with the magic of a cpio member".into())),
    }
}

fn hexadecimal(digits: &[u8], fail: &dyn Fn(String) -> Error) -> Result<u32, Error> {
    std::str::from_utf8(digits)
        .ok()
        .and_then(|text| u32::from_str_radix(text, 16).ok())
        .ok_or_else(|| fail("a field of the header is not a hexadecimal number".into()))
}

pub(super) fn skip_padding(input: &mut dyn Read, after: u64) -> io::Result<()> {
    let mut zeros = [0; 3];
    input.read_exact(&mut zeros[..(after.next_multiple_of(4) - after) as usize])
}

fn copy_content(content: &mut dyn Read, size: u64, store: &Store) -> Result<Digest, Error> {
    if size <= SMALL {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        if bytes.len() as u64 != size {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        return Ok(store.put(&bytes)?);
    }
    let mut writer = store.writer()?;
    if io::copy(content, &mut writer)? != size {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(writer.finish()?.0)
}
