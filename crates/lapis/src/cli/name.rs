//! The name under which the binary was called.

use std::ffi::OsStr;
use std::path::Path;

/// Which command line the caller believes to be talking to. The commands and their options are the same;
/// exit statuses, error numbers and a few short options differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Name {
    /// `lapis`: our own.
    #[default]
    Lapis,
    /// `tdnf`: numbered errors, and exit statuses made of those numbers.
    Tdnf,
    /// `dnf`, also `dnf-3`, `dnf4`, `dnf5`, `yum` and `microdnf`.
    Dnf,
}

impl Name {
    /// From the first word of the command line, which may be a path.
    pub fn of(program: &OsStr) -> Self {
        let file = Path::new(program).file_name().unwrap_or_default().to_string_lossy();
        match &*file {
            "tdnf" | "tdnfj" => Self::Tdnf,
            "dnf" | "dnf-3" | "dnf4" | "dnf5" | "yum" | "microdnf" => Self::Dnf,
            _ => Self::Lapis,
        }
    }

    /// The name as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lapis => "lapis",
            Self::Tdnf => "tdnf",
            Self::Dnf => "dnf",
        }
    }
}
