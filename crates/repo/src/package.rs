//! What repodata says about one package.

use crate::href::Href;
use lazuli_rpm::{Dependency, Nevra};
use lazuli_store::Digest;
use std::ops::Range;

/// One package as repository metadata describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Name, epoch, version, release and architecture.
    pub nevra: Nevra,
    /// SHA-256 of the whole RPM file; identifies the package in all metadata files (`pkgid`).
    pub checksum: Digest,
    /// One line.
    pub summary: String,
    /// Several lines.
    pub description: String,
    /// Who packaged it.
    pub packager: String,
    /// The project's home page.
    pub url: String,
    /// SPDX expression, or what the packager wrote instead.
    pub license: String,
    /// Who distributes it.
    pub vendor: String,
    /// The RPM group, a classification that few still fill in.
    pub group: String,
    /// The host it was built on.
    pub build_host: String,
    /// The file name of the source package.
    pub source_rpm: String,
    /// When it was built, in seconds since the epoch.
    pub build_time: i64,
    /// When the file was made, in seconds since the epoch. [`Package::from_headers`] uses the build time, so
    /// that metadata does not depend on when a file was copied.
    pub file_time: i64,
    /// Size of the RPM file in bytes.
    pub package_size: u64,
    /// Sum of the sizes of the installed files in bytes.
    pub installed_size: u64,
    /// Size of the uncompressed payload archive in bytes.
    pub archive_size: u64,
    /// Where the main header lies in the RPM file, in bytes.
    pub header_range: Range<u64>,
    /// Where the RPM file lies in the repository.
    pub location: Href,
    /// What it offers, its own name included.
    pub provides: Vec<Dependency>,
    /// What must be installed with it. Metadata read from a repository has no `rpmlib(...)` entries:
    /// by convention they are left out there.
    pub requires: Vec<Dependency>,
    /// What must not be installed with it.
    pub conflicts: Vec<Dependency>,
    /// The packages, by name, that it replaces.
    pub obsoletes: Vec<Dependency>,
    /// What should be installed with it.
    pub recommends: Vec<Dependency>,
    /// What could be installed with it.
    pub suggests: Vec<Dependency>,
    /// What it should be installed with.
    pub supplements: Vec<Dependency>,
    /// What it could be installed with.
    pub enhances: Vec<Dependency>,
    /// Its files. When only `primary` was read these are the ones of [`File::is_primary`].
    pub files: Vec<File>,
    /// Its changelog, oldest entry first; empty unless `other` was read.
    pub changelog: Vec<Change>,
}

/// One path that a package owns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct File {
    /// The absolute path.
    pub path: String,
    /// What lies there.
    pub kind: FileKind,
}

/// What repodata distinguishes among paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// A directory.
    Directory,
    /// Owned, but not shipped in the package.
    Ghost,
    /// Anything else.
    File,
}

impl File {
    /// Whether the path is among those that `primary` lists, because dependencies name such paths:
    /// below `/etc/`, in any directory whose name ends in `bin`, and `/usr/lib/sendmail`.
    pub fn is_primary(&self) -> bool {
        is_primary_path(&self.path)
    }
}

/// See [`File::is_primary`].
pub fn is_primary_path(path: &str) -> bool {
    path.starts_with("/etc/") || path.contains("bin/") || path == "/usr/lib/sendmail"
}

/// One changelog entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Name, address and usually the version.
    pub author: String,
    /// Seconds since the epoch.
    pub date: i64,
    /// The entry.
    pub text: String,
}

impl Package {
    /// A package of which only the identity is known.
    pub fn new(nevra: Nevra, checksum: Digest, location: Href) -> Self {
        Self {
            nevra,
            checksum,
            location,
            summary: String::new(),
            description: String::new(),
            packager: String::new(),
            url: String::new(),
            license: String::new(),
            vendor: String::new(),
            group: String::new(),
            build_host: String::new(),
            source_rpm: String::new(),
            build_time: 0,
            file_time: 0,
            package_size: 0,
            installed_size: 0,
            archive_size: 0,
            header_range: 0..0,
            provides: Vec::new(),
            requires: Vec::new(),
            conflicts: Vec::new(),
            obsoletes: Vec::new(),
            recommends: Vec::new(),
            suggests: Vec::new(),
            supplements: Vec::new(),
            enhances: Vec::new(),
            files: Vec::new(),
            changelog: Vec::new(),
        }
    }

    /// How errors and reports name it: `name-version-release.arch`, with the epoch if it has one.
    pub fn id(&self) -> String {
        self.nevra.to_string()
    }

    /// The order in which packages are written and considered, independent of where they came from.
    pub(crate) fn order(&self, other: &Self) -> std::cmp::Ordering {
        let (a, b) = (&self.nevra, &other.nevra);
        (&a.name, &a.evr, &a.arch, &self.location, &self.checksum).cmp(&(
            &b.name,
            &b.evr,
            &b.arch,
            &other.location,
            &other.checksum,
        ))
    }
}
