//! `filelists.xml` and `other.xml`: all paths and the changelogs, by package checksum.

use crate::error::{Error, Result};
use crate::package::{Change, File, Package};
use crate::primary::{MAX_FILES, MAX_PACKAGES, read_file, write_file, write_version};
use crate::xml::{Cursor, Xml};
use lazuli_store::Digest;
use std::collections::HashMap;
use std::io;

/// How many changelog entries, the newest, a package shows in metadata.
pub(crate) const CHANGELOG_LIMIT: usize = 10;
/// The most changelog entries of one package that are read.
const MAX_CHANGES: usize = 100_000;

/// Which of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    /// All paths.
    Files,
    /// Changelogs.
    Other,
}

impl List {
    pub(crate) fn file(self) -> &'static str {
        match self {
            Self::Files => "filelists.xml",
            Self::Other => "other.xml",
        }
    }

    fn root(self) -> &'static str {
        match self {
            Self::Files => "filelists",
            Self::Other => "otherdata",
        }
    }

    fn namespace(self) -> &'static str {
        match self {
            Self::Files => "http://linux.duke.edu/metadata/filelists",
            Self::Other => "http://linux.duke.edu/metadata/other",
        }
    }

    /// The whole document.
    pub(crate) fn document(self, packages: &[Vec<u8>]) -> io::Result<Vec<u8>> {
        let mut xml = Xml::document()?;
        xml.open(self.root(), &[("xmlns", self.namespace()), ("packages", &packages.len().to_string())])?;
        for package in packages {
            xml.raw(b"\n");
            xml.raw(package);
        }
        xml.close(self.root())?;
        Ok(xml.into_bytes())
    }

    /// One package's record.
    pub(crate) fn write(self, package: &Package) -> io::Result<Vec<u8>> {
        let mut xml = Xml::fragment();
        let checksum = package.checksum.to_string();
        let nevra = &package.nevra;
        xml.open("package", &[("pkgid", &checksum), ("name", &nevra.name), ("arch", &nevra.arch)])?;
        write_version(&mut xml, &nevra.evr)?;
        match self {
            Self::Files => {
                for file in &package.files {
                    write_file(&mut xml, file)?;
                }
            }
            Self::Other => {
                let skip = package.changelog.len().saturating_sub(CHANGELOG_LIMIT);
                for change in &package.changelog[skip..] {
                    let date = change.date.to_string();
                    let attrs = [("author", change.author.as_str()), ("date", date.as_str())];
                    xml.leaf("changelog", &attrs, &change.text)?;
                }
            }
        }
        xml.close("package")?;
        Ok(xml.into_bytes())
    }

    /// Reads the file and adds what it says to `packages`, which must be exactly its packages.
    pub(crate) fn read(self, bytes: &[u8], packages: &mut [Package]) -> Result<()> {
        let file = self.file();
        // One RPM file may be listed at several locations.
        let mut places: HashMap<Digest, Vec<usize>> = HashMap::with_capacity(packages.len());
        for (place, package) in packages.iter().enumerate() {
            places.entry(package.checksum).or_default().push(place);
        }
        let (mut cursor, root) = Cursor::open(file, bytes, self.root())?;
        let count: usize = cursor.need_parsed(&root, "packages")?;
        let mut found = 0;
        while let Some(element) = cursor.child()? {
            if element.name() != "package" {
                cursor.skip()?;
                continue;
            }
            if found == MAX_PACKAGES {
                return Err(cursor.error(format!("more than {MAX_PACKAGES} packages")));
            }
            found += 1;
            let checksum: Digest = cursor.need_parsed(&element, "pkgid")?;
            let (files, changelog) = self.read_package(&mut cursor)?;
            let Some(places) = places.remove(&checksum) else {
                let reason = format!("it lists {checksum}, which is unknown or listed before");
                return Err(Error::Mismatch { file, reason });
            };
            for place in places {
                match self {
                    Self::Files => packages[place].files.clone_from(&files),
                    Self::Other => packages[place].changelog.clone_from(&changelog),
                }
            }
        }
        if found != count {
            return Err(cursor.error(format!("{count} packages are announced, but {found} are there")));
        }
        cursor.finish()?;
        let missing = packages.iter().find(|package| places.contains_key(&package.checksum));
        missing.map_or(Ok(()), |package| {
            Err(Error::Mismatch { file, reason: format!("it does not list {}", package.id()) })
        })
    }

    fn read_package(self, cursor: &mut Cursor<'_>) -> Result<(Vec<File>, Vec<Change>)> {
        let (mut files, mut changelog) = (Vec::new(), Vec::new());
        while let Some(element) = cursor.child()? {
            match (self, element.name()) {
                (Self::Files, "file") => {
                    if files.len() == MAX_FILES {
                        return Err(cursor.error(format!("a package with more than {MAX_FILES} files")));
                    }
                    files.push(read_file(cursor, &element)?);
                }
                (Self::Other, "changelog") => {
                    if changelog.len() == MAX_CHANGES {
                        return Err(cursor.error(format!("more than {MAX_CHANGES} changelog entries")));
                    }
                    let author = cursor.need(&element, "author")?.into_owned();
                    let date = cursor.need_parsed(&element, "date")?;
                    changelog.push(Change { author, date, text: cursor.text(&element)? });
                }
                _ => cursor.skip()?,
            }
        }
        Ok((files, changelog))
    }
}
