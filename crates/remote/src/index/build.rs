//! Making the file.

use super::record::{self, NO_EPOCH};
use super::text::{Id, Texts};
use super::{BODY, MAGIC, SECTIONS, Section, TABLE, VERSION, checksum};
use lazuli_fs::{self as fs, Context as _};
use lazuli_repo::{FileKind, Package};
use lazuli_rpm::Dependency;
use lazuli_solve::mentioned_names;
use lazuli_store::Digest;
use rayon::prelude::*;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Writes the index of `packages`, made from metadata with the digest `source`, to `path`.
pub fn build(path: &Path, source: &Digest, packages: &[Package]) -> fs::Result<()> {
    let mut builder = Builder::new(path.parent().unwrap_or(Path::new(".")))?;
    for package in packages {
        builder.package(package)?;
    }
    builder.finish(path, source)
}

/// A lookup table: what is found under each text, by its number. Equal texts have one number.
type Lookup = Vec<(Id, u32)>;

/// An index in the making. Texts and the records of packages are written at once; the rest is kept until the end,
/// and of the texts those that may come again.
pub struct Builder {
    /// The index without a name: the header's place, then the texts that are only shown.
    file: BufWriter<NamedTempFile>,
    /// Where the next of them goes, from the beginning of the section.
    end: u32,
    /// Those that packages have in common.
    common: Texts,
    /// The texts that are looked at.
    texts: Part,
    text_end: u32,
    known: Texts,
    /// The records of packages.
    packages: Part,
    details: Part,
    dependencies: Vec<u8>,
    owners: Vec<u8>,
    files: Vec<u8>,
    count: u32,
    names: Lookup,
    provided: Lookup,
    paths: Lookup,
    obsoleted: Lookup,
    supplemented: Lookup,
    required: Lookup,
}

/// A section that waits for its place in a file that has no name.
struct Part {
    file: BufWriter<File>,
    dir: PathBuf,
}

impl Part {
    fn new(dir: &Path) -> fs::Result<Self> {
        let file = BufWriter::new(tempfile::tempfile_in(dir).at("create a file in", dir)?);
        Ok(Self { file, dir: dir.to_owned() })
    }

    fn write(&mut self, bytes: &[u8]) -> fs::Result<()> {
        self.file.write_all(bytes).at("write a file in", &self.dir)
    }

    /// Its content from the beginning.
    fn into_content(self) -> fs::Result<File> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error);
        let mut file = file.at("write a file in", &self.dir)?;
        file.rewind().at("read a file in", &self.dir)?;
        Ok(file)
    }
}

/// The place after a text of this length at `offset`: places in the index are numbers of 32 bits.
fn after(offset: u32, text: &str, dir: &Path) -> fs::Result<u32> {
    let end = u32::try_from(text.len()).ok().and_then(|length| offset.checked_add(4)?.checked_add(length));
    end.ok_or(io::Error::from(io::ErrorKind::FileTooLarge)).at("add to the index in", dir)
}

fn number(out: &mut Vec<u8>, number: u32) {
    out.extend(number.to_le_bytes());
}

impl Builder {
    /// Begins an index in a directory.
    pub fn new(dir: &Path) -> fs::Result<Self> {
        let mut file = BufWriter::new(NamedTempFile::new_in(dir).at("create a file in", dir)?);
        file.write_all(&[0; BODY]).at("write a file in", dir)?;
        Ok(Self {
            file,
            end: 0,
            common: Texts::default(),
            texts: Part::new(dir)?,
            text_end: 0,
            known: Texts::default(),
            packages: Part::new(dir)?,
            details: Part::new(dir)?,
            dependencies: Vec::new(),
            owners: Vec::new(),
            files: Vec::new(),
            count: 0,
            names: Lookup::new(),
            provided: Lookup::new(),
            paths: Lookup::new(),
            obsoleted: Lookup::new(),
            supplemented: Lookup::new(),
            required: Lookup::new(),
        })
    }

    /// A text that is looked at.
    fn id(&mut self, text: &str) -> fs::Result<Id> {
        if let Some(id) = self.known.find(text) {
            return Ok(id);
        }
        let offset = self.text_end;
        self.text_end = after(offset, text, &self.texts.dir)?;
        self.texts.write(&(text.len() as u32).to_le_bytes())?;
        self.texts.write(text.as_bytes())?;
        Ok(self.known.insert(text, offset))
    }

