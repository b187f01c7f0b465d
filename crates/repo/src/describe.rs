//! Describing RPM files: from headers to metadata records.

use crate::error::{Error, Result};
use crate::href::Href;
use crate::package::{Change, File, FileKind, Package};
use lazuli_fs::{self as fs, Context as _};
use lazuli_rpm::{Header, tag};
use lazuli_store::{Digest, Hasher};
use rayon::prelude::*;
use std::cell::RefCell;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// The lead in front of the signature header, in bytes.
const LEAD: usize = 96;
/// `RPMFILE_GHOST`: owned, not shipped.
const GHOST: u64 = 1 << 6;
const TYPE_MASK: u64 = 0o170_000;
const DIRECTORY: u64 = 0o040_000;

impl Package {
    /// Describes an RPM file from its bytes, of which only the part up to the end of the header is
    /// interpreted. Signatures are not checked here.
    pub fn from_rpm(rpm: &[u8], location: Href) -> Result<Self> {
        let bad = |what: &str, e: lazuli_rpm::header::Error| Error::Package {
            what: location.to_string(),
            reason: format!("{what}: {e}"),
        };
        let signature =
            Header::parse(rpm.get(LEAD..).unwrap_or_default()).map_err(|e| bad("signature", e))?;
        let start = header_start(&signature);
        let header = Header::parse(rpm.get(start..).unwrap_or_default()).map_err(|e| bad("header", e))?;
        Self::from_headers(&signature, &header, rpm.len() as u64, Digest::of(rpm), location)
    }

    /// Describes an RPM file from its two headers, its size in bytes and its SHA-256.
    pub fn from_headers(
        signature: &Header,
        header: &Header,
        size: u64,
        checksum: Digest,
        location: Href,
    ) -> Result<Self> {
        let nevra = header
            .nevra()
            .map_err(|e| Error::Package { what: location.to_string(), reason: e.to_string() })?;
        let string = |tag| header.string(tag).unwrap_or_default();
        let start = header_start(signature) as u64;
        let build_time = header.number(tag::BUILDTIME).and_then(|time| i64::try_from(time).ok()).unwrap_or(0);
        let archive = signature
            .number(tag::LONGARCHIVESIZE)
            .or_else(|| signature.number(tag::sig::PAYLOADSIZE))
            .or_else(|| header.number(tag::ARCHIVESIZE));
        Ok(Self {
            summary: string(tag::SUMMARY),
            description: string(tag::DESCRIPTION),
            packager: string(tag::PACKAGER),
            url: string(tag::URL),
            license: string(tag::LICENSE),
            vendor: string(tag::VENDOR),
            group: string(tag::GROUP),
            build_host: string(tag::BUILDHOST),
            source_rpm: string(tag::SOURCERPM),
            build_time,
            file_time: build_time,
            package_size: size,
            installed_size: header.number(tag::LONGSIZE).or_else(|| header.number(tag::SIZE)).unwrap_or(0),
            archive_size: archive.unwrap_or(0),
            header_range: start..start + header.size() as u64,
            provides: header.provides(),
            requires: header.requires(),
            conflicts: header.conflicts(),
            obsoletes: header.obsoletes(),
            recommends: header.recommends(),
            suggests: header.suggests(),
            supplements: header.supplements(),
            enhances: header.enhances(),
            files: files(header),
            changelog: header
                .changelog()
                .into_iter()
                .rev()
                .map(|(date, author, text)| Change { author, date, text })
                .collect(),
            ..Self::new(nevra, checksum, location)
        })
    }
}

