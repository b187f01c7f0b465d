//! A container host that updates itself: real images, a real repository on a real web server, a real boot loader under
//! Secure Boot. One machine lives through all of it, start by start:
//!
//! 1. image 1 fetches image 2 over HTTP and applies it;
//! 2. image 2 starts, soaks, is blessed; an operator rolls it back;
//! 3. image 1 runs again, refuses image 2, and applies image 3, on which a check fails;
//! 4. to 6. image 3 gives itself up and restarts, three times;
//! 7. image 1 runs again, by itself, and remembers.
//!
//! It takes seven starts and three images, so it runs only when asked for:
//! `cargo test -p lazuli --test image_update -- --ignored --nocapture`. It uses the store and keys of whoever runs it.

#![allow(clippy::unwrap_used)] // In the helpers of tests, too, a panic is the report.

#[path = "../crates/release/tests/support/mod.rs"]
#[allow(unreachable_pub)]
mod repository;
#[path = "support/user.rs"]
mod user;

use repository::Server;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;
use user::{assert_fine, checkout, lazuli};

/// How a machine is started.
struct Machine {
    disk: PathBuf,
}

impl Machine {
    /// A machine that runs image 1 and has not started yet.
    fn new(work: &Path) -> Self {
        Self { disk: work.join("disk") }
    }

    /// One start: until the script ends, or until the machine restarts or gives up.
    fn start(&self, what: &str, script: &str) -> Output {
        let begun = Instant::now();
        let output = Command::new(env!("CARGO_BIN_EXE_lazuli"))
            .args(["run", "container-host", "--image-version", "1", "--timeout", "900", "--memory", "1536"])
            .args(["--disk", "4", "--persist", self.disk.to_str().unwrap(), "--exec", script])
            .current_dir(checkout())
            .output()
            .unwrap();
        let (told, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        println!("--- {what}: {} s\n{told}{errors}", begun.elapsed().as_secs());
        output
    }

    /// A start whose script ends by itself.
    fn run(&self, what: &str, script: &str) -> String {
        let output = self.start(what, script);
        assert_fine(&output, what);
        String::from_utf8(output.stdout).unwrap()
    }
}

/// A repository, and where its images are built.
struct Publisher {
    work: PathBuf,
    repo: PathBuf,
}

impl Publisher {
    fn new(work: &Path) -> Self {
        let repo = work.join("repo");
        lazuli(&["update", "root", "--to", repo.to_str().unwrap()]);
        Self { work: work.to_owned(), repo }
    }

