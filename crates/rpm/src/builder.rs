//! Writing package files.

use crate::header::{HeaderBuilder, Value};
use crate::keys::{self, Signer};
use crate::payload::{self, FrameWriter, Member, TRAILER};
use crate::sign::{self, Facts};
use crate::tag;
use crate::{Dependency, DependencyFlags, Nevra};
use lazuli_fs as fs;
use lazuli_store::{Digest, Hasher, Store};
use lazuli_tree::{Kind, Node, TreePath};
use md5::Digest as _;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _, Seek as _, Write};

/// What RPM does with a file besides installing it; RPMFILE bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileFlags(pub u32);

impl FileFlags {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// `%config`.
    pub const CONFIG: Self = Self(1);
    /// `%doc`.
    pub const DOC: Self = Self(1 << 1);
    /// `noreplace`, with [`FileFlags::CONFIG`].
    pub const NOREPLACE: Self = Self(1 << 4);
    /// `%ghost`: owned, but not shipped.
    pub const GHOST: Self = Self(1 << 6);
    /// `%license`.
    pub const LICENSE: Self = Self(1 << 7);

    /// Whether all flags of `other` are set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOr for FileFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One path of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Where.
    pub path: TreePath,
    /// What; contents are in the store.
    pub node: Node,
    /// How RPM treats it.
    pub flags: FileFlags,
    /// File capabilities as setcap(8) writes them.
    pub capabilities: Option<String>,
}

/// A script with its interpreter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scriptlet {
    /// Interpreter and its arguments, for example `/bin/sh`.
    pub interpreter: Vec<String>,
    /// The script.
    pub body: String,
}

/// The scriptlets of a package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scriptlets {
    /// `%pretrans`
    pub pretrans: Option<Scriptlet>,
    /// `%pre`
    pub pre: Option<Scriptlet>,
    /// `%post`
    pub post: Option<Scriptlet>,
    /// `%preun`
    pub preun: Option<Scriptlet>,
    /// `%postun`
    pub postun: Option<Scriptlet>,
    /// `%posttrans`
    pub posttrans: Option<Scriptlet>,
}

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
    /// File name of the source package.
    pub source_rpm: String,
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
    /// Changelog, newest first.
    pub changelog: Vec<ChangelogEntry>,
    /// Files; their order does not matter.
    pub files: Vec<FileEntry>,
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
/// `rpm -V` checks everything.
const VERIFY_ALL: u32 = 0xffff_ffff;
/// The digest of files is SHA-256.
const SHA256: u32 = 8;

impl Builder {
    /// Writes the package, signed if there is a signer. The same input gives the same bytes.
    pub fn write(
        &self,
        store: &Store,
        signer: Option<&Signer>,
        out: &mut impl Write,
    ) -> Result<Digest, Error> {
        let files = self.sorted_files()?;
        let mut packed = tempfile::tempfile().map_err(Error::Io)?;
        let (archive_digest, archive_size) = write_payload(&files, store, &mut packed)?;
        packed.rewind()?;
        let mut hasher = Hasher::new();
        let payload_size = io::copy(&mut packed, &mut hasher)?;
        let header = self.header(&files, &hasher.finish(), &archive_digest);
        packed.rewind()?;
        let mut md5 = md5::Md5::new();
        md5.update(&header);
        let mut buffer = vec![0; 1 << 16];
        loop {
            let n = packed.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            md5.update(&buffer[..n]);
        }
        let facts = Facts { header: &header, payload_size, archive_size, md5: md5.finalize().into() };
        let signature = sign::signature_header(&facts, signer, self.build_time)?;

        let mut digest = Hasher::new();
        for part in [&self.lead()[..], &signature, &header] {
            digest.update(part);
            out.write_all(part)?;
        }
        packed.rewind()?;
        loop {
            let n = packed.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            digest.update(&buffer[..n]);
            out.write_all(&buffer[..n])?;
        }
        out.flush()?;
        Ok(digest.finish())
    }

