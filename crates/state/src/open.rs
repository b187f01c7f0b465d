//! The state partition: found, made if it is new, unlocked if it is encrypted, checked if it was not unmounted in order,
//! and mounted on `/var`, with what the image has there and the partition lacks.
//!
//! A partition without any content gets a file system; one with content is never made anew. What a first boot was cut
//! at is told by marks, not guessed: an encrypted partition is labelled `state-new` until its file system is whole, and a
//! file system without any superblock, not even a backup, was never whole. With the setting `tpm2` (the credential
//! `lazuli.state-encryption`, or `/usr/lib/lazuli/state-encryption` in the image) a new one is encrypted with a key that only
//! this machine's TPM gives out, and only while Secure Boot trusts the same keys (PCR 7); a plain one is refused then, and
//! so is a machine without Secure Boot.
//!
//! Order on the disk: mke2fs writes the superblocks last and everything is flushed before the label of an encrypted
//! partition loses its `-new`.

use crate::content::{self, Content, Ext4};
use crate::disk::{self, LABEL};
use crate::error::{Error, Result, refuse};
use crate::{fill, tool};
use lazuli_fs as fs;
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, mount};
use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

const VAR: &str = "/var";
/// Leads to the device that is mounted.
const LINK: &str = "/run/lazuli/state";
/// An encrypted partition that has no whole file system yet.
const UNFINISHED: &str = "state-new";
/// An opened one.
const MAPPED: &str = "/dev/mapper/state";
/// So many bytes behind the partition are worth growing it for. Less is what alignment and the second table take.
const ROOM: u64 = 2 << 20;
/// What can be written to cannot be executed; the exec guard says the same.
const FLAGS: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// Whether a new partition is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encryption {
    None,
    Tpm2,
}

/// What is to be done with a partition before its file system is looked at.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    /// It is the device.
    Plain,
    /// It is unlocked.
    Unlock,
    /// It is encrypted, unlocked, and gets a file system. `wipe`: what is on it is the rest of a first boot that was cut.
    Encrypt { wipe: bool },
}

