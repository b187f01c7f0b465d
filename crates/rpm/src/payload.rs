//! Payloads: a cpio archive ("new ASCII", 070701), compressed.
//!
//! What we write is a single valid zstd stream of several frames of about 4 MiB each, so that frames
//! can be compressed and unpacked in parallel. What we read may also be gzip, xz or nothing, and the
//! archive may be RPM's stripped form (07070X), whose members are numbers of files in the header.

use crate::header::Header;
use crate::tag;
use lazuli_store::{Digest, Hasher, Store};
use lazuli_tree::{Kind, Node, Tree, TreePath};
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write};

/// Uncompressed bytes in one frame.
const FRAME: usize = 4 << 20;
/// Frames compressed at once.
const BATCH: usize = 8;
/// The most bytes that one file of a payload may have.
const MAX_FILE: u64 = 16 << 30;
/// The most uncompressed bytes of one frame that are unpacked in memory.
const MAX_FRAME: u64 = 256 << 20;

/// Why a payload cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Unpacking.
    #[error("payload: {0}")]
    Io(#[from] io::Error),
    /// The archive.
    #[error("payload, member {member}: {reason}")]
    Archive {
        /// Number of the member from 1, and its name if known.
        member: String,
        /// What is wrong.
        reason: String,
    },
    /// The header's file list.
    #[error("file list of the header: {0}")]
    Files(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] lazuli_store::Error),
}

/// Compresses what is written to it into zstd frames, several at once.
pub(crate) struct FrameWriter<W: Write> {
    out: W,
    level: i32,
    buffer: Vec<u8>,
    ready: Vec<Vec<u8>>,
    plain: Hasher,
    size: u64,
}

impl<W: Write> FrameWriter<W> {
    pub(crate) fn new(out: W, level: i32) -> Self {
        Self { out, level, buffer: Vec::new(), ready: Vec::new(), plain: Hasher::new(), size: 0 }
    }

    fn flush_batch(&mut self) -> io::Result<()> {
        let frames: Vec<Vec<u8>> = std::mem::take(&mut self.ready)
            .par_iter()
            .map(|frame| zstd::bulk::compress(frame, self.level))
            .collect::<io::Result<_>>()?;
        frames.iter().try_for_each(|frame| self.out.write_all(frame))
    }

    /// Ends the stream. Returns the writer, the digest and the size of what was written to this one.
    pub(crate) fn finish(mut self) -> io::Result<(W, Digest, u64)> {
        let last = std::mem::take(&mut self.buffer);
        if !last.is_empty() {
            self.ready.push(last);
        }
        self.flush_batch()?;
        self.out.flush()?;
        Ok((self.out, self.plain.finish(), self.size))
    }
}

impl<W: Write> Write for FrameWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(FRAME - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..n]);
        self.plain.update(&bytes[..n]);
        self.size += n as u64;
        if self.buffer.len() == FRAME {
            self.ready.push(std::mem::take(&mut self.buffer));
            if self.ready.len() == BATCH {
                self.flush_batch()?;
            }
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One member's header fields that matter to RPM.
pub(crate) struct Member<'a> {
    pub(crate) path: &'a str,
    pub(crate) inode: u32,
    pub(crate) mode: u32,
    pub(crate) links: u32,
    pub(crate) mtime: u32,
    pub(crate) size: u32,
    pub(crate) rdev: (u32, u32),
}

/// Writes a member's header and name; its content follows, padded by [`pad`].
pub(crate) fn write_member(out: &mut impl Write, member: &Member<'_>) -> io::Result<()> {
    let name = if member.path == TRAILER { TRAILER.to_owned() } else { format!("./{}", member.path) };
    let mut header = String::from("070701");
    let fields = [
        member.inode,
        member.mode,
        0, // owners are names in the header
        0,
        member.links,
        member.mtime,
        member.size,
        0,
        0,
        member.rdev.0,
        member.rdev.1,
        name.len() as u32 + 1,
        0,
    ];
    for field in fields {
        header.push_str(&format!("{field:08x}"));
    }
    header.push_str(&name);
    header.push('\0');
    out.write_all(header.as_bytes())?;
    pad(out, header.len() as u64)
}

