//! Changes of a FAT, read by another implementation.

#![allow(clippy::unwrap_used)] // In the helpers of tests, too, a panic is the report.

use fatfs::{FileSystem, FsOptions};
use lazuli_crash::fixture::{Fixture, Sizes, Window};
use lazuli_crash::{Random, Recording};
use lazuli_slots::fat::{Content, Sweep, Volume};
use lazuli_slots::{Error, Result};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io::Read as _;

const DIRECTORY: &str = "EFI/Linux";

struct Esp {
    fixture: Fixture,
    recording: Recording,
}

impl Esp {
    fn new(cluster: u32) -> Self {
        let fixture = Fixture::new(5, Sizes { cluster, blocks: 1, uki: 100 });
        let recording = Recording::new(fixture.disk.clone());
        Self { fixture, recording }
    }

    fn volume(&mut self) -> Volume<'_> {
        let esp = &self.fixture.partitions.esp;
        Volume::open(&mut self.recording, esp.start, esp.len, 1_700_000_000).unwrap()
    }

    fn create(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let sha256 = Sha256::digest(bytes).into();
        let content = Content { bytes: &mut &bytes[..], len: bytes.len() as u64, sha256 };
        self.volume().create(&format!("{DIRECTORY}/{name}"), content)
    }

    fn replace(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let sha256 = Sha256::digest(bytes).into();
        let content = Content { bytes: &mut &bytes[..], len: bytes.len() as u64, sha256 };
        self.volume().replace(&format!("{DIRECTORY}/{name}"), content)
    }

    /// Everything in the directory, as `fatfs` reads it.
    fn read(&self) -> BTreeMap<String, Vec<u8>> {
        let mut disk = self.recording.disk.clone();
        let mut window = Window::new(&mut disk, &self.fixture.partitions.esp);
        let fs = FileSystem::new(&mut window, FsOptions::new()).unwrap();
        let directory = fs.root_dir().open_dir(DIRECTORY).unwrap();
        directory
            .iter()
            .map(std::result::Result::unwrap)
            .filter(fatfs::DirEntry::is_file)
            .map(|entry| {
                let mut bytes = Vec::new();
                entry.to_file().read_to_end(&mut bytes).unwrap();
                (entry.file_name(), bytes)
            })
            .collect()
    }
}

