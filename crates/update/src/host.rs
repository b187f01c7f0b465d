//! The machine: its disk, its memory, its history, one command at a time.

use crate::history::{History, What, records};
use crate::identity::Identity;
use crate::loader::Brought;
use crate::settings::Settings;
use crate::{Error, Offer, Result, reports};
use lazuli_fs::Context as _;
use lazuli_layout::Slot;
use lazuli_layout::assess::{Event, Image, Loader, LoaderState, Memory, Standing, System, plan_loader};
use lazuli_slots::fat::Content;
use lazuli_slots::{Access, Disk, Engine, FileDisk, HostDisk, MemoryFile, Performed};
use lazuli_verity::{BLOCK, Digest, Salt, Superblock, Tree, tree_blocks};
use rustix::fs::FlockOperation;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The updater's folder below the root.
const FOLDER: &str = "var/lib/lazuli/update";
/// The lock below the root.
const LOCK: &str = "run/lazuli/update.lock";

/// How long what happens at a start waits for others. On trial nobody stages, so nobody is at it for long.
const PATIENCE: Duration = Duration::from_secs(300);

/// Where a machine is.
#[derive(Debug, Clone)]
pub struct Place {
    /// The root of the running system.
    pub root: PathBuf,
    /// An image file in place of the disk that the system was started from, and the slot that counts as running.
    pub image: Option<(PathBuf, Slot)>,
}

/// The running image, as its verity partition describes it.
#[derive(Debug, Clone)]
pub struct Running {
    /// What it is.
    pub image: Image,
    /// Its data blocks.
    pub blocks: u64,
    salt: Salt,
    /// Where the leaves of its hash tree are on the disk.
    leaves: u64,
}

/// A machine that is open.
pub struct Host {
    place: Place,
    access: Access,
    disk: Box<dyn Disk>,
    running: Slot,
    settings: Settings,
    memory: MemoryFile,
    history: History,
    /// Held while something is changed.
    _lock: Option<File>,
}

impl Host {
    /// Opens it. To change something, nobody else may be at it.
    pub fn open(place: &Place, access: Access) -> Result<Self> {
        Self::with(place, access, (access == Access::Write).then_some(Duration::ZERO))
    }

    /// Opens it to change something, and waits for whoever is at it: what happens at a start must happen, and a question
    /// that somebody asks meanwhile must not cost a good image its try.
    pub fn open_patiently(place: &Place) -> Result<Self> {
        Self::with(place, Access::Write, Some(PATIENCE))
    }

    /// Opens it so that nobody else changes it meanwhile, but without touching the disk until something is written there:
    /// whoever uses the EFI system partition is not disturbed by a question.
    pub fn open_locked(place: &Place) -> Result<Self> {
        Self::with(place, Access::Read, Some(Duration::ZERO))
    }

    /// `lock`: whether nobody else may be at it, and how long to wait for that.
    fn with(place: &Place, access: Access, lock: Option<Duration>) -> Result<Self> {
        let settings = Settings::load(&place.root)?;
        let lock = lock.map(|patience| self::lock(&place.root.join(LOCK), patience)).transpose()?;
        let (disk, running) = disk(place, access)?;
        let folder = place.root.join(FOLDER);
        Ok(Self {
            place: place.clone(),
            access,
            disk,
            running,
            settings,
            memory: MemoryFile::new(folder.join(MemoryFile::NAME)),
            history: History::new(folder.join(History::NAME)),
            _lock: lock,
        })
    }

    /// From now on the disk can be written.
    fn make_writable(&mut self) -> Result<()> {
        if self.access == Access::Read {
            (self.disk, self.running) = disk(&self.place, Access::Write)?;
            self.access = Access::Write;
        }
        Ok(())
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The root of the system.
    pub fn root(&self) -> &Path {
        &self.place.root
    }

    /// The updater's folder on the state partition.
    pub fn folder(&self) -> PathBuf {
        self.place.root.join(FOLDER)
    }

    /// The history.
    pub fn history(&self) -> &History {
        &self.history
    }

    fn engine(&mut self) -> Result<Engine<'_>> {
        let settings = lazuli_slots::Settings {
            id: self.settings.id.clone(),
            running: self.running,
            time: i64::try_from(now()).unwrap_or(0),
        };
        Ok(Engine::open(&mut *self.disk, settings)?)
    }

