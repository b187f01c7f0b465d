//! Binary packages: deb(5), version 2.0.
//!
//! An ar archive with three members in this order: `debian-binary`, `control.tar` and `data.tar`, the
//! latter two uncompressed or compressed with gzip, xz or zstd. Contents go into the store.

use lazuli_store::Store;
use lazuli_tree::{Kind, Tree, TreePath, read_tar};
use std::collections::BTreeMap;
use std::io::{self, Read};

/// Why a .deb cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading failed.
    #[error("cannot read the package: {0}")]
    Io(#[from] io::Error),
    /// The ar archive.
    #[error("byte {offset}: {reason}")]
    Archive {
        /// Offset of the member's header.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// A tar member.
    #[error("{member}: {source}")]
    Tar {
        /// The member.
        member: String,
        /// What is wrong.
        #[source]
        source: lazuli_tree::Error,
    },
    /// A file of the control member.
    #[error("control member: {file}: {reason}")]
    Control {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
}

/// What a package may cost at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Size of `control.tar` unpacked, in bytes.
    pub control: u64,
    /// Size of `data.tar` unpacked, in bytes.
    pub data: u64,
    /// Entries in either.
    pub entries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { control: 64 << 20, data: 16 << 30, entries: 500_000 }
    }
}

/// A binary package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deb {
    /// The text of the control file; see [`crate::control::paragraph`].
    pub control: Vec<u8>,
    /// Maintainer scripts by name: `preinst`, `postinst`, `prerm`, `postrm`, `config`.
    pub scripts: BTreeMap<String, Vec<u8>>,
    /// Configuration files, absolute paths.
    pub conffiles: Vec<String>,
    /// The `triggers` file, if there is one.
    pub triggers: Option<Vec<u8>>,
    /// Everything else in the control member.
    pub other: BTreeMap<String, Vec<u8>>,
    /// The files of the package.
    pub data: Tree,
    /// The newest time of an ar member in seconds since 1970: the SOURCE_DATE_EPOCH of the build.
    pub timestamp: i64,
}

const MAGIC: &[u8; 8] = b"!<arch>\n";
const SCRIPTS: [&str; 5] = ["preinst", "postinst", "prerm", "postrm", "config"];

struct Member<'a, R> {
    name: String,
    timestamp: i64,
    content: io::Take<&'a mut R>,
    padding: u64,
}

impl Deb {
    /// Reads a package.
    pub fn read<R: Read>(mut input: R, store: &Store, limits: &Limits) -> Result<Self, Error> {
        let mut offset = 0;
        let mut magic = [0; 8];
        read_exact(&mut input, &mut magic, 0)?;
        if &magic != MAGIC {
            return Err(Error::Archive { offset, reason: "this is not a Debian package (no ar archive)".into() });
        }
        offset += 8;

        let mut member = next_member(&mut input, &mut offset)?;
        if member.name != "debian-binary" {
            let reason = format!("the first member is `{}`, not `debian-binary`", member.name);
            return Err(Error::Archive { offset: 8, reason });
        }
        let mut timestamp = member.timestamp;
        let mut version = Vec::new();
        (&mut member.content).take(64).read_to_end(&mut version)?;
        if !version.starts_with(b"2.") {
            let reason = format!("package format `{}` is not 2.x", String::from_utf8_lossy(&version).trim());
            return Err(Error::Archive { offset: 8, reason });
        }
        finish_member(member)?;

        let member = next_member(&mut input, &mut offset)?;
        timestamp = timestamp.max(member.timestamp);
        let tree = read_tar_member(member, "control.tar", store, limits.control, limits.entries)?;
        let mut deb = Self::from_control(&tree, store)?;

        let member = next_member(&mut input, &mut offset)?;
        deb.timestamp = timestamp.max(member.timestamp);
        deb.data = read_tar_member(member, "data.tar", store, limits.data, limits.entries)?;
        deb.data.remove(&TreePath::root());
        Ok(deb)
    }

