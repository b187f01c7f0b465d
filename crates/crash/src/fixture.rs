//! A small machine to try things on: a real partition table, a real FAT32, slots with real hash trees, and releases
//! whose content is noise.

use crate::{Machine, Random, Recording, Rules, Sparse};
use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions};
use lazuli_layout::assess::{Event, Image, ImageId, Memory};
use lazuli_layout::gpt::{Device, Partition, Table};
use lazuli_layout::{Architecture, Guid, PartitionFlags, PartitionType, Slot, esp};
use lazuli_slots::{Engine, Error, Partitions, Performed, Release, Result, Settings, Source, Stage, UkiFile};
use lazuli_verity::{BLOCK, Salt, Superblock, Tree};
use sha2::{Digest as _, Sha256};
use std::io::{self, Read, Seek, SeekFrom, Write};

/// os-release's ID of the releases here.
pub const ID: &str = "lazuli";
const MIB: u64 = 1 << 20;

/// How large things are.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Bytes of a cluster of the ESP.
    pub cluster: u32,
    /// Data blocks of an image.
    pub blocks: usize,
    /// Bytes of a UKI.
    pub uki: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { cluster: 512, blocks: 200, uki: 60_000 }
    }
}

/// A release with all of its bytes.
#[derive(Debug, Clone)]
pub struct Made {
    /// What its manifest says.
    pub release: Release,
    /// The data.
    pub data: Vec<u8>,
    /// The hash partition, superblock first.
    pub hash: Vec<u8>,
    /// The unified kernel image.
    pub uki: Vec<u8>,
}

impl Made {
    /// From data and the rest of a UKI, which gets the root hash.
    pub fn new(version: &str, data: Vec<u8>, uki: Vec<u8>) -> Self {
        let mut made = Self::with_uki(version, "test", data, uki);
        let at = made.uki.len() / 2;
        made.uki.splice(at..at, made.release.image.id.to_string().into_bytes());
        made.release.uki = UkiFile { size: made.uki.len() as u64, sha256: Sha256::digest(&made.uki).into() };
        made
    }

    /// From data and the UKI that names its root hash.
    pub fn with_uki(version: &str, product: &str, data: Vec<u8>, uki: Vec<u8>) -> Self {
        let salt = Salt::of_product(product);
        let blocks = (data.len() / BLOCK) as u64;
        let tree = Tree::build(&data[..], blocks, &salt).expect("a tree");
        let mut hash = Superblock::new(blocks, salt.clone()).to_block().to_vec();
        hash.extend_from_slice(tree.bytes());
        let root = tree.root();
        let image = Image { id: ImageId::from_bytes(*root.as_bytes()), version: version.to_owned() };
        let file = UkiFile { size: uki.len() as u64, sha256: Sha256::digest(&uki).into() };
        Self { release: Release { image, blocks, salt, uki: file }, data, hash, uki }
    }
}

impl Source for &Made {
    fn data(&mut self, stage: &mut Stage<'_>) -> Result<()> {
        stage.write_all(&mut &self.data[..])
    }

    fn uki(&mut self) -> Result<Box<dyn Read + '_>> {
        Ok(Box::new(&self.uki[..]))
    }
}

/// A machine whose slot A runs version 2; slot B holds version 1, blessed before. Version 3 is released.
#[derive(Debug, Clone)]
pub struct Fixture {
    /// Its disk.
    pub disk: Sparse,
    /// Versions 1, 2 and 3.
    pub releases: Vec<Made>,
    /// The loader on the disk, and a newer one.
    pub loaders: [Vec<u8>; 2],
    /// Where everything is.
    pub partitions: Partitions,
}

