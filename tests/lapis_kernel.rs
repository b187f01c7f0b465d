//! A kernel that comes as a package is the one that the next boot starts, and the oldest goes when there are too many.
//!
//! Three later kernels are made from the real one: the same program under other releases, so that it boots, with
//! a few of its modules. They are signed with the key that the image trusts, published and served over HTTP. The
//! guest installs them, is started again on the same disk, and says which entry of the boot menu was taken.

#[path = "support/server.rs"]
mod server;
#[path = "support/user.rs"]
mod user;

use lazuli_fs as fs;
use lazuli_repo::publish::{Publication, publish};
use lazuli_repo::{Href, Package};
use lazuli_rpm::{Builder, Dependency, Evr, FileEntry, FileFlags, Nevra, PackageFile, Signer};
use lazuli_store::Store;
use lazuli_tree::{Tree, TreePath};
use server::Server;
use std::path::{Path, PathBuf};
use std::process::Command;
use user::{assert_fine, checkout, keys, lazuli, store};

/// How long a guest may take in all, in seconds.
const LIMIT: &str = "900";

/// The real kernel package, unpacked into `store`.
fn original(work: &Path, store: &Store) -> (Nevra, Tree) {
    let output = work.join("kernel");
    lazuli(&["component", "build", "kernel", "--output", output.to_str().expect("UTF-8")]);
    let is_kernel = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with("kernel-") && !name.starts_with("kernel-modules")
    };
    let file = fs::read_dir(&output).expect("packages").into_iter().find(is_kernel).expect("a kernel");
    let bytes = fs::read(file).expect("a package");
    let package = PackageFile::parse(&bytes).expect("a package");
    let tree = lazuli_rpm::payload_tree(&package.header, package.payload(), store).expect("files");
    (package.header.nevra().expect("a name"), tree)
}

/// The kernel under another version: its package, and what the repository says of it.
fn later(
    work: &Path,
    store: &Store,
    signer: &Signer,
    (old, tree): &(Nevra, Tree),
    version: &str,
) -> (Package, PathBuf) {
    let nevra = Nevra { evr: Evr::new(None, version, "1"), ..old.clone() };
    let release = |n: &Nevra| format!("{}-{}.{}", n.evr.version, n.evr.release, n.arch);
    let (from, to) = (release(old), release(&nevra));
    let mut builder = Builder {
        summary: "A later kernel".into(),
        license: "GPL-2.0-only".into(),
        build_time: 1_700_000_000,
        build_host: "lazuli".into(),
        provides: vec![
            Dependency::parse(&format!("kernel-uname-r = {to}")).expect("a dependency"),
            Dependency::parse("installonlypkg(kernel)").expect("a dependency"),
        ],
        level: 1,
        nevra,
        ..Builder::default()
    };
    for (path, node) in tree.iter() {
        // Some modules are enough for an index.
        let path = path.as_str();
        if path.contains("/kernel/") && !path.contains("/kernel/lib") && !path.ends_with("/kernel") {
            continue;
        }
        let path = TreePath::new(&path.replace(&from, &to)).expect("a path");
        builder.files.push(FileEntry {
            path,
            node: node.clone(),
            flags: FileFlags::NONE,
            capabilities: None,
        });
    }
    let mut bytes = Vec::new();
    builder.write(store, Some(signer), &mut bytes).expect("a package");
    let file = work.join(builder.nevra.file_name());
    fs::write(&file, &bytes).expect("a file");
    let href = Href::new(&builder.nevra.file_name()).expect("a location");
    (Package::from_rpm(&bytes, href).expect("a package"), file)
}

