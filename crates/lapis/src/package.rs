//! Packages, installed or available, as commands see them.

use crate::history::Reason;
use lazuli_repo::{Href, Package};
use lazuli_rpm::{Header, Nevra};
use lazuli_store::Digest;

/// What the installed system is called where a repository could stand.
pub const SYSTEM: &str = "@System";

/// Everything known about a package.
#[derive(Debug, Clone)]
pub struct Details {
    /// Its record. Of an installed package without checksum, location and size of the file.
    pub package: Package,
    /// The repository that has it, or [`SYSTEM`].
    pub repository: String,
    /// Of an installed package: the repository that it came from, as far as the history knows.
    pub from_repository: String,
    /// Of an installed package: when, in seconds since 1970.
    pub install_time: Option<i64>,
    /// Of an installed package: why.
    pub reason: Option<Reason>,
    /// Whether all of its files are in the record, not just the usual ones.
    pub all_files: bool,
}

impl Details {
    /// An installed package from its header in the database.
    pub fn installed(header: &Header, install_time: u32) -> Option<Self> {
        // The location and the checksum of the file are not known any more; nobody is shown these.
        let location = Href::new("installed").ok()?;
        let package = Package::from_headers(header, header, 0, Digest::of(""), location).ok()?;
        Some(Self {
            package,
            repository: SYSTEM.to_owned(),
            from_repository: String::new(),
            install_time: Some(i64::from(install_time)),
            reason: Some(Reason::User),
            all_files: true,
        })
    }

    /// A package of a repository.
    pub fn available(package: Package, repository: &str) -> Self {
        Self {
            package,
            repository: repository.to_owned(),
            from_repository: String::new(),
            install_time: None,
            reason: None,
            all_files: false,
        }
    }

    /// Name, version, release and architecture.
    pub fn nevra(&self) -> &Nevra {
        &self.package.nevra
    }

    /// Whether it is an installed one.
    pub fn is_installed(&self) -> bool {
        self.install_time.is_some()
    }

    /// What lists show as its repository: where an installed package came from, with an `@`.
    pub fn shown_repository(&self) -> String {
        if !self.is_installed() {
            self.repository.clone()
        } else if self.from_repository.is_empty() {
            SYSTEM.to_owned()
        } else {
            format!("@{}", self.from_repository)
        }
    }

    #[cfg(test)]
    pub(crate) fn example() -> Self {
        let nevra =
            Nevra { name: "bash".into(), evr: lazuli_rpm::Evr::new(None, "5.2", "1"), arch: "x86_64".into() };
        let href = Href::new("Packages/bash-5.2-1.x86_64.rpm").unwrap();
        Self::available(Package::new(nevra, Digest::of("x"), href), "base")
    }
}

/// Epoch, version and release as dnf shows them: an epoch only if it is not 0.
pub fn shown_evr(nevra: &Nevra) -> String {
    let vr = nevra.evr.version_release();
    match nevra.evr.epoch {
        Some(epoch) if epoch > 0 => format!("{epoch}:{vr}"),
        _ => vr,
    }
}

/// The whole name as dnf shows it.
pub fn shown(nevra: &Nevra) -> String {
    format!("{}-{}.{}", nevra.name, shown_evr(nevra), nevra.arch)
}
