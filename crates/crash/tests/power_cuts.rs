//! The power goes at every write of an update, of the blessing and of the way back.

#![allow(clippy::unwrap_used)] // In the helpers of tests, too, a panic is the report.

use lazuli_crash::fixture::{Fixture, ID, Made, Sizes, Window, perform};
use lazuli_crash::{
    Budget, Event as Told, Expectation, Fault, Log, Recording, Report, Rules, Sparse, explore,
};
use lazuli_layout::Slot;
use lazuli_layout::assess::{Event, Loader};
use lazuli_slots::fat::{Content, Volume};
use lazuli_slots::{Engine, Settings, Source};
use sha2::Digest as _;

/// Numbers of the images of the fixture.
const V2: usize = 1;
const V3: usize = 2;

fn fixture() -> Fixture {
    Fixture::new(7, Sizes::default())
}

fn look(fixture: &Fixture, before_disk: &Sparse, log: &Log, before: usize, after: usize) -> Report {
    let mut machine = fixture.machine_with(before_disk, Rules::default());
    explore(&mut machine, log, &Expectation { before, after }, &Budget::default())
}

#[track_caller]
fn good(name: &str, report: &Report) {
    println!(
        "{name}: {} states, {} distinct, {} bad, {} burning, {:.0} a minute",
        report.states,
        report.distinct,
        report.bad,
        report.burning,
        report.rate()
    );
    assert!(report.is_good(), "{name}: {report:#?}");
}

/// As systemd-boot does it through the firmware: takes a try by renaming, and lays the entries wherever it likes.
fn take_a_try(fixture: &Fixture, disk: &mut Sparse, from: &str, to: &str) {
    let mut window = Window::new(disk, &fixture.partitions.esp);
    let fs = fatfs::FileSystem::new(&mut window, fatfs::FsOptions::new()).unwrap();
    let directory = fs.root_dir().open_dir("EFI/Linux").unwrap();
    directory.rename(from, &directory, to).unwrap();
}

/// The disk of a machine that runs version 3 on its first try.
fn on_trial(fixture: &Fixture) -> Sparse {
    let mut disk = fixture.updated().disk;
    take_a_try(fixture, &mut disk, "lazuli-3+3-0.efi", "lazuli-3+2-1.efi");
    disk
}

#[test]
fn an_update_is_the_old_or_the_new_system_at_every_cut() {
    for (cluster, uki) in [(512, 60_000), (4096, 200_000)] {
        let fixture = Fixture::new(7, Sizes { cluster, uki, ..Sizes::default() });
        let recording = fixture.updated();
        assert!(matches!(recording.log.events.last(), Some(Told::Flush)), "it ends with a flush");
        good("stage and apply", &look(&fixture, &fixture.disk, &recording.log, V2, V3));
    }
}

#[test]
fn the_last_write_that_makes_a_slot_start_is_one_sector() {
    let fixture = fixture();
    let log = fixture.updated().log;
    let [.., Told::Flush, Told::Write { bytes, .. }, Told::Flush] = &log.events[..] else {
        panic!("not a write between flushes");
    };
    assert_eq!(bytes.len(), 512);
    let mut machine = fixture.machine(Rules::default());
    let mut without = log.clone();
    without.events.truncate(log.events.len() - 2);
    let report = explore(&mut machine, &without, &Expectation { before: V2, after: V2 }, &Budget::default());
    good("all but the last write", &report);
}

