//! Power cuts during an update, started for real: the checker of `lazuli-crash` goes through the disks that a cut may have
//! left of a real machine, and a sample of them is started under Secure Boot.
//!
//! `cargo test -p lazuli --test power_cuts -- --ignored --nocapture` makes two images and starts 50 disks, two at a time;
//! `LAZULI_SAMPLES` is another number. It uses the store and keys of whoever runs it.

#![allow(clippy::unwrap_used)] // In the helpers of tests, too, a panic is the report.

#[path = "support/user.rs"]
mod user;

use lazuli_crash::fixture::{ID, Made, perform};
use lazuli_crash::{Budget, Expectation, Recording, Rules, Sample, Sparse, explore, real, sampled_states};
use lazuli_layout::Slot;
use lazuli_layout::assess::Event;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Instant;
use user::{assert_fine, checkout, lazuli};

const SCRIPT: &str = "grep ^IMAGE_VERSION= /usr/lib/os-release; lazuli-update status | grep ^running; findmnt -no FSTYPE,OPTIONS /";

/// Starts a disk; what the script prints in it.
fn start(disk: &Path, script: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_lazuli"))
        .args(["run", "container-host", "--image-version", "1", "--timeout", "600", "--memory", "1024"])
        .args(["--cpus", "1", "--disk", "3", "--persist", disk.to_str().unwrap(), "--exec", script])
        .current_dir(checkout())
        .output()
        .unwrap();
    assert_fine(&output, disk);
    String::from_utf8(output.stdout).unwrap()
}

fn built(work: &Path, version: &str) -> PathBuf {
    let to = work.to_str().unwrap();
    lazuli(&[
        "build",
        "container-host",
        "--image-version",
        version,
        "--format",
        "raw",
        "--update",
        "--output",
        to,
    ]);
    work.join(format!("container-host-{version}"))
}

/// The version that a sampled disk came up with. Anything but a whole system that cost no try is a failure.
fn version(sample: &Sample, base: &Path, disk: &Path) -> u32 {
    sample.write_to(Some(base), disk).unwrap();
    let said = start(disk, SCRIPT);
    lazuli_fs::remove_file(disk).unwrap();
    assert!(said.contains("erofs"), "{said}");
    for (version, standing) in [
        (1, "running  slot A  1              blessed"),
        (2, "running  slot B  2              on trial, 2 tries left"),
    ] {
        if said.contains(&format!("IMAGE_VERSION={version}")) && said.contains(standing) {
            return version;
        }
    }
    panic!("cut after {} events, {} sectors lost: {said}", sample.events, sample.lost)
}

#[test]
#[ignore = "50 starts of a virtual machine"]
fn a_machine_comes_up_whole_wherever_the_power_was_cut() {
    let count = std::env::var("LAZULI_SAMPLES").map_or(50, |count| count.parse().unwrap());
    let work = tempfile::tempdir_in(checkout().join("target")).unwrap();
    let work = work.path();
    built(work, "1");
    let release = built(work, "2");
    // A machine that has run: its state partition has a file system, its table ends where the disk does.
    let base = work.join("base.raw");
    println!("{}", start(&base, SCRIPT));

    let disk = Sparse::over(&base).unwrap();
    let mut machine = real::machine_of(&disk, ID, Rules::default()).unwrap();
    let [before] = machine.images() else { panic!("{} images on a new disk", machine.images().len()) };
    assert_eq!(before.version, "1");
    let uki = lazuli_fs::read_dir(&release)
        .unwrap()
        .into_iter()
        .find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("lazuli-"))
        .unwrap();
    let data = lazuli_fs::read(release.join("root.erofs")).unwrap();
    let made = Made::with_uki("2", "container-host", data, lazuli_fs::read(uki).unwrap());
    let image = made.release.image.clone();
    let after = machine.add_image(&image.version, image.id, &made.uki, &made.data, &made.hash);
    let mut recording = Recording::new(disk.clone());
    perform(&mut recording, Slot::A, &Event::Stage(image.clone()), Some(&made)).unwrap();
    perform(&mut recording, Slot::A, &Event::Apply(image), Some(&made)).unwrap();
    let log = &recording.log;
    println!("the update writes {} sectors and flushes {} times", log.sectors(), log.flushes());

    let report = explore(&mut machine, log, &Expectation { before: 0, after }, &Budget::default());
    println!("{} disks thought through, {:.0} a minute", report.states, report.rate());
    assert!(report.is_good(), "{report:?}");

    let samples = sampled_states(&disk, log, 1, count);
    let (next, seen) = (Mutex::new(samples.iter().enumerate()), Mutex::new(vec![0; count]));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some((number, sample)) = next.lock().unwrap().next() else { return };
                    let version = version(sample, &base, &work.join(format!("cut-{number}.raw")));
                    println!(
                        "{number:>3}: cut after {:>6} events, {:>5} sectors lost: version {version}, {:.0} s",
                        sample.events,
                        sample.lost,
                        begun.elapsed().as_secs_f64()
                    );
                    seen.lock().unwrap()[number] = version;
                }
            });
        }
    });
    let seen = seen.into_inner().unwrap();
    assert_eq!((seen[0], seen[count - 1]), (1, 2), "no cut, and all of the update");
}