/// The whole step.
pub fn open() -> Result<()> {
    rustix::process::umask(Mode::from_raw_mode(0o022));
    if fs::metadata(VAR)?.dev() != fs::metadata("/")?.dev() {
        // Somebody started the unit again.
        return Ok(());
    }
    fs::create_dir_all("/run/lazuli")?;
    let partition = disk::find(Path::new("/sys"), &disk::root_number()?)?;
    if partition.free_behind >= ROOM {
        let arguments = ["--dry-run=no", "--definitions=/usr/lib/lazuli/repart.d"].map(OsStr::new);
        if let Err(error) = tool::must("systemd-repart", &arguments) {
            eprintln!("<4>state: {} keeps its size: {error}", partition.device.display());
        }
    }
    let (device, found) = ready(&partition.device, wanted()?)?;
    let _old = fs::remove_file(LINK);
    fs::symlink(disk::node_of(Path::new("/sys"), &device)?, LINK)?;

    // The directory of the image, which is covered in a moment.
    let image = rustix::fs::open(VAR, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(Error::system("open", VAR))?;
    let mounted = mount(&device, VAR, "ext4", FLAGS, c"errors=remount-ro");
    if mounted.is_err() && found.clean {
        // It said that it was clean.
        check(&device)?;
        mount(&device, VAR, "ext4", FLAGS, c"errors=remount-ro").map_err(Error::system("mount", &device))?;
    } else {
        mounted.map_err(Error::system("mount", &device))?;
    }
    if content::size(&device)?.saturating_sub(found.size) >= 1 << 20
        && let Err(error) = tool::must("/usr/lib/systemd/systemd-growfs", &[OsStr::new(VAR)])
    {
        eprintln!("<4>state: {VAR} keeps its size: {error}");
    }
    // What cannot be filled in (the partition is full, say) is no reason to leave the machine without its state.
    let image = format!("/proc/self/fd/{}", image.as_raw_fd());
    fill::fill(Path::new(&image), Path::new(VAR), &mut |path, error| {
        eprintln!("<3>state: {}: what the image has there is missing: {error}", path.display());
    });
    Ok(())
}

/// What the machine is told about encryption.
fn wanted() -> Result<Encryption> {
    let credential = std::env::var_os("CREDENTIALS_DIRECTORY")
        .map(|directory| PathBuf::from(directory).join("lazuli.state-encryption"));
    for setting in credential.into_iter().chain([PathBuf::from("/usr/lib/lazuli/state-encryption")]) {
        match fs::read_to_string(setting) {
            Ok(text) => return encryption(text.trim_end_matches('\n')),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Encryption::None)
}

fn encryption(text: &str) -> Result<Encryption> {
    match text {
        "none" => Ok(Encryption::None),
        "tpm2" => Ok(Encryption::Tpm2),
        _ => refuse(format!("state-encryption: '{text}' is neither none nor tpm2")),
    }
}

/// What a partition with this content is treated like.
fn plan(partition: &Path, found: &Content, wanted: Encryption) -> Result<Plan> {
    match (found, wanted) {
        (Content::Luks(label), Encryption::Tpm2) if label == UNFINISHED => Ok(Plan::Encrypt { wipe: true }),
        (Content::Luks(label), Encryption::None) if label == UNFINISHED => refuse(format!(
            "{}: its first boot was cut while it was encrypted, and nothing says that it is to be encrypted now; set \
             the credential lazuli.state-encryption again, or wipe it",
            partition.display()
        )),
        (Content::Luks(_), _) => Ok(Plan::Unlock),
        (Content::Nothing, Encryption::Tpm2) => Ok(Plan::Encrypt { wipe: false }),
        (other, Encryption::Tpm2) => refuse(format!(
            "state-encryption is tpm2, and {} has {} in plain text",
            partition.display(),
            other.name()
        )),
        (_, Encryption::None) => Ok(Plan::Plain),
    }
}

/// Makes, unlocks and checks what has to be; the device to mount, and its file system.
fn ready(partition: &Path, wanted: Encryption) -> Result<(PathBuf, Ext4)> {
    let found = content::look(partition)?;
    match plan(partition, &found, wanted)? {
        Plan::Plain => whole(partition, found, true).map(|made| (partition.to_owned(), made)),
        Plan::Unlock => {
            unlock(partition)?;
            let device = PathBuf::from(MAPPED);
            let found = content::look(&device)?;
            whole(&device, found, false).map(|made| (device, made))
        }
        Plan::Encrypt { wipe } => {
            // Before anything is wiped: the mark of an unfinished one must not get lost in a refusal.
            can_seal(Path::new("/sys"))?;
            if wipe {
                println!(
                    "state: a first boot was cut before {} had a file system; it is made anew",
                    partition.display()
                );
                tool::must("wipefs", &["-q".as_ref(), "-a".as_ref(), partition.as_ref()])?;
            } else if has_backup(partition)? {
                return refuse(format!(
                    "state-encryption is tpm2, and {} has a damaged ext4 in plain text",
                    partition.display()
                ));
            }
            encrypt(partition)?;
            unlock(partition)?;
            // Nobody looks at what is on it: the key is new, so that is noise, in which anything may be found.
            let device = PathBuf::from(MAPPED);
            let made = make(&device)?;
            // The last step: from now on it is not made anew.
            tool::must(
                "cryptsetup",
                &["config".as_ref(), partition.as_ref(), "--label".as_ref(), LABEL.as_ref()],
            )?;
            Ok((device, made))
        }
    }
}

/// Makes a device have a whole file system, if it may be made anew or can be repaired.
fn whole(device: &Path, found: Content, may_be_new: bool) -> Result<Ext4> {
    match found {
        Content::Ext4(found) if found.clean => Ok(found),
        Content::Ext4(_) => check(device),
        // A torn superblock is replaced by its backup.
        Content::Nothing if has_backup(device)? => check(device),
        Content::Nothing if may_be_new => make(device),
        Content::Nothing => refuse(format!("{} is neither new nor ext4", device.display())),
        other => refuse(format!("{} has {} and not ext4", device.display(), other.name())),
    }
}

/// Makes a file system. Its block size decides where the first backup of the superblock is.
fn make(device: &Path) -> Result<Ext4> {
    let options = ["-q", "-b", "4096", "-L", LABEL, "-E", "lazy_itable_init=1,discard"].map(OsStr::new);
    tool::must("mkfs.ext4", &[&options[..], &[device.as_ref()]].concat())?;
    rustix::fs::sync();
    told(device)
}

/// Whether there is an ext4 whose superblock a power cut tore.
fn has_backup(device: &Path) -> Result<bool> {
    // It complains where there is none, which is the usual case.
    let options = ["-h", "-o", "superblock=32768", "-o", "blocksize=4096"].map(OsStr::new);
    tool::quiet("dumpe2fs", &[&options[..], &[device.as_ref()]].concat()).map(|status| status == 0)
}

/// Repairs in passing what can be.
fn check(device: &Path) -> Result<Ext4> {
    // 0: clean; 1: repaired; anything else needs a person.
    match tool::status("fsck.ext4", &["-p".as_ref(), device.as_ref()])? {
        0 | 1 => told(device),
        status => refuse(format!(
            "{0}: fsck.ext4 ended with status {status}; start the entry for recovery and run `fsck.ext4 {0}`",
            device.display()
        )),
    }
}

/// What the superblock says that was just made or repaired.
fn told(device: &Path) -> Result<Ext4> {
    match content::look(device)? {
        Content::Ext4(found) => Ok(Ext4 { clean: false, ..found }),
        other => refuse(format!("{} has {} and not ext4", device.display(), other.name())),
    }
}

fn unlock(partition: &Path) -> Result<()> {
    let arguments: [&OsStr; 5] = [
        "attach".as_ref(),
        LABEL.as_ref(),
        partition.as_ref(),
        "-".as_ref(),
        "tpm2-device=auto,headless=true,discard".as_ref(),
    ];
    match tool::status("systemd-cryptsetup", &arguments)? {
        0 => Ok(()),
        _ => refuse(format!(
            "{}: the TPM does not give out its key; another machine, or Secure Boot trusts other keys now",
            partition.display()
        )),
    }
}

/// Whether a key that is bound to PCR 7 is worth anything. Without Secure Boot any system measures the same, and an empty
/// register is what any system has.
fn can_seal(sys: &Path) -> Result<()> {
    let tpm = sys.join("class/tpm/tpm0");
    if !tpm.exists() {
        return refuse("state-encryption is tpm2, and there is no TPM");
    }
    // Four bytes of attributes, then the variable.
    let secure = sys.join("firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c");
    if fs::read(secure).unwrap_or_default().get(4) != Some(&1) {
        return refuse("state-encryption is tpm2, and Secure Boot is off: any system would get the key");
    }
    let register = fs::read_to_string(tpm.join("pcr-sha256/7")).unwrap_or_default();
    if register.trim().bytes().all(|digit| digit == b'0') {
        return refuse("state-encryption is tpm2, and the firmware measured nothing into PCR 7");
    }
    Ok(())
}

fn encrypt(partition: &Path) -> Result<()> {
    // The first key never leaves memory, and is gone when the TPM has one.
    let key = FirstKey::make()?;
    let file = key.0.as_os_str();
    let format = ["luksFormat", "--batch-mode", "--type", "luks2", "--label", UNFINISHED].map(OsStr::new);
    let derivation = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--key-file"].map(OsStr::new);
    tool::must("cryptsetup", &[&format[..], &derivation[..], &[file, partition.as_ref()]].concat())?;
    let mut unlock = OsStr::new("--unlock-key-file=").to_owned();
    unlock.push(file);
    let seal = ["--tpm2-device=auto", "--tpm2-pcrs=7", "--wipe-slot=password"].map(OsStr::new);
    tool::must("systemd-cryptenroll", &[&[unlock.as_os_str()], &seal[..], &[partition.as_ref()]].concat())
}

/// A file with a random key, removed when it is dropped.
struct FirstKey(PathBuf);

impl FirstKey {
    fn make() -> Result<Self> {
        let path = PathBuf::from("/run/lazuli/state-key");
        let _old = fs::remove_file(&path);
        let mut bytes = [0; 64];
        fs::open("/dev/urandom")?
            .read_exact(&mut bytes)
            .map_err(|source| fs::Error::new("read", "/dev/urandom", source))?;
        let mut file = fs::create_new(&path, 0o600)?;
        let key = Self(path);
        file.write_all(&bytes).map_err(|source| fs::Error::new("write", &key.0, source))?;
        Ok(key)
    }
}

impl Drop for FirstKey {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_or_was_cut_is_encrypted() {
        use Encryption::{None, Tpm2};
        let partition = Path::new("/dev/vda6");
        let of = |found: &Content, wanted| plan(partition, found, wanted).map_err(|error| error.to_string());
        let (cut, locked) = (Content::Luks(UNFINISHED.into()), Content::Luks(LABEL.into()));
        let ext4 = Content::Ext4(Ext4::default());
        assert_eq!(of(&Content::Nothing, Tpm2), Ok(Plan::Encrypt { wipe: false }));
        assert_eq!(of(&cut, Tpm2), Ok(Plan::Encrypt { wipe: true }));
        assert_eq!(of(&locked, Tpm2), Ok(Plan::Unlock));
        assert_eq!(of(&locked, None), Ok(Plan::Unlock), "the setting is needed once");
        assert_eq!(of(&Content::Nothing, None), Ok(Plan::Plain));
        assert_eq!(of(&ext4, None), Ok(Plan::Plain));
        assert!(of(&ext4, Tpm2).unwrap_err().contains("/dev/vda6 has ext4 in plain text"));
        assert!(of(&Content::Other("xfs".into()), Tpm2).unwrap_err().contains("xfs in plain text"));
        assert!(of(&cut, None).unwrap_err().contains("first boot was cut"));
    }

    #[test]
    fn settings_of_encryption_are_two_words() {
        assert_eq!(encryption("none").unwrap(), Encryption::None);
        assert_eq!(encryption("tpm2").unwrap(), Encryption::Tpm2);
        assert!(encryption("TPM2").unwrap_err().to_string().contains("'TPM2' is neither"));
    }

    #[test]
    fn a_key_is_sealed_only_where_that_protects_it() {
        let sys = tempfile::tempdir().unwrap();
        let why = || can_seal(sys.path()).map_err(|error| error.to_string());
        assert!(why().unwrap_err().contains("no TPM"));
        let registers = sys.path().join("class/tpm/tpm0/pcr-sha256");
        fs::create_dir_all(&registers).unwrap();
        let variables = sys.path().join("firmware/efi/efivars");
        fs::create_dir_all(&variables).unwrap();
        let variable = variables.join("SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c");
        assert!(why().unwrap_err().contains("Secure Boot is off"), "no variable");
        fs::write(&variable, [6, 0, 0, 0, 0]).unwrap();
        assert!(why().unwrap_err().contains("Secure Boot is off"));
        fs::write(&variable, [6, 0, 0, 0, 1]).unwrap();
        assert!(why().unwrap_err().contains("nothing into PCR 7"), "no register");
        fs::write(registers.join("7"), format!("{:064}\n", 0)).unwrap();
        assert!(why().unwrap_err().contains("nothing into PCR 7"));
        fs::write(registers.join("7"), format!("{:063}a\n", 0)).unwrap();
        assert_eq!(why(), Ok(()));
    }

    #[test]
    fn what_is_neither_new_nor_ext4_is_left_alone() {
        let device = Path::new("/dev/mapper/state");
        let other = whole(device, Content::Other("vfat".into()), true).unwrap_err().to_string();
        assert!(other.contains("has vfat and not ext4"), "{other}");
        let clean = Ext4 { clean: true, size: 1 };
        assert_eq!(whole(device, Content::Ext4(clean), false).unwrap(), clean);
    }
}
