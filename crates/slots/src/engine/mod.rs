//! Carrying out effects on a disk.

mod entry;
mod slot;
mod stage;

pub use slot::Partitions;
pub use stage::{Progress, Stage};

use crate::disk::TableDevice;
use crate::fat::{Sweep, Volume};
use crate::{Disk, Error, Result};
use lazuli_layout::assess::{Effect, Event, Image, Memory, System, step};
use lazuli_layout::gpt::{Copy, Table};
use lazuli_layout::{ALIGNMENT, Slot};
use lazuli_verity::Salt;
use std::io::Read;

/// What an engine has to be told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// os-release's ID, the first part of the names of entries.
    pub id: String,
    /// The slot that runs. It is never written.
    pub running: Slot,
    /// The time that files get, in seconds since 1970.
    pub time: i64,
}

/// A release as its signed manifest describes it.
#[derive(Debug, Clone)]
pub struct Release {
    /// Root hash and version.
    pub image: Image,
    /// Data blocks of 4096 bytes.
    pub blocks: u64,
    /// The salt of the hash tree.
    pub salt: Salt,
    /// The unified kernel image.
    pub uki: UkiFile,
}

/// A unified kernel image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UkiFile {
    /// Bytes.
    pub size: u64,
    /// SHA-256.
    pub sha256: [u8; 32],
}

/// Where the content of a release comes from: a file, a folder, a network, recipes over what is on the disk. Nothing
/// that it says is believed before it was read back from the disk and compared with the [`Release`].
pub trait Source {
    /// Writes the data blocks into the slot. Blocks that [`Stage::present`] reports need not be had at all.
    fn data(&mut self, stage: &mut Stage<'_>) -> Result<()>;
    /// The unified kernel image, from its beginning.
    fn uki(&mut self) -> Result<Box<dyn Read + '_>>;
}

/// What [`Engine::recover`] put in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovery {
    /// The copy of the partition table that was written anew.
    pub table: Option<Copy>,
    /// On the EFI system partition.
    pub esp: Sweep,
}

/// What an event led to.
#[derive(Debug, Clone)]
pub struct Performed {
    /// The machine now.
    pub system: System,
    /// What was done.
    pub effects: Vec<Effect>,
    /// Why the machine is to be started again.
    pub reboot: Option<String>,
}

/// A disk with two slots.
pub struct Engine<'d> {
    disk: &'d mut dyn Disk,
    settings: Settings,
    table: Table,
    partitions: Partitions,
}

impl<'d> Engine<'d> {
    /// Reads the partition table. Nothing is written.
    pub fn open(disk: &'d mut dyn Disk, settings: Settings) -> Result<Self> {
        let found = Table::examine::<Error>(disk.size(), |at, buffer| disk.read_at(at, buffer))?;
        let partitions = Partitions::of(&found.table, &disk.name())?;
        Ok(Self { disk, settings, table: found.table, partitions })
    }

    /// Makes what is seen be what is on the medium. Somebody may have written before and not come to flush, or the flush
    /// failed: a cache then shows what a cut would take away, and what is built on it would stand on nothing.
    fn settle(&mut self) -> Result<()> {
        let disk = &mut *self.disk;
        disk.flush()?;
        let esp = &self.partitions.esp;
        for (at, len) in
            [(0, ALIGNMENT), (disk.size().saturating_sub(ALIGNMENT), ALIGNMENT), (esp.start, esp.len)]
        {
            disk.forget_cache(at, len)?;
        }
        let found = Table::examine::<Error>(disk.size(), |at, buffer| disk.read_at(at, buffer))?;
        self.partitions = Partitions::of(&found.table, &disk.name())?;
        self.table = found.table;
        Ok(())
    }

    /// Puts in order what a power cut left: to be called before the first effect.
    ///
    /// The primary table is restored before anything else, because the backup, the only good one then, is what a
    /// change of the table writes first.
    pub fn recover(&mut self) -> Result<Recovery> {
        self.settle()?;
        let disk = &mut *self.disk;
        let found = Table::examine::<Error>(disk.size(), |at, buffer| disk.read_at(at, buffer))?;
        Table::repair(&found, &mut TableDevice(disk))?;
        // A damaged primary that stays damaged must not be followed by a change of the backup.
        let again = Table::examine::<Error>(disk.size(), |at, buffer| disk.read_at(at, buffer))?;
        if again.stale.is_some() {
            return Err(Error::ReadBack {
                what: "the partition table".to_owned(),
                detail: format!("its {:?} copy cannot be repaired", found.stale),
            });
        }
        let sweep = self.esp()?.sweep()?;
        Ok(Recovery { table: found.stale, esp: sweep })
    }

