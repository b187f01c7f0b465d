//! Entries: unified kernel images on the EFI system partition.

use super::{Engine, Release, Source};
use crate::fat::{Content, Entry as File, Volume};
use crate::{Error, Result};
use lazuli_layout::assess::{Entry, Loader, TRIES};
use lazuli_layout::{BootCounter, Slot, SlotLabel, UkiName, esp};
use std::io::Read;

/// The end of a name that nothing starts. As long as `.efi`, so that a rename fits in place.
const TEMPORARY: &str = ".tmp";

impl Engine<'_> {
    /// The entry of a version. Of two, in the middle of a rename, the one without a counter counts.
    pub(super) fn entry(&mut self, version: &str) -> Result<Option<Entry>> {
        let id = self.settings.id.clone();
        let names = entries(&self.esp()?, &id)?;
        Ok(names
            .into_iter()
            .filter(|(name, _)| name.version == version)
            .map(|(name, _)| name.counter.map_or(Entry::Blessed, Entry::Counted))
            .max_by_key(|entry| matches!(entry, Entry::Blessed)))
    }

    /// The version that runs, as its slot's label has it.
    fn running_version(&self) -> Result<String> {
        match self.partitions.slot(self.settings.running)[0].label.parse() {
            Ok(SlotLabel::Version(version)) => Ok(version),
            _ => Err(Error::Layout {
                disk: self.disk.name(),
                reason: format!("slot {} runs, and its label names no version", self.settings.running),
            }),
        }
    }

    /// Removes all entries of this system but those of the running version, and what was never given a name.
    pub(super) fn remove_entries(&mut self) -> Result<()> {
        let running = self.running_version()?;
        let id = self.settings.id.clone();
        let mut volume = self.esp()?;
        for file in removable(&volume, &id, &running)? {
            volume.remove(&format!("{}/{}", esp::UKI_DIRECTORY, file.name))?;
        }
        Ok(())
    }

    /// Whether a UKI of `size` bytes has room once everything that may go is gone.
    pub(super) fn check_esp(&mut self, size: u64) -> Result<()> {
        let running = self.running_version()?;
        let id = self.settings.id.clone();
        let volume = self.esp()?;
        let cluster = volume.cluster_len();
        let goes: u64 = removable(&volume, &id, &running)?
            .iter()
            .map(|file| u64::from(file.size).next_multiple_of(cluster))
            .sum();
        let free = volume.free() + goes;
        // The directories may have to grow by a cluster each.
        let needed = size.next_multiple_of(cluster) + 2 * cluster;
        if needed > free { Err(Error::EspFull { needed, free }) } else { Ok(()) }
    }

    /// Writes the UKI under a temporary name, and renames it: the last write, and what makes the slot start.
    pub(super) fn install(&mut self, release: &Release, source: &mut dyn Source) -> Result<()> {
        let counter = Some(BootCounter { left: TRIES, done: 0 });
        let version = release.image.version.clone();
        let name = UkiName { id: self.settings.id.clone(), version, counter }.to_string();
        let path = format!("{}/{name}", esp::UKI_DIRECTORY);
        let temporary = path.trim_end_matches(".efi").to_owned() + TEMPORARY;
        let running = self.running_version()?;
        let id = self.settings.id.clone();
        let root = release.image.id.to_string();
        let mut volume = self.esp()?;
        volume.make_directory(esp::UKI_DIRECTORY)?;
        for file in removable(&volume, &id, &running)? {
            volume.remove(&format!("{}/{}", esp::UKI_DIRECTORY, file.name))?;
        }
        let mut uki = source.uki()?;
        let mut bytes = Search { source: &mut uki, needle: root.as_bytes(), tail: Vec::new(), found: false };
        let content = Content { bytes: &mut bytes, len: release.uki.size, sha256: release.uki.sha256 };
        volume.create(&temporary, content)?;
        if !bytes.found {
            volume.remove(&temporary)?;
            let detail = format!("its command line does not name the root hash {root}");
            return Err(Error::Source { what: "the unified kernel image".to_owned(), detail });
        }
        volume.rename(&temporary, &name)
    }

    /// Takes the counter off the name.
    pub(super) fn bless(&mut self, slot: Slot) -> Result<()> {
        self.rename_entry(slot, None)
    }

    /// Gives the name a counter without tries.
    pub(super) fn demote(&mut self, slot: Slot) -> Result<()> {
        self.rename_entry(slot, Some(BootCounter { left: 0, done: 0 }))
    }

    fn rename_entry(&mut self, slot: Slot, counter: Option<BootCounter>) -> Result<()> {
        let label = self.partitions.slot(slot)[0].label.clone();
        let Ok(SlotLabel::Version(version)) = label.parse() else {
            return Err(Error::Layout {
                disk: self.disk.name(),
                reason: format!("slot {slot} has the label `{label}`, which names no version"),
            });
        };
        let id = self.settings.id.clone();
        let to = UkiName { id: id.clone(), version: version.clone(), counter }.to_string();
        let mut volume = self.esp()?;
        let names: Vec<File> = entries(&volume, &id)?
            .into_iter()
            .filter(|(name, _)| name.version == version)
            .map(|(_, file)| file)
            .collect();
        if names.is_empty() {
            return Err(Error::file(&to, "there is no entry of that version to rename"));
        }
        if !names.iter().any(|file| file.name == to) {
            volume.rename(&format!("{}/{}", esp::UKI_DIRECTORY, names[0].name), &to)?;
        }
        // A cut in the middle of a rename left both names: the other one goes.
        volume.keep_only(esp::UKI_DIRECTORY, &to, &names)
    }

    /// The SHA-256 of a copy of systemd-boot, if it is there.
    pub fn loader(&mut self, loader: Loader) -> Result<Option<[u8; 32]>> {
        use sha2::Digest as _;
        let path = loader_path(loader);
        let volume = self.esp()?;
        let Some(file) = volume.find(path)? else { return Ok(None) };
        let mut hasher = sha2::Sha256::new();
        volume.read_file(&file, |bytes| {
            hasher.update(bytes);
            Ok(())
        })?;
        Ok(Some(hasher.finalize().into()))
    }

    /// Puts a systemd-boot in the place of one of the two. Firmware finds the old or the new one, whole.
    pub fn replace_loader(&mut self, loader: Loader, content: Content<'_>) -> Result<()> {
        let path = loader_path(loader);
        self.settle()?;
        let mut volume = self.esp()?;
        if volume.find(path)?.is_some() {
            return volume.replace(path, content);
        }
        volume.make_directory(path.rsplit_once('/').map_or("", |(directory, _)| directory))?;
        volume.create(path, content)
    }
}