#[test]
fn a_blessing_is_whole_at_every_cut_wherever_the_firmware_put_the_name() {
    // Names of different lengths and many neighbours put the entries at the borders of sectors.
    for neighbours in 0..18 {
        let fixture = fixture();
        let mut disk = fixture.disk.clone();
        {
            let mut window = Window::new(&mut disk, &fixture.partitions.esp);
            let fs = fatfs::FileSystem::new(&mut window, fatfs::FsOptions::new()).unwrap();
            let directory = fs.root_dir().open_dir("EFI/Linux").unwrap();
            for n in 0..neighbours {
                directory.create_file(&format!("N{n}.TXT")).unwrap();
            }
        }
        let fixture = Fixture { disk, ..fixture };
        let disk = on_trial(&fixture);
        let mut recording = Recording::new(disk.clone());
        perform(&mut recording, Slot::B, &Event::Healthy, None).unwrap();
        good("bless", &look(&fixture, &disk, &recording.log, V3, V3));
        let mut back = Recording::new(recording.disk.clone());
        perform(&mut back, Slot::B, &Event::Rollback, None).unwrap();
        good("roll back", &look(&fixture, &recording.disk, &back.log, V3, V2));
        let mut early = Recording::new(disk.clone());
        perform(&mut early, Slot::B, &Event::Rollback, None).unwrap();
        good("roll back while on trial", &look(&fixture, &disk, &early.log, V3, V2));
    }
}

#[test]
fn a_loader_is_replaced_and_one_starts_at_every_cut() {
    let fixture = fixture();
    let mut recording = Recording::new(fixture.disk.clone());
    let settings = Settings { id: ID.into(), running: Slot::A, time: 0 };
    let mut engine = Engine::open(&mut recording, settings).unwrap();
    for loader in [Loader::Main, Loader::Fallback] {
        let new = &fixture.loaders[1];
        let sha256: [u8; 32] = sha2::Sha256::digest(new).into();
        let content = Content { bytes: &mut &new[..], len: new.len() as u64, sha256 };
        engine.replace_loader(loader, content).unwrap();
        assert_eq!(engine.loader(loader).unwrap(), Some(sha256));
    }
    good("loader", &look(&fixture, &fixture.disk, &recording.log, V2, V2));
}

/// A second cut while the first is put in order, and the update begun again.
#[test]
fn an_update_after_a_cut_converges_and_survives_another_cut() {
    let fixture = fixture();
    let log = fixture.updated().log;
    let mut total = Report::default();
    for sample in lazuli_crash::sampled_states(&fixture.disk, &log, 3, 60) {
        let before = sample.disk.clone();
        // What starts after the cut decides which slot runs.
        let mut machine = fixture.machine_with(&before, Rules::default());
        let still = explore(
            &mut machine,
            &Log::default(),
            &Expectation { before: V2, after: V2 },
            &Budget::default(),
        );
        if !still.is_good() {
            // The new one is visible: nothing is left to do.
            continue;
        }
        let mut recording = Recording::new(before.clone());
        fixture.update(&mut recording).unwrap();
        let budget = Budget { subsets: 2, ..Budget::default() };
        let report = explore(&mut machine, &recording.log, &Expectation { before: V2, after: V3 }, &budget);
        assert!(report.is_good(), "{} events, {} lost: {report:#?}", sample.events, sample.lost);
        total.add(report);
    }
    good("second cuts", &total);
}

#[test]
fn faults_of_the_disk_are_errors_and_leave_the_old_system() {
    let fixture = fixture();
    let whole = fixture.updated().log;
    let count = |flush: bool| whole.events.iter().filter(|e| matches!(e, Told::Flush) == flush).count();
    for fault in [Fault::WriteFails, Fault::WriteIsShort, Fault::NoSpace, Fault::FlushFails] {
        let events = count(fault == Fault::FlushFails);
        for at in (0..events).step_by(1 + events / 12) {
            let mut recording = Recording::new(fixture.disk.clone());
            recording.fault = Some((at, fault));
            fixture.update(&mut recording).unwrap_err();
            // Only if the very last flush fails has the new name been written.
            let after = if fault == Fault::FlushFails && at + 1 == events { V3 } else { V2 };
            let report = look(&fixture, &fixture.disk, &recording.log, V2, after);
            assert!(report.is_good(), "{fault:?} at {at}: {report:#?}");
            // Tried again on a disk that works, it arrives.
            if after == V2 {
                recording.fault = None;
                fixture.update(&mut recording).unwrap();
                good(&format!("{fault:?} at {at}"), &look(&fixture, &fixture.disk, &recording.log, V2, V3));
            }
        }
    }
}

