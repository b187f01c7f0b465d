//! Disks that a cut may have left, as image files to be started for real.

use crate::random::Random;
use crate::{Event, Log, SECTOR, Sparse};
use lazuli_fs::Context as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// A disk that a cut may have left.
#[derive(Debug, Clone)]
pub struct Sample {
    /// How many events of the log were before the cut.
    pub events: usize,
    /// How many sectors since the last flush got lost.
    pub lost: usize,
    /// The disk: what differs from the one before the update is in memory.
    pub disk: Sparse,
}

/// `count` disks from all over a log. Cuts are spread over the epochs between two flushes, not over the sectors: bulk
/// data would take all of them. The first is the disk before the update, the last the one after it.
pub fn sampled_states(base: &Sparse, log: &Log, seed: u64, count: usize) -> Vec<Sample> {
    let mut random = Random::new(seed);
    // Where each epoch begins.
    let mut epochs = vec![0];
    epochs
        .extend(log.events.iter().enumerate().filter(|(_, e)| matches!(e, Event::Flush)).map(|(n, _)| n + 1));
    let mut samples = Vec::with_capacity(count);
    for number in 0..count {
        let last = log.events.len();
        let (begin, events) = if number == 0 {
            (0, 0)
        } else if number + 1 == count {
            (last, last)
        } else {
            let epoch = (number - 1) * (epochs.len() - 1) / count.saturating_sub(2).max(1);
            let begin = epochs[epoch];
            let end = epochs.get(epoch + 1).map_or(last, |next| next - 1);
            (begin, begin + random.below((end - begin) as u64 + 1) as usize)
        };
        samples.push(at(base, log, begin, events, &mut random));
    }
    samples
}

/// All that was flushed, and some of what was not.
fn at(base: &Sparse, log: &Log, begin: usize, events: usize, random: &mut Random) -> Sample {
    let mut disk = base.clone();
    let mut lost = 0;
    for (index, event) in log.events[..events].iter().enumerate() {
        let Event::Write { offset, bytes } = event else { continue };
        for (number, sector) in bytes.chunks_exact(SECTOR).enumerate() {
            if index >= begin && random.below(2) == 0 {
                lost += 1;
            } else {
                // It was written to a disk of this size before.
                drop(disk.write(offset + (number * SECTOR) as u64, sector));
            }
        }
    }
    Sample { events, lost, disk }
}

impl Sample {
    /// Writes the disk as a raw image: a copy of the base, which shares its blocks where the file system can, changed
    /// where the sample differs. Without a file below, a sparse file.
    pub fn write_to(&self, base: Option<&Path>, path: &Path) -> lazuli_fs::Result<()> {
        if let Some(base) = base {
            lazuli_fs::copy(base, path)?;
        } else {
            drop(lazuli_fs::create_new(path, 0o600)?);
        }
        let file = std::fs::OpenOptions::new().write(true).open(path).at("open", path)?;
        file.set_len(self.disk.len()).at("resize", path)?;
        for (offset, page) in self.disk.pages() {
            let len = page.len().min((self.disk.len() - offset) as usize);
            file.write_all_at(&page[..len], offset).at("write", path)?;
        }
        Ok(())
    }
}
