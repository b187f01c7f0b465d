//! Slots in the partition table.

use super::{Engine, Release};
use crate::disk::TableDevice;
use crate::{Error, Result};
use lazuli_layout::assess::{Content, Image, ImageId, SlotView};
use lazuli_layout::gpt::{Copy, Partition, Table};
use lazuli_layout::{ALIGNMENT, Architecture, Guid, PartitionType, Slot, SlotLabel};
use lazuli_verity::{BLOCK, tree_blocks};
use sha2::{Digest as _, Sha256};

/// The partitions of a host with two slots, told by number: ESP, root and verity of slot A, of slot B, then others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partitions {
    /// The EFI system partition.
    pub esp: Partition,
    /// Root and verity of both slots.
    pub slots: [[Partition; 2]; 2],
}

impl Partitions {
    /// Finds them in a table.
    pub fn of(table: &Table, disk: &str) -> Result<Self> {
        let fail = |reason: String| Error::Layout { disk: disk.to_owned(), reason };
        let get = |number: usize, kinds: &[PartitionType]| {
            let partition = table
                .partitions
                .get(number - 1)
                .ok_or_else(|| fail(format!("there is no partition {number}")))?;
            if kinds.iter().any(|kind| kind.guid() == partition.kind) {
                return Ok(partition.clone());
            }
            Err(fail(format!("partition {number} is not the {:?} that it should be", kinds[0])))
        };
        let both =
            |kind: fn(Architecture) -> PartitionType| [kind(Architecture::X86_64), kind(Architecture::Arm64)];
        let (root, verity) = (both(PartitionType::Root), both(PartitionType::RootVerity));
        Ok(Self {
            esp: get(1, &[PartitionType::Esp])?,
            slots: [[get(2, &root)?, get(3, &verity)?], [get(4, &root)?, get(5, &verity)?]],
        })
    }

    /// Root and verity partition of a slot.
    pub const fn slot(&self, slot: Slot) -> &[Partition; 2] {
        &self.slots[slot as usize]
    }

    /// Whether an image fits into a slot.
    pub(super) fn check(&self, slot: Slot, release: &Release) -> Result<()> {
        let [data, hash] = self.slot(slot);
        let block = BLOCK as u64;
        let too_large = |needed: Option<u64>, size: u64| match needed {
            Some(needed) if needed <= size => Ok(()),
            needed => Err(Error::TooLarge { slot, needed: needed.unwrap_or(u64::MAX), size }),
        };
        too_large(release.blocks.checked_mul(block), data.len)?;
        too_large((1 + tree_blocks(release.blocks)).checked_mul(block), hash.len)
    }
}

impl Engine<'_> {
    /// What the labels and GUIDs of a slot say, and its entry.
    pub(super) fn view(&mut self, slot: Slot) -> Result<SlotView> {
        let [data, hash] = self.partitions.slot(slot);
        let content = match (data.label.parse(), hash.label.parse()) {
            (Ok(SlotLabel::Version(version)), Ok(SlotLabel::Version(other))) if version == other => {
                Content::Complete(Image { id: ImageId::from_guids(data.guid, hash.guid), version })
            }
            (Ok(SlotLabel::Partial(version) | SlotLabel::Version(version)), Ok(_)) => {
                Content::Partial { version }
            }
            _ => Content::Empty,
        };
        let entry = match &content {
            Content::Complete(image) => self.entry(&image.version)?,
            _ => None,
        };
        Ok(SlotView { content, entry })
    }

    pub(super) fn invalidate(&mut self, slot: Slot, version: &str) -> Result<()> {
        let guids = self.guids_of_nobody(slot);
        self.relabel(slot, &SlotLabel::Partial(version.to_owned()), guids)
    }

    pub(super) fn clear(&mut self, slot: Slot) -> Result<()> {
        let guids = self.guids_of_nobody(slot);
        self.relabel(slot, &SlotLabel::Empty, guids)
    }

    pub(super) fn stamp(&mut self, slot: Slot, image: &Image) -> Result<()> {
        self.relabel(slot, &SlotLabel::Version(image.version.clone()), image.id.guids())
    }

    /// Writes label and GUIDs of both partitions: backup table, flush, primary table, flush.
    fn relabel(&mut self, slot: Slot, label: &SlotLabel, (data, hash): (Guid, Guid)) -> Result<()> {
        self.idle(slot)?;
        let label = label.to_string();
        // Also finds versions that no label can hold.
        label
            .parse::<SlotLabel>()
            .map_err(|e| Error::Layout { disk: self.disk.name(), reason: e.to_string() })?;
        let mut table = self.table.clone();
        let first = 1 + 2 * slot as usize;
        for (partition, guid) in table.partitions[first..first + 2].iter_mut().zip([data, hash]) {
            partition.label.clone_from(&label);
            partition.guid = guid;
        }
        if table == self.table {
            return Ok(());
        }
        for copy in [Copy::Backup, Copy::Primary] {
            self.write_table(&table, copy)?;
        }
        self.partitions = Partitions::of(&table, &self.disk.name())?;
        self.table = table;
        Ok(())
    }

    /// Writes one copy of the table, flushes, and reads it back: the other copy is the only good one meanwhile.
    fn write_table(&mut self, table: &Table, copy: Copy) -> Result<()> {
        let disk = &mut *self.disk;
        table.write_copy(copy, &mut TableDevice(disk))?;
        let end = disk.size() - ALIGNMENT;
        disk.forget_cache(if copy == Copy::Primary { 0 } else { end }, ALIGNMENT)?;
        let found = Table::read_copy::<Error>(copy, disk.size(), |at, buffer| disk.read_at(at, buffer));
        if found.as_ref().is_ok_and(|found| found == table) {
            return Ok(());
        }
        let detail =
            found.map_or_else(|error| error.to_string(), |_| "it is not the one that was written".to_owned());
        Err(Error::ReadBack { what: format!("the {copy:?} partition table"), detail })
    }

    /// GUIDs that no root hash has: of this disk, this slot and this purpose.
    fn guids_of_nobody(&self, slot: Slot) -> (Guid, Guid) {
        let guid = |purpose: &str| {
            let digest =
                Sha256::digest(format!("lazuli idle slot 1\n{}\n{slot}\n{purpose}\n", self.table.guid));
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&digest[..16]);
            Guid::from_digest(bytes)
        };
        (guid("data"), guid("hash"))
    }
}
