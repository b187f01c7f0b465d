//! The program on an image file: what an operator types, and what it leads to.

#![allow(clippy::unwrap_used)] // In the helpers of tests, too, a panic is the report.

use lazuli_crash::fixture::{Fixture, Sizes};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

struct Host {
    dir: tempfile::TempDir,
    fixture: Fixture,
    running: &'static str,
}

impl Host {
    fn new() -> Self {
        let fixture = Fixture::new(11, Sizes::default());
        let dir = tempfile::tempdir().unwrap();
        let file = lazuli_fs::create_new(dir.path().join("disk"), 0o600).unwrap();
        file.set_len(fixture.disk.len()).unwrap();
        for (offset, page) in fixture.disk.pages() {
            std::os::unix::fs::FileExt::write_all_at(&file, page, offset).unwrap();
        }
        let host = Self { dir, fixture, running: "a" };
        lazuli_fs::create_dir_all(host.path("image")).unwrap();
        lazuli_fs::write(host.path("image/root.img"), &host.fixture.releases[2].data).unwrap();
        lazuli_fs::write(host.path("image/uki.efi"), &host.fixture.releases[2].uki).unwrap();
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_lazuli-update"))
            .args(["--root", self.dir.path().to_str().unwrap(), "--running", self.running, "--disk"])
            .arg(self.path("disk"))
            .args(args)
            .output()
            .unwrap()
    }

