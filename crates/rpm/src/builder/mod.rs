//! Writing package files.
//!
//! Format version 4 with a zstd payload. The same input gives the same bytes: files and dependencies are
//! sorted, times and the name of the build host are the caller's, and compression does not depend on the
//! number of processors.

mod archive;
mod class;
mod dependencies;
mod files;
mod scripts;

pub use files::{FileEntry, FileFlags};
pub use scripts::{FileTrigger, Scriptlet, Scriptlets, Trigger, TriggerKind};

use crate::header::{HeaderBuilder, Value};
use crate::keys::{self, Signer};
use crate::sign::{self, Facts};
use crate::tag;
use crate::{Dependency, Nevra};
use files::{Item, SHA256};
use lazuli_fs as fs;
use lazuli_store::{Digest, Hasher, Store};
use lazuli_tree::TreePath;
use md5::Digest as _;
use scripts::Scripts;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write};

/// One entry of the changelog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangelogEntry {
    /// Seconds since 1970.
    pub time: i64,
    /// Name, address and version.
    pub author: String,
    /// Text.
    pub text: String,
}

/// Everything that goes into a package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Builder {
    /// Identity.
    pub nevra: Nevra,
    /// One line.
    pub summary: String,
    /// Several lines.
    pub description: String,
    /// SPDX expression.
    pub license: String,
    /// Home page; empty for none.
    pub url: String,
    /// Who distributes it.
    pub vendor: String,
    /// Who packaged it.
    pub packager: String,
    /// RPM group; empty for `Unspecified`.
    pub group: String,
    /// File name of the source package; empty for the usual one. It is what tells a binary package from
    /// a source package.
    pub source_rpm: String,
    /// The compiler's flags; empty if unknown.
    pub opt_flags: String,
    /// Build time in seconds since 1970; also the time of the signature unless the key is younger.
    pub build_time: i64,
    /// Name of the build host; fixed, for reproducibility.
    pub build_host: String,
    /// What it provides besides itself.
    pub provides: Vec<Dependency>,
    /// What it requires.
    pub requires: Vec<Dependency>,
    /// What it conflicts with.
    pub conflicts: Vec<Dependency>,
    /// What it replaces.
    pub obsoletes: Vec<Dependency>,
    /// What should be there too.
    pub recommends: Vec<Dependency>,
    /// What could be there too.
    pub suggests: Vec<Dependency>,
    /// What it should be added to.
    pub supplements: Vec<Dependency>,
    /// What it could be added to.
    pub enhances: Vec<Dependency>,
    /// Scripts.
    pub scriptlets: Scriptlets,
    /// Scripts that run when other packages come and go.
    pub triggers: Vec<Trigger>,
    /// Scripts that run when files come and go, once for each package that has some.
    pub file_triggers: Vec<FileTrigger>,
    /// The same, once for a whole transaction.
    pub transaction_file_triggers: Vec<FileTrigger>,
    /// Changelog, newest first.
    pub changelog: Vec<ChangelogEntry>,
    /// Files; their order does not matter.
    pub files: Vec<FileEntry>,
    /// The zstd level of the payload, 1 to 19; 0 for the usual one.
    pub level: i32,
}

