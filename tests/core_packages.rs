//! The real repository of all components, judged by tools that are not ours, in tool roots: RPM 4.18 and
//! 4.20, dnf and createrepo_c. It uses the store and keys of whoever runs it; with an empty store it
//! builds everything first, the kernel included.

#[path = "support/user.rs"]
mod user;

use lazuli_fs as fs;
use lazuli_sandbox::{Access, Sandbox};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::OnceLock;
use user::{keys, lazuli};

/// The repository, built by whichever test comes first.
fn repository() -> &'static Path {
    static REPOSITORY: OnceLock<PathBuf> = OnceLock::new();
    REPOSITORY.get_or_init(|| {
        let output = Path::new(env!("CARGO_TARGET_TMPDIR")).join("core-packages");
        let text = output.to_str().expect("a path in UTF-8");
        lazuli(&["build", "--output", text]);
        output.join("repo")
    })
}

/// The file names of all packages.
fn packages() -> BTreeSet<String> {
    let files = fs::read_dir(repository().join("packages")).expect("packages");
    let names: BTreeSet<String> =
        files.iter().map(|p| p.file_name().unwrap_or_default().to_string_lossy().into_owned()).collect();
    assert!(names.len() > 100, "{} packages", names.len());
    names
}

/// A tool root with the repository at /repo, the key at /build/key.asc and a writable /build.
struct Judge {
    sandbox: Sandbox,
    work: tempfile::TempDir,
}

impl Judge {
    fn new(tool_root: &str) -> Self {
        let root = lazuli(&["tool-root", tool_root]);
        let work = tempfile::tempdir().expect("a temporary directory");
        fs::copy(keys().join("repo.asc"), work.path().join("key.asc")).expect("the key");
        let root = Path::new(root.trim());
        let mut sandbox = Sandbox::new(root)
            .bind(repository(), "/repo", Access::ReadOnly)
            .bind(work.path(), "/build", Access::ReadWrite)
            .workdir("/build");
        // Debian 12 has empty directories where later releases have links into /usr.
        for top in ["bin", "sbin", "lib", "lib64"] {
            if !root.join(top).is_symlink() {
                sandbox = sandbox.bind(root.join("usr").join(top), &format!("/{top}"), Access::ReadOnly);
            }
        }
        Self { sandbox, work }
    }

    /// What the script prints, errors among it.
    fn try_run(&self, script: &str) -> (ExitStatus, String) {
        let script = format!("exec 2>&1\n{script}");
        let command = self.sandbox.command("/bin/bash").args(["-c", &script]);
        let (status, stdout, _) = command.capture(|_| ()).expect("the sandbox works");
        (status, String::from_utf8_lossy(&stdout).into_owned())
    }

    fn run(&self, script: &str) -> String {
        let (status, text) = self.try_run(script);
        assert!(status.success(), "{script}: {text}");
        text
    }
}

/// Every package is accepted with the key, none without it, and a changed one not even with it.
fn rpm_accepts_every_package(tool_root: &str, version: &str) {
    let judge = Judge::new(tool_root);
    assert!(judge.run("rpm --version").contains(version));
    let (status, text) = judge.try_run("rpmkeys --dbpath /build/none --checksig /repo/packages/bash-*.rpm");
    assert!(!status.success() && text.contains("NOT OK"), "{text}");

    judge.run("rpmkeys --dbpath /build/db --import /build/key.asc");
    let text = judge.run("rpmkeys --dbpath /build/db --checksig /repo/packages/*.rpm");
    assert_eq!(text.lines().count(), packages().len(), "{text}");
    for line in text.lines() {
        assert!(line.ends_with(": digests signatures OK"), "{line}");
    }

    let bash = packages().into_iter().find(|n| n.starts_with("bash-")).expect("bash");
    let mut content = fs::read(repository().join("packages").join(bash)).expect("a package");
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(judge.work.path().join("changed.rpm"), content).expect("a file");
    let (status, text) = judge.try_run("rpmkeys --dbpath /build/db --checksig /build/changed.rpm");
    assert!(!status.success() && text.contains("NOT OK"), "{text}");
}

#[test]
fn rpm_4_18_accepts_every_package() {
    rpm_accepts_every_package("check-rpm4", "4.18");
}

#[test]
fn rpm_4_20_accepts_every_package() {
    rpm_accepts_every_package("check", "4.20");
}

#[test]
fn rpm_reads_every_header_and_lists_every_file() {
    let judge = Judge::new("check");
    let text = judge.run(
        "rpm -qp --nosignature --qf '%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm\\n' /repo/packages/*.rpm",
    );
    assert_eq!(text.lines().map(str::to_owned).collect::<BTreeSet<_>>(), packages());
    let text = judge.run("rpm -qpl --nosignature /repo/packages/*.rpm");
    assert!(text.lines().any(|l| l == "/usr/bin/bash"));
    assert!(!text.contains("error") && !text.contains("warning:"), "rpm complains");
}

/// The disk image in every format, built by whichever test comes first.
fn disk() -> &'static Path {
    static DISK: OnceLock<PathBuf> = OnceLock::new();
    DISK.get_or_init(|| {
        let output = Path::new(env!("CARGO_TARGET_TMPDIR")).join("core-disk");
        let text = output.to_str().expect("a path in UTF-8");
        lazuli(&["build", "core", "--format", "raw", "--output", text]);
        // Results of an earlier build are replaced.
        lazuli(&["build", "core", "--format", "raw,qcow2,vhd", "--output", text]);
        output
    })
}