    /// The machine as it is. Looking at it does not need a memory that can be read: then it is the second value.
    pub fn survey(&mut self) -> Result<(System, Option<lazuli_slots::Error>)> {
        let (memory, error) = match self.memory.load() {
            Ok(memory) => (memory, None),
            Err(error) => (Memory::default(), Some(error)),
        };
        Ok((self.engine()?.survey(memory)?, error))
    }

    /// The running image. Only its root hash is beyond doubt; what else is read here is compared with that in
    /// [`Host::leaves`].
    pub fn running(&mut self) -> Result<Running> {
        let slot = self.running;
        let none = |reason: &str| Error::Settings { path: format!("slot {slot}"), reason: reason.to_owned() };
        let (system, _) = self.survey()?;
        let image = system.slot(slot).image().cloned().ok_or_else(|| none("it has no whole image"))?;
        let hash = self.engine()?.partitions().slot(slot)[1].clone();
        let mut block = vec![0; BLOCK];
        self.disk.read_at(hash.start, &mut block)?;
        let superblock = Superblock::parse(&block).map_err(|e| none(&e.to_string()))?;
        let blocks = superblock.data_blocks;
        let tree = tree_blocks(blocks);
        if (1 + tree).saturating_mul(BLOCK as u64) > hash.len {
            return Err(none("its hash tree does not fit into its partition"));
        }
        let leaf_blocks = blocks.div_ceil((BLOCK / Digest::LEN) as u64);
        let leaves = hash.start + (1 + tree - leaf_blocks) * BLOCK as u64;
        Ok(Running { image, blocks, salt: superblock.salt, leaves })
    }

    /// The first 8 bytes of the digests of the running image's blocks, from its hash tree, which is proved by the root hash.
    pub fn leaves(&self, running: &Running) -> io::Result<Vec<[u8; 8]>> {
        let mut bytes = vec![0; running.blocks as usize * Digest::LEN];
        self.disk.read_at(running.leaves, &mut bytes).map_err(io::Error::other)?;
        let tree = Tree::from_leaves(bytes, &running.salt)?;
        if tree.root().as_bytes() != running.image.id.as_bytes() {
            return Err(io::Error::other("the hash tree of the running image does not have its root hash"));
        }
        let short = |leaf: Digest| {
            let mut short = [0; 8];
            short.copy_from_slice(&leaf.as_bytes()[..8]);
            short
        };
        Ok(tree.leaves().map(short).collect())
    }

    /// Does what follows from an event that needs no release. To go back, to keep what proved itself and to take note of a
    /// start must work when the memory is damaged or cannot be written: only what would take an image fails then.
    pub fn perform(&mut self, event: &Event) -> Result<Performed> {
        self.make_writable()?;
        let strict = !matches!(event, Event::Boot | Event::Healthy | Event::Unhealthy(_) | Event::Rollback);
        let memory = match self.memory.load() {
            Ok(memory) => memory,
            Err(error) if strict => return Err(error.into()),
            Err(error) => {
                tracing::error!(%error, "going on without");
                Memory::default()
            }
        };
        let damaged = self.memory.load().is_err();
        let file = self.memory.clone();
        let mut remember = |memory: &Memory| match (damaged, strict) {
            // What is damaged is not replaced by what knows nothing: it goes on to stop updates.
            (true, _) => Ok(()),
            (false, true) => file.save(memory),
            (false, false) => {
                if let Err(error) = file.save(memory) {
                    tracing::error!(%error, "the entry's name is all that remembers it");
                }
                Ok(())
            }
        };
        let mut engine = self.engine()?;
        if strict {
            // It may change the partition table. Names on the ESP are changed safely whatever a cut left there.
            engine.recover()?;
        }
        let performed = engine.perform(memory, event, None, &mut remember)?;
        self.tell(&performed);
        Ok(performed)
    }

