//! The program on an image file, with a real repository on a real web server: what operators and timers start, and what
//! comes of it. Attacks on the metadata are in `lazuli-release`, power cuts in `lazuli-crash`.

#![allow(clippy::unwrap_used)] // In the helpers of tests, too, a panic is the report.

#[path = "../../release/tests/support/mod.rs"]
mod support;

use lazuli_crash::fixture::{Fixture, Sizes};
use lazuli_fs as fs;
use lazuli_layout::Architecture;
use lazuli_release::key::Key;
use lazuli_release::publisher::{Publisher, Release, Roles, plan_name};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use support::{Fault, SETTINGS, Server};

const PRODUCT: &str = "test";

/// A machine whose slot A runs version 2, a repository that has versions 2 and 3, and a collector of reports.
struct World {
    dir: tempfile::TempDir,
    fixture: Fixture,
    server: Server,
    roles: Roles,
    running: &'static str,
    reports: Arc<Mutex<Vec<Value>>>,
}

impl World {
    fn new() -> Self {
        Self::with(&[1, 2])
    }

    /// A repository with these of the fixture's releases.
    fn with(published: &[usize]) -> Self {
        let fixture = Fixture::new(23, Sizes { blocks: 1000, ..Sizes::default() });
        let dir = tempfile::tempdir().unwrap();
        let file = fs::create_new(dir.path().join("disk"), 0o600).unwrap();
        file.set_len(fixture.disk.len()).unwrap();
        for (offset, page) in fixture.disk.pages() {
            file.write_all_at(page, offset).unwrap();
        }
        let roles = Roles::development();
        for name in roles.names() {
            Key::generate(&dir.path().join("keys"), &name).unwrap();
        }
        let server = Server::start(&dir.path().join("repository"));
        let reports: Arc<Mutex<Vec<Value>>> = Arc::default();
        let collector = collect(reports.clone());
        let world = Self { dir, fixture, server, roles, running: "a", reports };
        world.publisher().create(&world.roles).unwrap();
        for index in published {
            world.publish(*index, None);
        }
        world.put("usr/lib/os-release", "ID=lazuli\nIMAGE_ID=test\nIMAGE_VERSION=2\n");
        world.put("usr/share/lazuli/update/minimum-version", "1\n");
        world.put("etc/machine-id", "000102030405060708090a0b0c0d0e0f\n");
        let anchor = fs::read(world.path("repository/metadata/1.root.json")).unwrap();
        fs::write(world.path("usr/share/lazuli/update/root.json"), anchor).unwrap();
        // The deadline counts from the start of the kernel that runs this test.
        world.settings(&format!(
            "address = \"{}\"\nreports = \"{collector}\"\n[health]\nsoak = 1\ninterval = 1\ndeadline = 4000000000\n",
            world.server.url()
        ));
        world.systemd_says("running");
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn settings(&self, text: &str) {
        self.put("etc/lazuli/update.toml", text);
    }

    /// What systemd is asked in the health gate. There is none here.
    fn systemd_says(&self, state: &str) {
        self.put("bin/systemctl", &format!("#!/bin/sh\necho {state}\n"));
        fs::set_mode(self.path("bin/systemctl"), 0o755).unwrap();
    }

    fn publisher(&self) -> Publisher {
        let keys = Key::load_all(&self.path("keys")).unwrap();
        Publisher::new(&self.path("repository"), keys, jiff::Timestamp::now())
    }

    /// Publishes a release of the fixture, with the state and the stages of its plan.
    fn publish(&self, index: usize, plan: Option<&str>) {
        let made = &self.fixture.releases[index];
        let version = &made.release.image.version;
        let (root, uki) = (self.path(&format!("root-{version}")), self.path(&format!("uki-{version}")));
        fs::write(&root, &made.data).unwrap();
        fs::write(&uki, &made.uki).unwrap();
        let release = Release {
            product: PRODUCT.into(),
            version: version.parse().unwrap(),
            architecture: Architecture::X86_64,
            minimum_version: "1".parse().unwrap(),
            root,
            uki,
            uki_file: format!("lazuli-{version}.efi"),
            systemd_boot: None,
        };
        let plans: Vec<_> = plan.iter().map(|plan| Self::plan(version, plan)).collect();
        self.publisher().publish_with(&[release], &plans, &self.roles, &SETTINGS).unwrap();
    }

    fn plan(version: &str, state_and_stages: &str) -> (String, Vec<u8>) {
        let text = format!(
            "{{\"format\": 1, \"release\": {{\"product\": \"{PRODUCT}\", \"version\": \"{version}\"}}, \
             \"revision\": 1, {state_and_stages}}}"
        );
        (plan_name(PRODUCT, Architecture::X86_64, &version.parse().unwrap()), text.into_bytes())
    }

    fn replan(&self, version: &str, state_and_stages: &str) {
        let plan = Self::plan(version, state_and_stages);
        self.publisher().publish_with(&[], &[plan], &self.roles, &SETTINGS).unwrap();
    }

    fn run(&self, args: &[&str]) -> Output {
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        Command::new(env!("CARGO_BIN_EXE_lazuli-update"))
            .args(["--root", self.dir.path().to_str().unwrap(), "--running", self.running, "--disk"])
            .arg(self.path("disk"))
            .args(args)
            .env("PATH", path)
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
    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.good(&[args, &["--json"]].concat())).unwrap()
    }