#[test]
fn a_write_that_is_lost_silently_is_found_by_reading_back() {
    let fixture = fixture();
    let writes = fixture.updated().log.events.iter().filter(|e| matches!(e, Told::Write { .. })).count();
    for at in 0..writes {
        let mut recording = Recording::new(fixture.disk.clone());
        recording.fault = Some((at, Fault::WriteIsLost));
        let result = fixture.update(&mut recording);
        let mut machine = fixture.machine(Rules::default());
        let budget = Budget { subsets: 1, ..Budget::default() };
        let after = if result.is_ok() { V3 } else { V2 };
        let report = explore(&mut machine, &recording.log, &Expectation { before: V2, after }, &budget);
        // The old system always; whether the new one is there can only be told by what is read back: data, hash tree
        // and UKI are. A lost directory or table sector may go unnoticed, and then the old system starts.
        let dead = report.examples.iter().any(|bad| matches!(bad.outcome, lazuli_crash::Outcome::Dead(_)));
        assert!(!dead, "write {at} of {writes}: {report:#?}");
    }
}

/// What the checker must find: it would be worth nothing if it found nothing.
mod broken {
    use super::{
        Budget, Content, Engine, Event, Expectation, Fixture, ID, Log, Made, Recording, Rules, Settings,
        Slot, Source, Told, V2, V3, Volume, explore, fixture, good, look, perform,
    };
    use lazuli_layout::assess::Memory;
    use lazuli_slots::Disk as _;

