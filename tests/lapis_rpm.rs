//! `lapis` and the real `rpm` on one root: the packages of `core` are installed by `lapis`, judged by RPM 4.18,
//! 4.20 and 6.x, changed by each of them, and seen by `lapis` again. It runs as whoever runs the tests, with the
//! store and keys of that user.

#[path = "support/user.rs"]
mod user;

use lazuli_fs as fs;
use lazuli_sandbox::{Access, Sandbox};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use user::{keys, lapis, lazuli, store};

/// Packages of `core` in which everything happens that these tests look at: libraries, set-user-id programs,
/// configuration, links, users.
const PACKAGES: [&str; 12] = [
    "filesystem",
    "lazuli-release",
    "bash",
    "coreutils",
    "less",
    "libc-bin",
    "openssh-server",
    "passwd",
    "procps",
    "sudo",
    "tzdata",
    "util-linux",
];

/// The repository of `core`, built by whichever test comes first.
fn repository() -> &'static Path {
    static REPOSITORY: OnceLock<PathBuf> = OnceLock::new();
    REPOSITORY.get_or_init(|| {
        let output = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lapis-rpm");
        lazuli(&["repo", "build", "core", "--to", output.to_str().expect("a path in UTF-8")]);
        output
    })
}

/// A root that `lapis` fills, and the tool root of a judge.
struct Root {
    /// On the store's file system.
    work: tempfile::TempDir,
    sandbox: Sandbox,
}

/// What a command did: success, and everything that it printed.
struct Said {
    success: bool,
    text: String,
}

impl Said {
    #[track_caller]
    fn ok(self) -> String {
        assert!(self.success, "{}", self.text);
        self.text
    }
}

impl Root {
    fn new(tool_root: &str) -> Self {
        let judge = PathBuf::from(lazuli(&["tool-root", tool_root]).trim());
        let work = tempfile::tempdir_in(store().parent().expect("a parent")).expect("a directory");
        for below in ["repos", "cache"] {
            fs::create_dir_all(work.path().join(below)).expect("a directory");
        }
        fs::copy(keys().join("repo.asc"), work.path().join("key.asc")).expect("the key");
        let repo = format!(
            "[core]\nname=core\nbaseurl=file://{}\ngpgkey=file://{}/key.asc\nlapis_trust=no-expiry\n",
            repository().display(),
            work.path().display()
        );
        fs::write(work.path().join("repos/core.repo"), repo).expect("a file");
        let mut sandbox = Sandbox::new(&judge)
            .bind(work.path(), "/build", Access::ReadWrite)
            .bind(repository(), "/repo", Access::ReadOnly)
            .workdir("/build");
        // Debian 12 has empty directories where later releases have links into /usr.
        for top in ["bin", "sbin", "lib", "lib64"] {
            if !judge.join(top).is_symlink() {
                sandbox = sandbox.bind(judge.join("usr").join(top), &format!("/{top}"), Access::ReadOnly);
            }
        }
        Self { work, sandbox }
    }

    fn lapis(&self, arguments: &[&str]) -> Said {
        let at = |below: &str| self.work.path().join(below).display().to_string();
        let output = Command::new(lapis())
            .args(["-y", "--installroot", &at("root"), "--releasever", "1"])
            .arg(format!("--setopt=reposdir={}", at("repos")))
            .arg(format!("--setopt=cachedir={}", at("cache")))
            .args(arguments)
            .output()
            .expect("lapis starts");
        let text = [output.stdout, output.stderr].concat();
        Said { success: output.status.success(), text: String::from_utf8_lossy(&text).into_owned() }
    }

    /// The judge's `rpm` on the root; `$RPM` is the command with its paths.
    fn rpm(&self, script: &str) -> Said {
        let script = format!(
            "exec 2>&1\nexport LC_ALL=C RPM='rpm --root /build/root --dbpath /usr/lib/sysimage/rpm'\n{script}"
        );
        let command = self.sandbox.command("/bin/bash").args(["-c", &script]);
        let (status, stdout, _) = command.capture(|_| ()).expect("the sandbox works");
        Said { success: status.success(), text: String::from_utf8_lossy(&stdout).into_owned() }
    }

    /// What RPM finds wrong. The sandbox knows one user, and nobody but root can give files away.
    fn verify(&self) -> Vec<String> {
        let options = if rustix::process::geteuid().is_root() { "" } else { "--nocaps --nomode" };
        let text = self.rpm(&format!("$RPM -Va --nouser --nogroup {options}; true")).ok();
        text.lines().filter(|l| !l.starts_with("warning: private mounts")).map(str::to_owned).collect()
    }

