//! Deciding: from what there is to what is to be done, in an order that bears a power cut after any step.

use crate::scan::{MADE, State, copy_of};
use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

/// One thing to be done on the EFI system partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Take away what an interrupted run left; relative to the EFI system partition.
    Tidy(PathBuf),
    /// Copy a kernel.
    Copy {
        /// Its release.
        release: String,
        /// Its length in bytes.
        size: u64,
    },
    /// Write an entry.
    Write {
        /// The release of its kernel.
        release: String,
        /// What it says.
        content: String,
    },
    /// Take an entry away.
    RemoveEntry {
        /// The release of its kernel.
        release: String,
    },
    /// Take a unified kernel image away.
    RemoveUnified {
        /// Its file name.
        name: String,
    },
    /// Take the copy of a kernel away.
    RemoveCopy {
        /// Its release.
        release: String,
    },
}

impl Step {
    /// Whether something goes away by it.
    pub(crate) fn takes_away(&self) -> bool {
        matches!(self, Self::RemoveEntry { .. } | Self::RemoveUnified { .. } | Self::RemoveCopy { .. })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tidy(path) => write!(f, "{} was left over: removed", path.display()),
            Self::Copy { release, .. } => write!(f, "kernel {release}: copied to the EFI system partition"),
            Self::Write { release, .. } => write!(f, "kernel {release}: boot entry written"),
            Self::RemoveEntry { release } => write!(f, "kernel {release}: boot entry removed"),
            Self::RemoveUnified { name } => {
                write!(f, "{name}: removed, the kernel in it is no longer installed")
            }
            Self::RemoveCopy { release } => {
                write!(f, "kernel {release}: removed from the EFI system partition")
            }
        }
    }
}

/// What is to be done. Nothing is taken away unless an installed kernel can be started.
pub fn plan(state: &State) -> Vec<Step> {
    let installed: BTreeSet<&str> = state.kernels.iter().map(|k| k.release.as_str()).collect();
    if installed.is_empty() {
        return Vec::new();
    }
    let mut steps: Vec<Step> = state.parts.iter().cloned().map(Step::Tidy).collect();
    // A kernel of the image is started by the image's own entry.
    for kernel in state.kernels.iter().filter(|k| !state.has_image_of(&k.release)) {
        let release = &kernel.release;
        let content = content(state, release, &state.command_line);
        if !kernel.copied {
            steps.push(Step::Copy { release: release.clone(), size: kernel.size });
        }
        let there = state.entries.iter().find(|e| e.release == *release);
        // What the running kernel was given may have been for this one time: it says how to start a kernel that has
        // no entry yet, and changes nothing that was decided before.
        let options = |text: &str| text.lines().find_map(|l| l.strip_prefix("options ")).map(str::to_owned);
        let content = match there.and_then(|e| options(&e.content)) {
            Some(kept) if state.of_running => self::content(state, release, &kept),
            _ => content,
        };
        if there.is_none_or(|e| e.content != content) {
            steps.push(Step::Write { release: release.clone(), content });
        }
    }
    let gone = |release: &str| !installed.contains(release) || state.has_image_of(release);
    for entry in state.entries.iter().filter(|e| gone(&e.release)) {
        steps.push(Step::RemoveEntry { release: entry.release.clone() });
    }
    // Only images of this very system, whose kernel is known and gone: others may be somebody's rescue system.
    for image in &state.unified {
        if state.is_own(image) && image.release.as_deref().is_some_and(|release| !installed.contains(release))
        {
            steps.push(Step::RemoveUnified { name: image.name.clone() });
        }
    }
    for release in state.copies.iter().filter(|release| gone(release)) {
        steps.push(Step::RemoveCopy { release: release.clone() });
    }
    steps
}

/// What the entry of a kernel says.
fn content(state: &State, release: &str, command_line: &str) -> String {
    let State { id, title, version, .. } = state;
    let linux = copy_of(release);
    format!(
        "{MADE}. Options are those of /etc/kernel/cmdline if it is there.\n\
         title {title} ({release})\n\
         sort-key {id}\n\
         version {version}-{release}\n\
         linux /{}\n\
         options {command_line}\n",
        linux.display()
    )
}
