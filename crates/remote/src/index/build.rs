//! Making the file.

use super::record::{self, NO_EPOCH};
use super::{BODY, MAGIC, SECTIONS, Section, TABLE, VERSION, checksum};
use lazuli_fs::{self as fs, Context as _};
use lazuli_repo::{FileKind, Package};
use lazuli_rpm::Dependency;
use lazuli_solve::mentioned_names;
use lazuli_store::Digest;
use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::path::Path;

/// Writes the index of `packages`, made from metadata with the digest `source`, to `path`, in one step: a
/// reader sees the old file or the whole new one. It is a cache, so nothing is flushed.
pub fn build(path: &Path, source: &Digest, packages: &[Package]) -> fs::Result<()> {
    let mut builder = Builder::default();
    for package in packages {
        builder.package(package);
    }
    let bytes = builder.finish(source);
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir).at("create a file in", dir)?;
    file.write_all(&bytes).at("write", file.path())?;
    fs::set_mode(file.path(), 0o644)?;
    file.persist(path).map_err(|e| e.error).at("rename a file to", path)?;
    Ok(())
}

/// A lookup table: what is found under each text.
type Lookup = BTreeMap<String, Vec<u32>>;

#[derive(Default)]
struct Builder {
    text: Vec<u8>,
    known: HashMap<String, u32>,
    packages: Vec<u8>,
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

fn number(out: &mut Vec<u8>, number: u32) {
    out.extend(number.to_le_bytes());
}

/// Numbers of one lookup are those of packages in growing order: each is kept once.
fn note(lookup: &mut Lookup, key: &str, value: u32) {
    match lookup.get_mut(key) {
        Some(list) if list.last() == Some(&value) => {}
        Some(list) => list.push(value),
        None => drop(lookup.insert(key.to_owned(), vec![value])),
    }
}

impl Builder {
    fn text(&mut self, text: &str) -> u32 {
        if let Some(offset) = self.known.get(text) {
            return *offset;
        }
        let offset = self.text.len() as u32;
        number(&mut self.text, text.len() as u32);
        self.text.extend(text.as_bytes());
        self.known.insert(text.to_owned(), offset);
        offset
    }

    /// Text that hardly occurs twice.
    fn long_text(&mut self, text: &str) -> u32 {
        let offset = self.text.len() as u32;
        number(&mut self.text, text.len() as u32);
        self.text.extend(text.as_bytes());
        offset
    }

    fn package(&mut self, package: &Package) {
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
            let text = self.text(text);
            number(&mut out, text);
        }
        for text in [&package.summary, &package.description] {
            let text = self.long_text(text);
            number(&mut out, text);
        }
        let shared = [
            &package.packager,
            &package.url,
            &package.license,
            &package.vendor,
            &package.group,
            &package.build_host,
            &package.source_rpm,
        ];
        for text in shared {
            let text = self.text(text);
            number(&mut out, text);
        }
        let location = self.long_text(package.location.as_str());
        number(&mut out, location);
        out.resize(record::EPOCH, 0);
        number(&mut out, package.nevra.evr.epoch.unwrap_or(NO_EPOCH));
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
                self.dependency(id, dependency);
                match place {
                    0 => self.provided.entry(dependency.name.clone()).or_default().push(at),
                    1 => mentioned_names(dependency).iter().for_each(|n| note(&mut self.required, n, id)),
                    3 => note(&mut self.obsoleted, &dependency.name, id),
                    6 => mentioned_names(dependency).iter().for_each(|n| note(&mut self.supplemented, n, id)),
                    _ => {}
                }
            }
        }
        number(&mut out, (self.files.len() / 8) as u32);
        number(&mut out, package.files.len() as u32);
        for file in &package.files {
            let path = self.text(&file.path);
            number(&mut self.files, path);
            number(
                &mut self.files,
                match file.kind {
                    FileKind::File => 0,
                    FileKind::Directory => 1,
                    FileKind::Ghost => 2,
                },
            );
            note(&mut self.paths, &file.path, id);
        }
        note(&mut self.names, &package.nevra.name, id);
        out.extend(package.file_time.to_le_bytes());
        out.extend(package.build_time.to_le_bytes());
        for size in [package.package_size, package.installed_size, package.archive_size] {
            out.extend(size.to_le_bytes());
        }
        out.extend(package.header_range.start.to_le_bytes());
        out.extend(package.header_range.end.to_le_bytes());
        out.extend(package.checksum.as_bytes());
        self.packages.extend(out);
    }

    fn dependency(&mut self, owner: u32, dependency: &Dependency) {
        let (name, evr) = (self.text(&dependency.name), self.text(&dependency.evr));
        number(&mut self.dependencies, name);
        number(&mut self.dependencies, dependency.flags.0);
        number(&mut self.dependencies, evr);
        number(&mut self.owners, owner);
    }

    fn finish(mut self, source: &Digest) -> Vec<u8> {
        let mut postings = Vec::new();
        let lookups = [
            std::mem::take(&mut self.names),
            std::mem::take(&mut self.provided),
            std::mem::take(&mut self.paths),
            std::mem::take(&mut self.obsoleted),
            std::mem::take(&mut self.supplemented),
            std::mem::take(&mut self.required),
        ];
        let tables = lookups.map(|lookup| {
            let mut table = Vec::with_capacity(lookup.len() * 12);
            for (key, values) in lookup {
                let key = self.text(&key);
                number(&mut table, key);
                number(&mut table, (postings.len() / 4) as u32);
                number(&mut table, values.len() as u32);
                values.into_iter().for_each(|value| number(&mut postings, value));
            }
            table
        });
        let [names, provided, paths, obsoleted, supplemented, required] = tables;
        // In the order of `Section`.
        let sections: [Vec<u8>; SECTIONS] = [
            self.text,
            self.packages,
            self.dependencies,
            self.files,
            postings,
            self.owners,
            names,
            provided,
            paths,
            obsoleted,
            supplemented,
            required,
        ];
        debug_assert_eq!(Section::Required as usize + 1, SECTIONS);
        let mut out = vec![0; BODY];
        let mut table = Vec::with_capacity(SECTIONS * 16);
        for section in sections {
            out.resize(out.len().next_multiple_of(8), 0);
            table.extend((out.len() as u64).to_le_bytes());
            table.extend((section.len() as u64).to_le_bytes());
            out.extend(section);
        }
        let length = out.len() as u64;
        out[TABLE..BODY].copy_from_slice(&table);
        out[..8].copy_from_slice(MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[12..16].copy_from_slice(&(SECTIONS as u32).to_le_bytes());
        out[16..48].copy_from_slice(source.as_bytes());
        out[48..56].copy_from_slice(&length.to_le_bytes());
        let sum = checksum(&[&out[..56], &out[TABLE..BODY]].concat());
        out[56..64].copy_from_slice(&sum.to_le_bytes());
        out
    }
}