fn guest(server: &Server, disk: &Path, script: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_lazuli"))
        .args(["run", "core", "--timeout", LIMIT, "--repository", &server.guest_url("repository/")])
        .arg("--persist")
        .arg(disk)
        .args(["--disk", "4", "--exec", script])
        .current_dir(checkout())
        .output()
        .expect("lazuli starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    eprintln!("{text}");
    assert_fine(&output, "the guest");
    text
}

/// What is there to be started, and what was.
const STATE: &str = r#"
echo "selected $(cat /sys/firmware/efi/efivars/LoaderEntrySelected-* | tail -c +5 | tr -d '\0')"
esp=$(for d in /efi /boot; do [ -d $d/EFI/BOOT ] && echo $d && break; done)
echo "entries $(ls $esp/loader/entries | tr '\n' ' ')"
echo "images $(ls $esp/EFI/Linux | tr '\n' ' ')"
echo "kernels $(rpm -q kernel --qf '%{version} ' | tr ' ' '\n' | sort | tr '\n' ' ')"
echo "modules $(ls /usr/lib/modules | tr '\n' ' ')"
echo "indexed $(for d in /usr/lib/modules/*; do [ -s $d/modules.dep ] && echo "${d##*/}"; done | tr '\n' ' ')"
echo "running $(systemctl is-system-running --wait)"
"#;

fn line<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no `{name}` in: {text}")).split_whitespace().collect()
}

#[test]
fn a_kernel_that_comes_as_a_package_is_started_next() {
    let work = tempfile::tempdir_in(store().parent().expect("a parent")).expect("a directory");
    let blobs = Store::open(work.path().join("blobs")).expect("a store");
    let secret = fs::read_to_string(keys().join("repo.secret.asc")).expect("the key");
    let signer = Signer::from_armored(&secret).expect("a key");
    let real = original(work.path(), &blobs);
    let versions = ["9999.1", "9999.2", "9999.3"];
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
    let publication = Publication {
        packages: versions.map(|v| later(work.path(), &blobs, &signer, &real, v)).into(),
        advisories: Vec::new(),
        content_tags: Vec::new(),
        distro_tags: Vec::new(),
        now: i64::try_from(now.as_secs()).expect("a time"),
        lifetime: 86_400,
        lock: None,
    };
    let served = work.path().join("served");
    publish(&served, publication, &signer).expect("a repository");
    let server = Server::start(&served);
    let disk = work.path().join("disk.raw");

    let first = guest(
        &server,
        &disk,
        &format!(
            "set -e\nlapis -y install kernel-9999.1-1 2>&1\nlapis -y install kernel-9999.2-1 2>&1\nset +e\n{STATE}"
        ),
    );
    // Both are there beside that of the image, which still runs.
    let old = &real.0.evr.version;
    assert_eq!(line(&first, "kernels"), [old, "9999.1", "9999.2"]);
    assert_eq!(line(&first, "entries"), ["lazuli-9999.1-1.x86_64.conf", "lazuli-9999.2-1.x86_64.conf"]);
    assert_eq!(line(&first, "indexed"), line(&first, "modules"));
    assert_eq!(line(&first, "running"), ["running"]);
    let images = line(&first, "images");
    assert_eq!(line(&first, "selected"), images);

    // The newest is started. An update brings a third: the oldest that does not run goes, with its entry.
    let second = guest(
        &server,
        &disk,
        &format!("{STATE}echo ==\nlapis -y update 2>&1\n{}", STATE.replace("echo \"", "echo \"after-")),
    );
    assert_eq!(line(&second, "selected"), ["lazuli-9999.2-1.x86_64.conf"]);
    assert_eq!(line(&second, "running"), ["running"]);
    assert_eq!(line(&second, "after-kernels"), [old, "9999.2", "9999.3"]);
    assert_eq!(
        line(&second, "after-entries"),
        ["lazuli-9999.2-1.x86_64.conf", "lazuli-9999.3-1.x86_64.conf"]
    );
    assert_eq!(line(&second, "after-images"), images);

    // And it goes back, when somebody takes the newest away.
    let third = guest(
        &server,
        &disk,
        &format!(
            "{STATE}echo ==\nlapis -y remove kernel-9999.3-1 2>&1\n{}",
            STATE.replace("echo \"", "echo \"after-")
        ),
    );
    assert_eq!(line(&third, "selected"), ["lazuli-9999.3-1.x86_64.conf"]);
    assert_eq!(line(&third, "after-entries"), ["lazuli-9999.2-1.x86_64.conf"]);
    assert_eq!(line(&third, "running"), ["running"]);
}