    /// Builds and publishes a version, from another folder of definitions if it is given.
    fn release(&self, version: &str, distro: Option<&Path>) {
        let output = self.work.to_str().unwrap();
        let mut arguments =
            vec!["build", "container-host", "--image-version", version, "--format", "raw", "--update"];
        arguments.extend(["--output", output]);
        if let Some(distro) = distro {
            arguments.extend(["--distro", distro.to_str().unwrap(), "--lock-file", "lazuli.lock"]);
        }
        lazuli(&arguments);
        let image = self.work.join(format!("container-host-{version}"));
        let (image, to) = (image.to_str().unwrap(), self.repo.to_str().unwrap());
        println!("{}", lazuli(&["update", "publish", image, "--to", to, "--level", "3", "--recipes", "1"]));
    }
}

/// What a machine is told of its repository.
fn settings(server: &Server, health: &str) -> String {
    format!(
        "mkdir -p /etc/lazuli; cat > /etc/lazuli/update.toml << END\naddress = \"http://10.0.2.2:{}\"\n\
         automatic = \"check\"\n[health]\n{health}\nEND\n\
         lazuli-settings keep /etc/lazuli/update.toml\n",
        server.address.port()
    )
}

fn work() -> tempfile::TempDir {
    tempfile::tempdir_in(checkout().join("target")).unwrap()
}

/// The definitions of the distribution, with something changed about `container-host`.
fn changed(work: &Path, name: &str, change: impl FnOnce(&mut String)) -> PathBuf {
    let distro = work.join(name).join("distro");
    lazuli_fs::create_dir_all(distro.parent().unwrap()).unwrap();
    let mut copy = Command::new("cp");
    copy.args(["-a", "--"]).arg(checkout().join("distro")).arg(&distro);
    let copied = copy.status().unwrap();
    assert!(copied.success());
    let path = distro.join("images/container-host.toml");
    let mut text = lazuli_fs::read_to_string(&path).unwrap();
    let before = text.clone();
    change(&mut text);
    assert_ne!(before, text);
    lazuli_fs::write(path, text).unwrap();
    distro
}

#[test]
#[ignore = "seven starts of a virtual machine"]
fn a_machine_updates_itself_and_returns_from_what_does_not_hold() {
    let work = work();
    let publisher = Publisher::new(work.path());
    for version in ["1", "2"] {
        publisher.release(version, None);
    }
    let server = Server::start(&publisher.repo);
    let machine = Machine::new(work.path());

    let settings = settings(&server, "soak = 20\npatience = 100\ndeadline = 900");
    let first = machine.run(
        "image 1 takes image 2",
        &format!("{settings} systemctl is-system-running --wait\nlazuli-update status; lazuli-update check && lazuli-update apply && lazuli-update status"),
    );
    assert!(first.contains("running  slot A  1              blessed"), "{first}");
    assert!(first.contains("way      recipe"), "{first}");
    assert!(first.contains("other    slot B  2              on trial, 3 tries left"), "{first}");

    let second = machine.run(
        "image 2 is kept, and rolled back",
        "lazuli-update status\nfor _ in $(seq 100); do lazuli-update status | grep -q '^running.*blessed' && break; sleep 3; done\n\
         lazuli-update status; grep IMAGE_VERSION /usr/lib/os-release; lazuli-update rollback --no-reboot; lazuli-update history",
    );
    assert!(second.contains("running  slot B  2              on trial, 2 tries left"), "{second}");
    assert!(second.contains("running  slot B  2              blessed"), "{second}");
    assert!(second.contains("IMAGE_VERSION=2"), "{second}");

    publisher.release("3", None);
    let third = machine.run(
        "image 1 runs again, and takes image 3 with a check that fails",
        "lazuli-update status; lazuli-update apply --version 2 2>&1\n\
         mkdir -p /etc/lazuli/health.d; echo nothing.service > /etc/lazuli/health.d/90-bad.units\n\
         lazuli-settings keep /etc/lazuli/health.d/90-bad.units\n\
         sed -i 's/^patience.*/patience = 40/' /etc/lazuli/update.toml; lazuli-settings keep /etc/lazuli/update.toml\n\
         lazuli-update apply && lazuli-update status",
    );
    assert!(third.contains("running  slot A  1              blessed"), "{third}");
    assert!(third.contains("it failed here before (rolled back by hand)"), "{third}");
    assert!(third.contains("other    slot B  3              on trial, 3 tries left"), "{third}");

    for left in ["2 tries", "1 try", "0 tries"] {
        let output = machine.start("image 3", "lazuli-update status; sleep 800");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(&format!("running  slot B  3              on trial, {left} left")), "{text}");
        assert!(!output.status.success(), "it restarts before the script ends");
    }
    let last = machine.run(
        "back on image 1",
        "lazuli-update status; lazuli-update history; lazuli-update apply 2>&1; echo \"apply $?\"",
    );
    assert!(last.contains("running  slot A  1              blessed"), "{last}");
    assert!(last.contains("failed   version 3: nothing.service is inactive (not-found)"), "{last}");
    assert!(last.contains("failed here before") && last.contains("apply 3"), "{last}");
}

/// What is wrong with an image, and what the machine says about it afterwards.
struct Bad {
    name: &'static str,
    change: fn(&mut String),
    reason: &'static str,
}

const BAD: [Bad; 5] = [
    Bad {
        name: "whose kernel panics",
        change: |text| add_to_command_line(text, "init=/usr/bin/false"),
        reason: "",
    },
    Bad {
        name: "whose init hangs",
        change: |text| {
            add_to_command_line(text, "init=/usr/lib/hang");
            *text = text.replace("watchdog.open_timeout=300", "watchdog.open_timeout=20");
            *text += "\n[[file]]\npath = \"/usr/lib/hang\"\nmode = \"0755\"\n\
                      content = \"#!/bin/sh\\nwhile :; do sleep 1000; done\\n\"\n";
        },
        reason: "",
    },
    Bad {
        name: "whose containerd fails",
        change: |text| {
            *text += "\n[[file]]\npath = \"/usr/lib/systemd/system/containerd.service.d/90-bad.conf\"\n\
                      content = \"[Service]\\nExecStart=\\nExecStart=/usr/bin/false\\n\"\n";
        },
        reason: "containerd.service",
    },
    Bad {
        name: "that ends in emergency mode",
        change: |text| {
            *text += "\n[[file]]\npath = \"/usr/libexec/lazuli/state\"\nmode = \"0755\"\n\
                      content = \"#!/bin/sh\\nexit 1\\n\"\n";
        },
        reason: "",
    },
    Bad {
        name: "that crashes after two minutes",
        change: |text| {
            *text += "\n[[file]]\npath = \"/usr/lib/systemd/system/crash.service\"\n\
                      content = \"[Service]\\nExecStart=/bin/sh -c 'sleep 120; echo c > /proc/sysrq-trigger'\\n\"\n\
                      [[file]]\npath = \"/usr/lib/systemd/system/multi-user.target.wants/crash.service\"\n\
                      symlink = \"../crash.service\"\n";
        },
        reason: "",
    },
];

fn add_to_command_line(text: &mut String, word: &str) {
    *text = text.replace("kernel-command-line = [\n", &format!("kernel-command-line = [\n    \"{word}\",\n"));
}

