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
    /// zypper of Debian stable.
    Zypper,
    /// rpm of Debian stable.
    Rpm,
}

impl Peer {
    /// All.
    pub const ALL: [Self; 5] = [Self::Lapis, Self::Dnf, Self::DnfBookworm, Self::Zypper, Self::Rpm];

    fn tool_root(self) -> &'static str {
        if self == Self::DnfBookworm { "peers-bookworm" } else { "peers" }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lapis => "lapis",
            Self::Dnf => "dnf-4.23",
            Self::DnfBookworm => "dnf-4.14",
            Self::Zypper => "zypper",
            Self::Rpm => "rpm",
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

/// Enters the chroot: overlay over the tool root, our directories bound into it.
const ENTER: &str = r#"
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o "lowerdir=$1,upperdir=/mnt/upper,workdir=/mnt/work" /mnt/root
mkdir -p /mnt/root/build /mnt/root/repo-core /mnt/root/proc /mnt/root/dev
mount --bind "$2" /mnt/root/build
mount --bind "$3" /mnt/root/repo-core
mount --bind /dev /mnt/root/dev
mount -t proc proc /mnt/root/proc
exec chroot /mnt/root /bin/bash -c "$4"
"#;

/// The bench's directories and servers.
pub struct Bench {
    work: PathBuf,
    core: PathBuf,
    roots: [(&'static str, PathBuf); 2],
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
        fs::copy(binary, work.join("lapis")).expect("the binary");
        fs::set_mode(work.join("lapis"), 0o755).expect("a file");
        fs::copy(keys().join("repo.asc"), work.join("key.asc")).expect("the key");

        let served = work.join("served");
        let text = |p: &Path| p.to_str().expect("a path in UTF-8").to_owned();
        eprintln!("{}", lazuli(&["convert-suite", &text(&served.join("all"))]).trim());
        lazuli(&["repo", "build", &text(&served.join("core"))]);
        generations(&work, &served.join("update"));
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
        let roots = ["peers", "peers-bookworm"].map(|n| (n, PathBuf::from(lazuli(&["tool-root", n]).trim())));
        Self { work, core: served.join("core"), roots }
    }

    /// What the chroot has at /build.
    pub fn work(&self) -> &Path {
        &self.work
    }

    /// Runs `prepare`, then `measured`; the error has what it printed.
    pub fn measure(&self, peer: Peer, prepare: &str, measured: &str) -> Result<Run, String> {
        let script = format!(
            "exec 2>&1\n( {prepare} ) > /build/prepare.log || {{ cat /build/prepare.log; exit 9; }}\nsync\n\
             /usr/bin/time -f '%e %M' -o /build/time /bin/bash -c '{}' > /build/measured.log || \
             {{ cat /build/measured.log; exit 8; }}",
            measured.replace('\'', "'\\''")
        );
        let root = self.roots.iter().find(|(n, _)| *n == peer.tool_root()).expect("a tool root");
        let output = Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "sh", "-c", ENTER, "sh"])
            .args([&root.1, &self.work, &self.core])
            .arg(script)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C.UTF-8")
            .env("HOME", "/root")
            .output()
            .map_err(|e| e.to_string())?;
        if !output.status.success() {
            let text = [output.stdout, output.stderr].concat();
            return Err(String::from_utf8_lossy(&text).into_owned());
        }
        let time = fs::read_to_string(self.work.join("time")).map_err(|e| e.to_string())?;
        let words: Vec<&str> = time.split_whitespace().collect();
        match (words.first().and_then(|w| w.parse().ok()), words.get(1).and_then(|w| w.parse().ok())) {
            (Some(seconds), Some(kib)) => Ok(Run { seconds, kib }),
            _ => Err(format!("time printed `{time}`")),
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
    let mut names = String::new();
    let mut packages = Vec::new();
    for number in 0..50 {
        let name = format!("bench{number:02}");
        names.push_str(&format!("{name}\n"));
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
            for place in 0..60_u32 {
                let path = format!("usr/share/{name}/file{place:02}");
                // Half of what compresses, half of what does not.
                let mut state = u64::from(place) * 7919 + number * 104_729 + version;
                let content: Vec<u8> = (0..16_384)
                    .map(|i| {
                        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        if i % 2 == 0 { (state >> 33) as u8 } else { b'a' }
                    })
                    .collect();
                let digest = store.put(&content).expect("a blob");
                let node = lazuli_tree::Node::file(digest, content.len() as u64).with_mtime(1_700_000_000);
                let path = lazuli_tree::TreePath::new(&path).expect("a path");
                builder.files.push(FileEntry { path, node, flags: FileFlags::default(), capabilities: None });
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
    server::index(repository, &packages, &signer);
}