impl Package {
    /// Describes an RPM file, of which only the headers are read if its SHA-256 is `known`, and every byte
    /// once if it is not. Signatures are not checked here.
    pub fn from_file(path: &Path, location: Href, known: Option<Digest>) -> Result<Self> {
        let bad = |reason: String| Error::Package { what: path.display().to_string(), reason };
        let mut file = fs::open(path)?;
        let size = file.metadata().at("look at", path)?.len();
        let mut hasher = known.is_none().then(Hasher::new);
        let mut front = Vec::with_capacity(FIRST_READ.min(usize::try_from(size).unwrap_or(0) + 1));
        let mut read = |front: &mut Vec<u8>, up_to: usize| -> Result<()> {
            let from = front.len();
            let missing = up_to.saturating_sub(from) as u64;
            file.by_ref().take(missing).read_to_end(front).at("read", path)?;
            if let Some(hasher) = &mut hasher {
                hasher.update(&front[from..]);
            }
            Ok(())
        };
        // Enough for the headers of most packages in one go.
        read(&mut front, FIRST_READ)?;
        let signature_end = LEAD + header_length(&front, LEAD).map_err(bad)?;
        read(&mut front, signature_end + 8 + HEADER_INTRO)?;
        let signature = Header::parse(front.get(LEAD..signature_end).unwrap_or_default())
            .map_err(|e| bad(format!("signature: {e}")))?;
        let start = header_start(&signature);
        let end = start + header_length(&front, start).map_err(bad)?;
        read(&mut front, end)?;
        let header = Header::parse(front.get(start..end).unwrap_or_default())
            .map_err(|e| bad(format!("header: {e}")))?;
        let checksum = match (known, hasher) {
            (Some(checksum), _) => checksum,
            (None, hasher) => {
                let mut hasher = hasher.unwrap_or_default();
                // One buffer a thread: fresh memory for each of thousands of files costs more than it seems.
                BUFFER.with_borrow_mut(|buffer| -> Result<Digest> {
                    buffer.resize(BUFFER_SIZE, 0);
                    loop {
                        match file.read(buffer).at("read", path)? {
                            0 => return Ok(hasher.finish()),
                            count => hasher.update(&buffer[..count]),
                        }
                    }
                })?
            }
        };
        Self::from_headers(&signature, &header, size, checksum, location)
    }
}

/// Describes all `*.rpm` files below a directory, in parallel, with locations relative to it.
pub fn describe_directory(dir: &Path) -> Result<Vec<Package>> {
    let mut files = Vec::new();
    let mut folders = vec![(dir.to_owned(), String::new(), 0)];
    while let Some((folder, prefix, depth)) = folders.pop() {
        for path in fs::read_dir(&folder)? {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let location = format!("{prefix}{name}");
            if name.strip_suffix(".rpm").is_some() && path.is_file() {
                files.push((Href::new(&location)?, path));
            } else if depth < MAX_DEPTH && !name.starts_with('.') && path.is_dir() && !path.is_symlink() {
                folders.push((path, format!("{location}/"), depth + 1));
            }
        }
    }
    let files: Vec<_> = files.into_iter().map(|(location, path)| (path, location, None)).collect();
    describe_files(&files)
}

/// Describes RPM files, in parallel: path, location in the repository, SHA-256 if it is known. Where it is, only
/// headers are read.
pub fn describe_files(files: &[(PathBuf, Href, Option<Digest>)]) -> Result<Vec<Package>> {
    let describe = |(path, location, known): &(PathBuf, Href, Option<Digest>)| {
        Package::from_file(path, location.clone(), *known)
    };
    files.par_iter().map(describe).collect()
}

/// How much is read at once, in bytes.
const BUFFER_SIZE: usize = 128 << 10;
thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// How much of a package is read at first, in bytes.
const FIRST_READ: usize = 64 << 10;
/// The fixed part of a header: magic, reserved bytes, number of entries, length of the store.
const HEADER_INTRO: usize = 16;
/// How deep packages may lie below a directory.
const MAX_DEPTH: usize = 16;

/// The length of the header that starts at `at`, from its intro. Whether the header is sound says
/// [`Header::parse`]; its limits keep the sum far from overflowing, and `read_to_end` allocates no more than
/// the file has.
fn header_length(bytes: &[u8], at: usize) -> std::result::Result<usize, String> {
    let word = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize);
    let (Some(entries), Some(store)) = (word(at + 8), word(at + 12)) else {
        return Err("the file ends before its header".to_owned());
    };
    Ok(HEADER_INTRO + entries.saturating_mul(16).saturating_add(store).min(MAX_HEADER))
}

/// The longest header that is read, in bytes; more than [`Header::parse`] accepts.
const MAX_HEADER: usize = 1 << 30;

/// Where the main header starts: after lead and signature header, padded to 8 bytes.
fn header_start(signature: &Header) -> usize {
    LEAD + signature.size().next_multiple_of(8)
}

fn files(header: &Header) -> Vec<File> {
    let modes = header.numbers(tag::FILEMODES);
    let flags = header.numbers(tag::FILEFLAGS);
    let kind = |place: usize| {
        if modes.get(place).is_some_and(|mode| mode & TYPE_MASK == DIRECTORY) {
            FileKind::Directory
        } else if flags.get(place).is_some_and(|flags| flags & GHOST != 0) {
            FileKind::Ghost
        } else {
            FileKind::File
        }
    };
    let mut files: Vec<File> = header
        .paths()
        .into_iter()
        .enumerate()
        .map(|(place, path)| File { path, kind: kind(place) })
        .collect();
    files.sort();
    files
}