    /// In the order of their paths, hard links checked.
    fn sorted_files(&self) -> Result<Vec<&FileEntry>, Error> {
        let mut files: Vec<&FileEntry> = self.files.iter().collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let fail = |file: &FileEntry, reason: &str| {
            Err(Error::File { path: file.path.clone(), reason: reason.into() })
        };
        for pair in files.windows(2) {
            if pair[0].path == pair[1].path {
                return fail(pair[0], "it is in the package twice");
            }
        }
        for file in &files {
            if let Kind::HardLink { to } = &file.node.kind {
                let target = files.binary_search_by(|f| f.path.cmp(to)).ok().map(|i| files[i]);
                if !matches!(target.map(|t| &t.node.kind), Some(Kind::File { .. })) {
                    return fail(file, "it is a hard link to something that is not a file of the package");
                }
            }
            if let Kind::File { size, .. } = file.node.kind
                && size > u64::from(u32::MAX)
            {
                return fail(file, "files of more than 4 GiB are not supported in version 4 packages");
            }
        }
        Ok(files)
    }

    fn lead(&self) -> Vec<u8> {
        let mut lead = vec![0xed, 0xab, 0xee, 0xdb, 3, 0, 0, 0, 0, 1];
        let name = format!("{}-{}", self.nevra.name, self.nevra.evr.version_release());
        let name = &name.as_bytes()[..name.len().min(65)];
        lead.extend(name);
        lead.resize(76, 0);
        // Linux; signature of header type.
        lead.extend([0, 1, 0, 5]);
        lead.resize(96, 0);
        lead
    }

    fn header(&self, files: &[&FileEntry], payload: &Digest, archive: &Digest) -> Vec<u8> {
        let mut h = HeaderBuilder::new();
        let evr = &self.nevra.evr;
        h.set(tag::HEADERI18NTABLE, Value::StringArray(vec!["C".into()]));
        h.string(tag::NAME, &self.nevra.name)
            .string(tag::VERSION, &evr.version)
            .string(tag::RELEASE, &evr.release);
        if let Some(epoch) = evr.epoch {
            h.number(tag::EPOCH, epoch);
        }
        h.set(tag::SUMMARY, Value::I18n(vec![self.summary.clone()]));
        h.set(tag::DESCRIPTION, Value::I18n(vec![self.description.clone()]));
        let group = if self.group.is_empty() { "Unspecified" } else { &self.group };
        h.set(tag::GROUP, Value::I18n(vec![group.to_owned()]));
        h.number(tag::BUILDTIME, seconds(self.build_time));
        for (tag, text) in [
            (tag::BUILDHOST, &self.build_host),
            (tag::LICENSE, &self.license),
            (tag::URL, &self.url),
            (tag::VENDOR, &self.vendor),
            (tag::PACKAGER, &self.packager),
            (tag::SOURCERPM, &self.source_rpm),
        ] {
            if !text.is_empty() {
                h.string(tag, text);
            }
        }
        h.string(tag::OS, "linux").string(tag::ARCH, &self.nevra.arch);
        h.string(tag::PLATFORM, format!("{}-lazuli-linux-gnu", self.nevra.arch));
        h.string(tag::RPMVERSION, "4.20.1").string(tag::ENCODING, "utf-8");
        h.string(tag::PAYLOADFORMAT, "cpio").string(tag::PAYLOADCOMPRESSOR, "zstd");
        h.string(tag::PAYLOADFLAGS, LEVEL.to_string());
        h.set(tag::PAYLOADSHA256, Value::StringArray(vec![payload.to_string()]));
        h.set(tag::PAYLOADSHA256ALT, Value::StringArray(vec![archive.to_string()]));
        h.number(tag::PAYLOADSHA256ALGO, SHA256);
        h.string(tag::COOKIE, format!("{} {}", self.build_host, self.build_time));
        self.scriptlets(&mut h);
        self.dependencies(&mut h, files);
        if !self.changelog.is_empty() {
            let of = |f: &dyn Fn(&ChangelogEntry) -> String| self.changelog.iter().map(f).collect();
            h.set(tag::CHANGELOGTIME, Value::Int32(self.changelog.iter().map(|c| seconds(c.time)).collect()));
            h.set(tag::CHANGELOGNAME, Value::StringArray(of(&|c| c.author.clone())));
            h.set(tag::CHANGELOGTEXT, Value::StringArray(of(&|c| c.text.clone())));
        }
        file_tags(&mut h, files);
        h.finish(tag::HEADERIMMUTABLE)
    }

