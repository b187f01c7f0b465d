use super::*;
use crate::{Architecture, PartitionType};
use proptest::prelude::*;

const MIB: u64 = 1 << 20;

fn table() -> Table {
    let part = |kind: PartitionType, n, label: &str, start, len| Partition {
        kind: kind.guid(),
        guid: Guid::from_digest([n; 16]),
        label: label.into(),
        flags: PartitionFlags::NONE,
        start: start * MIB,
        len: len * MIB,
    };
    let mut root = part(PartitionType::Root(Architecture::X86_64), 2, "root", 9, 6);
    root.flags = PartitionFlags::GROW_FILE_SYSTEM;
    Table {
        guid: Guid::from_digest([7; 16]),
        size: 16 * MIB,
        partitions: vec![part(PartitionType::Esp, 1, "esp", 1, 8), root],
    }
}

/// A disk in memory that counts flushes and can lose power.
struct Disk {
    bytes: Vec<u8>,
    writes_left: usize,
    flushes: Vec<usize>,
    writes: usize,
}

impl Disk {
    fn new(size: u64) -> Self {
        Self { bytes: vec![0; size as usize], writes_left: usize::MAX, flushes: Vec::new(), writes: 0 }
    }

    fn table(&self) -> Result<Table, Error> {
        self.examine().map(|found| found.table)
    }

    fn examine(&self) -> Result<Found, Error> {
        Table::examine(self.bytes.len() as u64, |at, buf| {
            buf.copy_from_slice(&self.bytes[at as usize..at as usize + buf.len()]);
            Ok(())
        })
    }
}

impl Device for Disk {
    type Error = Error;

    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> Result<(), Error> {
        if self.writes_left > 0 {
            self.writes_left -= 1;
            self.bytes[offset as usize..offset as usize + bytes.len()].copy_from_slice(bytes);
        }
        self.writes += 1;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.flushes.push(self.writes);
        Ok(())
    }
}

#[test]
fn a_written_table_is_read_back_from_either_copy() {
    let mut disk = Disk::new(16 * MIB);
    table().write(&mut disk).unwrap();
    assert_eq!(disk.table().unwrap(), table());
    assert_eq!((disk.bytes[450], disk.bytes[510]), (0xee, 0x55));
    disk.bytes[SECTOR_LEN + 60] ^= 1;
    assert_eq!(disk.table().unwrap(), table(), "the backup stands in");
    let end = disk.bytes.len();
    disk.bytes[end - SECTOR_LEN + 60] ^= 1;
    assert!(disk.table().is_err());
}

#[test]
fn a_power_cut_after_any_write_leaves_the_old_or_the_new_table() {
    let old = table();
    let mut new = table();
    new.partitions[1].label = "os_2".into();
    let mut before = Disk::new(16 * MIB);
    old.write(&mut before).unwrap();
    let total = before.writes;
    assert_eq!(before.flushes.len(), 2, "one flush between the copies, one at the end");
    for cut in 0..=total {
        let mut disk = Disk { bytes: before.bytes.clone(), writes_left: cut, flushes: Vec::new(), writes: 0 };
        new.write(&mut disk).unwrap();
        let found = disk.table().unwrap();
        assert!(found == old || found == new, "after {cut} writes");
    }
}

#[test]
fn tables_that_cannot_be_are_refused() {
    let change: [fn(&mut Table); 6] = [
        |t| t.partitions[1].start = 8 * MIB,
        |t| t.partitions[1].len = 7 * MIB,
        |t| t.partitions[0].start = 0,
        |t| t.partitions[1].guid = t.partitions[0].guid,
        |t| t.partitions[1].label = "x".repeat(37),
        |t| t.size = MIB + 1,
    ];
    for change in change {
        let mut table = table();
        change(&mut table);
        assert!(table.write(&mut Disk::new(16 * MIB)).is_err(), "{table:?}");
    }
}

/// A table written over a damaged primary would pass through a moment without any: the second cut of a row.
#[test]
fn a_damaged_primary_is_restored_before_anything_else() {
    let old = table();
    let mut new = table();
    new.partitions[1].label = "os_2".into();
    let mut before = Disk::new(16 * MIB);
    old.write(&mut before).unwrap();
    assert_eq!(before.examine().unwrap().stale, None);
    before.bytes[SECTOR_LEN + 60] ^= 1;
    assert_eq!(before.examine().unwrap(), Found { table: old.clone(), stale: Some(Copy::Primary) });
    for cut in 0..=10 {
        let mut disk = Disk { bytes: before.bytes.clone(), writes_left: cut, flushes: Vec::new(), writes: 0 };
        Table::repair(&disk.examine().unwrap(), &mut disk).unwrap();
        new.write(&mut disk).unwrap();
        let found = disk.table().unwrap();
        assert!(found == old || found == new, "after {cut} writes");
    }
    // An older backup is brought up to date.
    let mut disk = Disk::new(16 * MIB);
    old.write(&mut disk).unwrap();
    let end = disk.bytes.len() - SECTOR_LEN;
    disk.bytes[end + 60] ^= 1;
    let found = disk.examine().unwrap();
    assert_eq!(found.stale, Some(Copy::Backup));
    Table::repair(&found, &mut disk).unwrap();
    assert_eq!(disk.examine().unwrap().stale, None);
}

#[test]
fn a_table_with_a_gap_is_refused_because_slots_are_told_by_number() {
    let mut disk = Disk::new(16 * MIB);
    table().write(&mut disk).unwrap();
    for (entries, header) in
        [(2 * SECTOR_LEN, SECTOR_LEN), (disk.bytes.len() - 33 * SECTOR_LEN, disk.bytes.len() - SECTOR_LEN)]
    {
        disk.bytes[entries..entries + 16].fill(0);
        let sum = crc32(&disk.bytes[entries..entries + 128 * 128]);
        put_u32(&mut disk.bytes[header..], 88, sum);
        put_u32(&mut disk.bytes[header..], 16, 0);
        let sum = crc32(&disk.bytes[header..header + 92]);
        put_u32(&mut disk.bytes[header..], 16, sum);
    }
    let error = disk.table().unwrap_err().to_string();
    assert!(error.contains("in between was taken away"), "{error}");
}

#[test]
fn the_checksum_is_the_usual_one() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
}

proptest! {
    #[test]
    fn any_layout_survives_the_round_trip(lens in prop::collection::vec(1_u64..4096, 0..20), labels in "[a-z_]{0,36}") {
        let mut start = MIB;
        let mut partitions = Vec::new();
        for (n, len) in lens.iter().enumerate() {
            partitions.push(Partition {
                kind: PartitionType::Generic.guid(),
                guid: Guid::from_digest([n as u8; 16]),
                label: labels.clone(),
                flags: PartitionFlags(1 << (n % 64)),
                start,
                len: len * SECTOR,
            });
            start += len * SECTOR;
        }
        let table = Table { guid: Guid::from_digest([9; 16]), size: start.next_multiple_of(MIB) + MIB, partitions };
        let mut disk = Disk::new(table.size);
        table.write(&mut disk).unwrap();
        prop_assert_eq!(disk.table().unwrap(), table);
    }
}
