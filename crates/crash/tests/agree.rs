//! The checker with its sums and numbers against one that reads every byte with other code: `fatfs`, the partition
//! table of `lazuli-layout`, and a hash tree made anew.

use fatfs::{FileSystem, FsOptions};
use lazuli_crash::fixture::{Fixture, Sizes, Window};
use lazuli_crash::{Outcome, Rules, Sparse, compare_versions, sampled_states, state::State};
use lazuli_layout::gpt::{self, Table};
use lazuli_layout::{PartitionType, UkiName, esp};
use lazuli_verity::{BLOCK, ReadBlocks, Tree};
use sha2::{Digest as _, Sha256};
use std::io::{self, Read as _};

struct Part<'d>(&'d Sparse, u64);

impl ReadBlocks for Part<'_> {
    fn read_blocks(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read(self.1 + offset, buffer)
    }
}

/// The version that starts, and how many starts came to nothing before.
fn start(fixture: &Fixture, disk: &Sparse) -> Option<(String, u32)> {
    let table = Table::read::<gpt::Error>(disk.len(), |at, buffer| {
        disk.read(at, buffer).expect("within the disk");
        Ok(())
    })
    .ok()?;
    let partition = table.partitions.iter().find(|part| part.kind == PartitionType::Esp.guid())?;
    let mut copy = disk.clone();
    let mut window = Window::new(&mut copy, partition);
    let fs = FileSystem::new(&mut window, FsOptions::new()).ok()?;
    let read = |path: &str| {
        let mut bytes = Vec::new();
        fs.root_dir().open_file(path).ok()?.read_to_end(&mut bytes).ok()?;
        Some(bytes)
    };
    let loader = [esp::SYSTEMD_BOOT_X86_64, esp::FALLBACK_X86_64].into_iter().find_map(read)?;
    assert!(fixture.loaders.contains(&loader));
    let mut entries: Vec<(UkiName, String)> = fs
        .root_dir()
        .open_dir(esp::UKI_DIRECTORY)
        .ok()?
        .iter()
        .filter_map(|entry| Some((entry.as_ref().ok()?.file_name().parse().ok()?, entry.ok()?.file_name())))
        .collect();
    for burnt in 0..20 {
        let spent = |name: &UkiName| name.counter.is_some_and(|counter| counter.left == 0);
        entries.sort_by(|(a, _), (b, _)| {
            spent(a).cmp(&spent(b)).then_with(|| compare_versions(&b.version, &a.version))
        });
        let (name, file) = entries.first_mut()?;
        let uki = read(&format!("{}/{file}", esp::UKI_DIRECTORY))?;
        let digest: [u8; 32] = Sha256::digest(&uki).into();
        let release =
            fixture.releases.iter().map(|made| &made.release).find(|release| release.uki.sha256 == digest);
        let starts = release.is_some_and(|release| {
            let (data, hash) = release.image.id.guids();
            let find = |guid| table.partitions.iter().find(|part| part.guid == guid);
            let (Some(data), Some(hash)) = (find(data), find(hash)) else { return false };
            let tree = Tree::build(&Part(disk, data.start), release.blocks, &release.salt).expect("a tree");
            let mut there = vec![0; tree.bytes().len()];
            disk.read(hash.start + BLOCK as u64, &mut there).expect("within the disk");
            tree.root().as_bytes() == release.image.id.as_bytes() && there == tree.bytes()
        });
        match &mut name.counter {
            _ if starts => return Some((name.version.clone(), burnt)),
            Some(counter) if counter.left > 0 => counter.left -= 1,
            _ => return None,
        }
    }
    None
}

#[test]
fn both_come_to_the_same() {
    let fixture = Fixture::new(3, Sizes::default());
    let log = fixture.updated().log;
    let mut seen = std::collections::BTreeMap::new();
    for (log, count) in [(log.clone(), 60), (log.with_a_lie(6), 20), (log.with_a_lie(log.flushes() - 2), 20)]
    {
        for sample in sampled_states(&fixture.disk, &log, 9, count) {
            let machine = fixture.machine_with(&sample.disk, Rules::default());
            let fast = match machine.start(&State::new(&machine)) {
                Outcome::Starts { image, burnt } => Some((machine.images()[image].version.clone(), burnt)),
                Outcome::Dead(_) => None,
            };
            assert_eq!(fast, start(&fixture, &sample.disk), "{} events, {} lost", sample.events, sample.lost);
            *seen.entry(fast).or_insert(0) += 1;
        }
    }
    println!("{seen:?}");
    // Both systems were among them.
    assert!(seen.len() >= 2, "{seen:?}");
}
