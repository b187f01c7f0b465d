//! From power-on to a verified root, as each program on the way would do it.

use crate::fat::{Fat, Name};
use crate::gpt::{self, Reader};
use crate::image::File;
use crate::state::State;
use crate::versions::compare_versions;
use crate::{Machine, SECTOR};
use lazuli_layout::{PartitionType, esp};
use std::cmp::Ordering;

/// What the machine at hand does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// `gpt` is on the kernel's command line: only then it takes the backup table if the primary is damaged.
    pub kernel_takes_backup: bool,
    /// The firmware repairs or uses the backup table; all that follow UEFI 5.3.2 do.
    pub firmware_takes_backup: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { kernel_takes_backup: true, firmware_takes_backup: true }
    }
}

/// What a start comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A system is up.
    Starts {
        /// Its number among the known images.
        image: usize,
        /// Starts of other entries before it that came to nothing.
        burnt: u32,
    },
    /// None is, and this is where it ended.
    Dead(String),
}

/// An entry as systemd-boot has it.
#[derive(Debug, Clone)]
struct Entry {
    file: Name,
    version: String,
    /// Tries left, if it has a counter.
    left: Option<u32>,
}

impl Machine {
    /// What would happen with a disk, whichever of the two FATs the firmware reads.
    pub fn start(&self, state: &State<'_>) -> Outcome {
        let first = self.start_with(state, 0);
        let second = self.start_with(state, 1);
        if first == second {
            return first;
        }
        Outcome::Dead(format!("the two FATs differ: {first:?} and {second:?}"))
    }

    fn start_with(&self, state: &State<'_>, fat: u64) -> Outcome {
        let dead = Outcome::Dead;
        let reader = |backup| if backup { Reader::WithBackup } else { Reader::PrimaryOnly };
        let Some(table) = gpt::read(state, reader(self.rules.firmware_takes_backup)) else {
            return dead("firmware: no partition table".into());
        };
        let Some(esp) = table.iter().find(|part| part.kind == PartitionType::Esp.guid()) else {
            return dead("firmware: no EFI system partition".into());
        };
        let Some(fat) = Fat::open(state, esp.first, fat) else {
            return dead("firmware: no FAT on the EFI system partition".into());
        };
        if let Some(fault) = fat.fault() {
            return dead(format!("FAT: {fault}"));
        }
        // A loader that is damaged is not started: its signature is wrong.
        let loaders = [esp::SYSTEMD_BOOT_X86_64, esp::FALLBACK_X86_64];
        let signed = |path: &&str| {
            fat.find(path)
                .is_some_and(|file| self.loaders.iter().any(|loader| holds(state, &fat, &file, loader)))
        };
        if !loaders.iter().any(signed) {
            return dead("firmware: no loader whose signature is right".into());
        }
        let mut entries = entries(&fat);
        // Each start takes a try; an entry without a counter is taken again and again.
        for burnt in 0.. {
            entries.sort_by(order);
            let Some(entry) = entries.first_mut() else {
                return dead("systemd-boot: no entry".into());
            };
            match self.start_entry(state, &fat, entry) {
                Ok(image) => return Outcome::Starts { image, burnt },
                Err(reason) => match &mut entry.left {
                    Some(left) if *left > 0 => *left -= 1,
                    _ => return dead(format!("{}: {reason}", entry.file.text)),
                },
            }
        }
        unreachable!("tries are finite")
    }

    /// The number of the image that an entry starts.
    fn start_entry(&self, state: &State<'_>, fat: &Fat<'_, '_>, entry: &Entry) -> Result<usize, String> {
        let known = self.known.iter().position(|image| holds(state, fat, &entry.file, &image.uki));
        let Some(number) = known else {
            return Err("firmware: the signature of the UKI is wrong".into());
        };
        let image = &self.known[number];
        let reader = if self.rules.kernel_takes_backup { Reader::WithBackup } else { Reader::PrimaryOnly };
        let Some(table) = gpt::read(state, reader) else {
            return Err("kernel: the primary partition table is damaged".into());
        };
        let (data, hash) = image.id.guids();
        let place = |guid| table.iter().find(|part| part.guid == guid).map(|part| part.first);
        let (Some(data), Some(hash)) = (place(data), place(hash)) else {
            return Err("kernel: no partition has the GUIDs of the root hash".into());
        };
        let slots = &self.places.slots;
        let slot = slots.iter().position(|[d, h]| (d.start, h.start) == (data, hash));
        match slot {
            Some(slot) if state.is_complete(slot, number) => Ok(number),
            Some(_) => Err("dm-verity: the slot is not that image".into()),
            None => Err("kernel: the GUIDs of the root hash are not those of one slot".into()),
        }
    }
}

/// Whether a file has exactly this content.
fn holds(state: &State<'_>, fat: &Fat<'_, '_>, file: &Name, content: &File) -> bool {
    if file.directory || file.size as usize != content.len {
        return false;
    }
    let Some(sectors) = fat.sectors(file.cluster) else { return false };
    let whole = content.len / SECTOR;
    let same = |(sector, wanted): (&u64, &u32)| state.content(*sector) == *wanted;
    if sectors.len() < content.sectors.len() || !sectors.iter().zip(&content.sectors).take(whole).all(same) {
        return false;
    }
    let rest = content.len % SECTOR;
    rest == 0
        || state.bytes(sectors[whole])[..rest] == state.machine.contents.bytes(content.sectors[whole])[..rest]
}

/// The entries that systemd-boot finds: `*.efi` in `EFI/Linux`, with a counter or without.
fn entries(fat: &Fat<'_, '_>) -> Vec<Entry> {
    fat.list(esp::UKI_DIRECTORY)
        .into_iter()
        .filter_map(|file| {
            let lower = file.text.to_ascii_lowercase();
            let stem =
                lower.strip_suffix(".efi").filter(|stem| !stem.starts_with("auto-") && !file.directory)?;
            let (stem, left) = match stem.rsplit_once('+') {
                None => (stem, None),
                Some((name, counter)) => {
                    let (left, done) = counter.split_once('-').unwrap_or((counter, "0"));
                    match (left.parse(), done.parse::<u32>()) {
                        (Ok(left), Ok(_)) => (name, Some(left)),
                        // Not a counter: a part of the name.
                        _ => (stem, None),
                    }
                }
            };
            // The version stands in the image itself too; a name here always agrees with it.
            let version = stem.split_once('-').map_or(stem, |(_, version)| version).to_owned();
            Some(Entry { file, version, left })
        })
        .collect()
}

/// What comes first is started: entries with tries, then the newest version, then more tries.
fn order(a: &Entry, b: &Entry) -> Ordering {
    let spent = |entry: &Entry| entry.left == Some(0);
    spent(a)
        .cmp(&spent(b))
        .then_with(|| compare_versions(&b.version, &a.version))
        .then_with(|| compare_versions(&b.file.text, &a.file.text))
}
