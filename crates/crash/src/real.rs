//! A machine from a real disk image: what lies on it is what it knows.

use crate::{Machine, Rules, Sparse};
use lazuli_layout::assess::{Content, ImageId};
use lazuli_layout::gpt::Table;
use lazuli_layout::{Slot, UkiName, esp};
use lazuli_slots::fat::Volume;
use lazuli_slots::{Disk as _, Engine, Error, Partitions, Result, Settings};
use lazuli_verity::{BLOCK, Superblock};

/// A machine that knows the images in the slots of a disk and the loaders on its ESP. Images of which not everything is
/// there are left out.
pub fn machine_of(disk: &Sparse, id: &str, rules: Rules) -> Result<Machine> {
    let mut recording = crate::Recording::new(disk.clone());
    let settings = Settings { id: id.to_owned(), running: Slot::A, time: 0 };
    let mut engine = Engine::open(&mut recording, settings)?;
    let partitions = engine.partitions().clone();
    let system = engine.survey(lazuli_layout::assess::Memory::default())?;
    let failed = |e: std::io::Error| Error::from(lazuli_fs::Error::new("read", "the disk", e));
    let mut machine = Machine::new(disk, &partitions, rules).map_err(failed)?;
    for slot in [Slot::A, Slot::B] {
        let Content::Complete(image) = &system.slot(slot).content else { continue };
        let Some(uki) = uki(&mut recording, &partitions, id, &image.version)? else { continue };
        let [data, hash] = partitions.slot(slot);
        let mut superblock = vec![0; BLOCK];
        recording.read_at(hash.start, &mut superblock)?;
        let Ok(superblock) = Superblock::parse(&superblock) else { continue };
        let mut bytes = vec![0; superblock.data_blocks as usize * BLOCK];
        recording.read_at(data.start, &mut bytes)?;
        let mut tree = vec![0; (1 + lazuli_verity::tree_blocks(superblock.data_blocks)) as usize * BLOCK];
        recording.read_at(hash.start, &mut tree)?;
        machine.add_image(&image.version, ImageId::from_guids(data.guid, hash.guid), &uki, &bytes, &tree);
    }
    for path in [esp::SYSTEMD_BOOT_X86_64, esp::FALLBACK_X86_64] {
        if let Some(loader) = read(&mut recording, &partitions, path)? {
            machine.add_loader(&loader);
        }
    }
    Ok(machine)
}

/// The table of a disk.
pub fn partitions_of(disk: &Sparse) -> Result<Partitions> {
    let table = Table::read::<Error>(disk.len(), |at, buffer| {
        disk.read(at, buffer).map_err(|e| lazuli_fs::Error::new("read", "the disk", e).into())
    })?;
    Partitions::of(&table, "the disk")
}

fn uki(
    recording: &mut crate::Recording,
    partitions: &Partitions,
    id: &str,
    version: &str,
) -> Result<Option<Vec<u8>>> {
    let volume = Volume::open(recording, partitions.esp.start, partitions.esp.len, 0)?;
    let name = volume
        .list(esp::UKI_DIRECTORY)?
        .into_iter()
        .find(|file| file.name.parse::<UkiName>().is_ok_and(|name| name.id == id && name.version == version));
    drop(volume);
    name.map_or(Ok(None), |file| {
        read(recording, partitions, &format!("{}/{}", esp::UKI_DIRECTORY, file.name))
    })
}

fn read(recording: &mut crate::Recording, partitions: &Partitions, path: &str) -> Result<Option<Vec<u8>>> {
    let volume = Volume::open(recording, partitions.esp.start, partitions.esp.len, 0)?;
    let Some(file) = volume.find(path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    volume.read_file(&file, |part| {
        bytes.extend_from_slice(part);
        Ok(())
    })?;
    Ok(Some(bytes))
}
