//! Binary packages: .deb files (deb(5), deb-control(5)).
//!
//! A .deb is an `ar` archive of three members: `debian-binary` with the format's version, `control.tar.*`
//! with what dpkg needs to know, and `data.tar.*` with the files. Both archives are packed with gzip, xz or
//! zstd, or not at all. Nothing is ever written outside the store; no script is ever run.

use crate::ar;
use crate::control::{self, Paragraph};
use flate2::bufread::MultiGzDecoder;
use lazuli_store::Store;
use lazuli_tree::Tree;
use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

/// What a package may cost at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// One file of the control archive, in bytes.
    pub control_file: u64,
    /// The whole control archive unpacked, in bytes.
    pub control_total: u64,
    /// Entries of the control archive.
    pub control_entries: usize,
    /// The files of the package.
    pub data: lazuli_tree::Limits,
    /// Memory for a decompressor in bytes.
    pub memory: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            control_file: 16 << 20,
            control_total: 64 << 20,
            control_entries: 1024,
            data: lazuli_tree::Limits::default(),
            memory: 512 << 20,
        }
    }
}

/// Why a package cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The container is damaged.
    #[error("not a Debian package: {0}")]
    Container(String),
    /// A member is missing, out of place or of a kind that we do not know.
    #[error("not a Debian package: {0}")]
    Layout(String),
    /// A member cannot be unpacked.
    #[error("{member}: {reason}")]
    Member {
        /// The member.
        member: String,
        /// What is wrong.
        reason: String,
    },
    /// The control file.
    #[error("control file, {0}")]
    Control(#[from] control::Error),
    /// A file of the package.
    #[error("{member}: {source}")]
    Data {
        /// The member.
        member: String,
        /// What is wrong.
        #[source]
        source: lazuli_tree::Error,
    },
    /// Reading failed.
    #[error("cannot read the package: {0}")]
    Io(#[from] io::Error),
}

/// A binary package, read.
#[derive(Debug, Clone)]
pub struct Deb {
    /// The `control` file.
    pub control: Paragraph,
    /// Maintainer scripts by name: `preinst`, `postinst`, `prerm`, `postrm`, `config`.
    pub scripts: BTreeMap<String, Vec<u8>>,
    /// Configuration files by absolute path, in the order of the package.
    pub conffiles: Vec<String>,
    /// Configuration files of earlier versions that an upgrade removes (`remove-on-upgrade`).
    pub removed_conffiles: Vec<String>,
    /// The `triggers` file, or empty.
    pub triggers: String,
    /// The `md5sums` file, or empty.
    pub md5sums: String,
    /// All other control files by name, as `shlibs`, `symbols`, `templates`.
    pub other: BTreeMap<String, Vec<u8>>,
    /// The files. Their contents are in the store.
    pub data: Tree,
    /// The newest modification time of a member in seconds since 1970: the SOURCE_DATE_EPOCH of the build.
    pub timestamp: i64,
}

/// Names of maintainer scripts.
const SCRIPTS: [&str; 5] = ["preinst", "postinst", "prerm", "postrm", "config"];

/// A .deb without its files.
#[derive(Debug, Clone)]
struct Control {
    files: BTreeMap<String, Vec<u8>>,
    data: ar::Member,
    timestamp: i64,
}

impl Deb {
    /// Reads a package; the contents of its files go into the store.
    pub fn read<R: Read + Seek>(mut input: R, store: &Store, limits: &Limits) -> Result<Self, Error> {
        let control = read_control(&mut input, limits)?;
        let member = control.data.name.clone();
        // Headers and padding come on top of the contents.
        let most = limits.data.total_size.saturating_add(4096 * limits.data.entries as u64);
        let mut data = unpack(&mut input, &control.data, "data.tar", most, limits)?;
        let tree = lazuli_tree::read_tar(&mut data, store, &limits.data)
            .map_err(|source| Error::Data { member: member.clone(), source })?;
        finish(&mut data, &member)?;
        Self::assemble(control, tree)
    }

    /// Reads all but the files: [`Deb::data`] stays empty.
    pub fn read_control<R: Read + Seek>(mut input: R, limits: &Limits) -> Result<Self, Error> {
        let control = read_control(&mut input, limits)?;
        Self::assemble(control, Tree::new())
    }

    fn assemble(control: Control, data: Tree) -> Result<Self, Error> {
        let Control { mut files, timestamp, .. } = control;
        let bytes =
            files.remove("control").ok_or_else(|| Error::Layout("there is no control file".into()))?;
        let control = control::parse_one(&bytes)?;
        for field in ["Package", "Version", "Architecture"] {
            control.require(field)?;
        }
        let scripts = SCRIPTS.iter().filter_map(|name| files.remove_entry(*name)).collect::<BTreeMap<_, _>>();
        let mut text = |name: &str| -> Result<String, Error> {
            String::from_utf8(files.remove(name).unwrap_or_default())
                .map_err(|_| Error::Member { member: name.to_owned(), reason: "not UTF-8".into() })
        };
        let (mut conffiles, mut removed_conffiles) = (Vec::new(), Vec::new());
        for line in text("conffiles")?.lines().map(str::trim).filter(|l| !l.is_empty()) {
            match line.strip_prefix("remove-on-upgrade ") {
                Some(path) => removed_conffiles.push(path.trim().to_owned()),
                None => conffiles.push(line.to_owned()),
            }
        }
        let (triggers, md5sums) = (text("triggers")?, text("md5sums")?);
        Ok(Self {
            control,
            scripts,
            conffiles,
            removed_conffiles,
            triggers,
            md5sums,
            other: files,
            data,
            timestamp,
        })
    }
}

fn read_control<R: Read + Seek>(input: &mut R, limits: &Limits) -> Result<Control, Error> {
    let members = ar::members(input).map_err(|e| match e {
        ar::Error::Io(e) => Error::Io(e),
        damaged @ ar::Error::Damaged { .. } => Error::Container(damaged.to_string()),
    })?;
    let timestamp = members.iter().map(|m| m.mtime).max().unwrap_or(0);
    // Members with a leading underscore are for others (deb(5)).
    let mut members = members.into_iter().filter(|m| !m.name.starts_with('_'));
    let mut next = |wanted: &str| {
        let member = members.next().ok_or_else(|| Error::Layout(format!("there is no {wanted}")))?;
        if member.name == wanted || (wanted != BINARY && member.name.starts_with(wanted)) {
            Ok(member)
        } else {
            Err(Error::Layout(format!("{} where {wanted} should be", member.name)))
        }
    };
    let (binary, control, data) = (next(BINARY)?, next("control.tar")?, next("data.tar")?);
    check_format(input, &binary)?;
    let mut reader = unpack(input, &control, "control.tar", limits.control_total, limits)?;
    let files = read_control_tar(&mut reader, &control.name, limits)?;
    finish(&mut reader, &control.name)?;
    Ok(Control { files, data, timestamp })
}

const BINARY: &str = "debian-binary";

/// The format's version: any 2.x is readable, a 3 would not be.
fn check_format<R: Read + Seek>(input: &mut R, member: &ar::Member) -> Result<(), Error> {
    let mut version = String::new();
    input.seek(SeekFrom::Start(member.offset))?;
    input.take(member.size.min(64)).read_to_string(&mut version)?;
    let line = version.lines().next().unwrap_or("");
    if line.starts_with("2.") {
        Ok(())
    } else {
        Err(Error::Layout(format!("format version `{line}` is not 2.0")))
    }
}

fn read_control_tar(
    reader: &mut dyn Read,
    member: &str,
    limits: &Limits,
) -> Result<BTreeMap<String, Vec<u8>>, Error> {
    let fail = |reason: String| Error::Member { member: member.to_owned(), reason };
    let io = |e: io::Error| fail(e.to_string());
    let mut files = BTreeMap::new();
    let mut archive = tar::Archive::new(reader);
    for (number, entry) in archive.entries().map_err(io)?.enumerate() {
        let mut entry = entry.map_err(io)?;
        if number >= limits.control_entries {
            return Err(fail(format!("more than {} entries", limits.control_entries)));
        }
        let path = entry.path_bytes().into_owned();
        let path = String::from_utf8_lossy(&path);
        let name = path.strip_prefix("./").unwrap_or(&path).trim_end_matches('/');
        match entry.header().entry_type() {
            tar::EntryType::Directory if name.is_empty() || name == "." => continue,
            tar::EntryType::Regular | tar::EntryType::Continuous => {}
            other => return Err(fail(format!("`{path}` is a {other:?}, not a file"))),
        }
        if name.is_empty() || name == ".." || name == "." || name.contains(['/', '\0']) {
            return Err(fail(format!("`{path}` is not the name of a control file")));
        }
        let size = entry.size();
        if size > limits.control_file {
            return Err(fail(format!("`{name}` has {size} bytes, more than {}", limits.control_file)));
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(io)?;
        if content.len() as u64 != size {
            return Err(fail(format!("the archive ends inside `{name}`")));
        }
        if files.insert(name.to_owned(), content).is_some() {
            return Err(fail(format!("`{name}` appears twice")));
        }
    }
    Ok(files)
}

/// A reader of the unpacked member; more than `most` bytes are an error.
fn unpack<'a, R: Read + Seek>(
    input: &'a mut R,
    member: &ar::Member,
    stem: &str,
    most: u64,
    limits: &Limits,
) -> Result<Capped<'a>, Error> {
    let fail = |reason: String| Error::Member { member: member.name.clone(), reason };
    input.seek(SeekFrom::Start(member.offset))?;
    let packed = BufReader::with_capacity(64 << 10, input.take(member.size));
    let reader: Box<dyn Read + 'a> = match member.name.strip_prefix(stem).unwrap_or("") {
        "" => Box::new(packed),
        ".gz" => Box::new(MultiGzDecoder::new(packed)),
        ".xz" => {
            let stream =
                liblzma::stream::Stream::new_stream_decoder(limits.memory, liblzma::stream::CONCATENATED)
                    .map_err(|e| fail(e.to_string()))?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(packed, stream))
        }
        ".zst" => {
            let mut decoder =
                zstd::stream::read::Decoder::with_buffer(packed).map_err(|e| fail(e.to_string()))?;
            decoder.window_log_max(limits.memory.max(1).ilog2().min(31)).map_err(|e| fail(e.to_string()))?;
            Box::new(decoder)
        }
        other => return Err(fail(format!("packed as `{other}`; only .gz, .xz, .zst and none are known"))),
    };
    Ok(Capped { reader, left: most, most })
}

/// Reads to the end, so that checksums at the end of the packed stream are looked at.
fn finish(reader: &mut Capped<'_>, member: &str) -> Result<(), Error> {
    io::copy(reader, &mut io::sink())
        .map(|_| ())
        .map_err(|e| Error::Member { member: member.to_owned(), reason: e.to_string() })
}

/// A reader that fails beyond a number of bytes.
struct Capped<'a> {
    reader: Box<dyn Read + 'a>,
    left: u64,
    most: u64,
}

impl Read for Capped<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buffer)?;
        self.left = self
            .left
            .checked_sub(n as u64)
            .ok_or_else(|| io::Error::other(format!("it unpacks to more than {} bytes", self.most)))?;
        Ok(n)
    }
}

#[cfg(test)]
#[path = "deb_tests.rs"]
mod tests;
