//! Where the peers run: a chroot of their tool root, with a work directory and repositories served on
//! loopback.

mod server;

use crate::user::{checkout, keys, lazuli};
use lazuli_fs as fs;
use lazuli_rpm::{Builder, Evr, FileEntry, FileFlags, Nevra, Signer};
use lazuli_store::Store;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// Ours.
    Lapis,
    /// dnf of Debian stable.
    Dnf,
    /// dnf of Debian 12.
    DnfBookworm,
    /// dnf5 of Debian's development branch.
    Dnf5,
    /// zypper of Debian stable.
    Zypper,
    /// rpm of Debian 12.
    Rpm418,
    /// rpm of Debian stable.
    Rpm420,
    /// rpm of Debian's development branch.
    Rpm6,
}

impl Peer {
    /// All.
    pub const ALL: [Self; 8] = [
        Self::Lapis,
        Self::Dnf,
        Self::DnfBookworm,
        Self::Dnf5,
        Self::Zypper,
        Self::Rpm418,
        Self::Rpm420,
        Self::Rpm6,
    ];

    /// Whether it is a plain `rpm`, which knows no repositories.
    pub fn is_rpm(self) -> bool {
        matches!(self, Self::Rpm418 | Self::Rpm420 | Self::Rpm6)
    }

    fn tool_root(self) -> &'static str {
        match self {
            Self::DnfBookworm | Self::Rpm418 => "peers-bookworm",
            Self::Dnf5 | Self::Rpm6 => "peers-sid",
            Self::Lapis | Self::Dnf | Self::Zypper | Self::Rpm420 => "peers",
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lapis => "lapis",
            Self::Dnf => "dnf-4.23",
            Self::DnfBookworm => "dnf-4.14",
            Self::Dnf5 => "dnf5",
            Self::Zypper => "zypper",
            Self::Rpm418 => "rpm-4.18",
            Self::Rpm420 => "rpm-4.20",
            Self::Rpm6 => "rpm-6",
        })
    }
}

/// One measured run.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// Wall time.
    pub seconds: f64,
    /// Largest resident set.
    pub kib: u64,
}

/// Enters the chroot: overlay over the tool root, our directories bound into it, and for what the peer writes a
/// file system of its own that is new each time. (What an earlier run deleted would slow down whoever comes next:
/// ext4 looks for inodes that were not in use lately.)
const ENTER: &str = r#"
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o "lowerdir=$1,upperdir=/mnt/upper,workdir=/mnt/work" /mnt/root
mkdir -p /mnt/root/build /mnt/root/repo-core /mnt/root/proc /mnt/root/dev
mount --bind "$2" /mnt/root/build
mount --bind "$3" /mnt/root/repo-core
rm -f "$2/disk"
truncate -s 6G "$2/disk"
mkfs.ext4 -q -E lazy_itable_init=1 "$2/disk"
mkdir -p "/mnt/root/build/$5"
mount -o loop,noinit_itable "$2/disk" "/mnt/root/build/$5"
mount --bind /dev /mnt/root/dev
mount -t proc proc /mnt/root/proc
exec chroot /mnt/root /bin/bash -c "$4"
"#;

