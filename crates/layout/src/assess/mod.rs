//! Boot assessment: which slot may be written, which image is on trial, kept or given up. A pure state machine,
//! `(system, event) -> (system, effects)`; whoever carries the effects out writes them in the order given, each
//! durable before the next begins, so that the power may go between any two.
//!
//! # States of a slot
//!
//! What a slot is follows from what is on the disk alone: the label of its partitions, and the name of its unified
//! kernel image on the EFI system partition ([`SlotView::standing`]).
//!
//! ```text
//!            Invalidate        Write, Verify, Stamp        Install            systemd-boot, 3 times
//!  Empty ───────────────> Partial ──────────────> Staged ───────────> Trial ─────────────────────> Failed
//!    ^                       ^                      │                   │ Bless                      │
//!    │ Clear                 │ Invalidate           │                   v                            │
//!    └───────────────────────┴──────────────────────┴──────────────── Blessed ──── Demote ────────────┘
//! ```
//!
//! systemd-boot takes a try from the name before it starts an image (`+3-0` becomes `+2-1`), and prefers images
//! with tries left or without a counter over those that have none left, then the newest version. So an image on
//! trial is started three times at most, then the one that was blessed before it.
//!
//! # Rules
//!
//! 1. The slot that runs is never written, and the other one only while the running one is blessed: so at any
//!    moment a blessed image is whole and has an entry.
//! 2. Before a slot is written its entry goes, and its partitions lose the GUIDs by which an entry would find them.
//! 3. An entry comes last, when the slot was read back and compared.
//! 4. An image that was given up is remembered by its root hash, outside the slots, and not taken again until
//!    [`Event::Forget`]. If the memory cannot be written, the name on the EFI system partition says the same.
//! 5. A blessed image is not given up because a check fails later: a machine that reboots for ever helps nobody.

mod decide;
mod loader;
#[cfg(test)]
mod tests;

pub use decide::{Refusal, step};
pub use loader::{Loader, LoaderState, plan_loader};

use crate::{BootCounter, Guid, Slot};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// How often an image on trial is started.
pub const TRIES: u8 = 3;

/// What an image is told by: its verity root hash. In text, 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ImageId([u8; 32]);

impl ImageId {
    /// From the bytes of the root hash.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of the root hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The image in a slot whose data and hash partition have these GUIDs.
    pub fn from_guids(data: Guid, hash: Guid) -> Self {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(data.as_bytes());
        bytes[16..].copy_from_slice(hash.as_bytes());
        Self(bytes)
    }