    #[track_caller]
    fn bad(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(!output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).unwrap()
    }

    /// What the collector has heard, in words.
    fn told(&self) -> Vec<String> {
        let reports = self.reports.lock().unwrap();
        let told = |report: &Value| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let outcome = &report["outcome"];
            let words = [&report["release"]["version"], &outcome["kind"], &outcome["cause"]].map(text);
            words.join(" ").trim_end().to_owned()
        };
        reports.iter().map(told).collect()
    }

    fn other(&self) -> (String, String) {
        let status = self.json(&["status"]);
        let text = |key: &str| status["other"][key].as_str().unwrap_or_default().to_owned();
        (text("version"), text("standing"))
    }
}

/// A web server that takes every report; returns its address.
fn collect(reports: Arc<Mutex<Vec<Value>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/reports", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut input = BufReader::new(&stream);
            let mut length = 0;
            loop {
                let mut line = String::new();
                if input.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                    break;
                }
                if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = text.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            if length > 0 && input.read_exact(&mut body).is_ok() {
                reports.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
                let answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
                (&stream).write_all(answer).unwrap();
            }
        }
    });
    address
}

const OPEN: &str = r#""state": {"kind": "raised"}, "stages": [{"share": "100%", "ramp": "0s", "length": "1d", "begin": "2026-01-01T00:00:00Z"}]"#;
const HELD: &str = r#""state": {"kind": "held", "since": "2026-01-02T00:00:00Z", "reason": "it is under suspicion"}, "stages": [{"share": "100%", "ramp": "0s", "length": "1d", "begin": "2026-01-01T00:00:00Z"}]"#;
const WITHDRAWN: &str = r#""state": {"kind": "withdrawn", "since": "2026-01-02T00:00:00Z", "reason": "it loses data"}, "stages": [{"share": "100%", "ramp": "0s", "length": "1d", "begin": "2026-01-01T00:00:00Z"}]"#;

#[test]
fn a_release_is_fetched_tried_kept_and_rolled_back() {
    let mut world = World::new();
    let checked = world.json(&["check"]);
    assert_eq!(checked["offer"]["version"], "3");
    assert_eq!(checked["offer"]["ways"][0]["way"], "recipe");
    let promised = checked["offer"]["ways"][0]["bytes"].as_u64().unwrap();
    let full = checked["offer"]["ways"][1]["bytes"].as_u64().unwrap();
    assert!(promised < full / 2, "{promised} of {full}");

    let before = world.server.sent.load(Ordering::Relaxed);
    assert_eq!(world.json(&["stage"])["version"], "3");
    let sent = world.server.sent.load(Ordering::Relaxed) - before;
    assert!(sent < promised + 20_000, "{sent} bytes with metadata, {promised} promised");
    assert_eq!(world.other(), ("3".into(), "staged".into()));
    world.good(&["apply"]);
    assert_eq!(world.other(), ("3".into(), "trial".into()));

    // As if it had been started.
    world.running = "b";
    world.good(&["boot"]);
    assert!(world.bad(&["apply"]).contains("nothing newer"));
    world.put("usr/share/lazuli/update/minimum-version", "2\n");
    assert_eq!(world.json(&["bless"])["done"], "blessed");
    assert_eq!(world.json(&["status"])["running"]["standing"], "blessed");
    let minimum = fs::read_to_string(world.path("var/lib/lazuli/update/minimum-version.json")).unwrap();
    assert!(minimum.contains("\"2\""), "{minimum}");
    assert_eq!(world.told(), ["3 updated", "3 healthy"]);

    world.good(&["rollback", "--no-reboot"]);
    world.running = "a";
    world.good(&["boot"]);
    assert!(world.good(&["check"]).contains("it failed here before (rolled back by hand)"));
    assert!(world.bad(&["apply"]).contains("failed here before"));
    assert!(world.good(&["run", "--now", "--no-reboot"]).contains("failed here before"));
    assert_eq!(world.told(), ["3 updated", "3 healthy", "3 rolled-back operator"]);
    assert!(world.good(&["status"]).contains("running  slot A  2              blessed"));
}

