//! A row of `Packages`: the header of a package and what its installation adds to it.
//!
//! After the header's region come, sorted by tag, the digests and signatures of the package file's
//! signature header, some under another number there, then time of installation, file states, colour and
//! transaction. Only listed tags are taken from the signature header, which nobody signed, and only with
//! the type and count that they must have.

use crate::{Error, FileState, InstalledPackage};
use lazuli_rpm::Header;
use lazuli_rpm::header::{Entry, HeaderBuilder, Value};
use lazuli_rpm::tag::{self, Type, sig};

/// A tag of the signature header, the tag of the database that it becomes, its type, and how many
/// values it has (0: any number).
struct Copied(u32, u32, Type, usize);

const COPIED: [Copied; 15] = [
    Copied(sig::SIZE, tag::SIGSIZE, Type::Int32, 1),
    Copied(sig::MD5, tag::SIGMD5, Type::Bin, 16),
    Copied(sig::PAYLOADSIZE, tag::ARCHIVESIZE, Type::Int32, 1),
    Copied(sig::FILESIGNATURES, tag::FILESIGNATURES, Type::StringArray, 0),
    Copied(sig::FILESIGNATURELENGTH, tag::FILESIGNATURELENGTH, Type::Int32, 1),
    Copied(tag::DSAHEADER, tag::DSAHEADER, Type::Bin, 0),
    Copied(tag::RSAHEADER, tag::RSAHEADER, Type::Bin, 0),
    Copied(tag::SHA1HEADER, tag::SHA1HEADER, Type::String, 1),
    Copied(tag::LONGSIGSIZE, tag::LONGSIGSIZE, Type::Int64, 1),
    Copied(tag::LONGARCHIVESIZE, tag::LONGARCHIVESIZE, Type::Int64, 1),
    Copied(tag::SHA256HEADER, tag::SHA256HEADER, Type::String, 1),
    Copied(tag::VERITYSIGNATURES, tag::VERITYSIGNATURES, Type::StringArray, 0),
    Copied(tag::VERITYSIGNATUREALGO, tag::VERITYSIGNATUREALGO, Type::Int32, 1),
    Copied(tag::OPENPGP, tag::OPENPGP, Type::StringArray, 0),
    Copied(tag::SHA3_256HEADER, tag::SHA3_256HEADER, Type::String, 1),
];
/// The most values, or bytes, of a tag that is copied.
const MAX_COUNT: usize = 16 << 20;

/// What an installation notes besides the states of files.
#[derive(Clone, Copy)]
pub(crate) struct Marks {
    /// In seconds since 1970.
    pub(crate) install_time: u32,
    pub(crate) transaction: u32,
    pub(crate) color: u32,
}

/// The header as the database has it, with its magic.
pub(crate) fn record(package: &InstalledPackage, marks: Marks) -> Result<Header, Error> {
    let fail = |reason: String| Error::Package { package: package.label(), reason };
    let header = &package.header;
    header.check_region(tag::HEADERIMMUTABLE).map_err(|e| fail(e.to_string()))?;
    let mut added = HeaderBuilder::new();
    for Copied(from, to, kind, count) in COPIED {
        let Some(entry) = package.signature.entry(from) else { continue };
        if header.has(to) {
            // RPM 4.x puts the size of the archive and the files' signatures in either header.
            if [tag::ARCHIVESIZE, tag::FILESIGNATURES, tag::FILESIGNATURELENGTH].contains(&to) {
                continue;
            }
            return Err(fail(format!("its header has the tag {to}, which belongs to the signature")));
        }
        if entry.kind != kind || (count != 0 && entry.count != count) || entry.count > MAX_COUNT {
            return Err(fail(format!("the tag {from} of its signature header is not what it should be")));
        }
        added.set(to, value(&package.signature, entry));
    }
    added.number(tag::INSTALLTIME, marks.install_time).number(tag::INSTALLTID, marks.transaction);
    if !header.has(tag::PUBKEYS) {
        added.number(tag::INSTALLCOLOR, marks.color);
        let (files, states) = (header.paths().len(), package.states.len());
        if states != 0 && states != files {
            return Err(Error::States { package: package.label(), files, states });
        }
        let mut states: Vec<u8> = package.states.iter().map(|s| *s as u8).collect();
        states.resize(files, FileState::Normal as u8);
        added.set(tag::FILESTATES, Value::Char(states));
    }
    Header::parse(&added.append_to(header)).map_err(|e| fail(e.to_string()))
}

fn value(header: &Header, entry: &Entry) -> Value {
    match entry.kind {
        Type::Int32 => Value::Int32(header.numbers(entry.tag).iter().map(|n| *n as u32).collect()),
        Type::Int64 => Value::Int64(header.numbers(entry.tag)),
        Type::String => Value::String(header.string(entry.tag).unwrap_or_default()),
        Type::StringArray => Value::StringArray(header.strings(entry.tag)),
        _ => Value::Bin(header.data(entry).to_vec()),
    }
}