/// A tool root with the disk images at /disk and a writable /build.
fn disk_judge() -> Judge {
    let judge = Judge::new("check");
    Judge { sandbox: judge.sandbox.bind(disk(), "/disk", Access::ReadOnly), work: judge.work }
}

#[test]
fn qemu_img_reads_every_format_and_the_vhd_has_the_size_that_azure_wants() {
    let judge = disk_judge();
    let size = |format: &str, file: &str| -> u64 {
        let text = judge.run(&format!("qemu-img info --output=json -f {format} /disk/{file}"));
        let (_, rest) = text.rsplit_once("\"virtual-size\": ").unwrap_or_else(|| panic!("no size: {text}"));
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().expect("a size")
    };
    let raw = size("raw", "core.raw");
    assert_eq!(size("qcow2", "core.qcow2"), raw);
    let vhd = size("vpc", "core.vhd");
    assert_eq!(vhd % (1 << 20), 0, "{vhd}");
    assert_eq!(vhd, raw);
    // A fixed VHD is the disk and a footer of 512 bytes.
    assert_eq!(fs::metadata(disk().join("core.vhd")).expect("a file").len(), vhd + 512);
    judge.run("qemu-img check -q /disk/core.qcow2");
    for (format, file) in [("qcow2", "core.qcow2"), ("vpc", "core.vhd")] {
        judge.run(&format!("qemu-img compare -q -f raw -F {format} /disk/core.raw /disk/{file}"));
    }
}

/// Copies the root file system out of the disk: nothing is mounted.
const COPY_ROOT: &str = "mkdir /build/root; \
    start=$(sfdisk -d /disk/core.raw | sed -n '/4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709/ s/.*start= *\\([0-9]*\\).*/\\1/p'); \
    dd if=/disk/core.raw of=/build/root.ext4 bs=1M iflag=skip_bytes skip=$((start * 512)) conv=sparse status=none; \
    debugfs -R 'rdump / /build/root' /build/root.ext4";

#[test]
fn rpm_finds_the_composed_root_in_order() {
    let judge = disk_judge();
    judge.run(COPY_ROOT);
    let rpm = "rpm --root /build/root --dbpath /usr/lib/sysimage/rpm";
    let listed = lazuli(&["image", "show", "core"]);
    let installed =
        judge.run(&format!("{rpm} -qa --qf '%{{NAME}}-%{{EVR}}.%{{ARCH}}\\n' | grep -v gpg-pubkey"));
    let sorted = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(sorted(&installed), sorted(&listed));
    assert!(judge.run(&format!("{rpm} -qf /usr/bin/bash")).starts_with("bash-"));
    // The copy belongs to one user; capabilities and set-user-id bits stayed behind. All else has to be
    // right. In the running guest, `tests/boot.rs` looks at modes and owners too.
    let (_, verified) = judge.try_run(&format!("{rpm} -Va --nouser --nogroup --nocaps --nomode"));
    let wrong: Vec<&str> = verified.lines().filter(|l| !l.starts_with("warning: private mounts")).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    // And a change is seen.
    judge.run("echo >> /build/root/usr/bin/bash");
    let (status, verified) = judge.try_run(&format!("{rpm} -V --nouser --nogroup bash"));
    assert!(!status.success() && verified.contains("S.5"), "{verified}");
}

/// dnf with nothing but our repository.
const DNF: &str = "LC_ALL=C dnf -q -y --disableplugin='*' --installroot=/build/root --releasever=1 \
    --setopt=reposdir=/build/repos --setopt=cachedir=/build/cache --setopt=logdir=/build --setopt=pluginpath=/none";

fn dnf() -> Judge {
    let judge = Judge::new("check");
    fs::create_dir_all(judge.work.path().join("repos")).expect("a directory");
    let repo = "[lazuli]\nname=Lazuli\nbaseurl=file:///repo\nenabled=1\ngpgcheck=1\nrepo_gpgcheck=1\n\
                gpgkey=file:///build/key.asc\n";
    fs::write(judge.work.path().join("repos/lazuli.repo"), repo).expect("a file");
    // It imports the key and says so.
    judge.run(&format!("{DNF} makecache"));
    judge
}

#[test]
fn dnf_lists_every_package_and_answers_questions() {
    let judge = dnf();
    let format = "%{name}-%{version}-%{release}.%{arch}.rpm";
    let text = judge.run(&format!("{DNF} repoquery --qf '{format}\\n'"));
    let listed: BTreeSet<String> = text.lines().filter(|l| !l.is_empty()).map(str::to_owned).collect();
    assert_eq!(listed, packages());
    let owner = judge.run(&format!("{DNF} repoquery --qf '%{{name}}\\n' --file /usr/bin/bash"));
    assert_eq!(owner.trim(), "bash");
    let needs = judge.run(&format!("{DNF} repoquery --requires --resolve --qf '%{{name}}\\n' bash"));
    assert!(needs.lines().any(|l| l == "libc6"), "{needs}");
}

#[test]
fn createrepo_c_reads_the_metadata_and_finds_the_same_packages() {
    let judge = Judge::new("check");
    let text = judge.run(
        "mergerepo_c --repo /repo --outputdir /build/merged --compress-type gz --omit-baseurl && ls /build/merged/repodata",
    );
    assert!(text.contains("repomd.xml"), "{text}");
    assert!(!text.to_lowercase().contains("warning") && !text.to_lowercase().contains("critical"), "{text}");
    let count = packages().len().to_string();
    let text = judge.run(
        "python3 -c 'import glob, gzip; \
         print(gzip.open(glob.glob(\"/build/merged/repodata/*primary.xml.gz\")[0], \"rt\").read(400))'",
    );
    assert!(text.contains(&format!("packages=\"{count}\"")), "{text}");
}