    fn scriptlets(&self, h: &mut HeaderBuilder) {
        let s = &self.scriptlets;
        for (script, body, program) in [
            (&s.pretrans, tag::PRETRANS, tag::PRETRANSPROG),
            (&s.pre, tag::PREIN, tag::PREINPROG),
            (&s.post, tag::POSTIN, tag::POSTINPROG),
            (&s.preun, tag::PREUN, tag::PREUNPROG),
            (&s.postun, tag::POSTUN, tag::POSTUNPROG),
            (&s.posttrans, tag::POSTTRANS, tag::POSTTRANSPROG),
        ] {
            if let Some(script) = script {
                h.string(body, &script.body);
                match &script.interpreter[..] {
                    [single] => h.string(program, single),
                    several => h.set(program, Value::StringArray(several.to_vec())),
                };
            }
        }
    }

    fn dependencies(&self, h: &mut HeaderBuilder, files: &[&FileEntry]) {
        let own = self.nevra.evr.to_string();
        let name = &self.nevra.name;
        let mut provides: BTreeSet<Dependency> = self.provides.iter().cloned().collect();
        provides.insert(Dependency::versioned(name, DependencyFlags::EQUAL, &own));
        if let Some(isa) = isa(&self.nevra.arch) {
            provides.insert(Dependency::versioned(format!("{name}({isa})"), DependencyFlags::EQUAL, &own));
        }
        let mut requires: BTreeSet<Dependency> = self.requires.iter().cloned().collect();
        if files.iter().any(|f| f.flags.contains(FileFlags::CONFIG)) {
            let config = format!("config({name})");
            let flags = DependencyFlags::EQUAL | DependencyFlags::CONFIG;
            provides.insert(Dependency::versioned(&config, flags, &own));
            requires.insert(Dependency::versioned(&config, flags, &own));
        }
        let every = [
            &self.requires,
            &self.provides,
            &self.conflicts,
            &self.recommends,
            &self.suggests,
            &self.supplements,
            &self.enhances,
        ];
        let all = || every.iter().flat_map(|list| list.iter());
        let mut features = vec![
            ("CompressedFileNames", "3.0.4-1"),
            ("PayloadFilesHavePrefix", "4.0-1"),
            ("FileDigests", "4.6.0-1"),
            ("PayloadIsZstd", "5.4.18-1"),
        ];
        if all().any(Dependency::is_rich) {
            features.push(("RichDependencies", "4.12.0-1"));
        }
        if files.iter().any(|f| f.capabilities.is_some()) {
            features.push(("FileCaps", "4.6.1-1"));
        }
        if own.contains('~') || all().any(|d| d.evr.contains('~')) {
            features.push(("TildeInVersions", "4.10.0-1"));
        }
        if own.contains('^') || all().any(|d| d.evr.contains('^')) {
            features.push(("CaretInVersions", "4.15.0-1"));
        }
        for (feature, version) in features {
            let flags = DependencyFlags::RPMLIB | DependencyFlags::LESS | DependencyFlags::EQUAL;
            requires.insert(Dependency::versioned(format!("rpmlib({feature})"), flags, version));
        }
        let sorted = |list: &Vec<Dependency>| list.iter().cloned().collect::<BTreeSet<_>>();
        for (list, tags) in [
            (provides, (tag::PROVIDENAME, tag::PROVIDEFLAGS, tag::PROVIDEVERSION)),
            (requires, (tag::REQUIRENAME, tag::REQUIREFLAGS, tag::REQUIREVERSION)),
            (sorted(&self.conflicts), (tag::CONFLICTNAME, tag::CONFLICTFLAGS, tag::CONFLICTVERSION)),
            (sorted(&self.obsoletes), (tag::OBSOLETENAME, tag::OBSOLETEFLAGS, tag::OBSOLETEVERSION)),
            (sorted(&self.recommends), (tag::RECOMMENDNAME, tag::RECOMMENDFLAGS, tag::RECOMMENDVERSION)),
            (sorted(&self.suggests), (tag::SUGGESTNAME, tag::SUGGESTFLAGS, tag::SUGGESTVERSION)),
            (sorted(&self.supplements), (tag::SUPPLEMENTNAME, tag::SUPPLEMENTFLAGS, tag::SUPPLEMENTVERSION)),
            (sorted(&self.enhances), (tag::ENHANCENAME, tag::ENHANCEFLAGS, tag::ENHANCEVERSION)),
        ] {
            h.set(tags.0, Value::StringArray(list.iter().map(|d| d.name.clone()).collect()));
            h.set(tags.1, Value::Int32(list.iter().map(|d| d.flags.0).collect()));
            h.set(tags.2, Value::StringArray(list.iter().map(|d| d.evr.clone()).collect()));
        }
    }
}