/// Pads to a multiple of 4 after `written` bytes.
pub(crate) fn pad(out: &mut impl Write, written: u64) -> io::Result<()> {
    let zeros = [0; 3];
    out.write_all(&zeros[..(written.next_multiple_of(4) - written) as usize])
}

/// The name of the last member.
pub(crate) const TRAILER: &str = "TRAILER!!!";

/// The files of a package as a tree; contents go into the store. Each content is checked against the
/// digest that the header has for it. Ghosts are not in the tree: they are not in the payload.
pub fn payload_tree(header: &Header, payload: &[u8], store: &Store) -> Result<Tree, Error> {
    let files = FileList::read(header)?;
    let mut tree = Tree::new();
    for file in files.by_path.values() {
        if file.ghost {
            continue;
        }
        let kind = match file.mode & 0o170_000 {
            0o040_000 => Kind::Directory,
            0o120_000 => Kind::Symlink { target: file.link.clone() },
            0o020_000 => Kind::CharDevice { major: file.rdev.0, minor: file.rdev.1 },
            0o060_000 => Kind::BlockDevice { major: file.rdev.0, minor: file.rdev.1 },
            0o010_000 => Kind::Fifo,
            // Filled in below, from the payload.
            0o100_000 => continue,
            mode => return Err(Error::Files(format!("{}: unknown file type {mode:o}", file.path))),
        };
        tree.insert(file.path.clone(), file.node(kind));
    }
    let compressor = header.string(tag::PAYLOADCOMPRESSOR);
    let mut input = unpack(compressor.as_deref().unwrap_or("gzip"), payload)?;
    read_cpio(&mut input, &files, store, &mut tree)?;
    if let Some(file) = files
        .by_path
        .values()
        .find(|f| f.mode & 0o170_000 == 0o100_000 && !f.ghost && !tree.contains(&f.path))
    {
        return Err(Error::Files(format!("{} is not in the payload", file.path)));
    }
    Ok(tree)
}

/// The uncompressed payload as a stream.
fn unpack<'a>(compressor: &str, payload: &'a [u8]) -> Result<Box<dyn Read + 'a>, Error> {
    Ok(match compressor {
        "zstd" => match frames(payload) {
            Some(frames) if frames.len() > 1 => {
                Box::new(ParallelFrames { frames, next: 0, batch: Vec::new(), at: (0, 0) })
            }
            _ => Box::new(zstd::stream::read::Decoder::new(payload)?),
        },
        "gzip" => Box::new(flate2::read::MultiGzDecoder::new(payload)),
        "xz" | "lzma" => Box::new(liblzma::read::XzDecoder::new_multi_decoder(payload)),
        "none" | "identity" => Box::new(payload),
        other => {
            let reason = format!("compressed with `{other}`, which is none of zstd, gzip, xz");
            return Err(Error::Archive { member: "1".into(), reason });
        }
    })
}

/// The frames of a zstd stream that say how large they are unpacked; `None` if one does not.
fn frames(payload: &[u8]) -> Option<Vec<&[u8]>> {
    let mut frames = Vec::new();
    let mut rest = payload;
    while !rest.is_empty() {
        let len = zstd::zstd_safe::find_frame_compressed_size(rest).ok()?;
        let (frame, after) = rest.split_at_checked(len)?;
        let size = zstd::zstd_safe::get_frame_content_size(frame).ok()??;
        if size > MAX_FRAME {
            return None;
        }
        frames.push(frame);
        rest = after;
    }
    Some(frames)
}

/// Reads frames in order, unpacking a batch of them in parallel ahead of the reader.
struct ParallelFrames<'a> {
    frames: Vec<&'a [u8]>,
    next: usize,
    batch: Vec<Vec<u8>>,
    /// Frame of the batch and byte in it.
    at: (usize, usize),
}

