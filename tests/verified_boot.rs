//! The image `container-host` from firmware to userspace: what is signed starts, what is not does not.
//!
//! Real judges: sbverify, openssl, OVMF with Secure Boot and our keys enrolled, and the kernel. Each boot takes a while
//! under emulation, so there are few of them.

use lazuli_fs as fs;
use lazuli_image::Format;
use lazuli_sandbox::{Access, Sandbox};
use lazuli_secureboot::{Key, KeySet, Role, authenticode};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

const IMAGE: &str = "container-host";

fn lazuli(args: &[&str]) -> Output {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    Command::new(env!("CARGO_BIN_EXE_lazuli")).args(args).current_dir(root).output().expect("lazuli starts")
}

/// Standard output of a command that has to succeed.
fn fine(args: &[&str]) -> String {
    let output = lazuli(args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "lazuli {args:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn tool_root(name: &str) -> PathBuf {
    PathBuf::from(fine(&["tool-root", name]).trim())
}

/// Runs a program of a tool root on the files in `dir`; status and everything that it says.
fn tool(root: &Path, dir: &Path, words: &[&str]) -> (bool, String) {
    let sandbox = Sandbox::new(root).bind(dir, "/build", Access::ReadWrite).workdir("/build");
    let mut said = String::new();
    let result = sandbox.command(words[0]).args(&words[1..]).run(|line| said += line);
    match result {
        Ok(output) => (true, said + &String::from_utf8_lossy(&output)),
        Err(error) => (false, format!("{said}{error}")),
    }
}

fn keys() -> KeySet {
    let dir = std::env::var_os("LAZULI_KEYS").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("HOME")).join(".local/share/lazuli/keys"),
        PathBuf::from,
    );
    KeySet::open(&dir.join("secureboot")).expect("the development keys")
}

/// A directory for large files of one test, beside the target directory.
fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("verified-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory")
}

/// The raw image, built once.
fn raw() -> &'static Path {
    static BUILT: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = BUILT.get_or_init(|| {
        let dir = scratch();
        let to = dir.path().to_str().expect("UTF-8").to_owned();
        fine(&["build", IMAGE, "--format", Format::Raw.extension(), "-o", &to]);
        let path = dir.path().join(format!("{IMAGE}.raw"));
        (dir, path)
    });
    path
}

/// A copy of the image that a test may change.
fn copy(dir: &Path) -> PathBuf {
    let path = dir.join("disk.raw");
    lazuli_image::sparse::copy_file(raw(), &path).expect("a copy");
    path
}

/// Takes a file from the EFI system partition of `dir/disk.raw`, or puts one there. The partition begins at 1 MiB.
fn esp_copy(dir: &Path, from: &str, to: &str) {
    let (ok, said) = tool(&tool_root("image"), dir, &["mcopy", "-o", "-i", "disk.raw@@1M", from, to]);
    assert!(ok, "{said}");
}

/// The name of the unified kernel image on the EFI system partition.
fn uki_name(dir: &Path) -> String {
    let (ok, said) = tool(&tool_root("image"), dir, &["mdir", "-b", "-i", "disk.raw@@1M", "::EFI/Linux"]);
    assert!(ok, "{said}");
    said.lines().find_map(|line| line.strip_prefix("::/EFI/Linux/")).expect("an image").to_owned()
}

