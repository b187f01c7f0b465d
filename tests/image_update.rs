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

/// The machine.
struct Machine {
    disk: PathBuf,
}

impl Machine {
    fn start(&self, what: &str, script: &str) -> Output {
        let begun = Instant::now();
        let output = Command::new(env!("CARGO_BIN_EXE_lazuli"))
            .args(["run", "container-host", "--image-version", "1", "--timeout", "900", "--memory", "1536"])
            .args(["--disk", "4", "--persist", self.disk.to_str().unwrap(), "--exec", script])
            .current_dir(checkout())
            .output()
            .unwrap();
        println!("--- {what}: {} s\n{}", begun.elapsed().as_secs(), String::from_utf8_lossy(&output.stdout));
        output
    }

    /// A start whose script ends by itself.
    fn run(&self, what: &str, script: &str) -> String {
        let output = self.start(what, script);
        assert_fine(&output, what);
        String::from_utf8(output.stdout).unwrap()
    }
}

fn built(work: &Path, version: &str) -> PathBuf {
    let output = work.to_str().unwrap();
    lazuli(&[
        "build",
        "container-host",
        "--image-version",
        version,
        "--format",
        "raw",
        "--update",
        "--output",
        output,
    ]);
    work.join(format!("container-host-{version}"))
}

#[test]
#[ignore = "seven starts of a virtual machine"]
fn a_machine_updates_itself_and_returns_from_what_does_not_hold() {
    let work = tempfile::tempdir_in(checkout().join("target")).unwrap();
    let repo = work.path().join("repo");
    let to = repo.to_str().unwrap();
    lazuli(&["update", "root", "--to", to]);
    let publish = |image: &Path| {
        let image = image.to_str().unwrap();
        println!("{}", lazuli(&["update", "publish", image, "--to", to, "--level", "3", "--recipes", "1"]));
    };
    for version in ["1", "2"] {
        publish(&built(work.path(), version));
    }
    let server = Server::start(&repo);
    let machine = Machine { disk: work.path().join("disk") };

    // Everything that a start needs to say of itself.
    let settings = format!(
        "mkdir -p /etc/lazuli; cat > /etc/lazuli/update.toml << END\naddress = \"http://10.0.2.2:{}\"\n\
         automatic = \"check\"\n[health]\nsoak = 20\npatience = 300\ndeadline = 900\nEND\n\
         lazuli-settings keep /etc/lazuli/update.toml\n",
        server.address.port()
    );
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

    publish(&built(work.path(), "3"));
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
    let last = machine
        .run("back on image 1", "lazuli-update status; lazuli-update history; lazuli-update apply 2>&1");
    assert!(last.contains("running  slot A  1              blessed"), "{last}");
    assert!(last.contains("failed   version 3: nothing.service is inactive (not-found)"), "{last}");
    assert!(last.contains("failed here before"), "{last}");
}
