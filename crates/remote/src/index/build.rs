//! Making the file.

use super::record::{self, NO_EPOCH};
use super::{BODY, MAGIC, SECTIONS, Section, TABLE, VERSION, checksum};
use lazuli_fs::{self as fs, Context as _};
use lazuli_repo::{FileKind, Package};
use lazuli_rpm::Dependency;
use lazuli_solve::mentioned_names;
use lazuli_store::Digest;
use rayon::prelude::*;
use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;

/// Writes the index of `packages`, made from metadata with the digest `source`, to `path`, in one step: a
/// reader sees the old file or the whole new one. The content is on disk before it gets its name, because only
/// the header is checked when it is opened.
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
    file.as_file().sync_data().at("flush", file.path())?;
    file.persist(path).map_err(|e| e.error).at("rename a file to", path)?;
    Ok(())
}

/// A lookup table: what is found under each text, by its offset. Equal texts have one offset.
type Lookup = Vec<(u32, u32)>;

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
                let name = self.dependency(id, dependency);
                match place {
                    0 => self.provided.push((name, at)),
                    1 => self.mentioned(dependency, name, id, |b| &mut b.required),
                    3 => self.obsoleted.push((name, id)),
                    6 => self.mentioned(dependency, name, id, |b| &mut b.supplemented),
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
            self.paths.push((path, id));
        }
        let name = self.text(&package.nevra.name);
        self.names.push((name, id));
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

    /// Notes the names that a dependency mentions.
    fn mentioned(
        &mut self,
        dependency: &Dependency,
        name: u32,
        id: u32,
        lookup: fn(&mut Self) -> &mut Lookup,
    ) {
        // Nearly all dependencies mention themselves alone.
        if !dependency.is_rich() && !dependency.name.starts_with('/') {
            lookup(self).push((name, id));
            return;
        }
        for name in mentioned_names(dependency) {
            let name = self.text(&name);
            lookup(self).push((name, id));
        }
    }

    /// Adds a dependency; returns the text of its name.
    fn dependency(&mut self, owner: u32, dependency: &Dependency) -> u32 {
        let (name, evr) = (self.text(&dependency.name), self.text(&dependency.evr));
        number(&mut self.dependencies, name);
        number(&mut self.dependencies, dependency.flags.0);
        number(&mut self.dependencies, evr);
        number(&mut self.owners, owner);
        name
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
        let text = &self.text;
        let mut sorted = lookups.to_vec();
        sorted.par_iter_mut().for_each(|lookup| {
            // By text first only where texts differ: most entries are compared with themselves often.
            lookup.sort_unstable();
            lookup.dedup();
            lookup.sort_by(|a, b| if a.0 == b.0 { a.1.cmp(&b.1) } else { at(text, a.0).cmp(at(text, b.0)) });
        });
        let mut tables = sorted.into_iter().map(|lookup| {
            let mut table = Vec::new();
            for group in lookup.chunk_by(|a, b| a.0 == b.0) {
                number(&mut table, group[0].0);
                number(&mut table, (postings.len() / 4) as u32);
                number(&mut table, group.len() as u32);
                for (_, value) in group {
                    number(&mut postings, *value);
                }
            }
            table
        });
        let mut next = || tables.next().unwrap_or_default();
        let (names, provided, paths) = (next(), next(), next());
        let (obsoleted, supplemented, required) = (next(), next(), next());
        drop(tables);
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

/// The bytes of the text at an offset.
fn at(text: &[u8], offset: u32) -> &[u8] {
    let start = offset as usize;
    let length = u32::from_le_bytes([text[start], text[start + 1], text[start + 2], text[start + 3]]);
    &text[start + 4..start + 4 + length as usize]
}