/// Boots a disk that was changed, and expects that the guest never runs a command; what the console said.
fn does_not_run(disk: &Path, seconds: &str) -> String {
    let disk = disk.to_str().expect("UTF-8");
    let output =
        lazuli(&["-v", "run", IMAGE, "--persist", disk, "--timeout", seconds, "--exec", "echo it runs"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{said}");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("it runs"), "{said}");
    said
}

#[test]
fn sbverify_and_openssl_accept_what_we_sign_and_we_what_they_sign() {
    let check = tool_root("check");
    let dir = scratch();
    let dir = dir.path();
    let (one, two) = (Key::generate("one").expect("a key"), Key::generate("two").expect("a key"));
    for (name, key) in [("one", &one), ("two", &two)] {
        fs::write(dir.join(format!("{name}.pem")), key.to_pem().expect("PEM")).expect("a file");
        fs::write(dir.join(format!("{name}.crt")), key.certificate().pem().expect("PEM")).expect("a file");
    }
    let boot = tool_root("image").join("usr/lib/systemd/boot/efi/systemd-bootx64.efi");
    let unsigned = fs::read(boot).expect("systemd-boot");
    fs::write(dir.join("ours.efi"), authenticode::sign(&one, &unsigned).expect("signed")).expect("a file");
    fs::write(dir.join("plain.efi"), &unsigned).expect("a file");
    let (ok, said) = tool(&check, dir, &["sbverify", "--cert", "one.crt", "ours.efi"]);
    assert!(ok, "{said}");
    assert!(!tool(&check, dir, &["sbverify", "--cert", "two.crt", "ours.efi"]).0);
    assert!(!tool(&check, dir, &["sbverify", "--cert", "one.crt", "plain.efi"]).0);
    let sign = ["sbsign", "--key", "one.pem", "--cert", "one.crt", "--output", "theirs.efi", "plain.efi"];
    let (ok, said) = tool(&check, dir, &sign);
    assert!(ok, "{said}");
    let theirs = fs::read(dir.join("theirs.efi")).expect("signed");
    authenticode::verify(&theirs, &[one.certificate().clone()]).expect("their signature is good");
    assert!(authenticode::verify(&theirs, &[two.certificate().clone()]).is_err());

    let hash = [b'c'; 64];
    fs::write(dir.join("hash"), hash).expect("a file");
    fs::write(dir.join("ours.p7s"), lazuli_secureboot::pkcs7::sign_detached(&one, &hash).expect("signed"))
        .expect("a file");
    let verify = |certificate: &str| {
        let words = [
            "openssl",
            "cms",
            "-verify",
            "-binary",
            "-inform",
            "DER",
            "-in",
            "ours.p7s",
            "-content",
            "hash",
            "-certfile",
            certificate,
            "-CAfile",
            certificate,
            "-purpose",
            "any",
            "-partial_chain",
            "-out",
            "/dev/null",
        ];
        tool(&check, dir, &words)
    };
    let (ok, said) = verify("one.crt");
    assert!(ok, "{said}");
    assert!(!verify("two.crt").0);
    let sign = [
        "openssl",
        "cms",
        "-sign",
        "-binary",
        "-noattr",
        "-nocerts",
        "-keyid",
        "-md",
        "sha256",
        "-outform",
        "DER",
        "-in",
        "hash",
        "-signer",
        "one.crt",
        "-inkey",
        "one.pem",
        "-out",
        "theirs.p7s",
    ];
    let (ok, said) = tool(&check, dir, &sign);
    assert!(ok, "{said}");
    let theirs = fs::read(dir.join("theirs.p7s")).expect("signed");
    let check =
        |key: &Key| lazuli_secureboot::pkcs7::verify_detached(&theirs, &hash, &[key.certificate().clone()]);
    check(&one).expect("their signature is good");
    assert!(check(&two).is_err());
}

#[test]
fn an_image_is_signed_by_a_key_that_is_elsewhere() {
    let check = tool_root("check");
    let dir = scratch();
    let dir = dir.path();
    let at = dir.to_str().expect("UTF-8");
    // The key's owner has nothing of ours.
    let request = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=vault",
        "-days",
        "1",
        "-keyout",
        "vault.pem",
        "-out",
        "db.crt",
    ];
    let (ok, said) = tool(&check, dir, &request);
    assert!(ok, "{said}");
    let cms = |out: &str| {
        let words = [
            "openssl",
            "cms",
            "-sign",
            "-binary",
            "-noattr",
            "-nocerts",
            "-keyid",
            "-md",
            "sha256",
            "-outform",
            "DER",
            "-in",
            "root-hash",
            "-signer",
            "db.crt",
            "-inkey",
            "vault.pem",
            "-out",
            out,
        ];
        let (ok, said) = tool(&check, dir, &words);
        assert!(ok, "{said}");
    };
    let sbsign = |file: &str| {
        let (ok, said) = tool(&check, dir, &["sbsign", "--key", "vault.pem", "--cert", "db.crt", file]);
        assert!(ok, "{said}");
    };
    assert!(fine(&["image", "unsigned", IMAGE, "--to", at]).contains("run this again"));
    cms("root-hash.p7s");
    assert!(fine(&["image", "unsigned", IMAGE, "--to", at]).contains("image attach"));
    let manifest = fs::read_to_string(dir.join("manifest.json")).expect("the manifest");
    let uki = manifest
        .split('"')
        .find(|word| word.starts_with("lazuli-") && word.strip_suffix(".efi").is_some())
        .expect("an image");
    sbsign("systemd-bootx64.efi");
    let attach = || lazuli(&["image", "attach", IMAGE, "--from", at, "-o", at, "--format", "raw"]);
    let refused = |output: &Output, why: &str| {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(why), "{said}\nshould contain {why}");
    };
    refused(&attach(), "is missing");
    // Signed, but not what was to be signed.
    fs::copy(dir.join("systemd-bootx64.efi.signed"), dir.join(format!("{uki}.signed"))).expect("a copy");
    refused(&attach(), "unified kernel image: the signature is for other content");
    sbsign(uki);
    let output = attach();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    esp_take_and_compare(dir, uki);
    // A signature of another root hash.
    fs::write(dir.join("root-hash"), [b'0'; 64]).expect("a file");
    cms("root-hash.p7s");
    refused(&attach(), "verity root hash: the signature is for other content");
}