    /// What RPM says is installed; keys are packages to it, too.
    fn installed(&self) -> BTreeSet<String> {
        let text = self.rpm("$RPM -qa --qf '%{NEVRA}\\n'").ok();
        let names: Vec<String> =
            text.lines().filter(|line| !line.starts_with("gpg-pubkey")).map(str::to_owned).collect();
        let unique: BTreeSet<String> = names.iter().cloned().collect();
        assert_eq!(unique.len(), names.len(), "a package is there twice: {names:?}");
        unique
    }

    /// What `lapis` says is installed.
    fn listed(&self) -> BTreeSet<String> {
        let text = self.lapis(&["repoquery", "--installed", "--qf", "%{name}-%{evr}.%{arch}\\n"]).ok();
        text.lines().map(str::to_owned).collect()
    }
}

/// The whole story with one version of RPM.
fn agrees(tool_root: &str, version: &str) {
    let root = Root::new(tool_root);
    let said = root.rpm("rpm --version").ok();
    assert!(said.contains(version), "{said}");

    // What lapis wrote, RPM reads.
    root.lapis(&[&["install"], &PACKAGES[..]].concat()).ok();
    let all = root.installed();
    assert!(all.len() > 40, "{all:?}");
    assert_eq!(root.listed(), all);
    assert_eq!(root.verify(), Vec::<String>::new());
    root.rpm("rpmdb --root /build/root --dbpath /usr/lib/sysimage/rpm --verifydb").ok();
    assert!(root.rpm("$RPM -qf /usr/bin/bash").ok().starts_with("bash-"));
    assert!(root.rpm("$RPM -q --whatprovides 'libc.so.6()(64bit)'").ok().contains("libc6-"));
    assert!(root.rpm("$RPM -q --whatrequires 'libc.so.6()(64bit)'").ok().contains("bash-"));

    // What RPM changes, lapis sees, and the history says that it was somebody else.
    root.rpm("$RPM -e less").ok();
    let without: BTreeSet<String> = all.iter().filter(|n| !n.starts_with("less-")).cloned().collect();
    assert_eq!(root.listed(), without);
    root.lapis(&["check"]).ok();
    root.lapis(&["history", "init"]).ok();
    let history = root.lapis(&["--json", "history", "list"]).ok();
    let history: serde_json::Value = serde_json::from_str(&history).expect("JSON");
    let foreign = history.as_array().expect("a list").iter().filter(|t| t["Kind"] == "rpm").count();
    assert_eq!(foreign, 1, "{history:#}");

    // It comes back as a file, and goes and comes by lapis.
    root.rpm("rpmkeys --root /build/root --dbpath /usr/lib/sysimage/rpm --import /build/key.asc").ok();
    root.rpm("$RPM -i /repo/packages/less-[0-9]*.rpm").ok();
    assert_eq!(root.installed(), all);
    assert_eq!(root.listed(), all);
    root.lapis(&["remove", "less"]).ok();
    assert_eq!(root.installed(), without);
    root.lapis(&["install", "less"]).ok();
    assert_eq!(root.installed(), all);
    assert_eq!(root.verify(), Vec::<String>::new());

    // Both notice what somebody does to a file.
    fs::write(root.work.path().join("root/usr/bin/less"), "changed").expect("a file");
    let wrong = root.verify();
    assert!(wrong.len() == 1 && wrong[0].ends_with("/usr/bin/less"), "{wrong:?}");
    root.lapis(&["reinstall", "less"]).ok();
    assert_eq!(root.verify(), Vec::<String>::new());
}

#[test]
fn rpm_4_18_and_lapis_take_turns() {
    agrees("check-rpm4", "4.18");
}

#[test]
fn rpm_4_20_and_lapis_take_turns() {
    agrees("check", "4.20");
}

#[test]
fn rpm_6_and_lapis_take_turns() {
    agrees("check-rpm6", " 6.");
}

/// RPM 6 as it is upstream: digest and signature of every package, by a key that was imported.
#[test]
fn rpm_6_verifies_every_package_of_core() {
    let root = Root::new("check-rpm6");
    root.rpm("rpmkeys --dbpath /build/db --import /build/key.asc").ok();
    let text = root
        .rpm("rpmkeys --dbpath /build/db --define '_pkgverify_level all' --checksig /repo/packages/*.rpm")
        .ok();
    let packages = fs::read_dir(repository().join("packages")).expect("packages").len();
    assert!(packages > 100, "{packages}");
    let fine = text.lines().filter(|l| l.ends_with(": digests signatures OK")).count();
    assert_eq!(fine, packages, "{text}");
}