#[test]
#[ignore = "twenty-six starts of a virtual machine"]
fn an_image_that_cannot_hold_is_given_up_and_not_taken_again() {
    let work = work();
    let publisher = Publisher::new(work.path());
    publisher.release("1", None);
    let server = Server::start(&publisher.repo);
    let machine = Machine::new(work.path());
    let settings = settings(&server, "soak = 200\npatience = 20\ndeadline = 900");
    machine.run("image 1", &settings);
    for (version, bad) in (2..).zip(&BAD) {
        let distro = changed(work.path(), &version.to_string(), bad.change);
        publisher.release(&version.to_string(), Some(&distro));
        let before = machine.run("image 1 takes the next", "lazuli-update apply && lazuli-update status");
        let trial = format!("other    slot B  {version}              on trial, 3 tries left");
        assert!(
            before.contains("running  slot A  1              blessed") && before.contains(&trial),
            "{before}"
        );
        for _ in 0..3 {
            let output = machine.start(&format!("an image {}", bad.name), "lazuli-update status; sleep 800");
            assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        }
        let after = machine.run(
            "back on image 1",
            "lazuli-update status; lazuli-update check; lazuli-update apply 2>&1; lazuli-update history | tail -5; true",
        );
        assert!(after.contains("running  slot A  1              blessed"), "{after}");
        let failed = after.lines().find(|line| line.starts_with(&format!("failed   version {version}:")));
        assert!(failed.is_some_and(|line| line.contains(bad.reason)), "{after}");
        assert!(after.contains("failed here before"), "{after}");
    }
}

#[test]
#[ignore = "four starts of a virtual machine"]
fn a_machine_in_a_poor_state_stays_whole_and_updates_once_it_can() {
    let work = work();
    let publisher = Publisher::new(work.path());
    for version in ["1", "2"] {
        publisher.release(version, None);
    }
    let server = Server::start(&publisher.repo);
    let machine = Machine::new(work.path());
    // A check of the service itself would have the lock while a full disk is tried.
    let settings =
        settings(&server, "soak = 150\npatience = 100\ndeadline = 900").replace("\"check\"", "\"off\"");

    // No clock is needed for anything but the age of metadata, and a wrong one leaves nothing behind.
    let clock = machine.run(
        "the clock is wrong by ten years",
        &format!(
            "{settings} systemctl stop chrony; now=$(date +%s)\n\
             date -s @$((now + 315576000)); lazuli-update check 2>&1; echo \"ahead $?\"\n\
             date -s @$((now - 315576000)); lazuli-update check 2>&1; echo \"behind $?\"\n\
             date -s @$now; lazuli-update check 2>&1; echo \"right $?\"; lazuli-update status"
        ),
    );
    assert!(clock.contains("its metadata has expired") && clock.contains("ahead 1"), "{clock}");
    assert!(clock.contains("behind 0") && clock.contains("right 0"), "{clock}");
    assert!(clock.contains("running  slot A  1              blessed"), "{clock}");

    // Neither is there room on the ESP, nor on the state partition.
    let full = machine.run(
        "both partitions are full",
        "esp=/dev/disk/by-partlabel/esp; mkdir -p /run/esp\n\
         head -c 100G /dev/zero > /var/fill 2>/dev/null; sync; df -B1 --output=avail /var\n\
         lazuli-update apply 2>&1; echo \"state full $?\"; lazuli-update status; rm /var/fill; sync\n\
         mount $esp /run/esp && head -c 100G /dev/zero > /run/esp/fill 2>/dev/null; df -B1 --output=avail /run/esp; umount /run/esp\n\
         lazuli-update apply 2>&1; echo \"esp full $?\"; lazuli-update status\n\
         mount $esp /run/esp; truncate -s -20M /run/esp/fill; df -B1 --output=avail /run/esp; umount /run/esp\n\
         lazuli-update apply 2>&1; echo \"esp nearly full $?\"; lazuli-update status",
    );
    assert!(full.contains("state full 1") && full.contains("esp full 1"), "{full}");
    assert!(full.contains("esp nearly full 0"), "{full}");
    assert!(full.contains("other    slot B  2              on trial, 3 tries left"), "{full}");

    // The image on trial finds the state partition full and the clock ten years ahead. It is kept all the same.
    let kept = machine.run(
        "on trial with a full state partition and a wrong clock",
        "fallocate -l $(df -B1 --output=avail /var | tail -n 1) /var/fill; head -c 1G /dev/zero > /var/more 2>/dev/null\n\
         df -B1 --output=avail /var; date -s @$(($(date +%s) + 315576000)); lazuli-update status\n\
         for _ in $(seq 100); do lazuli-update status | grep -q '^running.*blessed' && break; sleep 3; done\n\
         lazuli-update status; lazuli-update history | tail -3; journalctl -b -u lazuli-update-bless --no-pager | tail -5",
    );
    assert!(kept.contains("running  slot B  2              on trial, 2 tries left"), "{kept}");
    assert!(kept.contains("running  slot B  2              blessed"), "{kept}");
    let after = machine.run(
        "and after that",
        "rm /var/fill /var/more; lazuli-update status; systemctl is-system-running --wait",
    );
    assert!(
        after.contains("running  slot B  2              blessed") && after.contains("running\n"),
        "{after}"
    );
}