    /// Writes an offered image to the other slot.
    pub fn stage(&mut self, offer: &mut dyn Offer) -> Result<Performed> {
        let event = Event::Stage(offer.release().image.clone());
        self.take(&event, offer)
    }

    /// Has an image that was staged tried at the next boot.
    pub fn apply(&mut self, offer: &mut dyn Offer) -> Result<Performed> {
        let event = Event::Apply(offer.release().image.clone());
        self.take(&event, offer)
    }

    fn take(&mut self, event: &Event, offer: &mut dyn Offer) -> Result<Performed> {
        self.make_writable()?;
        let memory = self.memory.load()?;
        // An image that could not be remembered if it fails is not taken: a full state partition shows here.
        self.memory.save(&memory)?;
        let release = offer.release().clone();
        let file = self.memory.clone();
        let mut engine = self.engine()?;
        let recovery = engine.recover()?;
        tracing::debug!(?recovery, "what a power cut left");
        let performed = engine
            .perform(memory, event, Some((&release, offer.source())), &mut |memory| file.save(memory))?;
        self.tell(&performed);
        Ok(performed)
    }

    /// Which copy of systemd-boot is to be replaced by the one that the running image brings, if one is.
    pub fn plan_loader(&mut self, brought: &Brought) -> Result<Option<Loader>> {
        let (system, _) = self.survey()?;
        let blessed = system.standing(system.running) == Standing::Blessed;
        let mut engine = self.engine()?;
        Ok(plan_loader(&LoaderState {
            main: engine.loader(Loader::Main)?,
            fallback: engine.loader(Loader::Fallback)?,
            started: brought.started,
            wanted: brought.sha256,
            blessed,
        }))
    }

    /// Replaces that copy.
    pub fn replace_loader(&mut self, loader: Loader, brought: &Brought) -> Result<()> {
        let len = brought.bytes.len() as u64;
        let content = Content { bytes: &mut &brought.bytes[..], len, sha256: brought.sha256 };
        self.engine()?.replace_loader(loader, content)?;
        tracing::info!(?loader, "systemd-boot is replaced");
        Ok(())
    }

    /// Writes to the history and the outbox, which nothing depends on.
    fn tell(&self, performed: &Performed) {
        match Identity::load(&self.place.root, &self.settings) {
            Ok(identity) => reports::keep(&self.folder(), &identity, performed),
            Err(error) => tracing::debug!(%error, "nothing is reported"),
        }
        for mut record in records(now(), &performed.effects) {
            // What happens to the running image does not name it.
            if record.version.is_none() && matches!(record.event, What::Blessed | What::Unhealthy) {
                let image = performed.system.slot(performed.system.running).image();
                record.version = image.map(|image| image.version.clone());
                record.image = image.map(|image| image.id);
            }
            if let Err(error) = self.history.add(&record) {
                tracing::warn!(%error, "the history is not written");
            }
        }
    }
}

/// The disk of a machine, and the slot that runs.
fn disk(place: &Place, access: Access) -> Result<(Box<dyn Disk>, Slot)> {
    Ok(match (&place.image, access) {
        (Some((path, slot)), Access::Write) => (Box::new(FileDisk::open(path)?), *slot),
        (Some((path, slot)), Access::Read) => (Box::new(FileDisk::open_read_only(path)?), *slot),
        (None, access) => {
            let disk = HostDisk::open(&place.root, access)?;
            let running = disk.running();
            (Box::new(disk), running)
        }
    })
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

fn lock(path: &Path, patience: Duration) -> Result<File> {
    if let Some(folder) = path.parent() {
        lazuli_fs::create_dir_all(folder)?;
    }
    let file = lazuli_fs::create(path)?;
    let end = Instant::now() + patience;
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(200));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(Error::Locked { path: path.display().to_string() });
            }
            Err(errno) => return Err(errno).at("lock", path).map_err(Error::from),
        }
    }
}