    /// The machine as its disk shows it.
    pub fn survey(&mut self, memory: Memory) -> Result<System> {
        let a = self.view(Slot::A)?;
        let b = self.view(Slot::B)?;
        Ok(System { running: self.settings.running, slots: [a, b], memory })
    }

    /// Which partition is where.
    pub fn partitions(&self) -> &Partitions {
        &self.partitions
    }

    /// Whether a release fits: into the other slot, and its UKI onto the EFI system partition once everything that
    /// may go from there is gone. [`Engine::perform`] asks before the first effect.
    pub fn check(&mut self, release: &Release) -> Result<()> {
        self.partitions.check(self.settings.running.other(), release)?;
        self.check_esp(release.uki.size)
    }

    /// Carries out an effect that concerns the disk; others are none of its business. All of it is durable when this
    /// returns.
    pub fn carry_out(&mut self, effect: &Effect, release: &Release, source: &mut dyn Source) -> Result<()> {
        match effect {
            Effect::Write { slot, image } => {
                only(release, image)?;
                self.write(*slot, release, source)
            }
            Effect::Verify { slot, image } => {
                only(release, image)?;
                self.verify(*slot, release)
            }
            Effect::Install { slot, image } => {
                only(release, image)?;
                self.idle(*slot)?;
                self.install(release, source)
            }
            other => self.carry_out_alone(other),
        }
    }

    /// Carries out an effect that needs no release.
    pub fn carry_out_alone(&mut self, effect: &Effect) -> Result<()> {
        match effect {
            Effect::RemoveEntry { slot } => {
                self.idle(*slot)?;
                self.remove_entries()
            }
            Effect::Invalidate { slot, image } => self.invalidate(*slot, &image.version),
            Effect::Clear { slot } => self.clear(*slot),
            Effect::Stamp { slot, image } => self.stamp(*slot, image),
            Effect::Bless { slot } => self.bless(*slot),
            Effect::Demote { slot } => self.demote(*slot),
            Effect::Write { .. } | Effect::Verify { .. } | Effect::Install { .. } => Err(Error::Source {
                what: "the effect".to_owned(),
                detail: "it needs a release, and none was given".to_owned(),
            }),
            Effect::Remember { .. } | Effect::Forget { .. } | Effect::Note { .. } | Effect::Reboot { .. } => {
                Ok(())
            }
        }
    }

    /// What follows from an event, done: the effects in their order, each durable before the next. `remember` replaces
    /// the memory outside the slots, durably. Returns the machine after it, and why it is to be started again, if it is.
    pub fn perform(
        &mut self,
        memory: Memory,
        event: &Event,
        mut from: Option<(&Release, &mut dyn Source)>,
        remember: &mut dyn FnMut(&Memory) -> Result<()>,
    ) -> Result<Performed> {
        self.settle()?;
        let mut system = self.survey(memory)?;
        let (_, effects) = step(system.clone(), event)?;
        if let Some((release, _)) = from.as_ref().filter(|_| !effects.is_empty()) {
            self.check(release)?;
        }
        let mut reboot = None;
        for effect in &effects {
            tracing::info!(?effect, "carry out");
            let after = system.clone().after(effect);
            match effect {
                Effect::Reboot { reason } => reboot = Some(reason.clone()),
                Effect::Remember { .. } | Effect::Forget { .. } => remember(&after.memory)?,
                // A memory that cannot be written costs the reason, not the way back.
                Effect::Note { .. } => {
                    if let Err(error) = remember(&after.memory) {
                        tracing::warn!(%error, "the reason is not remembered");
                    }
                }
                _ => match &mut from {
                    Some((release, source)) => self.carry_out(effect, release, &mut **source)?,
                    None => self.carry_out_alone(effect)?,
                },
            }
            system = after;
        }
        Ok(Performed { system, effects, reboot })
    }

    /// The last guard of the running slot: whatever was decided, it is not written.
    fn idle(&self, slot: Slot) -> Result<()> {
        if slot != self.settings.running {
            return Ok(());
        }
        Err(Error::Layout {
            disk: self.disk.name(),
            reason: format!("slot {slot} runs and cannot be written"),
        })
    }

    fn esp(&mut self) -> Result<Volume<'_>> {
        let esp = &self.partitions.esp;
        Volume::open(self.disk, esp.start, esp.len, self.settings.time)
    }
}

/// Whether a release is the image that an effect is about.
fn only(release: &Release, image: &Image) -> Result<()> {
    if release.image == *image {
        return Ok(());
    }
    let detail = format!("it is {}, {} was asked for", release.image.id, image.id);
    Err(Error::Source { what: "the release".to_owned(), detail })
}
