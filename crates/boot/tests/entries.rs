//! What happens to the entries of an EFI system partition as kernels come and go.

use lazuli_boot::{Error, State, Step, carry_out, carry_out_within, plan, scan, update};
use lazuli_fs as fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A system that was made as an image with one kernel.
struct Machine(TempDir);

/// The smallest PE image with `.osrel` and `.uname`.
fn unified(id: &str, release: &str) -> Vec<u8> {
    let mut image = vec![0_u8; 0x200];
    image[..2].copy_from_slice(b"MZ");
    image[0x3c] = 0x40;
    image[0x40..0x44].copy_from_slice(b"PE\0\0");
    image[0x46] = 2;
    let texts = [(b".osrel\0\0", format!("NAME=x\nID={id}\n")), (b".uname\0\0", release.to_owned())];
    for (n, (name, text)) in texts.iter().enumerate() {
        let (at, data) = (0x58 + n * 40, 0x100 + n * 0x80);
        image[at..at + 8].copy_from_slice(*name);
        image[at + 8..at + 12].copy_from_slice(&(text.len() as u32).to_le_bytes());
        image[at + 16..at + 20].copy_from_slice(&0x80_u32.to_le_bytes());
        image[at + 20..at + 24].copy_from_slice(&(data as u32).to_le_bytes());
        image[data..data + text.len()].copy_from_slice(text.as_bytes());
    }
    image
}

impl Machine {
    fn new(first: &str) -> Self {
        let machine = Self(tempfile::tempdir().expect("a directory"));
        machine.put("usr/lib/os-release", "ID=lazuli\nVERSION_ID=1.0\nPRETTY_NAME=\"Lazuli Linux 1.0\"\n");
        machine.put("proc/cmdline", "root=PARTUUID=1 BOOT_IMAGE=/x ro quiet\n");
        machine.put(&format!("efi/EFI/Linux/{IMAGE}"), unified("lazuli", first));
        machine.install(first);
        machine
    }

    fn put(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, content).expect("a file");
    }

    fn install(&self, release: &str) {
        self.put(&format!("usr/lib/modules/{release}/vmlinuz"), format!("kernel {release}"));
    }

    fn remove(&self, release: &str) {
        fs::remove_dir_all(self.0.path().join("usr/lib/modules").join(release)).expect("a folder");
    }

    fn esp(&self) -> PathBuf {
        self.0.path().join("efi")
    }

    fn update(&self) -> Vec<Step> {
        update(self.0.path(), &self.esp()).expect("entries")
    }

    /// All files on the EFI system partition.
    fn files(&self) -> Vec<String> {
        fn walk(dir: &Path, top: &Path, into: &mut Vec<String>) {
            for path in fs::read_dir(dir).expect("a folder") {
                if path.is_dir() {
                    walk(&path, top, into);
                } else {
                    into.push(path.strip_prefix(top).expect("below").display().to_string());
                }
            }
        }
        let mut files = Vec::new();
        walk(&self.esp(), &self.esp(), &mut files);
        files
    }

    /// The releases that can be started: an entry with its kernel, whole, or a unified image.
    fn bootable(&self) -> Vec<String> {
        let mut releases = Vec::new();
        for path in fs::read_dir(self.esp().join("loader/entries")).unwrap_or_default() {
            if path.extension().is_none_or(|e| e != "conf") {
                continue;
            }
            let text = fs::read_to_string(&path).expect("an entry");
            let linux = text.lines().find_map(|l| l.strip_prefix("linux /")).expect("a kernel");
            let kernel = fs::read_to_string(self.esp().join(linux)).expect("the kernel of an entry");
            releases.push(kernel.strip_prefix("kernel ").expect("whole").to_owned());
        }
        for path in fs::read_dir(self.esp().join("EFI/Linux")).unwrap_or_default() {
            releases.push(path.file_name().expect("a name").to_string_lossy().into_owned());
        }
        releases
    }
}

