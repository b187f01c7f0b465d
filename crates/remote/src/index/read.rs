//! Asking the file.

use super::record::{self, NO_EPOCH, detail};
use super::{BODY, MAGIC, SECTIONS, Section, TABLE, VERSION, checksum};
use lazuli_fs as fs;
use lazuli_repo::{File, FileKind, Href, Package};
use lazuli_rpm::{Dependency, DependencyFlags, Evr, Nevra};
use lazuli_solve::{List, PackageId, Size, Universe};
use lazuli_store::Digest;
use memmap2::Mmap;
use std::cmp::Ordering;
use std::ops::Range;
use std::path::Path;

/// An open index.
#[derive(Debug)]
pub struct Index {
    map: Mmap,
    sections: [Range<usize>; SECTIONS],
}

impl Index {
    /// Opens the index that was made from metadata with the digest `source`. `None` if there is none, or one
    /// that is damaged, of another layout, or of other metadata: it has to be made again.
    #[expect(unsafe_code, reason = "mapping a file")]
    pub fn open(path: &Path, source: &Digest) -> fs::Result<Option<Self>> {
        let file = match fs::open(path) {
            Ok(file) => file,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        // SAFETY: The file is never written in place: `build` renames a new one over it. Whoever may write to
        // the cache directory could do so nevertheless, as they could replace the program's other inputs; the
        // worst are then wrong answers or SIGBUS, because every access is checked against the length.
        let Ok(map) = (unsafe { Mmap::map(&file) }) else { return Ok(None) };
        Ok(sections(&map, source).map(|sections| Self { map, sections }))
    }

    fn section(&self, section: Section) -> &[u8] {
        self.map.get(self.sections[section as usize].clone()).unwrap_or_default()
    }

    fn text(&self, offset: u32) -> &str {
        self.string(Section::Text, offset)
    }

    fn string(&self, section: Section, offset: u32) -> &str {
        let section = self.section(section);
        let start = offset as usize;
        let length = word(section, start).unwrap_or(0) as usize;
        let bytes = start.checked_add(4).and_then(|s| section.get(s..s.checked_add(length)?));
        bytes.and_then(|b| std::str::from_utf8(b).ok()).unwrap_or_default()
    }

    fn record(&self, package: PackageId) -> &[u8] {
        let start = package.0 as usize * record::SIZE;
        self.section(Section::Package).get(start..start + record::SIZE).unwrap_or(&[0; record::SIZE])
    }

    fn detail(&self, package: PackageId) -> &[u8] {
        let start = package.0 as usize * detail::SIZE;
        self.section(Section::Detail).get(start..start + detail::SIZE).unwrap_or(&[0; detail::SIZE])
    }

    /// A text of a record of details.
    fn prose(&self, detail: &[u8], place: usize) -> &str {
        self.string(Section::Prose, word(detail, place * 4).unwrap_or(0))
    }

    fn field(&self, record: &[u8], place: usize) -> String {
        self.text(word(record, record::NAME + place * 4).unwrap_or(0)).to_owned()
    }

    fn dependency(&self, at: u32) -> Option<Dependency> {
        let section = self.section(Section::Dependency);
        let start = at as usize * 12;
        let (name, flags, evr) =
            (word(section, start)?, word(section, start + 4)?, word(section, start + 8)?);
        let (name, evr) = (self.text(name).to_owned(), self.text(evr).to_owned());
        Some(Dependency { name, flags: DependencyFlags(flags), evr })
    }

    fn list(&self, record: &[u8], place: usize) -> Vec<Dependency> {
        let at = record::LISTS + place * 8;
        let (first, count) = (word(record, at).unwrap_or(0), word(record, at + 4).unwrap_or(0));
        (first..first.saturating_add(count)).map_while(|at| self.dependency(at)).collect()
    }

    fn files(&self, detail: &[u8]) -> Vec<File> {
        let (first, count) =
            (word(detail, detail::FILES).unwrap_or(0) as usize, word(detail, detail::FILES + 4).unwrap_or(0));
        let section = self.section(Section::File);
        let one = |at: usize| {
            let kind = match word(section, at * 8 + 4)? {
                0 => FileKind::File,
                1 => FileKind::Directory,
                _ => FileKind::Ghost,
            };
            Some(File { path: self.text(word(section, at * 8)?).to_owned(), kind })
        };
        (first..first.saturating_add(count as usize)).map_while(one).collect()
    }

    /// The postings under a key.
    fn find(&self, table: Section, key: &str) -> Vec<u32> {
        let section = self.section(table);
        let (mut low, mut high) = (0, section.len() / 12);
        while low < high {
            let middle = usize::midpoint(low, high);
            let here = self.text(word(section, middle * 12).unwrap_or(0));
            match here.as_bytes().cmp(key.as_bytes()) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return self.postings(section, middle),
            }
        }
        Vec::new()
    }