fn seconds(time: i64) -> u32 {
    u32::try_from(time.max(0)).unwrap_or(u32::MAX)
}

/// The architecture as it appears in `name(isa)`.
fn isa(arch: &str) -> Option<&'static str> {
    match arch {
        "x86_64" => Some("x86-64"),
        "aarch64" => Some("aarch-64"),
        _ => None,
    }
}

/// File type and permission bits.
fn mode(node: &Node) -> u32 {
    let kind = match node.kind {
        Kind::Directory => 0o040_000,
        Kind::File { .. } | Kind::HardLink { .. } => 0o100_000,
        Kind::Symlink { .. } => 0o120_000,
        Kind::CharDevice { .. } => 0o020_000,
        Kind::BlockDevice { .. } => 0o060_000,
        Kind::Fifo => 0o010_000,
    };
    kind | node.mode & 0o7777
}

fn rdev(node: &Node) -> (u32, u32) {
    match node.kind {
        Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => (major, minor),
        _ => (0, 0),
    }
}

/// For each file the path whose inode it shares: its own, or that of the file it is a link to.
fn inode_path(file: &FileEntry) -> &TreePath {
    match &file.node.kind {
        Kind::HardLink { to } => to,
        _ => &file.path,
    }
}

/// Inode number by path, from 1, and the number of links of each.
fn inodes(files: &[&FileEntry]) -> BTreeMap<TreePath, (u32, u32)> {
    let mut inodes: BTreeMap<TreePath, (u32, u32)> = BTreeMap::new();
    for file in files {
        let next = inodes.len() as u32 + 1;
        inodes.entry(inode_path(file).clone()).or_insert((next, 0)).1 += 1;
    }
    inodes
}

/// Content of a file or of the file that it is a link to.
fn content<'a>(file: &'a FileEntry, files: &'a [&FileEntry]) -> Option<(&'a Digest, u64)> {
    let path = inode_path(file);
    let target = files.binary_search_by(|f| f.path.cmp(path)).ok().map(|i| files[i])?;
    match &target.node.kind {
        Kind::File { digest, size } => Some((digest, *size)),
        _ => None,
    }
}

fn file_tags(h: &mut HeaderBuilder, files: &[&FileEntry]) {
    if files.is_empty() {
        return;
    }
    let inodes = inodes(files);
    let mut dirs: Vec<String> = Vec::new();
    let mut dir_index: BTreeMap<String, u32> = BTreeMap::new();
    let (mut indexes, mut names) = (Vec::new(), Vec::new());
    let mut total = 0_u64;
    let mut counted = BTreeSet::new();
    let mut sizes = Vec::new();
    for file in files {
        let parent = file.path.parent().unwrap_or_default();
        let dir = if parent.is_root() { "/".to_owned() } else { format!("/{}/", parent.as_str()) };
        let index = *dir_index.entry(dir.clone()).or_insert_with(|| {
            dirs.push(dir);
            dirs.len() as u32 - 1
        });
        indexes.push(index);
        names.push(file.path.file_name().to_owned());
        let size = match &file.node.kind {
            Kind::Symlink { target } => target.len() as u64,
            _ => content(file, files).map_or(0, |(_, size)| size),
        };
        if !file.flags.contains(FileFlags::GHOST) && counted.insert(inode_path(file).clone()) {
            total += size;
        }
        sizes.push(size as u32);
    }
    let numbers = |f: &dyn Fn(&FileEntry) -> u32| Value::Int32(files.iter().map(|x| f(x)).collect());
    let strings = |f: &dyn Fn(&FileEntry) -> String| Value::StringArray(files.iter().map(|x| f(x)).collect());
    let shorts = |f: &dyn Fn(&FileEntry) -> u32| Value::Int16(files.iter().map(|x| f(x) as u16).collect());
    match u32::try_from(total) {
        Ok(total) => h.number(tag::SIZE, total),
        Err(_) => h.set(tag::LONGSIZE, Value::Int64(vec![total])),
    };
    h.set(tag::DIRNAMES, Value::StringArray(dirs)).set(tag::DIRINDEXES, Value::Int32(indexes));
    h.set(tag::BASENAMES, Value::StringArray(names)).set(tag::FILESIZES, Value::Int32(sizes));
    h.set(tag::FILEMODES, shorts(&|f| mode(&f.node)));
    h.set(tag::FILERDEVS, shorts(&|f| rdev(&f.node).0 << 8 | rdev(&f.node).1 & 0xff));
    h.set(tag::FILEMTIMES, numbers(&|f| seconds(f.node.mtime)));
    h.set(
        tag::FILEDIGESTS,
        strings(&|f| match f.node.kind {
            Kind::File { .. } | Kind::HardLink { .. } if !f.flags.contains(FileFlags::GHOST) => {
                content(f, files).map(|(digest, _)| digest.to_string()).unwrap_or_default()
            }
            _ => String::new(),
        }),
    );
    h.number(tag::FILEDIGESTALGO, SHA256);
    h.set(
        tag::FILELINKTOS,
        strings(&|f| match &f.node.kind {
            Kind::Symlink { target } => target.clone(),
            _ => String::new(),
        }),
    );
    h.set(tag::FILEFLAGS, numbers(&|f| f.flags.0));
    h.set(tag::FILEUSERNAME, strings(&|f| f.node.user.clone()));
    h.set(tag::FILEGROUPNAME, strings(&|f| f.node.group.clone()));
    h.set(tag::FILEVERIFYFLAGS, numbers(&|_| VERIFY_ALL));
    h.set(tag::FILEDEVICES, numbers(&|_| 1));
    h.set(tag::FILEINODES, numbers(&|f| inodes.get(inode_path(f)).map_or(0, |i| i.0)));
    h.set(tag::FILELANGS, strings(&|_| String::new()));
    if files.iter().any(|f| f.capabilities.is_some()) {
        h.set(tag::FILECAPS, strings(&|f| f.capabilities.clone().unwrap_or_default()));
    }
}