impl Fixture {
    /// Makes one.
    pub fn new(seed: u64, sizes: Sizes) -> Self {
        let mut random = Random::new(seed);
        let mut data = random.bytes(sizes.blocks * BLOCK);
        let releases: Vec<Made> = ["1", "2", "3"]
            .iter()
            .map(|version| {
                // A release changes some of the blocks of the one before, and the first in any case.
                for (number, block) in data.chunks_exact_mut(BLOCK).enumerate() {
                    if number == 0 || random.below(4) == 0 {
                        let noise = random.bytes(BLOCK);
                        block.copy_from_slice(&noise);
                    }
                }
                Made::new(version, data.clone(), random.bytes(sizes.uki))
            })
            .collect();
        let loaders = [random.bytes(5000), random.bytes(6000)];
        // As few clusters as FAT32 may have.
        let esp = (66_000 * u64::from(sizes.cluster)).next_multiple_of(MIB) + 2 * MIB;
        let data_len = (2 * (sizes.blocks * BLOCK) as u64).next_multiple_of(MIB);
        let hash_len = (2 * releases[0].hash.len() as u64).next_multiple_of(MIB);
        let mut start = MIB;
        let mut part = |kind: PartitionType, guid: Guid, label: &str, len: u64| {
            let part = Partition {
                kind: kind.guid(),
                guid,
                label: label.to_owned(),
                flags: PartitionFlags::NONE,
                start,
                len,
            };
            start += len;
            part
        };
        let x86 = Architecture::X86_64;
        let guids = |n: usize| releases[n].release.image.id.guids();
        let partitions = vec![
            part(PartitionType::Esp, Guid::from_digest([1; 16]), "esp", esp),
            part(PartitionType::Root(x86), guids(1).0, "os_2", data_len),
            part(PartitionType::RootVerity(x86), guids(1).1, "os_2", hash_len),
            part(PartitionType::Root(x86), guids(0).0, "os_1", data_len),
            part(PartitionType::RootVerity(x86), guids(0).1, "os_1", hash_len),
            part(PartitionType::Generic, Guid::from_digest([6; 16]), "state", MIB),
        ];
        let table = Table { guid: Guid::from_digest([9; 16]), size: start + MIB, partitions };
        let mut disk = Sparse::new(table.size);
        table.write(&mut TableOn(&mut disk)).expect("a table");
        let partitions = Partitions::of(&table, "a disk").expect("partitions");
        for (slot, made) in partitions.slots.iter().zip([&releases[1], &releases[0]]) {
            disk.write(slot[0].start, &made.data).expect("data");
            disk.write(slot[1].start, &made.hash).expect("a tree");
        }
        let mut window = Window::new(&mut disk, &partitions.esp);
        let options = FormatVolumeOptions::new().fat_type(FatType::Fat32).bytes_per_cluster(sizes.cluster);
        fatfs::format_volume(&mut window, options).expect("a file system");
        {
            let fs = FileSystem::new(&mut window, FsOptions::new()).expect("a file system");
            let root = fs.root_dir();
            for directory in ["EFI", "EFI/BOOT", "EFI/systemd", "EFI/Linux", "loader"] {
                root.create_dir(directory).expect("a directory");
            }
            let put = |path: &str, bytes: &[u8]| {
                root.create_file(path).and_then(|mut file| file.write_all(bytes)).expect("a file");
            };
            put(esp::SYSTEMD_BOOT_X86_64, &loaders[0]);
            put(esp::FALLBACK_X86_64, &loaders[0]);
            put(esp::LOADER_CONF, b"timeout 0\n");
            put("EFI/Linux/lazuli-1.efi", &releases[0].uki);
            put("EFI/Linux/lazuli-2.efi", &releases[1].uki);
        }
        Self { disk, releases, loaders, partitions }
    }

    /// What is signed on this machine.
    pub fn machine(&self, rules: Rules) -> Machine {
        self.machine_with(&self.disk, rules)
    }

    /// The same with another disk.
    pub fn machine_with(&self, disk: &Sparse, rules: Rules) -> Machine {
        let mut machine = Machine::new(disk, &self.partitions, rules).expect("a disk");
        for made in &self.releases {
            let image = &made.release.image;
            machine.add_image(&image.version, image.id, &made.uki, &made.data, &made.hash);
        }
        for loader in &self.loaders {
            machine.add_loader(loader);
        }
        machine
    }

    /// Stages and applies version 3 on a copy of the disk.
    pub fn updated(&self) -> Recording {
        let mut recording = Recording::new(self.disk.clone());
        self.update(&mut recording).expect("an update");
        recording
    }

    /// Stages and applies version 3, after whatever a cut left is put in order.
    pub fn update(&self, recording: &mut Recording) -> Result<()> {
        let made = &self.releases[2];
        let image = &made.release.image;
        perform(recording, Slot::A, &Event::Stage(image.clone()), Some(made))?;
        perform(recording, Slot::A, &Event::Apply(image.clone()), Some(made)).map(drop)
    }
}

/// What follows from an event on a recorded disk, done.
pub fn perform(
    recording: &mut Recording,
    running: Slot,
    event: &Event,
    made: Option<&Made>,
) -> Result<Performed> {
    let settings = Settings { id: ID.to_owned(), running, time: 1_700_000_000 };
    let mut engine = Engine::open(recording, settings)?;
    engine.recover()?;
    let mut source = made;
    let from = made.map(|made| &made.release).zip(source.as_mut().map(|made| made as &mut dyn Source));
    engine.perform(Memory::default(), event, from, &mut |_| Ok(()))
}

/// A partition table on a disk in memory.
struct TableOn<'d>(&'d mut Sparse);

impl Device for TableOn<'_> {
    type Error = Error;

    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        self.0.write(offset, bytes).map_err(|e| lazuli_fs::Error::new("write", "a disk", e).into())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A partition as a stream, for the crate `fatfs`: what another implementation does to it.
pub struct Window<'d> {
    disk: &'d mut Sparse,
    start: u64,
    len: u64,
    position: u64,
}

impl<'d> Window<'d> {
    /// The window on a partition.
    pub fn new(disk: &'d mut Sparse, partition: &Partition) -> Self {
        Self { disk, start: partition.start, len: partition.len, position: 0 }
    }
}

impl Read for Window<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len().min((self.len - self.position) as usize);
        self.disk.read(self.start + self.position, &mut buffer[..len])?;
        self.position += len as u64;
        Ok(len)
    }
}

impl Write for Window<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min((self.len - self.position) as usize);
        self.disk.write(self.start + self.position, &bytes[..len])?;
        self.position += len as u64;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Window<'_> {
    fn seek(&mut self, from: SeekFrom) -> io::Result<u64> {
        let position = match from {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
        };
        self.position = position.filter(|at| *at <= self.len).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