    /// The offset of such a text.
    fn text(&mut self, text: &str) -> fs::Result<u32> {
        let id = self.id(text)?;
        Ok(self.known.offset(id))
    }

    /// A text that is only shown and hardly occurs twice.
    fn prose(&mut self, text: &str) -> fs::Result<u32> {
        let offset = self.end;
        self.end = after(offset, text, &self.texts.dir)?;
        let length = (text.len() as u32).to_le_bytes();
        let written = self.file.write_all(&length).and_then(|()| self.file.write_all(text.as_bytes()));
        written.at("write", self.file.get_ref().path())?;
        Ok(offset)
    }

    /// One that many packages have.
    fn common(&mut self, text: &str) -> fs::Result<u32> {
        if let Some(id) = self.common.find(text) {
            return Ok(self.common.offset(id));
        }
        let offset = self.prose(text)?;
        self.common.insert(text, offset);
        Ok(offset)
    }

    /// Adds a package.
    pub fn package(&mut self, package: &Package) -> fs::Result<()> {
        let id = self.count;
        self.count += 1;
        let mut out = Vec::with_capacity(record::SIZE);
        let short = [
            &package.nevra.name,
            &package.nevra.evr.version,
            &package.nevra.evr.release,
            &package.nevra.arch,
        ];
        for text in short {
            let text = self.text(text)?;
            number(&mut out, text);
        }
        debug_assert_eq!(out.len(), record::EPOCH);
        number(&mut out, package.nevra.evr.epoch.unwrap_or(NO_EPOCH));
        number(&mut out, 0);
        let lists = [
            &package.provides,
            &package.requires,
            &package.conflicts,
            &package.obsoletes,
            &package.recommends,
            &package.suggests,
            &package.supplements,
            &package.enhances,
        ];
        for (place, list) in lists.into_iter().enumerate() {
            let first = (self.owners.len() / 4) as u32;
            number(&mut out, first);
            number(&mut out, list.len() as u32);
            for (dependency, at) in list.iter().zip(first..) {
                let name = self.dependency(id, dependency)?;
                match place {
                    0 => self.provided.push((name, at)),
                    1 => self.mentioned(dependency, name, id, |b| &mut b.required)?,
                    3 => self.obsoleted.push((name, id)),
                    6 => self.mentioned(dependency, name, id, |b| &mut b.supplemented)?,
                    _ => {}
                }
            }
        }
        let name = self.id(&package.nevra.name)?;
        self.names.push((name, id));
        debug_assert_eq!(out.len(), record::SIZE);
        self.packages.write(&out)?;
        self.detail(id, package)
    }

    /// Writes what is only shown.
    fn detail(&mut self, id: u32, package: &Package) -> fs::Result<()> {
        let mut out = Vec::with_capacity(record::detail::SIZE);
        let summary = self.prose(&package.summary)?;
        let same = package.description == package.summary;
        let description = if same { summary } else { self.prose(&package.description)? };
        number(&mut out, summary);
        number(&mut out, description);
        let common = [
            &package.packager,
            &package.url,
            &package.license,
            &package.vendor,
            &package.group,
            &package.build_host,
            &package.source_rpm,
        ];
        for text in common {
            let text = self.common(text)?;
            number(&mut out, text);
        }
        let location = self.prose(package.location.as_str())?;
        number(&mut out, location);
        number(&mut out, (self.files.len() / 8) as u32);
        number(&mut out, package.files.len() as u32);
        for file in &package.files {
            let path = self.id(&file.path)?;
            number(&mut self.files, self.known.offset(path));
            number(
                &mut self.files,
                match file.kind {
                    FileKind::File => 0,
                    FileKind::Directory => 1,
                    FileKind::Ghost => 2,
                },
            );
            self.paths.push((path, id));
        }
        out.extend(package.file_time.to_le_bytes());
        out.extend(package.build_time.to_le_bytes());
        for size in [package.package_size, package.installed_size, package.archive_size] {
            out.extend(size.to_le_bytes());
        }
        out.extend(package.header_range.start.to_le_bytes());
        out.extend(package.header_range.end.to_le_bytes());
        out.extend(package.checksum.as_bytes());
        debug_assert_eq!(out.len(), record::detail::SIZE);
        self.details.write(&out)
    }