const IMAGE: &str = "lazuli-1.0.efi";

#[test]
fn a_new_kernel_gets_an_entry_and_the_image_keeps_its_own() {
    let machine = Machine::new("6.12.1-1.x86_64");
    assert_eq!(machine.update(), [], "the kernel of the image needs nothing");
    machine.install("6.12.2-1.x86_64");
    assert_eq!(machine.update().len(), 2);
    let entry = fs::read_to_string(machine.esp().join("loader/entries/lazuli-6.12.2-1.x86_64.conf"));
    let entry = entry.expect("an entry");
    for line in [
        "title Lazuli Linux 1.0 (6.12.2-1.x86_64)",
        "sort-key lazuli",
        "version 1.0-6.12.2-1.x86_64",
        "linux /lazuli/6.12.2-1.x86_64/linux.efi",
        "options root=PARTUUID=1 ro quiet",
    ] {
        assert!(entry.lines().any(|l| l == line), "{line}: {entry}");
    }
    assert_eq!(machine.bootable(), ["6.12.2-1.x86_64", IMAGE]);
    assert_eq!(machine.update(), [], "a second run finds nothing to do");
}

#[test]
fn kernels_that_go_take_their_entries_with_them_and_the_image_its_own() {
    let machine = Machine::new("6.12.1-1.x86_64");
    for n in 2..=4 {
        machine.install(&format!("6.12.{n}-1.x86_64"));
    }
    machine.update();
    machine.remove("6.12.2-1.x86_64");
    machine.remove("6.12.1-1.x86_64");
    machine.update();
    assert_eq!(machine.bootable(), ["6.12.3-1.x86_64", "6.12.4-1.x86_64"]);
    assert_eq!(machine.files().len(), 4, "{:?}", machine.files());
}

#[test]
fn what_is_somebody_elses_stays() {
    let machine = Machine::new("6.12.1-1.x86_64");
    machine.put("efi/EFI/Linux/rescue.efi", unified("rescue", "5.0"));
    machine.put("efi/EFI/Linux/odd.efi", "no image at all");
    // The kernel in it may be one that is installed, or was.
    machine.put("efi/EFI/Linux/mine.efi", unified("lazuli", "6.12.1-1.x86_64"));
    machine.put("efi/EFI/Linux/lazuli-1.0-mine.efi", unified("lazuli", "6.12.2-1.x86_64"));
    machine.put("efi/EFI/Linux/lazuli-1.0+3.efi", unified("other", "6.12.1-1.x86_64"));
    let theirs = [
        "loader/entries/lazuli-rescue.conf",
        "loader/entries/lazuli-rescue.conf.part",
        "loader/entries/lazuli-5.0-1.x86_64.conf",
    ];
    for path in theirs {
        machine.put(&format!("efi/{path}"), "title Rescue\nlinux /vmlinuz\n");
    }
    machine.put("efi/loader/entries/other.conf", "title Other\nlinux /lazuli/6.12.2-1.x86_64/linux.efi\n");
    machine.install("6.12.2-1.x86_64");
    machine.remove("6.12.1-1.x86_64");
    machine.update();
    let files = machine.files();
    let more = [
        "EFI/Linux/rescue.efi",
        "EFI/Linux/odd.efi",
        "EFI/Linux/mine.efi",
        "EFI/Linux/lazuli-1.0-mine.efi",
        "EFI/Linux/lazuli-1.0+3.efi",
        "loader/entries/other.conf",
        "loader/entries/lazuli-6.12.2-1.x86_64.conf",
    ];
    for file in more.into_iter().chain(theirs) {
        assert!(files.iter().any(|f| f == file), "{file}: {files:?}");
    }
    assert!(!files.iter().any(|f| f.ends_with(IMAGE)));
}