#[test]
fn the_timer_does_all_of_it_once() {
    let world = World::new();
    let ran = world.json(&["run", "--no-reboot"]);
    assert_eq!((&ran["done"], &ran["version"]), (&Value::from("applied"), &Value::from("3")));
    assert_eq!(world.other(), ("3".into(), "trial".into()));
    let before = world.server.sent.load(Ordering::Relaxed);
    assert!(world.good(&["run", "--no-reboot"]).contains("it is not time yet"));
    assert_eq!(world.server.sent.load(Ordering::Relaxed), before, "nobody is asked");
    // The report was put into the outbox after sending had begun; the next run sends it.
    world.good(&["run", "--now", "--no-reboot"]);
    assert_eq!(world.told(), ["3 updated"]);
}

#[test]
fn settings_say_how_far_the_timer_goes() {
    let world = World::new();
    let address = world.server.url();
    world.settings("");
    assert!(world.good(&["run", "--now"]).contains("no `address` is set"));
    assert!(world.bad(&["check"]).contains("no `address` is set"));
    world.settings(&format!("address = \"{address}\"\nautomatic = \"off\"\n"));
    assert!(world.good(&["run", "--now"]).contains("off"));
    world.settings(&format!("address = \"{address}\"\nautomatic = \"check\"\n"));
    assert!(world.good(&["run", "--now"]).contains("may take it now"));
    assert_eq!(world.other().1, "blessed");
    world.settings(&format!("address = \"{address}\"\nautomatic = \"stage\"\n"));
    assert_eq!(world.json(&["run", "--now"])["done"], "staged");
    assert_eq!(world.other().1, "staged");
    // Blocked for ever and a day: not by itself, but by hand.
    world.settings(&format!(
        "address = \"{address}\"\n[[schedule.blocked]]\nfrom = \"2026-01-01\"\nuntil = \"2099-01-01\"\nreason = \"freeze\"\n"
    ));
    assert!(world.good(&["run", "--now"]).contains("blocked until"));
    world.good(&["apply"]);
    assert_eq!(world.other().1, "trial");
}

#[test]
fn a_stick_carries_a_release_to_a_machine_without_a_network() {
    let world = World::new();
    world.settings("");
    let stick = world.path("repository");
    let from = stick.to_str().unwrap();
    assert_eq!(world.json(&["check", "--from", from])["offer"]["version"], "3");
    world.good(&["apply", "--from", from]);
    assert_eq!(world.other(), ("3".into(), "trial".into()));
    assert_eq!(world.server.sent.load(Ordering::Relaxed), 0);
}

#[test]
fn waves_holds_and_withdrawals_are_followed() {
    let world = World::with(&[1]);
    let later = r#""state": {"kind": "raised"}, "stages": [{"share": "100%", "ramp": "0s", "length": "1d", "begin": "2098-01-01T00:00:00Z"}]"#;
    world.publish(2, Some(later));
    assert!(world.good(&["run", "--now"]).contains("becomes eligible in"), "{}", world.good(&["explain"]));
    assert_eq!(world.json(&["explain"])["releases"][0]["verdict"]["kind"], "later");

    world.replan("3", HELD);
    assert!(world.good(&["run", "--now"]).contains("it is under suspicion"));
    assert!(world.bad(&["apply"]).contains("it is under suspicion"), "not by hand either");

    world.replan("3", OPEN);
    world.good(&["apply"]);
    assert_eq!(world.other(), ("3".into(), "trial".into()));
    // It waits for its restart: it stays, and no other takes its place.
    assert!(world.good(&["run", "--now"]).contains("starts with the next restart"));
    world.replan("3", HELD);
    world.good(&["run", "--now"]);
    assert_eq!(world.other().1, "trial");
    world.replan("3", WITHDRAWN);
    assert!(world.good(&["run", "--now"]).contains("it loses data"));
    assert_eq!(world.other().1, "empty", "what was withdrawn is not started");
    assert!(world.bad(&["apply"]).contains("it loses data"));

    // Taken out of the repository altogether.
    let world = World::new();
    world.good(&["stage"]);
    world.publisher().withdraw("test-x86-64-3.manifest.json", &world.roles).unwrap();
    world.good(&["run", "--now"]);
    assert_eq!(world.other().1, "empty");
}