    #[track_caller]
    fn good(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn bad(&self, args: &[&str], status: i32) -> String {
        let output = self.run(args);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{args:?}: {text}");
        text
    }

    fn image(&self) -> Vec<String> {
        let id = self.fixture.releases[2].release.image.id.to_string();
        let from = self.path("image").to_str().unwrap().to_owned();
        ["--from", &from, "--root-hash", &id, "--version", "3", "--product", "test"]
            .map(str::to_owned)
            .to_vec()
    }

    fn with_image<'a>(command: &'a str, image: &'a [String]) -> Vec<&'a str> {
        std::iter::once(command).chain(image.iter().map(String::as_str)).collect()
    }

    fn json(&self) -> String {
        self.good(&["status", "--json"]).split_whitespace().collect()
    }
}

fn write(path: &Path, text: &str) {
    lazuli_fs::create_dir_all(path.parent().unwrap()).unwrap();
    lazuli_fs::write(path, text).unwrap();
}

#[test]
fn an_image_is_applied_kept_and_rolled_back() {
    let mut host = Host::new();
    let image = host.image();
    assert!(host.good(&["status"]).contains("running  slot A  2              blessed"));
    host.good(&Host::with_image("apply", &image));
    let status = host.good(&["status"]);
    assert!(status.contains("other    slot B  3              on trial, 3 tries left"), "{status}");
    assert!(status.contains("version 3 is tried at the next boot"), "{status}");
    assert!(host.bad(&Host::with_image("apply", &image), 3).contains("applied already"));
    // As if it had been started.
    host.running = "b";
    assert!(host.json().contains("\"running\":{\"slot\":\"B\",\"standing\":\"trial\",\"version\":\"3\""));
    assert!(host.bad(&["abandon"], 3).contains("on trial"));
    host.good(&["rollback", "--no-reboot"]);
    host.running = "a";
    host.good(&["boot"]);
    let status = host.good(&["status"]);
    assert!(status.contains("failed   version 3: rolled back by hand"), "{status}");
    assert!(host.bad(&Host::with_image("apply", &image), 3).contains("was given up on this machine"));
    host.good(&["forget", &image[3]]);
    host.good(&Host::with_image("apply", &image));
    let history = host.good(&["history"]);
    for word in ["staged", "applied", "failed", "forgotten"] {
        assert!(history.contains(word), "{history}");
    }
}

#[test]
fn a_damaged_memory_stops_updates_and_not_the_way_back() {
    let mut host = Host::new();
    let image = host.image();
    host.good(&Host::with_image("apply", &image));
    write(&host.path("var/lib/lazuli/update/state.json"), "{ torn");
    assert!(host.good(&["status"]).contains("blocked"), "it is shown");
    assert!(host.bad(&Host::with_image("stage", &image), 1).contains("cannot be trusted"));
    host.running = "b";
    host.good(&["rollback", "--no-reboot"]);
    let text = lazuli_fs::read_to_string(host.path("var/lib/lazuli/update/state.json")).unwrap();
    assert_eq!(text, "{ torn", "it is not replaced by one that knows nothing");
}

#[test]
fn what_the_operator_vouches_for_is_what_must_come() {
    let host = Host::new();
    let mut image = host.image();
    let right = image[3].clone();
    image[3] = "00".repeat(32);
    let error = host.bad(&Host::with_image("apply", &image), 1);
    assert!(error.contains("root hash"), "{error}");
    assert!(host.good(&["status"]).contains("slot B  3              being written"));
    image[3] = right;
    // A UKI that names another root hash.
    lazuli_fs::write(host.path("image/uki.efi"), &host.fixture.releases[1].uki).unwrap();
    let error = host.bad(&Host::with_image("apply", &image), 1);
    assert!(error.contains("does not name the root hash"), "{error}");
    assert!(host.good(&["status"]).contains("slot B  3              staged"));
    lazuli_fs::write(host.path("image/uki.efi"), &host.fixture.releases[2].uki).unwrap();
    host.good(&Host::with_image("apply", &image));
}

#[test]
fn a_wrong_setting_is_an_error() {
    let host = Host::new();
    write(&host.path("etc/lazuli/update.toml"), "[health]\nsock = 5\n");
    assert!(host.bad(&["status"], 1).contains("sock"));
}

#[test]
fn the_loader_that_the_image_brings_replaces_one_copy_at_a_time() {
    let host = Host::new();
    let new = &host.fixture.loaders[1];
    let folder = host.path("usr/lib/systemd/boot/efi");
    lazuli_fs::create_dir_all(&folder).unwrap();
    lazuli_fs::write(folder.join("systemd-bootx64.efi"), new).unwrap();
    let there = |host: &Host| {
        let disk = lazuli_fs::read(host.path("disk")).unwrap();
        disk.chunks_exact(512).filter(|sector| *sector == &new[..512]).count()
    };
    host.good(&["boot"]);
    assert_eq!(there(&host), 1, "the main one");
    // It has not been started: the fallback stays.
    host.good(&["boot"]);
    assert_eq!(there(&host), 1);
    let path = "sys/firmware/efi/efivars/LoaderImageIdentifier-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
    let text = "\\EFI\\systemd\\systemd-bootx64.efi";
    let value: Vec<u8> =
        [7, 0, 0, 0].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    lazuli_fs::create_dir_all(host.path(path).parent().unwrap()).unwrap();
    lazuli_fs::write(host.path(path), value).unwrap();
    host.good(&["boot"]);
    assert_eq!(there(&host), 2, "both");
}

#[test]
fn what_happens_at_a_start_waits_for_others() {
    let mut host = Host::new();
    let image = host.image();
    host.good(&Host::with_image("apply", &image));
    host.good(&["status"]);
    let lock = lazuli_fs::open(host.path("run/lazuli/update.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    assert!(host.bad(&["abandon"], 1).contains("is at work"));
    // The new image cannot be vouched for: there is no systemd to ask. That is noted, once the other one is done.
    host.running = "b";
    write(&host.path("etc/lazuli/update.toml"), "[health]\npatience = 0\ndeadline = 4000000000\n");
    let free = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_secs(2));
        drop(lock);
    });
    let begun = std::time::Instant::now();
    let error = host.bad(&["bless", "--no-reboot"], 1);
    free.join().unwrap();
    assert!(error.contains("given up") && begun.elapsed().as_secs() >= 1, "{error}");
}