#[test]
fn without_any_kernel_nothing_is_taken_away() {
    let machine = Machine::new("6.12.1-1.x86_64");
    machine.install("6.12.2-1.x86_64");
    machine.update();
    machine.remove("6.12.1-1.x86_64");
    machine.remove("6.12.2-1.x86_64");
    assert_eq!(machine.update(), []);
    assert_eq!(machine.bootable().len(), 2);
}

#[test]
fn the_command_line_of_the_owner_counts_and_a_change_reaches_every_entry() {
    let machine = Machine::new("6.12.1-1.x86_64");
    machine.install("6.12.2-1.x86_64");
    machine.update();
    machine.put("etc/kernel/cmdline", "# mine\nroot=LABEL=root\n ro debug\n");
    assert_eq!(machine.update().len(), 1);
    let entry = fs::read_to_string(machine.esp().join("loader/entries/lazuli-6.12.2-1.x86_64.conf"));
    assert!(entry.expect("an entry").contains("options root=LABEL=root ro debug\n"));
    // Without root= the running kernel was not started from a disk; nothing else says how.
    fs::remove_file(machine.0.path().join("etc/kernel/cmdline")).expect("a file");
    machine.put("proc/cmdline", "console=ttyS0\n");
    let error = update(machine.0.path(), &machine.esp()).expect_err("no command line").to_string();
    assert!(error.contains("/etc/kernel/cmdline"), "{error}");
}

/// What was asked for once in the boot menu is not for ever, nor for all kernels.
#[test]
fn what_the_running_kernel_was_given_changes_no_entry_that_is_there() {
    let machine = Machine::new("6.12.1-1.x86_64");
    machine.install("6.12.2-1.x86_64");
    machine.update();
    machine.put("proc/cmdline", "root=PARTUUID=1 ro single\n");
    assert_eq!(machine.update(), []);
    // The rest of an entry is made anew all the same.
    machine.put("usr/lib/os-release", "ID=lazuli\nVERSION_ID=1.0\nPRETTY_NAME=\"Lazuli 1\"\n");
    assert_eq!(machine.update().len(), 1);
    let entry = fs::read_to_string(machine.esp().join("loader/entries/lazuli-6.12.2-1.x86_64.conf"));
    let entry = entry.expect("an entry");
    assert!(
        entry.contains("title Lazuli 1 (") && entry.contains("options root=PARTUUID=1 ro quiet\n"),
        "{entry}"
    );
}

/// A full partition is emptied of what is gone, once something that stays can be started.
#[test]
fn a_full_partition_is_emptied_first_if_something_starts() {
    const ROOM: u64 = 1 << 20;
    for startable in [true, false] {
        let machine = Machine::new("6.12.1-1.x86_64");
        machine.install("6.12.2-1.x86_64");
        machine.install("6.12.3-1.x86_64");
        machine.update();
        machine.remove("6.12.1-1.x86_64");
        machine.remove("6.12.2-1.x86_64");
        if !startable {
            machine.remove("6.12.3-1.x86_64");
        }
        machine.install("6.12.4-1.x86_64");
        let part = machine.esp().join("lazuli/6.12.2-1.x86_64/linux.part");
        machine.put("efi/lazuli/6.12.2-1.x86_64/linux.part", "half");
        let old = machine.esp().join("lazuli/6.12.2-1.x86_64/linux.efi");
        let state = scan(machine.0.path(), &machine.esp()).expect("a state");
        let steps = plan(&state);
        let mut asked = 0;
        let done = carry_out_within(machine.0.path(), &machine.esp(), &state, &steps, &mut || {
            asked += 1;
            assert!(fs::metadata(&part).is_err(), "what was left over counts as used");
            Ok(if fs::metadata(&old).is_ok() { 0 } else { ROOM })
        });
        if startable {
            done.expect("space enough in the end");
            assert_eq!(asked, 2);
            assert_eq!(machine.bootable(), ["6.12.3-1.x86_64", "6.12.4-1.x86_64"]);
        } else {
            assert!(matches!(done, Err(Error::Space { .. })), "{done:?}");
            assert_eq!(machine.bootable(), ["6.12.2-1.x86_64", "6.12.3-1.x86_64", IMAGE]);
        }
    }
    // What is gone is not enough.
    let machine = Machine::new("6.12.1-1.x86_64");
    machine.install("6.12.2-1.x86_64");
    let state = scan(machine.0.path(), &machine.esp()).expect("a state");
    let done = carry_out_within(machine.0.path(), &machine.esp(), &state, &plan(&state), &mut || Ok(0));
    let error = done.expect_err("no space").to_string();
    assert!(error.contains(" has 0 MiB left ") && error.contains(" needs 1 MiB;"), "{error}");
    assert_eq!(machine.bootable(), [IMAGE]);
}