const fn loader_path(loader: Loader) -> &'static str {
    match (loader, cfg!(target_arch = "aarch64")) {
        (Loader::Main, false) => esp::SYSTEMD_BOOT_X86_64,
        (Loader::Main, true) => esp::SYSTEMD_BOOT_ARM64,
        (Loader::Fallback, false) => esp::FALLBACK_X86_64,
        (Loader::Fallback, true) => esp::FALLBACK_ARM64,
    }
}

/// The entries of this system.
fn entries(volume: &Volume<'_>, id: &str) -> Result<Vec<(UkiName, File)>> {
    Ok(volume
        .list(esp::UKI_DIRECTORY)?
        .into_iter()
        .filter(|file| !file.directory)
        .filter_map(|file| Some((file.name.parse::<UkiName>().ok()?, file)))
        .filter(|(name, _)| name.id == id)
        .collect())
}

/// Files that may go: entries of versions that do not run, and temporary names.
fn removable(volume: &Volume<'_>, id: &str, running: &str) -> Result<Vec<File>> {
    let ours = |file: &File| {
        let stem = file.name.strip_suffix(TEMPORARY).map(|stem| format!("{stem}.efi"));
        let temporary = stem.is_some();
        let name = stem.as_deref().unwrap_or(&file.name).parse::<UkiName>();
        name.is_ok_and(|name| name.id == id && (temporary || name.version != running))
    };
    Ok(volume.list(esp::UKI_DIRECTORY)?.into_iter().filter(|file| !file.directory && ours(file)).collect())
}

/// Looks for bytes in what is read.
struct Search<'r, R> {
    source: &'r mut R,
    needle: &'r [u8],
    tail: Vec<u8>,
    found: bool,
}

impl<R: Read> Read for Search<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let len = self.source.read(buffer)?;
        if !self.found {
            self.tail.extend_from_slice(&buffer[..len]);
            self.found = self.tail.windows(self.needle.len()).any(|window| window == self.needle);
            let keep = self.tail.len().saturating_sub(self.needle.len());
            self.tail.drain(..keep);
        }
        Ok(len)
    }
}