    fn postings(&self, table: &[u8], place: usize) -> Vec<u32> {
        let first = word(table, place * 12 + 4).unwrap_or(0) as usize;
        let count = word(table, place * 12 + 8).unwrap_or(0) as usize;
        let postings = self.section(Section::Posting);
        (first..first.saturating_add(count)).map_while(|at| word(postings, at.checked_mul(4)?)).collect()
    }

    /// The packages under a key; numbers that no package has are left out.
    fn packages(&self, table: Section, key: &str) -> Vec<PackageId> {
        let count = self.count();
        self.find(table, key).into_iter().filter(|id| *id < count).map(PackageId).collect()
    }

    fn each(&self, table: Section, visit: &mut dyn FnMut(&str) -> bool) {
        let section = self.section(table);
        let _ = section.chunks_exact(12).all(|entry| visit(self.text(word(entry, 0).unwrap_or(0))));
    }

    /// Packages with a `Requires` that mentions this name, by itself or inside a rich dependency.
    pub fn requirers(&self, name: &str) -> Vec<PackageId> {
        self.packages(Section::Required, name)
    }

    /// Shows every path that the index knows once, with its owners, in the order of paths.
    pub fn each_path(&self, visit: &mut dyn FnMut(&str, &[PackageId]) -> bool) {
        let section = self.section(Section::Paths);
        let count = self.count();
        for (place, entry) in section.chunks_exact(12).enumerate() {
            let owners: Vec<PackageId> =
                self.postings(section, place).into_iter().filter(|id| *id < count).map(PackageId).collect();
            if !visit(self.text(word(entry, 0).unwrap_or(0)), &owners) {
                return;
            }
        }
    }

    /// Summary, description and home page: what a search looks at besides the name.
    pub fn words(&self, package: PackageId) -> [&str; 3] {
        let detail = self.detail(package);
        [0, 1, 3].map(|place| self.prose(detail, place))
    }

    /// When the package was made and when it was added to the repository, in seconds since 1970.
    pub fn times(&self, package: PackageId) -> (i64, i64) {
        let detail = self.detail(package);
        (signed(detail, detail::TIMES + 8), signed(detail, detail::TIMES))
    }

    /// The whole record of a package; an index that is damaged there gives `None`.
    pub fn package(&self, package: PackageId) -> Option<Package> {
        if package.0 >= self.count() {
            return None;
        }
        let (record, detail) = (self.record(package), self.detail(package));
        let location = Href::new(self.prose(detail, 9)).ok()?;
        let mut out = Package::new(self.nevra(package), self.checksum(package), location);
        let [summary, description, packager, url, license, vendor, group, build_host, source_rpm] =
            [0, 1, 2, 3, 4, 5, 6, 7, 8].map(|place| self.prose(detail, place).to_owned());
        (out.summary, out.description, out.packager, out.url) = (summary, description, packager, url);
        (out.license, out.vendor, out.group) = (license, vendor, group);
        (out.build_host, out.source_rpm) = (build_host, source_rpm);
        (out.build_time, out.file_time) = self.times(package);
        [out.package_size, out.installed_size, out.archive_size] =
            [0, 8, 16].map(|at| long(detail, detail::SIZES + at));
        out.header_range = long(detail, detail::HEADER)..long(detail, detail::HEADER + 8);
        [
            out.provides,
            out.requires,
            out.conflicts,
            out.obsoletes,
            out.recommends,
            out.suggests,
            out.supplements,
            out.enhances,
        ] = [0, 1, 2, 3, 4, 5, 6, 7].map(|place| self.list(record, place));
        out.files = self.files(detail);
        Some(out)
    }