    fn from_control(tree: &Tree, store: &Store) -> Result<Self, Error> {
        let mut deb = Self {
            control: Vec::new(),
            scripts: BTreeMap::new(),
            conffiles: Vec::new(),
            triggers: None,
            other: BTreeMap::new(),
            data: Tree::new(),
            timestamp: 0,
        };
        for (path, node) in tree.iter() {
            let Kind::File { digest, .. } = &node.kind else { continue };
            let name = path.as_str();
            let content = store
                .read(digest)
                .map_err(|e| Error::Control { file: name.to_owned(), reason: e.to_string() })?;
            match name {
                "control" => deb.control = content,
                "triggers" => deb.triggers = Some(content),
                "conffiles" => {
                    let text = String::from_utf8(content).map_err(|_| Error::Control {
                        file: name.to_owned(),
                        reason: "not UTF-8".into(),
                    })?;
                    // `remove-on-upgrade PATH` names a file that is not there any more.
                    let kept = text.lines().map(str::trim).filter(|l| l.starts_with('/'));
                    deb.conffiles = kept.map(str::to_owned).collect();
                }
                _ if SCRIPTS.contains(&name) => {
                    deb.scripts.insert(name.to_owned(), content);
                }
                _ => {
                    deb.other.insert(name.to_owned(), content);
                }
            }
        }
        if deb.control.is_empty() {
            return Err(Error::Control { file: "control".into(), reason: "it is missing or empty".into() });
        }
        Ok(deb)
    }
}

fn read_exact(input: &mut impl Read, buffer: &mut [u8], offset: u64) -> Result<(), Error> {
    input.read_exact(buffer).map_err(|e| match e.kind() {
        io::ErrorKind::UnexpectedEof => Error::Archive { offset, reason: "the file ends here".into() },
        _ => Error::Io(e),
    })
}

/// Reads the 60-byte header of the next ar member.
fn next_member<'a, R: Read>(input: &'a mut R, offset: &mut u64) -> Result<Member<'a, R>, Error> {
    let at = *offset;
    let fail = |reason: &str| Error::Archive { offset: at, reason: reason.to_owned() };
    let mut header = [0; 60];
    read_exact(input, &mut header, at)?;
    if &header[58..60] != b"`\n" {
        return Err(fail("an ar member header does not end as it should"));
    }
    let field = |range: std::ops::Range<usize>| std::str::from_utf8(&header[range]).map(str::trim);
    let name = field(0..16).map_err(|_| fail("the name of an ar member is not text"))?;
    let name = name.strip_suffix('/').unwrap_or(name).to_owned();
    let timestamp = field(16..28).ok().and_then(|t| t.parse().ok()).unwrap_or(0);
    let size: u64 = field(48..58)
        .ok()
        .and_then(|t| t.parse().ok())
        .ok_or_else(|| fail("the size of an ar member is not a number"))?;
    let padding = size % 2;
    *offset = at + 60 + size + padding;
    Ok(Member { name, timestamp, content: input.take(size), padding })
}

/// Skips what is left of a member.
fn finish_member<R: Read>(mut member: Member<'_, R>) -> Result<(), Error> {
    io::copy(&mut member.content, &mut io::sink())?;
    let input = member.content.into_inner();
    io::copy(&mut input.take(member.padding), &mut io::sink())?;
    Ok(())
}

fn read_tar_member<R: Read>(
    mut member: Member<'_, R>,
    expected: &str,
    store: &Store,
    limit: u64,
    entries: usize,
) -> Result<Tree, Error> {
    let name = member.name.clone();
    let tar_error = |source| Error::Tar { member: name.clone(), source };
    let limits = lazuli_tree::Limits { entries, file_size: limit, total_size: limit };
    let suffix = name.strip_prefix(expected).unwrap_or("?");
    let content = &mut member.content;
    let mut unpacked: Box<dyn Read + '_> = match suffix {
        "" => Box::new(content),
        ".gz" => Box::new(flate2::read::GzDecoder::new(content)),
        ".xz" => Box::new(liblzma::read::XzDecoder::new_multi_decoder(content)),
        ".zst" => Box::new(zstd::stream::read::Decoder::new(content)?),
        _ => {
            let reason = format!("the member is `{name}`, not {expected} with .gz, .xz, .zst or nothing");
            return Err(Error::Archive { offset: 0, reason });
        }
    };
    // The tar reader's own limits count file contents; this one counts headers and padding too.
    let overhead = entries as u64 * 4096;
    let tree = read_tar(io::BufReader::new((&mut unpacked).take(limit.saturating_add(overhead))), store, &limits)
        .map_err(tar_error)?;
    drop(unpacked);
    finish_member(member)?;
    Ok(tree)
}