#[test]
fn a_kernel_that_was_installed_again_with_other_bytes_is_copied_again() {
    let machine = Machine::new("6.12.1-1.x86_64");
    machine.install("6.12.2-1.x86_64");
    machine.update();
    machine.put("usr/lib/modules/6.12.2-1.x86_64/vmlinuz", "kernel other");
    assert_eq!(machine.update(), [Step::Copy { release: "6.12.2-1.x86_64".into(), size: 12 }]);
    assert_eq!(machine.bootable(), ["other", IMAGE]);
}

/// The power may go after any step, and in the middle of writing a file: something always starts, every entry that
/// is there has its kernel, and the next run finishes.
#[test]
fn every_step_leaves_a_system_that_starts() {
    let prepare = || {
        let machine = Machine::new("6.12.1-1.x86_64");
        machine.install("6.12.2-1.x86_64");
        machine.update();
        machine.remove("6.12.1-1.x86_64");
        machine.remove("6.12.2-1.x86_64");
        machine.install("6.12.3-1.x86_64");
        machine
    };
    let steps = plan(&scan(prepare().0.path(), &prepare().esp()).expect("a state"));
    assert_eq!(steps.len(), 5, "{steps:?}");
    for done in 0..=steps.len() {
        let machine = prepare();
        carry_out(machine.0.path(), &machine.esp(), &State::default(), &steps[..done]).expect("steps");
        machine.put("efi/lazuli/6.12.3-1.x86_64/linux.part", "ker");
        machine.put("efi/loader/entries/lazuli-6.12.3-1.x86_64.conf.part", "tit");
        assert!(!machine.bootable().is_empty(), "after {done} steps");
        machine.update();
        assert_eq!(machine.bootable(), ["6.12.3-1.x86_64"], "after {done} steps");
        assert_eq!(machine.files().len(), 2, "{:?}", machine.files());
    }
}

#[test]
fn names_that_are_no_releases_are_left_alone() {
    let machine = Machine::new("6.12.1-1.x86_64");
    for name in ["extra", "6.1 2", "6.12\nroot=x"] {
        machine.put(&format!("usr/lib/modules/{name}/vmlinuz"), "x");
    }
    assert_eq!(machine.update(), []);
}

#[test]
fn the_module_index_of_a_kernel_goes_with_it_and_nothing_else() {
    let machine = Machine::new("6.12.1-1.x86_64");
    machine.put("usr/lib/modules/6.12.1-1.x86_64/modules.dep", "");
    for file in ["modules.dep", "modules.alias.bin"] {
        machine.put(&format!("usr/lib/modules/6.12.2-1.x86_64/{file}"), "");
        machine.put(&format!("usr/lib/modules/6.12.3-1.x86_64/{file}"), "");
    }
    machine.put("usr/lib/modules/6.12.3-1.x86_64/extra/mine.ko", "of the owner");
    assert_eq!(lazuli_boot::modules::tidy(machine.0.path()).expect("tidy"), ["6.12.2-1.x86_64"]);
    let left = fs::read_dir(machine.0.path().join("usr/lib/modules")).expect("a folder");
    assert_eq!(left.len(), 2, "{left:?}");
}