/// Why a package cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something about its files.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: TreePath,
        /// What is wrong.
        reason: String,
    },
    /// Something about the rest.
    #[error("{what}: {reason}")]
    Invalid {
        /// Which part.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Writing.
    #[error("cannot write the package: {0}")]
    Io(#[from] io::Error),
    /// A path on disk.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] lazuli_store::Error),
    /// Signing.
    #[error(transparent)]
    Key(#[from] keys::Error),
}

/// The zstd level of payloads: beyond it, time grows faster than size shrinks.
const LEVEL: i32 = 12;

fn invalid(what: &'static str, reason: impl Into<String>) -> Error {
    Error::Invalid { what, reason: reason.into() }
}

fn seconds(time: i64) -> u32 {
    u32::try_from(time.max(0)).unwrap_or(u32::MAX)
}

/// Digests and size of a payload.
struct Payload {
    digest: Digest,
    size: u64,
    archive_digest: Digest,
    archive_size: u64,
}

impl Builder {
    /// Writes the package, signed if there is a signer. The payload waits in a temporary file of the
    /// store, since its digest is part of the header before it.
    pub fn write(
        &self,
        store: &Store,
        signer: Option<&Signer>,
        out: &mut impl Write,
    ) -> Result<Digest, Error> {
        self.write_as(store, signer, out, false)
    }

    fn write_as(
        &self,
        store: &Store,
        signer: Option<&Signer>,
        out: &mut impl Write,
        force_large: bool,
    ) -> Result<Digest, Error> {
        self.check()?;
        let mut files = files::arrange(&self.files)?;
        let large = force_large || files::large(&files);
        let scratch = store.tempdir()?;
        let mut packed = fs::create_new(scratch.path().join("payload"), 0o600)?;
        let (archive_digest, archive_size) =
            archive::write(&mut files, store, large, self.payload_level(), &mut packed)?;
        let mut hasher = Hasher::new();
        let mut size = 0;
        each_chunk(&mut packed, |chunk| {
            hasher.update(chunk);
            size += chunk.len() as u64;
            Ok(())
        })?;
        let payload = Payload { digest: hasher.finish(), size, archive_digest, archive_size };
        let header = self.header(&files, large, &payload);
        let mut md5 = md5::Md5::new();
        md5.update(&header);
        each_chunk(&mut packed, |chunk| {
            md5.update(chunk);
            Ok(())
        })?;
        let facts = Facts {
            header: &header,
            payload_size: payload.size,
            archive_size: payload.archive_size,
            md5: md5.finalize().into(),
        };
        let signature = sign::signature_header(&facts, signer, self.build_time)?;

        let mut digest = Hasher::new();
        let mut put = |part: &[u8]| {
            digest.update(part);
            out.write_all(part)
        };
        put(&self.lead())?;
        put(&signature)?;
        put(&header)?;
        each_chunk(&mut packed, put)?;
        out.flush()?;
        Ok(digest.finish())
    }

    fn payload_level(&self) -> i32 {
        if self.level == 0 { LEVEL } else { self.level }
    }

    fn scripts(&self) -> Scripts<'_> {
        Scripts {
            scriptlets: &self.scriptlets,
            triggers: &self.triggers,
            file_triggers: &self.file_triggers,
            transaction_file_triggers: &self.transaction_file_triggers,
        }
    }

    /// Refuses what a header cannot say, or says wrongly.
    fn check(&self) -> Result<(), Error> {
        let evr = &self.nevra.evr;
        for (what, text, forbidden) in [
            ("name", &self.nevra.name, "/"),
            ("version", &evr.version, "-:/"),
            ("release", &evr.release, "-:/"),
            ("architecture", &self.nevra.arch, "-:/."),
        ] {
            let bad = |c: char| forbidden.contains(c) || c.is_whitespace() || c.is_control();
            if text.is_empty() || text.contains(bad) {
                return Err(invalid(what, format!("`{text}` is empty or has a character it cannot have")));
            }
        }
        if !(0..=19).contains(&self.level) {
            return Err(invalid("level", format!("{} is not a zstd level from 1 to 19", self.level)));
        }
        self.scripts().check()
    }

    fn lead(&self) -> Vec<u8> {
        let mut lead = vec![0xed, 0xab, 0xee, 0xdb, 3, 0, 0, 0, 0, 1];
        let name = format!("{}-{}", self.nevra.name, self.nevra.evr.version_release());
        lead.extend(&name.as_bytes()[..name.len().min(65)]);
        lead.resize(76, 0);
        // Linux; signature of header type.
        lead.extend([0, 1, 0, 5]);
        lead.resize(96, 0);
        lead
    }

    fn header(&self, files: &[Item<'_>], large: bool, payload: &Payload) -> Vec<u8> {
        let mut h = HeaderBuilder::new();
        let evr = &self.nevra.evr;
        h.set(tag::HEADERI18NTABLE, Value::StringArray(vec!["C".into()]));
        h.string(tag::NAME, &self.nevra.name)
            .string(tag::VERSION, &evr.version)
            .string(tag::RELEASE, &evr.release);
        if let Some(epoch) = evr.epoch {
            h.number(tag::EPOCH, epoch);
        }
        let group = if self.group.is_empty() { "Unspecified" } else { &self.group };
        for (tag, text) in
            [(tag::SUMMARY, &self.summary[..]), (tag::DESCRIPTION, &self.description), (tag::GROUP, group)]
        {
            h.set(tag, Value::I18n(vec![text.to_owned()]));
        }
        h.number(tag::BUILDTIME, seconds(self.build_time));
        let source = match &self.source_rpm[..] {
            "" => format!("{}-{}.src.rpm", self.nevra.name, evr.version_release()),
            given => given.to_owned(),
        };
        for (tag, text) in [
            (tag::BUILDHOST, &self.build_host),
            (tag::LICENSE, &self.license),
            (tag::URL, &self.url),
            (tag::VENDOR, &self.vendor),
            (tag::PACKAGER, &self.packager),
            (tag::OPTFLAGS, &self.opt_flags),
            (tag::SOURCERPM, &source),
        ] {
            if !text.is_empty() {
                h.string(tag, text);
            }
        }
        h.string(tag::OS, "linux").string(tag::ARCH, &self.nevra.arch);
        h.string(tag::PLATFORM, format!("{}-lazuli-linux-gnu", self.nevra.arch));
        h.string(tag::RPMVERSION, "4.20.1").string(tag::ENCODING, "utf-8");
        h.string(tag::PAYLOADFORMAT, "cpio").string(tag::PAYLOADCOMPRESSOR, "zstd");
        h.string(tag::PAYLOADFLAGS, self.payload_level().to_string());
        h.set(tag::PAYLOADSHA256, Value::StringArray(vec![payload.digest.to_string()]));
        h.set(tag::PAYLOADSHA256ALT, Value::StringArray(vec![payload.archive_digest.to_string()]));
        h.number(tag::PAYLOADSHA256ALGO, SHA256);
        h.string(tag::COOKIE, format!("{} {}", self.build_host, self.build_time));
        self.scripts().tags(&mut h);
        self.dependency_tags(&mut h, files, large);
        let of = |f: &dyn Fn(&ChangelogEntry) -> String| {
            Value::StringArray(self.changelog.iter().map(f).collect())
        };
        h.set(tag::CHANGELOGTIME, Value::Int32(self.changelog.iter().map(|c| seconds(c.time)).collect()));
        h.set(tag::CHANGELOGNAME, of(&|c| c.author.clone())).set(tag::CHANGELOGTEXT, of(&|c| c.text.clone()));
        files::tags(&mut h, files, large);
        h.finish(tag::HEADERIMMUTABLE)
    }
}

/// Reads a file from its start.
fn each_chunk(file: &mut File, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    file.rewind()?;
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            n => take(&buffer[..n])?,
        }
    }
}

#[cfg(test)]
mod tests;