/// What is on the image's EFI system partition is what came back signed.
fn esp_take_and_compare(dir: &Path, uki: &str) {
    fs::rename(dir.join(format!("{IMAGE}.raw")), dir.join("disk.raw")).expect("the image");
    esp_copy(dir, &format!("::EFI/Linux/{uki}"), "taken.efi");
    let signed = fs::read(dir.join(format!("{uki}.signed"))).expect("signed");
    assert!(fs::read(dir.join("taken.efi")).expect("taken") == signed);
}

/// What the guest says about itself.
const SCRIPT: &str = r#"
echo "state $(systemctl is-system-running --wait)"
systemctl --failed --no-legend --plain
findmnt -no SOURCE,FSTYPE,OPTIONS /
echo "name $(cat /sys/block/dm-0/dm/name)"
echo "secure boot $(od -An -t u1 -j 4 /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c)"
echo "lockdown $(cat /sys/kernel/security/lockdown)"
touch /usr/x 2>&1
dd if=/dev/zero of=/dev/dm-0 bs=4096 count=1 2>&1 | head -n 1
cat /etc/os-release
findmnt -no FSTYPE /var
cat /sys/class/watchdog/watchdog0/state
"#;

#[test]
fn it_runs_under_secure_boot_from_a_signed_and_verified_root() {
    let output = lazuli(&["run", IMAGE, "--timeout", "600", "--exec", SCRIPT]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    eprintln!("{said}\n{}", String::from_utf8_lossy(&output.stderr));
    for part in [
        "state running\n",
        "/dev/dm-0 erofs ro,",
        "name root\n",
        "secure boot    1",
        "[integrity]",
        "Read-only file system",
        "IMAGE_ID=container-host\n",
        "active\n",
        "ext4\n",
    ] {
        assert!(said.contains(part), "no `{part}` in\n{said}");
    }
}

#[test]
fn an_image_signed_by_another_key_does_not_start() {
    let dir = scratch();
    let disk = copy(dir.path());
    let name = uki_name(dir.path());
    esp_copy(dir.path(), &format!("::EFI/Linux/{name}"), "uki.efi");
    let uki = fs::read(dir.path().join("uki.efi")).expect("the image");
    authenticode::verify(&uki, &keys().trusted()).expect("it is signed by db's owner");
    let foreign = Key::generate("somebody else").expect("a key");
    fs::write(dir.path().join("uki.efi"), authenticode::sign(&foreign, &uki).expect("signed"))
        .expect("a file");
    esp_copy(dir.path(), "uki.efi", &format!("::EFI/Linux/{name}"));
    let said = does_not_run(&disk, "90");
    assert!(!said.contains("Linux version"), "{said}");
    assert!(
        said.contains("Access Denied") || said.contains("Access denied") || said.contains("Security"),
        "{said}"
    );
}

#[test]
fn an_image_with_an_altered_command_line_does_not_start() {
    let dir = scratch();
    let disk = copy(dir.path());
    let name = uki_name(dir.path());
    esp_copy(dir.path(), &format!("::EFI/Linux/{name}"), "uki.efi");
    let mut uki = fs::read(dir.path().join("uki.efi")).expect("the image");
    let lockdown = b"lockdown=integrity";
    let at = uki.windows(lockdown.len()).position(|w| w == lockdown).expect("the command line");
    uki[at..at + lockdown.len()].copy_from_slice(b"init=/usr/bin/bash");
    fs::write(dir.path().join("uki.efi"), uki).expect("a file");
    esp_copy(dir.path(), "uki.efi", &format!("::EFI/Linux/{name}"));
    let said = does_not_run(&disk, "90");
    assert!(!said.contains("Linux version"), "{said}");
}

/// Where slot A's root begins and how long it is.
fn root_of(disk: &Path) -> (u64, u64) {
    let table = lazuli_image::read_table(disk).expect("a table");
    (table.partitions[1].start, table.partitions[1].len)
}

#[test]
fn a_flipped_byte_is_never_read_silently() {
    let dir = scratch();
    let disk = copy(dir.path());
    let (start, _) = root_of(&disk);
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&disk).expect("the disk");
    // The superblock of erofs is at byte 1024; the byte that is flipped is in what nobody reads but who looks for it.
    let mut byte = [0];
    file.read_exact_at(&mut byte, start + 1).expect("a byte");
    file.write_all_at(&[byte[0] ^ 1], start + 1).expect("a byte");
    let said = does_not_run(&disk, "300");
    assert!(said.contains("dm-verity device corrupted"), "{said}");
}