/// Writes the compressed archive; returns digest and size of the uncompressed one.
fn write_payload(files: &[&FileEntry], store: &Store, out: &mut impl Write) -> Result<(Digest, u64), Error> {
    let mut archive = FrameWriter::new(out, LEVEL);
    let inodes = inodes(files);
    let mut left: BTreeMap<&TreePath, u32> = BTreeMap::new();
    for file in files.iter().filter(|f| !f.flags.contains(FileFlags::GHOST)) {
        *left.entry(inode_path(file)).or_default() += 1;
    }
    for file in files.iter().filter(|f| !f.flags.contains(FileFlags::GHOST)) {
        let (inode, links) = inodes.get(inode_path(file)).copied().unwrap_or((0, 1));
        // Of several links to one file the last one carries the content.
        let remaining = left.entry(inode_path(file)).or_default();
        *remaining = remaining.saturating_sub(1);
        let data = match &file.node.kind {
            Kind::File { .. } | Kind::HardLink { .. } if *remaining == 0 => content(file, files),
            _ => None,
        };
        let target = match &file.node.kind {
            Kind::Symlink { target } => Some(target.as_bytes()),
            _ => None,
        };
        let size = target.map(|t| t.len() as u64).or(data.map(|(_, size)| size)).unwrap_or(0);
        let member = Member {
            path: file.path.as_str(),
            inode,
            mode: mode(&file.node),
            links,
            mtime: seconds(file.node.mtime),
            size: size as u32,
            rdev: rdev(&file.node),
        };
        payload::write_member(&mut archive, &member)?;
        if let Some(target) = target {
            archive.write_all(target)?;
        }
        if let Some((digest, size)) = data {
            let mut blob = store.open_blob(digest)?;
            let mut hasher = Hasher::new();
            let mut tee = Tee(&mut archive, &mut hasher);
            let copied = io::copy(&mut blob, &mut tee)?;
            if copied != size || hasher.finish() != *digest {
                return Err(Error::File {
                    path: file.path.clone(),
                    reason: format!(
                        "its content {digest} in the store is damaged; run `lazuli store verify`"
                    ),
                });
            }
        }
        payload::pad(&mut archive, size)?;
    }
    let trailer = Member { path: TRAILER, inode: 0, mode: 0, links: 1, mtime: 0, size: 0, rdev: (0, 0) };
    payload::write_member(&mut archive, &trailer)?;
    let (_, digest, size) = archive.finish()?;
    Ok((digest, size))
}

struct Tee<A, B>(A, B);

impl<A: Write, B: Write> Write for Tee<A, B> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.0.write(bytes)?;
        self.1.write_all(&bytes[..n])?;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