    /// The GUIDs of the data and the hash partition of a slot with this image.
    pub fn guids(&self) -> (Guid, Guid) {
        let mut halves = [[0; 16]; 2];
        halves[0].copy_from_slice(&self.0[..16]);
        halves[1].copy_from_slice(&self.0[16..]);
        (Guid::from_bytes(halves[0]), Guid::from_bytes(halves[1]))
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is not an [`ImageId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the root hash of an image: 64 hexadecimal digits are expected")]
pub struct ParseImageIdError(String);

impl FromStr for ImageId {
    type Err = ParseImageIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseImageIdError(text.chars().take(80).collect());
        if text.len() != 64 {
            return Err(error());
        }
        let digit = |b: u8| (b as char).to_digit(16).ok_or_else(error);
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for ImageId {
    type Error = ParseImageIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ImageId> for String {
    fn from(id: ImageId) -> Self {
        id.to_string()
    }
}

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Its root hash.
    pub id: ImageId,
    /// Its version, as in labels and names.
    pub version: String,
}

/// What the partitions of a slot say they hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// Nothing.
    Empty,
    /// A version that is not all there.
    Partial {
        /// The version.
        version: String,
    },
    /// All of an image.
    Complete(Image),
}

/// The entry of a slot on the EFI system partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Without a counter: systemd-boot starts it as often as it likes.
    Blessed,
    /// With one.
    Counted(BootCounter),
}

/// A slot as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotView {
    /// What its partitions say.
    pub content: Content,
    /// The entry of that version, if there is one.
    pub entry: Option<Entry>,
}

/// What follows from a [`SlotView`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Free.
    Empty,
    /// Being written.
    Partial,
    /// Whole, and nothing starts it.
    Staged,
    /// Whole, to be started or being started with a counter.
    Trial,
    /// It used up its tries, or was rolled back by hand. Still there as a last resort.
    Failed,
    /// It proved itself.
    Blessed,
}

impl SlotView {
    /// A slot with nothing in it.
    pub const EMPTY: Self = Self { content: Content::Empty, entry: None };

    /// What the slot is. `runs` says whether the system was started from it: a system that is on its last try
    /// has none left and is on trial all the same.
    pub fn standing(&self, runs: bool) -> Standing {
        match (&self.content, self.entry) {
            (Content::Empty, _) => Standing::Empty,
            (Content::Partial { .. }, _) => Standing::Partial,
            // Somebody took the entry of the running system away: it is not on trial, and nothing vouches for it.
            (Content::Complete(_), None) => Standing::Staged,
            (Content::Complete(_), Some(Entry::Blessed)) => Standing::Blessed,
            (Content::Complete(_), Some(Entry::Counted(counter))) => {
                if runs || counter.left > 0 {
                    Standing::Trial
                } else {
                    Standing::Failed
                }
            }
        }
    }

    /// The image in it, if all of it is there.
    pub fn image(&self) -> Option<&Image> {
        match &self.content {
            Content::Complete(image) => Some(image),
            _ => None,
        }
    }
}

/// Why an image was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// The version of the image.
    pub version: String,
    /// In words.
    pub reason: String,
}

/// What is remembered outside the slots. Written as a whole, atomically; one that cannot be read stops updates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// The format of this file: [`Memory::FORMAT`].
    pub format: u32,
    /// Images that are not taken again.
    pub failed: BTreeMap<ImageId, Failure>,
    /// Why the image on trial asked for its last reboot, if it came to that.
    pub note: Option<(ImageId, String)>,
}

impl Memory {
    /// The format that this code reads and writes.
    pub const FORMAT: u32 = 1;
}

impl Default for Memory {
    fn default() -> Self {
        Self { format: Self::FORMAT, failed: BTreeMap::new(), note: None }
    }
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct System {
    /// The slot that it was started from.
    pub running: Slot,
    /// Both slots, A first.
    pub slots: [SlotView; 2],
    /// What it remembers.
    pub memory: Memory,
}

impl System {
    /// A slot.
    pub const fn slot(&self, slot: Slot) -> &SlotView {
        &self.slots[slot as usize]
    }

    /// What a slot is.
    pub fn standing(&self, slot: Slot) -> Standing {
        self.slot(slot).standing(slot == self.running)
    }

    /// The machine after an effect.
    #[must_use]
    pub fn after(mut self, effect: &Effect) -> Self {
        let at = |slot: &Slot| *slot as usize;
        match effect {
            Effect::RemoveEntry { slot } => self.slots[at(slot)].entry = None,
            Effect::Invalidate { slot, image } => {
                self.slots[at(slot)].content = Content::Partial { version: image.version.clone() };
            }
            Effect::Clear { slot } => self.slots[at(slot)].content = Content::Empty,
            Effect::Stamp { slot, image } => self.slots[at(slot)].content = Content::Complete(image.clone()),
            Effect::Install { slot, .. } => {
                let counter = BootCounter { left: TRIES, done: 0 };
                self.slots[at(slot)].entry = Some(Entry::Counted(counter));
            }
            Effect::Bless { slot } => self.slots[at(slot)].entry = Some(Entry::Blessed),
            Effect::Demote { slot } => {
                let counter = BootCounter { left: 0, done: 0 };
                self.slots[at(slot)].entry = Some(Entry::Counted(counter));
            }
            Effect::Remember { image, reason } => {
                let failure = Failure { version: image.version.clone(), reason: reason.clone() };
                self.memory.failed.insert(image.id, failure);
                self.memory.note = None;
            }
            Effect::Forget { id } => {
                self.memory.failed.remove(id);
            }
            Effect::Note { id, reason } => self.memory.note = Some((*id, reason.clone())),
            Effect::Write { .. } | Effect::Verify { .. } | Effect::Reboot { .. } => {}
        }
        self
    }
}

/// What happens to a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The system has started.
    Boot,
    /// An image is to be written to the other slot.
    Stage(Image),
    /// The image in the other slot is to be started at the next boot.
    Apply(Image),
    /// The running image held through its soak.
    Healthy,
    /// It did not, and this is why.
    Unhealthy(String),
    /// Back to the image before, by hand.
    Rollback,
    /// What is in the other slot is not wanted.
    Abandon,
    /// An image that was given up may be taken again.
    Forget(ImageId),
}

/// What is to be done, in this order, each durable before the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Take the entry of a slot off the EFI system partition.
    RemoveEntry {
        /// Whose.
        slot: Slot,
    },
    /// Label both partitions `PRT#VERSION` and give them GUIDs that no command line names.
    Invalidate {
        /// Which.
        slot: Slot,
        /// What is going to be written there.
        image: Image,
    },
    /// Label both partitions `_empty`.
    Clear {
        /// Which.
        slot: Slot,
    },
    /// Write the image's data and its hash tree.
    Write {
        /// Where.
        slot: Slot,
        /// What.
        image: Image,
    },
    /// Read everything back from the disk and compare the root hash.
    Verify {
        /// Where.
        slot: Slot,
        /// With what.
        image: Image,
    },
    /// Label both partitions `os_VERSION` and give them the GUIDs of the root hash.
    Stamp {
        /// Which.
        slot: Slot,
        /// What is there.
        image: Image,
    },
    /// Write the unified kernel image under a temporary name, then name it `ID-VERSION+3-0.efi`.
    Install {
        /// Whose.
        slot: Slot,
        /// Of what.
        image: Image,
    },
    /// Take the counter off the name.
    Bless {
        /// Whose.
        slot: Slot,
    },
    /// Give the name a counter with no tries left.
    Demote {
        /// Whose.
        slot: Slot,
    },
    /// Remember that an image was given up.
    Remember {
        /// Which.
        image: Image,
        /// Why.
        reason: String,
    },
    /// Forget that.
    Forget {
        /// Which.
        id: ImageId,
    },
    /// Remember why the image on trial asked for a reboot.
    Note {
        /// Which.
        id: ImageId,
        /// Why.
        reason: String,
    },
    /// Start again.
    Reboot {
        /// Why.
        reason: String,
    },
}
