//! An EFI system partition that is nearly full.

#![allow(clippy::unwrap_used)] // In the helpers of tests, too, a panic is the report.

use lazuli_crash::Recording;
use lazuli_crash::fixture::{Fixture, ID, Sizes, perform};
use lazuli_layout::Slot;
use lazuli_layout::assess::{Event, Memory};
use lazuli_slots::fat::{Content, Volume};
use lazuli_slots::{Engine, Error, Settings};
use sha2::{Digest as _, Sha256};

/// A machine whose ESP has room for this many bytes.
fn with_room_for(fixture: &Fixture, bytes: u64) -> Recording {
    let mut recording = Recording::new(fixture.disk.clone());
    let esp = &fixture.partitions.esp;
    let mut volume = Volume::open(&mut recording, esp.start, esp.len, 0).unwrap();
    let len = volume.free() - bytes;
    let noise = vec![7; len as usize];
    let content = Content { bytes: &mut &noise[..], len, sha256: Sha256::digest(&noise).into() };
    volume.create("of-somebody-else.bin", content).unwrap();
    drop(volume);
    Recording::new(recording.disk)
}

#[test]
fn the_entry_before_the_last_makes_room() {
    let fixture = Fixture::new(21, Sizes::default());
    // Less than a UKI, but with that of version 1 enough.
    let mut recording = with_room_for(&fixture, 4096);
    fixture.update(&mut recording).unwrap();
    let esp = &fixture.partitions.esp;
    let volume = Volume::open(&mut recording, esp.start, esp.len, 0).unwrap();
    let names: Vec<String> = volume.list("EFI/Linux").unwrap().into_iter().map(|entry| entry.name).collect();
    assert!(names.contains(&"lazuli-2.efi".to_owned()) && names.contains(&"lazuli-3+3-0.efi".to_owned()));
    assert!(!names.contains(&"lazuli-1.efi".to_owned()), "{names:?}");
}

#[test]
fn too_little_room_is_found_before_anything_is_written() {
    let mut fixture = Fixture::new(22, Sizes::default());
    // What version 1 leaves is not enough for this one.
    let larger = vec![1; 90_000];
    let data = fixture.releases[2].data.clone();
    fixture.releases[2] = lazuli_crash::fixture::Made::new("3", data, larger);
    let mut recording = with_room_for(&fixture, 4096);
    let before = recording.log.events.len();
    let made = &fixture.releases[2];
    let event = Event::Stage(made.release.image.clone());
    let error = perform(&mut recording, Slot::A, &event, Some(made)).unwrap_err();
    assert!(matches!(error, Error::EspFull { .. }), "{error}");
    let writes =
        recording.log.events[before..].iter().filter(|e| matches!(e, lazuli_crash::Event::Write { .. }));
    assert_eq!(writes.count(), 0);
    // The way back is still there.
    let settings = Settings { id: ID.into(), running: Slot::A, time: 0 };
    let system = Engine::open(&mut recording, settings).unwrap().survey(Memory::default()).unwrap();
    assert_eq!(system.standing(Slot::B), lazuli_layout::assess::Standing::Blessed);
}

#[test]
fn an_image_larger_than_its_slot_is_refused() {
    let mut fixture = Fixture::new(23, Sizes::default());
    let data = vec![1; 4 << 20];
    fixture.releases[2] = lazuli_crash::fixture::Made::new("3", data, vec![1; 1000]);
    let mut recording = Recording::new(fixture.disk.clone());
    let made = &fixture.releases[2];
    let error =
        perform(&mut recording, Slot::A, &Event::Stage(made.release.image.clone()), Some(made)).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}