#[derive(Debug, Clone)]
enum Act {
    Create(String, usize),
    Rename(prop::sample::Index, String),
    Replace(prop::sample::Index, usize),
    Remove(prop::sample::Index),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let name = "[a-zA-Z0-9+.~-]{0,70}[a-z]";
    let index = any::<prop::sample::Index>;
    let act = prop_oneof![
        4 => (name, 0..9000_usize).prop_map(|(name, len)| Act::Create(name, len)),
        3 => (index(), name).prop_map(|(index, name)| Act::Rename(index, name)),
        1 => (index(), 0..9000_usize).prop_map(|(index, len)| Act::Replace(index, len)),
        2 => index().prop_map(Act::Remove),
    ];
    prop::collection::vec(act, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn another_implementation_reads_what_was_written(cluster in prop_oneof![Just(512_u32), Just(4096)], acts in acts()) {
        let mut esp = Esp::new(cluster);
        let mut model = esp.read();
        let free = esp.volume().free();
        let used = |model: &BTreeMap<String, Vec<u8>>| {
            model.values().map(|bytes| (bytes.len() as u64).next_multiple_of(u64::from(cluster))).sum::<u64>()
        };
        let before = used(&model);
        let mut random = Random::new(1);
        for act in acts {
            let pick = |index: prop::sample::Index| (!model.is_empty()).then(|| {
                model.keys().nth(index.index(model.len())).cloned().unwrap_or_default()
            });
            let there = |name: &str| model.keys().any(|other| other.eq_ignore_ascii_case(name));
            match act {
                Act::Create(name, len) => {
                    let bytes = random.bytes(len);
                    let new = !there(&name);
                    prop_assert_eq!(esp.create(&name, &bytes).is_ok(), new, "{}", name);
                    if new {
                        model.insert(name, bytes);
                    }
                }
                Act::Rename(index, to) => if let Some(name) = pick(index) {
                    let new = !there(&to);
                    let result = esp.volume().rename(&format!("{DIRECTORY}/{name}"), &to);
                    prop_assert_eq!(result.is_ok(), new, "{} {:?}", to, result);
                    if new {
                        let bytes = model.remove(&name).unwrap_or_default();
                        model.insert(to, bytes);
                    }
                },
                Act::Replace(index, len) => if let Some(name) = pick(index) {
                    let bytes = random.bytes(len);
                    esp.replace(&name, &bytes).unwrap();
                    model.insert(name, bytes);
                },
                Act::Remove(index) => if let Some(name) = pick(index) {
                    esp.volume().remove(&format!("{DIRECTORY}/{name}")).unwrap();
                    model.remove(&name);
                },
            }
            prop_assert_eq!(&esp.read(), &model);
        }
        prop_assert_eq!(esp.volume().sweep().unwrap(), Sweep::default());
        // Nothing leaks, but for clusters by which the directory grew.
        let grown = free + before - used(&model) - esp.volume().free();
        prop_assert!(grown.is_multiple_of(u64::from(cluster)) && grown <= 40 * 512 + u64::from(cluster), "{}", grown);
    }
}

#[test]
fn a_full_partition_is_an_error_that_changes_nothing() {
    let mut esp = Esp::new(512);
    let free = esp.volume().free();
    let before = esp.recording.disk.clone();
    let error = esp.create("large.efi", &vec![1; free as usize + 1]).unwrap_err();
    assert!(matches!(error, Error::EspFull { .. }), "{error}");
    assert_eq!(esp.recording.log.events.len(), 0);
    drop(before);
    esp.create("fits.efi", &vec![1; free as usize - 2048]).unwrap();
    assert_eq!(esp.read()["fits.efi"].len(), free as usize - 2048);
}

#[test]
fn content_that_is_not_what_was_promised_gets_no_name() {
    let mut esp = Esp::new(512);
    let before = esp.read();
    for (bytes, len) in [(&b"other"[..], 5), (b"longer", 5), (b"shor", 5)] {
        let content = Content { bytes: &mut &bytes[..], len, sha256: Sha256::digest(b"these").into() };
        esp.volume().create(&format!("{DIRECTORY}/x.efi"), content).unwrap_err();
        assert_eq!(esp.read(), before);
    }
    // What was written is found and freed.
    assert!(esp.volume().sweep().unwrap().freed > 0);
    assert_eq!(esp.volume().sweep().unwrap(), Sweep::default());
}

#[test]
fn a_checker_of_the_field_is_content_when_there_is_one() {
    let mut esp = Esp::new(4096);
    for n in 0..60 {
        esp.create(&format!("uki-{n}+3-0.efi"), &vec![n; 5000]).unwrap();
    }
    for n in 0..30 {
        esp.volume().rename(&format!("{DIRECTORY}/uki-{n}+3-0.efi"), &format!("uki-{n}.efi")).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("esp");
    let part = &esp.fixture.partitions.esp;
    let mut bytes = vec![0; part.len as usize];
    esp.recording.disk.read(part.start, &mut bytes).unwrap();
    lazuli_fs::write(&path, &bytes).unwrap();
    let mut command = std::process::Command::new("fsck.vfat");
    command.arg("-n").arg(&path).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    match command.output() {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout);
            // `fatfs` gives `.` and `..` long names, which is the only thing that it may find.
            assert!(!text.contains("uki-") && !text.contains("cluster summary"), "{text}");
        }
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Firmware, other systems and worn flash write there, too: damage is an error, or is not noticed; never a panic.
    #[test]
    fn damage_is_no_panic(hits in prop::collection::vec((0..3_u8, any::<prop::sample::Index>(), any::<u8>()), 1..12)) {
        let mut esp = Esp::new(512);
        let part = esp.fixture.partitions.esp.clone();
        // Boot sector, the beginning of the first FAT, and the first directories.
        let areas = [(0, 100), (32 * 512, 400), (32 * 512 + 2 * 516 * 512, 8000)];
        for (area, index, byte) in hits {
            let (start, len) = areas[usize::from(area)];
            esp.recording.disk.write(part.start + start + index.index(len) as u64, &[byte]).unwrap();
        }
        if let Ok(mut volume) = Volume::open(&mut esp.recording, part.start, part.len, 0) {
            for path in ["", "EFI", DIRECTORY, "EFI/BOOT"] {
                for entry in volume.list(path).unwrap_or_default() {
                    let _ = volume.read_file(&entry, |_| Ok(()));
                }
            }
            let _ = volume.sweep();
            let _ = volume.rename("EFI/Linux/lazuli-2.efi", "lazuli-2+0-0.efi");
            let _ = volume.remove("EFI/Linux/lazuli-1.efi");
            let bytes = [7; 3000];
            let content = Content { bytes: &mut &bytes[..], len: 3000, sha256: Sha256::digest(bytes).into() };
            let _ = volume.create("EFI/Linux/new.efi", content);
        }
    }
}
