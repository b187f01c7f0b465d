//! Slots, partition labels and names of unified kernel images.

use std::fmt;
use std::str::FromStr;

/// One of the two places that hold a version of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// The first.
    A,
    /// The second.
    B,
}

impl Slot {
    /// The slot that an update is written to while this one runs.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::B => "B",
        })
    }
}

/// What the label of a slot's partition says about its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlotLabel {
    /// `_empty`: free to be written to.
    Empty,
    /// `os_VERSION`: holds this version in full.
    Version(String),
    /// `PRT#VERSION`: being written; the content is not to be trusted.
    Partial(String),
}

/// GPT has 36 UTF-16 units for a label.
const MAX_LABEL: usize = 36;

/// A label that no slot has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{label}` is not the label of a slot: {reason}")]
pub struct LabelError {
    /// The text.
    pub label: String,
    /// What is wrong.
    pub reason: &'static str,
}

impl fmt::Display for SlotLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("_empty"),
            Self::Version(version) => write!(f, "os_{version}"),
            Self::Partial(version) => write!(f, "PRT#{version}"),
        }
    }
}

impl FromStr for SlotLabel {
    type Err = LabelError;

    fn from_str(label: &str) -> Result<Self, LabelError> {
        let error = |reason| LabelError { label: label.to_owned(), reason };
        if label.encode_utf16().count() > MAX_LABEL {
            return Err(error("longer than 36 characters"));
        }
        if label == "_empty" {
            return Ok(Self::Empty);
        }
        let (version, make): (_, fn(String) -> Self) =
            match (label.strip_prefix("os_"), label.strip_prefix("PRT#")) {
                (Some(version), _) => (version, Self::Version),
                (_, Some(version)) => (version, Self::Partial),
                _ => return Err(error("it begins with neither `os_` nor `PRT#`")),
            };
        if valid_version(version) {
            Ok(make(version.to_owned()))
        } else {
            Err(error("what follows is not a version"))
        }
    }
}

fn valid_version(version: &str) -> bool {
    version.parse::<crate::Version>().is_ok()
}

/// Boot tries in the name of a unified kernel image, `+LEFT-DONE`: systemd-boot takes one from `left`
/// at each start and takes the counter away once the system called the start good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootCounter {
    /// Tries left.
    pub left: u8,
    /// Tries made.
    pub done: u8,
}

/// The file name of a unified kernel image: `ID-VERSION[+LEFT[-DONE]].efi`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UkiName {
    /// os-release's ID.
    pub id: String,
    /// The version of the system.
    pub version: String,
    /// The boot counter, while the version is on trial.
    pub counter: Option<BootCounter>,
}

impl fmt::Display for UkiName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.id, self.version)?;
        if let Some(BootCounter { left, done }) = self.counter {
            write!(f, "+{left}-{done}")?;
        }
        f.write_str(".efi")
    }
}

impl FromStr for UkiName {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        let error = |reason| LabelError { label: text.to_owned(), reason };
        let stem = text.strip_suffix(".efi").ok_or_else(|| error("it does not end with `.efi`"))?;
        let (stem, counter) = match stem.split_once('+') {
            None => (stem, None),
            Some((stem, counter)) => {
                let (left, done) = counter.split_once('-').unwrap_or((counter, "0"));
                match (left.parse(), done.parse()) {
                    (Ok(left), Ok(done)) => (stem, Some(BootCounter { left, done })),
                    _ => return Err(error("the boot counter is not +LEFT-DONE")),
                }
            }
        };
        let (id, version) = stem.split_once('-').ok_or_else(|| error("it has no version"))?;
        if id.is_empty() || !valid_version(version) {
            return Err(error("what follows is not a version"));
        }
        Ok(Self { id: id.to_owned(), version: version.to_owned(), counter })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_names_round_trip() {
        for text in ["_empty", "os_1.0", "PRT#1.0-2"] {
            assert_eq!(text.parse::<SlotLabel>().unwrap().to_string(), text);
        }
        for text in ["lazuli-1.0.efi", "lazuli-1.0-3+3-0.efi"] {
            assert_eq!(text.parse::<UkiName>().unwrap().to_string(), text);
        }
        assert_eq!(
            "lazuli-1.0+3.efi".parse::<UkiName>().unwrap().counter,
            Some(BootCounter { left: 3, done: 0 })
        );
    }

    #[test]
    fn what_is_no_label_or_name_is_refused() {
        for text in ["", "os_", "os_a/b", "root", &format!("os_{}", "1".repeat(34))] {
            assert!(text.parse::<SlotLabel>().is_err(), "{text}");
        }
        for text in ["lazuli.efi", "lazuli-1.0", "lazuli-1.0+x.efi", "-1.efi", "lazuli-../x.efi"] {
            assert!(text.parse::<UkiName>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_update_goes_to_the_slot_that_does_not_run() {
        assert_eq!(Slot::A.other(), Slot::B);
        assert_eq!(Slot::B.other(), Slot::A);
    }
}