    /// The SHA-256 of a package's file.
    pub fn checksum(&self, package: PackageId) -> Digest {
        let bytes = self.detail(package).get(detail::CHECKSUM..detail::CHECKSUM + 32);
        Digest::from_bytes(bytes.and_then(|b| b.try_into().ok()).unwrap_or([0; 32]))
    }
}

impl Universe for Index {
    fn count(&self) -> u32 {
        (self.section(Section::Package).len() / record::SIZE) as u32
    }

    fn nevra(&self, package: PackageId) -> Nevra {
        let record = self.record(package);
        let [name, version, release, arch] = [0, 1, 2, 3].map(|place| self.field(record, place));
        let epoch = word(record, record::EPOCH).filter(|epoch| *epoch != NO_EPOCH);
        Nevra { name, evr: Evr { epoch, version, release }, arch }
    }

    fn dependencies(&self, package: PackageId, list: List) -> Vec<Dependency> {
        let place = match list {
            List::Provides => 0,
            List::Requires => 1,
            List::Conflicts => 2,
            List::Obsoletes => 3,
            List::Recommends => 4,
            List::Supplements => 6,
        };
        self.list(self.record(package), place)
    }

    fn named(&self, name: &str) -> Vec<PackageId> {
        self.packages(Section::Names, name)
    }

    fn providers(&self, name: &str) -> Vec<(PackageId, Dependency)> {
        let owners = self.section(Section::Owner);
        let count = self.count();
        let found = self.find(Section::Provided, name).into_iter();
        found
            .filter_map(|at| {
                let owner = word(owners, (at as usize).checked_mul(4)?).filter(|id| *id < count)?;
                Some((PackageId(owner), self.dependency(at)?))
            })
            .collect()
    }

    fn owners(&self, path: &str) -> Vec<PackageId> {
        self.packages(Section::Paths, path)
    }

    fn obsoleters(&self, name: &str) -> Vec<PackageId> {
        self.packages(Section::Obsoleted, name)
    }

    fn supplementers(&self, name: &str) -> Vec<PackageId> {
        self.packages(Section::Supplemented, name)
    }

    fn each_name(&self, visit: &mut dyn FnMut(&str) -> bool) {
        self.each(Section::Names, visit);
    }

    fn each_provided_name(&self, visit: &mut dyn FnMut(&str) -> bool) {
        self.each(Section::Provided, visit);
    }

    fn size(&self, package: PackageId) -> Size {
        let detail = self.detail(package);
        Size { package: long(detail, detail::SIZES), installed: long(detail, detail::SIZES + 8) }
    }

    fn tie_break(&self, package: PackageId) -> Vec<u8> {
        self.checksum(package).as_bytes().to_vec()
    }
}

/// The sections, if the header is whole and all of them lie in the file.
fn sections(map: &[u8], source: &Digest) -> Option<[Range<usize>; SECTIONS]> {
    let head = map.get(..BODY)?;
    let fine = head.starts_with(MAGIC)
        && word(head, 8)? == VERSION
        && word(head, 12)? as usize == SECTIONS
        && head[16..48] == *source.as_bytes()
        && long(head, 48) == map.len() as u64
        && long(head, 56) == checksum(&[&head[..56], &head[TABLE..]].concat());
    if !fine {
        return None;
    }
    let mut sections = [const { 0..0 }; SECTIONS];
    for (place, section) in sections.iter_mut().enumerate() {
        let start = usize::try_from(long(head, TABLE + place * 16)).ok()?;
        let end = start.checked_add(usize::try_from(long(head, TABLE + place * 16 + 8)).ok()?)?;
        map.get(start..end)?;
        *section = start..end;
    }
    Some(sections)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// Zero where the bytes are missing.
fn long(bytes: &[u8], at: usize) -> u64 {
    let bytes = at.checked_add(8).and_then(|end| bytes.get(at..end)).and_then(|b| b.try_into().ok());
    bytes.map_or(0, u64::from_le_bytes)
}

fn signed(bytes: &[u8], at: usize) -> i64 {
    long(bytes, at).cast_signed()
}
