//! The state partition of the image `container-host`, encrypted with a key in the TPM: real starts of a virtual machine
//! with a TPM in software.
//!
//! It uses the store and keys of whoever runs it; with an empty store it builds the kernel first.

#[path = "support/user.rs"]
mod user;

use lazuli_fs as fs;
use lazuli_sandbox::{Access, Sandbox};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use user::{assert_fine, checkout, lazuli};

/// The credential that asks for encryption.
const ENCRYPTED: [&str; 2] = ["--credential", "lazuli.state-encryption=tpm2"];

/// What a machine whose state is open says of it.
const LOOK: &str = r#"
echo "system $(systemctl is-system-running --wait)"; systemctl --failed --no-legend --plain
echo "mounted $(findmnt -n -o SOURCE,FSTYPE /var)"
echo "size $(df --output=size -BM /var | tail -n 1)"
echo "mapping $(dmsetup table state)"
partition=/dev/$(basename /sys/block/$(basename $(readlink -f /run/lazuli/state))/slaves/*)
echo "label $(blkid -p -s LABEL -o value $partition)"
cryptsetup luksDump $partition
echo "note $(cat /var/lib/note)"
echo "a first start wrote this" > /var/lib/note
"#;

/// What a machine says that should not have got as far.
const TOO_FAR: &str = "findmnt -n /var && echo 'there is a /var'";

/// A machine: its disk, and beside it its TPM.
struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("tpm-").tempdir_in(env!("CARGO_TARGET_TMPDIR"));
        Self { dir: dir.expect("a directory") }
    }

    fn disk(&self) -> PathBuf {
        self.dir.path().join("disk.raw")
    }

    fn tpm(&self) -> PathBuf {
        self.dir.path().join("disk.raw.tpm")
    }

    fn command(&self, options: &[&str], script: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lazuli"));
        command
            .args(["-v", "run", "container-host", "--timeout", "900", "--disk", "5", "--tpm", "--persist"])
            .arg(self.disk())
            .args(options)
            .args(["--exec", script])
            .current_dir(checkout());
        command
    }

    /// A start that has to end by itself; what the script printed.
    fn runs(&self, what: &str, options: &[&str], script: &str) -> String {
        let begun = Instant::now();
        let output = self.command(options, script).output().expect("lazuli starts");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        println!("--- {what}: {} s\n{said}", begun.elapsed().as_secs());
        assert_fine(&output, what);
        said
    }

    /// A start that has to end in `reason` on the console and without a /var. The machine is killed then.
    fn refuses(&self, what: &str, options: &[&str], reason: &str) {
        let mut command = self.command(options, TOO_FAR);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("lazuli starts");
        let console = BufReader::new(child.stderr.take().expect("piped"));
        let (mut said, mut refused, mut given_up) = (String::new(), false, false);
        for line in console.split(b'\n') {
            let line = String::from_utf8_lossy(&line.expect("the console")).into_owned();
            refused |= line.contains(reason);
            given_up |= refused && line.contains("Emergency Mode");
            said += &format!("{line}\n");
            if given_up {
                break;
            }
        }
        let helpers = descendants(child.id(), "swtpm");
        child.kill().expect("it runs");
        let output = child.wait_with_output().expect("lazuli ends");
        println!("--- {what}\n{said}");
        assert!(refused, "{what}: `{reason}` is not on the console");
        assert!(given_up, "{what}: the machine goes on");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{what}");
        assert_eq!(helpers.len(), 1, "{what}: one TPM");
        ends(helpers[0]);
    }
}

/// The processes below this one that run `program`.
fn descendants(of: u32, program: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for path in fs::read_dir("/proc").expect("processes") {
        let Some(process) = path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()) else {
            continue;
        };
        // PID (NAME) STATE PARENT ...
        let Some((name, parent)) = fs::read_to_string(path.join("stat")).ok().and_then(|stat| {
            let (head, tail) = stat.rsplit_once(") ")?;
            let parent = tail.split(' ').nth(1)?.parse::<u32>().ok()?;
            Some((head.split_once('(')?.1.to_owned(), parent))
        }) else {
            continue;
        };
        if parent == of {
            found.extend((name == program).then_some(process));
            found.extend(descendants(process, program));
        }
    }
    found
}

/// The process does not outlive those that it was started for.
fn ends(process: u32) {
    let end = Instant::now() + Duration::from_secs(20);
    while Path::new(&format!("/proc/{process}/exe")).exists() {
        assert!(Instant::now() < end, "process {process} is left behind");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Where the state partition begins.
fn state_of(disk: &Path) -> u64 {
    let table = lazuli_image::read_table(disk).expect("a table");
    table.partitions.iter().find(|partition| partition.label == "state").expect("a state partition").start
}

/// The first MiB of the state partition.
fn head(disk: &Path) -> Vec<u8> {
    let mut bytes = vec![0; 1 << 20];
    let file = fs::open(disk).expect("the disk");
    file.read_exact_at(&mut bytes, state_of(disk)).expect("the partition");
    bytes
}

#[test]
#[ignore = "starts virtual machines with a TPM"]
fn an_encrypted_state_opens_for_its_tpm_and_for_no_other() {
    let machine = Machine::new();
    let first = machine.runs("the state is made and encrypted", &ENCRYPTED, LOOK);
    for part in ["system running\n", "mounted /dev/mapper/state ext4\n", "label state\n", "note \n"] {
        assert!(first.contains(part), "no `{part}`");
    }
    let mapping = first.lines().find_map(|line| line.strip_prefix("mapping ")).expect("a mapping");
    assert!(mapping.contains(" crypt aes-xts-plain64 "), "{mapping}");
    let size =
        first.lines().find_map(|line| line.strip_prefix("size ")?.trim().strip_suffix('M')?.parse().ok());
    assert!(size.is_some_and(|size: u32| size > 500), "it takes what the disk has left");
    // One key, the TPM's, bound to what Secure Boot trusts.
    assert_eq!(first.matches(": luks2\n").count(), 1);
    assert!(first.contains("systemd-tpm2\n") && first.contains("tpm2-hash-pcrs:   7\n"));

    let (own, foreign) = (machine.tpm(), machine.dir.path().join("own.tpm"));
    fs::rename(&own, &foreign).expect("the TPM's state");
    let before = head(&machine.disk());
    assert!(before.starts_with(b"LUKS\xba\xbe"));
    machine.refuses("another TPM", &ENCRYPTED, "the TPM does not give out its key");
    assert!(head(&machine.disk()) == before, "a partition that stays closed is not written to");
    fs::remove_dir_all(&own).expect("the other TPM's state");
    fs::rename(&foreign, &own).expect("the TPM's state");

    // The setting is not needed any more.
    let last = machine.runs("the same TPM", &[], LOOK);
    for part in ["system running\n", "mounted /dev/mapper/state ext4\n", "note a first start wrote this\n"] {
        assert!(last.contains(part), "no `{part}`");
    }
}

#[test]
#[ignore = "starts virtual machines with a TPM"]
fn a_state_in_plain_text_is_refused_where_an_encrypted_one_is_asked_for() {
    let machine = Machine::new();
    let to = machine.dir.path().to_str().expect("UTF-8");
    lazuli(&["build", "container-host", "--format", "raw", "-o", to]);
    fs::rename(machine.dir.path().join("container-host.raw"), machine.disk()).expect("the image");
    let image = PathBuf::from(lazuli(&["tool-root", "image"]).trim());
    Sandbox::new(image)
        .bind(machine.dir.path(), "/build", Access::ReadWrite)
        .command("mkfs.ext4")
        .args(["-q", "-F", "-E", &format!("offset={}", state_of(&machine.disk()))])
        .args(["/build/disk.raw", "128M"])
        .run(|_| ())
        .expect("a file system");
    let before = head(&machine.disk());
    machine.refuses("plain text", &ENCRYPTED, "has ext4 in plain text");
    assert!(head(&machine.disk()) == before, "it is left as it is");
}