impl Read for ParallelFrames<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(frame) = self.batch.get(self.at.0) {
                let rest = &frame[self.at.1..];
                if rest.is_empty() {
                    self.at = (self.at.0 + 1, 0);
                    continue;
                }
                let n = rest.len().min(out.len());
                out[..n].copy_from_slice(&rest[..n]);
                self.at.1 += n;
                return Ok(n);
            }
            if self.next == self.frames.len() {
                return Ok(0);
            }
            let end = (self.next + BATCH).min(self.frames.len());
            self.batch = self.frames[self.next..end]
                .par_iter()
                .map(|frame| zstd::stream::decode_all(*frame))
                .collect::<io::Result<_>>()?;
            (self.next, self.at) = (end, (0, 0));
        }
    }
}

/// What the header says about one file.
struct File {
    path: TreePath,
    mode: u32,
    mtime: i64,
    user: String,
    group: String,
    link: String,
    digest: String,
    size: u64,
    inode: (u64, u64),
    rdev: (u32, u32),
    caps: String,
    ghost: bool,
}

impl File {
    fn node(&self, kind: Kind) -> Node {
        let mut node = Node {
            kind,
            mode: self.mode & 0o7777,
            user: self.user.clone(),
            group: self.group.clone(),
            mtime: self.mtime,
            xattrs: BTreeMap::new(),
        };
        if let Some(value) = crate::caps::parse(&self.caps).filter(|_| !self.caps.is_empty()) {
            node.xattrs.insert("security.capability".into(), value);
        }
        node
    }
}

struct FileList {
    by_path: BTreeMap<TreePath, File>,
    /// In the header's order, for the stripped archive.
    order: Vec<TreePath>,
}

impl FileList {
    fn read(header: &Header) -> Result<Self, Error> {
        let modes = header.numbers(tag::FILEMODES);
        let mtimes = header.numbers(tag::FILEMTIMES);
        let users = header.strings(tag::FILEUSERNAME);
        let groups = header.strings(tag::FILEGROUPNAME);
        let links = header.strings(tag::FILELINKTOS);
        let digests = header.strings(tag::FILEDIGESTS);
        let flags = header.numbers(tag::FILEFLAGS);
        let devices = header.numbers(tag::FILEDEVICES);
        let inodes = header.numbers(tag::FILEINODES);
        let rdevs = header.numbers(tag::FILERDEVS);
        let caps = header.strings(tag::FILECAPS);
        let sizes = header.file_sizes();
        let mut list = Self { by_path: BTreeMap::new(), order: Vec::new() };
        for (i, path) in header.paths().iter().enumerate() {
            let path = TreePath::new(path).map_err(|e| Error::Files(e.to_string()))?;
            let need = |list: &[u64], what: &str| {
                list.get(i).copied().ok_or_else(|| Error::Files(format!("{path} has no {what}")))
            };
            let text = |list: &[String]| list.get(i).cloned().unwrap_or_default();
            let rdev = rdevs.get(i).copied().unwrap_or(0);
            let file = File {
                mode: need(&modes, "mode")? as u32,
                mtime: need(&mtimes, "time")? as i64,
                user: text(&users),
                group: text(&groups),
                link: text(&links),
                digest: text(&digests),
                size: need(&sizes, "size")?,
                inode: (devices.get(i).copied().unwrap_or(0), inodes.get(i).copied().unwrap_or(i as u64 + 1)),
                rdev: ((rdev >> 8) as u32 & 0xff, rdev as u32 & 0xff),
                caps: text(&caps),
                ghost: flags.get(i).is_some_and(|f| f & 64 != 0),
                path: path.clone(),
            };
            list.order.push(path.clone());
            list.by_path.insert(path, file);
        }
        Ok(list)
    }
}