    fn volume<'d>(fixture: &Fixture, recording: &'d mut Recording) -> Volume<'d> {
        let esp = &fixture.partitions.esp;
        Volume::open(recording, esp.start, esp.len, 0).unwrap()
    }

    fn content<'c>(made: &Made, bytes: &'c mut &[u8]) -> Content<'c> {
        Content { bytes, len: made.uki.len() as u64, sha256: made.release.uki.sha256 }
    }

    /// A machine whose other slot is written and stamped, without an entry.
    fn staged(fixture: &Fixture) -> Recording {
        let mut recording = Recording::new(fixture.disk.clone());
        let made = &fixture.releases[2];
        perform(&mut recording, Slot::A, &Event::Stage(made.release.image.clone()), Some(made)).unwrap();
        Recording::new(recording.disk)
    }

    #[test]
    fn without_flushes() {
        let fixture = fixture();
        let log = fixture.updated().log.without_flushes();
        let mut machine = fixture.machine(Rules::default());
        let budget = Budget { subsets: 40, ..Budget::default() };
        let report = explore(&mut machine, &log, &Expectation { before: V2, after: V3 }, &budget);
        println!("without flushes: {} of {} bad, {} burning", report.bad, report.states, report.burning);
        assert!(report.bad > 0 && report.burning > 0, "{report:#?}");
    }

    #[test]
    fn a_uki_overwritten_in_place() {
        let fixture = fixture();
        let mut recording = staged(&fixture);
        let before = recording.disk.clone();
        let uki = fixture.releases[2].uki.clone();
        // The clusters of the running entry, one after the other.
        let volume = volume(&fixture, &mut recording);
        let entry = volume.find("EFI/Linux/lazuli-2.efi").unwrap().unwrap();
        let mut old = Vec::new();
        volume
            .read_file(&entry, |bytes| {
                old.extend_from_slice(bytes);
                Ok(())
            })
            .unwrap();
        drop(volume);
        let mut at = 0;
        while at < old.len() {
            let len = 512.min(old.len() - at);
            let mut sector = [0; 512];
            let disk_at = (0..fixture.partitions.esp.len / 512)
                .map(|n| fixture.partitions.esp.start + n * 512)
                .find(|offset| {
                    before.read(*offset, &mut sector).unwrap();
                    sector[..len] == old[at..at + len]
                })
                .unwrap();
            let mut new = [0; 512];
            let end = uki.len().min(at + 512);
            new[..end - at].copy_from_slice(&uki[at..end]);
            recording.write_at(disk_at, &new).unwrap();
            at += 512;
        }
        recording.flush().unwrap();
        let report = look(&fixture, &before, &recording.log, V2, V3);
        println!("in place: {} of {} bad", report.bad, report.states);
        assert!(report.bad > 0, "{report:#?}");
    }

    /// As a program on a mounted file system would do it without a temporary name: the name first, then the data.
    #[test]
    fn a_uki_written_straight_to_its_name() {
        let fixture = fixture();
        let mut recording = staged(&fixture);
        let before = recording.disk.clone();
        let made = &fixture.releases[2];
        let mut bytes = &made.uki[..];
        volume(&fixture, &mut recording)
            .create("EFI/Linux/lazuli-3+3-0.efi", content(made, &mut bytes))
            .unwrap();
        // The same writes; the last one, the name, comes first.
        let mut events: Vec<Told> =
            recording.log.events.iter().filter(|e| matches!(e, Told::Write { .. })).cloned().collect();
        let name = events.pop().unwrap();
        events.insert(0, name);
        events.insert(1, Told::Flush);
        events.push(Told::Flush);
        let report = look(&fixture, &before, &Log { events }, V2, V3);
        println!("straight: {} of {} bad, {} burning", report.bad, report.states, report.burning);
        assert!(report.bad + report.burning > 0, "{report:#?}");
    }

    #[test]
    fn an_entry_before_its_slot() {
        let fixture = fixture();
        let made = &fixture.releases[2];
        let mut recording = Recording::new(fixture.disk.clone());
        let mut bytes = &made.uki[..];
        volume(&fixture, &mut recording)
            .create("EFI/Linux/lazuli-3+3-0.efi", content(made, &mut bytes))
            .unwrap();
        let report = look(&fixture, &fixture.disk, &recording.log, V2, V2);
        assert!(report.burning > 0, "{report:#?}");
    }

    #[test]
    fn a_backup_table_written_over_the_only_good_one() {
        let fixture = fixture();
        // The first cut: the primary is torn.
        let mut disk = fixture.disk.clone();
        disk.write(2 * 512, &[0xff; 512]).unwrap();
        let mut recording = Recording::new(disk.clone());
        let settings = Settings { id: ID.into(), running: Slot::A, time: 0 };
        let made = &fixture.releases[2];
        let image = &made.release.image;
        let event = Event::Stage(image.clone());
        let mut source = made;
        // Without recover() in front.
        Engine::open(&mut recording, settings)
            .unwrap()
            .perform(
                Memory::default(),
                &event,
                Some((&made.release, &mut source as &mut dyn Source)),
                &mut |_| Ok(()),
            )
            .unwrap();
        let report = look(&fixture, &disk, &recording.log, V2, V2);
        assert!(report.bad > 0, "{report:#?}");
        let mut recording = Recording::new(disk.clone());
        perform(&mut recording, Slot::A, &event, Some(made)).unwrap();
        good("with recover()", &look(&fixture, &disk, &recording.log, V2, V2));
    }
}

/// A kernel without `gpt` on its command line does not look at the backup table: what the command line is for.
#[test]
fn the_kernel_must_be_told_to_take_the_backup_table() {
    let fixture = fixture();
    let log = fixture.updated().log;
    let rules = Rules { kernel_takes_backup: false, firmware_takes_backup: true };
    let mut machine = fixture.machine(rules);
    let report = explore(&mut machine, &log, &Expectation { before: V2, after: V3 }, &Budget::default());
    println!("without `gpt`: {} of {} bad", report.bad, report.states);
    assert!(report.bad > 0);
}

/// Reported, not asserted: nothing can be promised on a disk that says it wrote what it did not.
#[test]
fn a_flush_that_lies() {
    let fixture = fixture();
    let log = fixture.updated().log;
    let mut harmful = 0;
    for flush in 0..log.flushes() {
        let report = look(&fixture, &fixture.disk, &log.with_a_lie(flush), V2, V3);
        if !report.is_good() {
            harmful += 1;
            println!(
                "flush {flush} lies: {} bad, {} burning of {}",
                report.bad, report.burning, report.states
            );
        }
    }
    println!("{harmful} of {} flushes do harm if they alone lie", log.flushes());
    // It would be odd if no flush were needed, and if most were not.
    assert!(harmful > 0 && harmful < log.flushes());
}