/// The bench's directories and servers.
pub struct Bench {
    work: PathBuf,
    core: PathBuf,
    roots: [(&'static str, PathBuf); 3],
}

impl Bench {
    /// Builds `lapis` and the repositories and starts serving them.
    pub fn new() -> Self {
        let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers");
        fs::remove_dir_all(&work).expect("a directory");
        fs::create_dir_all(&work).expect("a directory");
        let cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--release", "--quiet", "-p", "lazuli-lapis", "--bin", "lapis"])
            .current_dir(checkout())
            .status()
            .expect("cargo starts");
        assert!(cargo.success(), "lapis does not compile");
        let binary = Path::new(env!("CARGO_BIN_EXE_lazuli")).with_file_name("lapis");
        fs::create_dir_all(work.join("bin")).expect("a directory");
        fs::copy(binary, work.join("bin/lapis")).expect("the binary");
        fs::set_mode(work.join("bin/lapis"), 0o755).expect("a file");
        fs::copy(keys().join("repo.asc"), work.join("key.asc")).expect("the key");

        let served = work.join("served");
        let text = |p: &Path| p.to_str().expect("a path in UTF-8").to_owned();
        eprintln!("{}", lazuli(&["convert-suite", &text(&served.join("all"))]).trim());
        lazuli(&["repo", "build", "core", "--to", &text(&served.join("core"))]);
        generations(&work, &served.join("update"));
        for (list, dir, seen) in [
            ("core-files", served.join("core/packages"), "/repo-core/packages"),
            ("old-files", work.join("old"), "/build/old"),
            ("new-files", work.join("new"), "/build/new"),
        ] {
            let mut files: Vec<String> = fs::read_dir(&dir)
                .expect("packages")
                .iter()
                .filter_map(|path| Some(format!("{seen}/{}", path.file_name()?.to_str()?)))
                .collect();
            files.sort();
            fs::write(work.join(list), files.join("\n")).expect("a file");
        }
        let address = server::serve(served.clone());
        for name in ["all", "core", "update"] {
            // zypper has one word for both signature checks.
            let repo = format!(
                "[{name}]\nname={name}\nbaseurl=http://{address}/{name}\nenabled=1\ngpgcheck=1\n\
                 repo_gpgcheck=1\ngpgkey=file:///build/key.asc\n"
            );
            for (dir, more) in
                [(name.to_owned(), "lapis_trust=no-expiry\n"), (format!("{name}-zypper"), "autorefresh=0\n")]
            {
                let dir = work.join("repos").join(dir);
                fs::create_dir_all(&dir).expect("a directory");
                fs::write(dir.join(format!("{name}.repo")), format!("{repo}{more}")).expect("a file");
            }
        }
        let roots = ["peers", "peers-bookworm", "peers-sid"]
            .map(|n| (n, PathBuf::from(lazuli(&["tool-root", n]).trim())));
        Self { work, core: served.join("core"), roots }
    }

    /// What the chroot has at /build.
    pub fn work(&self) -> &Path {
        &self.work
    }

    /// Runs `prepare`, then `measured`; the error has what it printed.
    ///
    /// In `measured`, `$T` before a command notes the largest resident set of its processes. The clock is the
    /// shell's own, which counts microseconds where time(1) counts hundredths of a second.
    pub fn measure(&self, peer: Peer, prepare: &str, measured: &str, check: &str) -> Result<Run, String> {
        let script = format!(
            "exec 2>&1\nset -f\nT=\n\
             ( {prepare} ) > /build/prepare.log || {{ echo 'while preparing:'; cat /build/prepare.log; exit 9; }}\n\
             sync\nT='/usr/bin/time -f %M -o /build/time'\nmeasured() {{\n{measured}\n}}\n\
             start=$EPOCHREALTIME\nmeasured > /build/measured.log || {{ cat /build/measured.log; exit 8; }}\n\
             end=$EPOCHREALTIME\necho $(( ${{end/[.,]/}} - ${{start/[.,]/}} )) > /build/elapsed\n\
             {{ {check}; }} || {{ echo 'it did not do what was asked:'; cat /build/measured.log; exit 7; }}\n"
        );
        let root = self.roots.iter().find(|(n, _)| *n == peer.tool_root()).expect("a tool root");
        let output = Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "sh", "-c", ENTER, "sh"])
            .args([&root.1, &self.work, &self.core])
            .args([&script, &peer.to_string()])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            // The only one that every tool root has.
            .env("LC_ALL", "C")
            .env("HOME", "/root")
            .output()
            .map_err(|e| e.to_string())?;
        if !output.status.success() {
            let text = [output.stdout, output.stderr].concat();
            return Err(String::from_utf8_lossy(&text).into_owned());
        }
        let read = |name: &str| fs::read_to_string(self.work.join(name)).map_err(|e| e.to_string());
        let (time, elapsed) = (read("time")?, read("elapsed")?);
        // time(1) writes a line above the number if the command was not successful.
        let kib = time.lines().last().and_then(|line| line.trim().parse().ok());
        match (elapsed.trim().parse::<f64>(), kib) {
            (Ok(micros), Some(kib)) => Ok(Run { seconds: micros / 1e6, kib }),
            _ => Err(format!("the clock said `{elapsed}`, time(1) `{time}`")),
        }
    }
}

/// Fifty packages of sixty files of some 16 KiB in two versions: as files in `old` and `new`, and both in
/// one repository.
fn generations(work: &Path, repository: &Path) {
    let signer = fs::read_to_string(keys().join("repo.secret.asc")).expect("the key");
    let signer = Signer::from_armored(&signer).expect("a key");
    let store = Store::open(work.join("store")).expect("a store");
    fs::create_dir_all(repository.join("packages")).expect("a directory");
    let (mut names, mut first, mut first_of_zypper) = (String::new(), String::new(), String::new());
    let mut packages = Vec::new();
    for number in 0..50 {
        let name = format!("bench{number:02}");
        names.push_str(&format!("{name}\n"));
        first.push_str(&format!("{name}-1-1\n"));
        first_of_zypper.push_str(&format!("{name}=1-1\n"));
        for (version, dir) in [(1, "old"), (2, "new")] {
            let nevra = Nevra {
                name: name.clone(),
                evr: Evr::new(None, version.to_string(), "1"),
                arch: "noarch".into(),
            };
            let file = format!("{nevra}.rpm");
            let mut builder =
                Builder { nevra, license: "MIT".into(), build_time: 1_700_000_000, ..Builder::default() };
            builder.summary = "Package of a measurement".into();
            let mut put = |path: String, content: &[u8]| {
                let digest = store.put(content).expect("a blob");
                let node = lazuli_tree::Node::file(digest, content.len() as u64).with_mtime(1_700_000_000);
                let path = lazuli_tree::TreePath::new(&path).expect("a path");
                builder.files.push(FileEntry { path, node, flags: FileFlags::default(), capabilities: None });
            };
            // What tells afterwards which version is there.
            put(format!("usr/share/{name}/version"), format!("{version}\n").as_bytes());
            for place in 0..59_u32 {
                let path = format!("usr/share/{name}/file{place:02}");
                // Half of what compresses, half of what does not.
                let mut state = u64::from(place) * 7919 + number * 104_729 + version;
                let content: Vec<u8> = (0..16_384)
                    .map(|i| {
                        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        if i % 2 == 0 { (state >> 33) as u8 } else { b'a' }
                    })
                    .collect();
                put(path, &content);
            }
            let mut bytes = Vec::new();
            builder.write(&store, Some(&signer), &mut bytes).expect("a package");
            for target in [work.join(dir), repository.join("packages")] {
                fs::create_dir_all(&target).expect("a directory");
                fs::write(target.join(&file), &bytes).expect("a file");
            }
            packages.push((file, bytes));
        }
    }
    fs::write(work.join("fifty"), names).expect("a file");
    fs::write(work.join("fifty-first"), first).expect("a file");
    fs::write(work.join("fifty-first-zypper"), first_of_zypper).expect("a file");
    server::index(repository, &packages, &signer);
}