fn read_cpio(input: &mut dyn Read, files: &FileList, store: &Store, tree: &mut Tree) -> Result<(), Error> {
    // Hard links: content comes with the last member of a set; those before it wait here.
    let mut waiting: HashMap<(u64, u64), Vec<&File>> = HashMap::new();
    for number in 1_usize.. {
        let fail = |reason: String| Error::Archive { member: number.to_string(), reason };
        let mut magic = [0; 6];
        input.read_exact(&mut magic)?;
        let (file, size) = match &magic {
            b"070701" | b"070702" => {
                let mut rest = [0; 104];
                input.read_exact(&mut rest)?;
                let field = |i: usize| {
                    std::str::from_utf8(&rest[i * 8..i * 8 + 8])
                        .ok()
                        .and_then(|t| u32::from_str_radix(t, 16).ok())
                        .ok_or_else(|| fail("a field of the header is not a hexadecimal number".into()))
                };
                let (size, name_len) = (u64::from(field(6)?), field(11)?);
                if name_len == 0 || name_len > 4096 + 2 {
                    return Err(fail(format!("a name of {name_len} bytes")));
                }
                let mut name = vec![0; name_len as usize];
                input.read_exact(&mut name)?;
                name.pop();
                skip_padding(input, 110 + u64::from(name_len))?;
                if name == TRAILER.as_bytes() {
                    return Ok(());
                }
                let path = TreePath::from_bytes(&name).map_err(|e| fail(e.to_string()))?;
                let file =
                    files.by_path.get(&path).ok_or_else(|| fail(format!("{path} is not in the header")))?;
                (file, size)
            }
            b"07070X" => {
                let mut index = [0; 8];
                input.read_exact(&mut index)?;
                let index = std::str::from_utf8(&index)
                    .ok()
                    .and_then(|t| usize::from_str_radix(t, 16).ok())
                    .ok_or_else(|| fail("the number of a file is not hexadecimal".into()))?;
                skip_padding(input, 14)?;
                let file = files
                    .order
                    .get(index)
                    .and_then(|path| files.by_path.get(path))
                    .ok_or_else(|| fail(format!("file {index} is not in the header")))?;
                let regular = file.mode & 0o170_000 == 0o100_000;
                let last = !waiting_for_more(files, &waiting, file);
                (file, if regular && !last { 0 } else { file.size })
            }
            _ => return Err(fail("it does not start with the magic of a cpio member".into())),
        };
        if size > MAX_FILE {
            return Err(fail(format!("{} has {size} bytes, which is beyond the limit", file.path)));
        }
        let mut content = input.take(size);
        if file.mode & 0o170_000 != 0o100_000 {
            // The target of a link is in the header too.
            io::copy(&mut content, &mut io::sink())?;
            skip_padding(input, size)?;
            continue;
        }
        if size == 0 && file.size > 0 {
            waiting.entry(file.inode).or_default().push(file);
            continue;
        }
        let digest = copy_content(&mut content, size, store)?;
        skip_padding(input, size)?;
        if !file.digest.is_empty() && file.digest.len() == 64 && file.digest != digest.to_string() {
            return Err(fail(format!("the content of {} does not have the digest of the header", file.path)));
        }
        let kind = Kind::File { digest, size };
        tree.insert(file.path.clone(), file.node(kind));
        for link in waiting.remove(&file.inode).unwrap_or_default() {
            tree.insert(link.path.clone(), link.node(Kind::HardLink { to: file.path.clone() }));
        }
    }
    Ok(())
}

/// Whether more members of the same hard-link set are to come after this one (stripped archive).
fn waiting_for_more(files: &FileList, waiting: &HashMap<(u64, u64), Vec<&File>>, file: &File) -> bool {
    let members = files.by_path.values().filter(|f| f.inode == file.inode && !f.ghost).count();
    waiting.get(&file.inode).map_or(0, Vec::len) + 1 < members
}

fn skip_padding(input: &mut dyn Read, after: u64) -> io::Result<()> {
    let mut zeros = [0; 3];
    input.read_exact(&mut zeros[..(after.next_multiple_of(4) - after) as usize])
}

fn copy_content(content: &mut impl Read, size: u64, store: &Store) -> Result<Digest, Error> {
    if size <= 1 << 20 {
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