#[test]
fn a_machine_that_does_not_find_its_root_panics_and_restarts() {
    let dir = scratch();
    let disk = copy(dir.path());
    let mut table = lazuli_image::read_table(&disk).expect("a table");
    table.partitions[1].guid = lazuli_layout::Guid::from_u128(1);
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&disk).expect("the disk");
    let mut device = lazuli_image::gpt::FileDevice { file: &file, path: &disk, durable: false };
    table.write(&mut device).expect("written");
    let said = does_not_run(&disk, "300");
    assert!(said.contains("Unable to mount root fs"), "{said}");
    assert!(!said.contains("did not finish"), "it has to end by itself:\n{said}");
}

#[test]
fn signing_again_changes_nothing() {
    // That two builds are identical is the subject of `reproducible.rs`.
    let keys = keys();
    let dir = scratch();
    copy(dir.path());
    let name = uki_name(dir.path());
    esp_copy(dir.path(), &format!("::EFI/Linux/{name}"), "uki.efi");
    let uki = fs::read(dir.path().join("uki.efi")).expect("the image");
    assert!(authenticode::sign(keys.key(Role::Db), &uki).expect("signed") == uki);
}

/// Has the boot loader start the profile for recovery by default: only other profiles than the first have `@` in the names
/// of their entries.
fn start_recovery(dir: &Path) {
    fs::write(dir.join("loader.conf"), "timeout 0\neditor no\ndefault *@*\n").expect("a file");
    esp_copy(dir, "loader.conf", "::loader/loader.conf");
}

#[test]
fn the_default_profile_has_no_initrd_and_the_second_one_is_in_the_same_signed_file() {
    let dir = scratch();
    copy(dir.path());
    let name = uki_name(dir.path());
    esp_copy(dir.path(), &format!("::EFI/Linux/{name}"), "uki.efi");
    let uki = fs::read(dir.path().join("uki.efi")).expect("the image");
    authenticode::verify(&uki, &keys().trusted()).expect("it is signed by db's owner");
    let text = |profile: usize, name: &str| {
        let data = lazuli_image::uki::profile_section(&uki, profile, name);
        data.map(|data| String::from_utf8_lossy(data).into_owned())
    };
    assert_eq!(text(0, ".initrd"), None);
    let main = text(0, ".cmdline").expect("a command line");
    assert!(main.starts_with("dm-mod.create=\"root,,0,ro,0 ") && !main.contains("lazuli."), "{main}");
    let recovery = text(1, ".cmdline").expect("a command line");
    assert!(
        recovery.starts_with("lazuli.verity=\"root,,0,ro,0 ") && !recovery.contains("dm-mod."),
        "{recovery}"
    );
    assert_eq!(text(1, ".profile").expect("a profile"), "ID=recovery\nTITLE=Recovery\n");
    assert_eq!(text(2, ".profile"), None);
    let initrd = lazuli_image::uki::profile_section(&uki, 1, ".initrd").expect("an initrd");
    eprintln!("the initrd has {} bytes", initrd.len());
    let archive = zstd::bulk::decompress(initrd, 64 << 20).expect("zstd");
    assert!(archive.starts_with(b"070701"));
}