#[test]
fn an_image_that_nobody_knows_reuses_blocks() {
    let world = World::with(&[2]);
    let checked = world.json(&["check"]);
    assert_eq!(checked["offer"]["ways"][0]["way"], "block reuse", "{checked}");
    world.good(&["apply"]);
    assert_eq!(world.other(), ("3".into(), "trial".into()));
}

#[test]
fn a_running_image_that_reads_wrong_costs_the_full_image_and_not_the_update() {
    let world = World::new();
    let (old, new) = (&world.fixture.releases[1].data, &world.fixture.releases[2].data);
    let same = old.chunks(4096).zip(new.chunks(4096)).rposition(|(old, new)| old == new).unwrap();
    let at = world.fixture.partitions.slots[0][0].start + same as u64 * 4096;
    let disk = std::fs::OpenOptions::new().write(true).open(world.path("disk")).unwrap();
    disk.write_all_at(&[0; 4096], at).unwrap();
    world.good(&["apply"]);
    assert_eq!(world.other(), ("3".into(), "trial".into()));
}

#[test]
fn what_is_altered_on_its_way_is_refused_and_told() {
    let world = World::new();
    let recipe = fs::read_dir(world.path("repository/targets")).unwrap();
    let recipe = recipe.into_iter().find(|path| path.to_string_lossy().ends_with(".recipe")).unwrap();
    let mut bytes = fs::read(&recipe).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    world.server.fault(".recipe", Fault::Replace(bytes));
    // What the recipe cannot bring, the full image does.
    world.good(&["stage"]);
    assert_eq!(world.other(), ("3".into(), "staged".into()));

    let world = World::with(&[2]);
    world.server.fault(".root.zst", Fault::Replace(vec![7; 5_000_000]));
    let error = world.bad(&["run", "--now"]);
    assert!(error.contains("altered") || error.contains("not what was signed"), "{error}");
    assert_eq!(world.other().1, "partial");
    // The next boot starts what was there, and a repository that is whole again is enough.
    world.server.heal();
    assert_eq!(world.json(&["run", "--now", "--no-reboot"])["done"], "applied");
    world.good(&["run", "--now"]);
    assert_eq!(world.told(), ["3 failed verification", "3 updated"]);
}

#[test]
fn a_download_that_ended_early_goes_on() {
    let world = World::with(&[2]);
    let image = fs::read_dir(world.path("repository/targets")).unwrap();
    let image = image.into_iter().find(|path| path.to_string_lossy().ends_with(".root.zst")).unwrap();
    let size = fs::metadata(&image).unwrap().len();
    world.server.fault(".root.zst", Fault::Truncate(size as usize / 2));
    world.bad(&["stage"]);
    assert_eq!(world.other(), ("3".into(), "partial".into()));
    world.server.heal();
    let before = world.server.sent.load(Ordering::Relaxed);
    world.good(&["stage"]);
    let sent = world.server.sent.load(Ordering::Relaxed) - before;
    assert!(sent < size * 3 / 4, "{sent} of {size}");
    assert_eq!(world.other(), ("3".into(), "staged".into()));
}

#[test]
fn a_release_for_newer_programs_is_passed_over() {
    let world = World::with(&[1]);
    world.publish(2, Some(OPEN));
    let plan = (plan_name(PRODUCT, Architecture::X86_64, &"3".parse().unwrap()), b"{\"format\": 2}".to_vec());
    world.publisher().publish_with(&[], &[plan], &world.roles, &SETTINGS).unwrap();
    assert!(world.bad(&["apply"]).contains("update this program"), "it is the only one");
    // Version 4 is like 3; what is offered is the newest that can be read.
    world.publisher().publish_raw("test-x86-64-4.manifest.json", b"{\"format\": 2}", &world.roles).unwrap();
    world.replan("3", OPEN);
    assert_eq!(world.json(&["check"])["offer"]["version"], "3");
}