    /// Notes the names that a dependency mentions.
    fn mentioned(
        &mut self,
        dependency: &Dependency,
        name: Id,
        id: u32,
        lookup: fn(&mut Self) -> &mut Lookup,
    ) -> fs::Result<()> {
        // Nearly all dependencies mention themselves alone.
        if !dependency.is_rich() && !dependency.name.starts_with('/') {
            lookup(self).push((name, id));
            return Ok(());
        }
        for name in mentioned_names(dependency) {
            let name = self.id(&name)?;
            lookup(self).push((name, id));
        }
        Ok(())
    }

    /// Adds a dependency; returns the text of its name.
    fn dependency(&mut self, owner: u32, dependency: &Dependency) -> fs::Result<Id> {
        let (name, evr) = (self.id(&dependency.name)?, self.text(&dependency.evr)?);
        number(&mut self.dependencies, self.known.offset(name));
        number(&mut self.dependencies, dependency.flags.0);
        number(&mut self.dependencies, evr);
        number(&mut self.owners, owner);
        Ok(name)
    }

    /// Gives the index its name, in one step: a reader sees an old file or the whole new one. The content is on
    /// the disk before, because only the header is checked when it is opened.
    pub fn finish(self, path: &Path, source: &Digest) -> fs::Result<()> {
        let mut lookups =
            [self.names, self.provided, self.paths, self.obsoleted, self.supplemented, self.required];
        let known = &self.known;
        lookups.par_iter_mut().for_each(|lookup| {
            // By text first only where texts differ: most entries are compared with themselves often.
            lookup.sort_unstable();
            lookup.dedup();
            lookup.sort_by(
                |a, b| {
                    if a.0 == b.0 { a.1.cmp(&b.1) } else { known.text(a.0).cmp(known.text(b.0)) }
                },
            );
        });
        let mut postings = Vec::new();
        let tables = lookups.map(|lookup| {
            let mut table = Vec::new();
            for group in lookup.chunk_by(|a, b| a.0 == b.0) {
                number(&mut table, known.offset(group[0].0));
                number(&mut table, (postings.len() / 4) as u32);
                number(&mut table, group.len() as u32);
                for (_, value) in group {
                    number(&mut postings, *value);
                }
            }
            table
        });
        let place = self.file.get_ref().path().to_owned();
        let at = |result: io::Result<()>| result.at("write", &place);
        let mut out = Sections { file: self.file, end: BODY as u64, table: Vec::new() };
        // In the order of `Section`; the first is there already.
        out.note(u64::from(self.end));
        for part in [self.texts, self.packages, self.details] {
            at(out.copy(&mut part.into_content()?))?;
        }
        for section in [&self.dependencies, &self.files, &postings, &self.owners].into_iter().chain(&tables) {
            at(out.copy(&mut section.as_slice()))?;
        }
        debug_assert_eq!(Section::Required as usize + 1, SECTIONS);
        let mut head = vec![0; TABLE];
        head[..8].copy_from_slice(MAGIC);
        head[8..12].copy_from_slice(&VERSION.to_le_bytes());
        head[12..16].copy_from_slice(&(SECTIONS as u32).to_le_bytes());
        head[16..48].copy_from_slice(source.as_bytes());
        head[48..56].copy_from_slice(&out.end.to_le_bytes());
        let sum = checksum(&[&head[..56], &out.table].concat());
        head[56..64].copy_from_slice(&sum.to_le_bytes());
        head.extend(&out.table);
        let mut file = out.file.into_inner().map_err(io::IntoInnerError::into_error).at("write", &place)?;
        at(file.rewind())?;
        at(file.write_all(&head))?;
        fs::set_mode(file.path(), 0o644)?;
        file.as_file().sync_data().at("flush", file.path())?;
        file.persist(path).map_err(|e| e.error).at("rename a file to", path)?;
        Ok(())
    }
}

/// The sections behind one another, and their table.
struct Sections {
    file: BufWriter<NamedTempFile>,
    end: u64,
    table: Vec<u8>,
}

impl Sections {
    /// Enters a section that was written.
    fn note(&mut self, length: u64) {
        self.table.extend(self.end.to_le_bytes());
        self.table.extend(length.to_le_bytes());
        self.end += length;
    }

    fn copy(&mut self, section: &mut dyn Read) -> io::Result<()> {
        let aligned = self.end.next_multiple_of(8);
        self.file.write_all(&[0; 8][..(aligned - self.end) as usize])?;
        self.end = aligned;
        let length = io::copy(section, &mut self.file)?;
        self.note(length);
        Ok(())
    }
}