/// Keeps settings: one that recovery ignores, and a key, which counts there, too.
const KEEP: &str = r"
echo kept > /etc/hostname
echo 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f nobody' > /etc/ssh/authorized_keys.d/root
lazuli-settings keep /etc/hostname /etc/ssh/authorized_keys.d/root && lazuli-settings list
systemctl reboot --boot-loader-entry=help
";

/// What a guest that was started for recovery says about itself.
const RECOVERED: &str = r#"
echo "state $(systemctl is-system-running --wait)"
systemctl --failed --no-legend --plain
findmnt -no SOURCE,FSTYPE,OPTIONS /
echo "name $(cat /sys/block/dm-0/dm/name)"
echo "init $(readlink /proc/1/exe)"
findmnt -no TARGET | grep -c sysroot
echo "hostname $(cat /etc/hostname) $(cat /proc/sys/kernel/hostname)"
ls /etc/ssh/authorized_keys.d
lazuli-settings list
iptables -S INPUT | head -n 1
passwd -S root
cat /sys/class/watchdog/watchdog0/state
echo "bless $(systemctl show -P ConditionResult lazuli-update-bless.service)"
touch /usr/x 2>&1
dmesg | grep lazuli-initrd
journalctl -b -u lazuli-settings.service -o cat
"#;

#[test]
fn recovery_starts_the_same_root_without_the_settings_that_could_be_wrong() {
    let dir = scratch();
    let disk = copy(dir.path());
    let run = |script: &str| {
        let disk = disk.to_str().expect("UTF-8");
        let output = lazuli(&["-v", "run", IMAGE, "--persist", disk, "--timeout", "600", "--exec", script]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        eprintln!("{said}\n{}", String::from_utf8_lossy(&output.stderr));
        said
    };
    let said = run(KEEP);
    assert!(said.contains("/etc/hostname\n/etc/ssh/authorized_keys.d/root\n"), "{said}");
    assert!(said.contains(".efi@recovery\n"), "the boot loader offers both profiles:\n{said}");
    start_recovery(dir.path());
    let said = run(RECOVERED);
    for part in [
        "state running\n",
        "/dev/dm-0 erofs ro,",
        "name root\n",
        "init /usr/lib/systemd/systemd\n0\n",
        "hostname lazuli lazuli\nroot\n/etc/hostname\n",
        "-P INPUT DROP\n",
        "root L ",
        "\nactive\n",
        "bless no\n",
        "Read-only file system",
        "lazuli-initrd: root on ",
        "settings wait for the next start",
    ] {
        assert!(said.contains(part), "no `{part}` in\n{said}");
    }
}

#[test]
fn recovery_says_which_partition_is_missing_and_restarts() {
    let dir = scratch();
    let disk = copy(dir.path());
    let name = uki_name(dir.path());
    esp_copy(dir.path(), &format!("::EFI/Linux/{name}"), "uki.efi");
    let mut uki = fs::read(dir.path().join("uki.efi")).expect("the image");
    // Five minutes are long: words of the same length in the second command line, signed again.
    let words = b"watchdog.open_timeout=600";
    let at = uki.windows(words.len()).rposition(|w| w == words).expect("the command line");
    uki[at..at + words.len()].copy_from_slice(b"lazuli.wait=15           ");
    let uki = authenticode::sign(keys().key(Role::Db), &uki).expect("signed");
    fs::write(dir.path().join("uki.efi"), uki).expect("a file");
    esp_copy(dir.path(), "uki.efi", &format!("::EFI/Linux/{name}"));
    start_recovery(dir.path());
    let mut table = lazuli_image::read_table(&disk).expect("a table");
    let guid = table.partitions[1].guid;
    table.partitions[1].guid = lazuli_layout::Guid::from_u128(1);
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&disk).expect("the disk");
    let mut device = lazuli_image::gpt::FileDevice { file: &file, path: &disk, durable: false };
    table.write(&mut device).expect("written");
    let said = does_not_run(&disk, "300");
    for part in [
        format!("not there after 15 seconds: data of the root, PARTUUID={guid}; there is: vda with 1 "),
        "the machine restarts".to_owned(),
    ] {
        assert!(said.contains(&part), "no `{part}` in\n{said}");
    }
    assert!(!said.contains("did not finish"), "it has to end by itself:\n{said}");
}
