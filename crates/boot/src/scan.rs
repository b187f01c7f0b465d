//! Looking: which kernels there are, and what is on the EFI system partition.

use crate::{Error, Result, pe};
use lazuli_fs as fs;
use lazuli_layout::UkiName;
use lazuli_layout::esp as names;
use std::path::{Path, PathBuf};

/// Where kernels are copied to, below the EFI system partition.
pub const KERNELS: &str = "lazuli";
/// Where entries lie.
pub const ENTRIES: &str = "loader/entries";
/// What the names of our entries begin with.
pub const PREFIX: &str = "lazuli-";
/// How each of our entries begins.
pub const MADE: &str = "# Made by `lapis boot-entries`";
/// What a file is called while it is written.
pub const PART: &str = "part";
/// A unified kernel image or kernel that is larger is none.
const MAX_IMAGE: u64 = 512 << 20;

/// What is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Installed kernels.
    pub kernels: Vec<Kernel>,
    /// Entries of this crate.
    pub entries: Vec<Entry>,
    /// Releases of kernels on the EFI system partition, with or without entry.
    pub copies: Vec<String>,
    /// Unified kernel images.
    pub unified: Vec<Unified>,
    /// Left over from runs that were interrupted, relative to the EFI system partition.
    pub parts: Vec<PathBuf>,
    /// os-release's ID: the sort key.
    pub id: String,
    /// os-release's PRETTY_NAME.
    pub title: String,
    /// os-release's VERSION_ID.
    pub version: String,
    /// The command line of kernels.
    pub command_line: String,
    /// Whether that is only what the running kernel was given.
    pub of_running: bool,
}

impl State {
    /// Whether a unified kernel image is this system's own, by its name and by what is in it. Others may be
    /// somebody's rescue system, even with a kernel of ours.
    pub(crate) fn is_own(&self, image: &Unified) -> bool {
        let name = image.name.parse::<UkiName>();
        name.is_ok_and(|n| n.id == self.id && n.version == self.version)
            && image.id.as_ref() == Some(&self.id)
    }

    /// Whether this system's own image has the kernel.
    pub(crate) fn has_image_of(&self, release: &str) -> bool {
        self.unified.iter().any(|u| u.release.as_deref() == Some(release) && self.is_own(u))
    }
}

/// An installed kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// As `uname -r` says it.
    pub release: String,
    /// Whether the EFI system partition has the same bytes.
    pub copied: bool,
    /// Its length in bytes.
    pub size: u64,
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The release of its kernel.
    pub release: String,
    /// What it says.
    pub content: String,
}

/// A unified kernel image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unified {
    /// Its file name.
    pub name: String,
    /// The release of the kernel in it, if it says so.
    pub release: Option<String>,
    /// os-release's ID in it.
    pub id: Option<String>,
}

/// Looks at everything.
pub fn scan(root: &Path, esp: &Path) -> Result<State> {
    let (id, title, version) = os_release(root)?;
    let mut state = State { id, title, version, ..State::default() };
    for dir in list(&root.join("usr/lib/modules"))? {
        let (Some(release), path) = (name(&dir), dir.join("vmlinuz")) else { continue };
        if !is_release(&release) || !fs::metadata(&path).is_ok_and(|m| m.is_file()) {
            continue;
        }
        let linux = fs::read(&path)?;
        let copied = fs::read(esp.join(copy_of(&release))).is_ok_and(|there| there == linux);
        state.kernels.push(Kernel { release, copied, size: linux.len() as u64 });
    }
    for path in list(&esp.join(ENTRIES))? {
        let Some(file) = name(&path) else { continue };
        let Some(rest) = file.strip_prefix(PREFIX) else { continue };
        // Others may have files whose names begin like ours.
        let of = |suffix: &str| rest.strip_suffix(suffix).filter(|release| is_release(release));
        if let Some(release) = of(".conf") {
            let content = fs::read(&path)?;
            let content = String::from_utf8_lossy(&content).into_owned();
            if content.starts_with(MADE) {
                state.entries.push(Entry { release: release.to_owned(), content });
            }
        } else if of(&format!(".conf.{PART}")).is_some() {
            state.parts.push(Path::new(ENTRIES).join(file));
        }
    }
    for dir in list(&esp.join(KERNELS))? {
        let Some(release) = name(&dir).filter(|r| is_release(r)) else { continue };
        let part = copy_of(&release).with_extension(PART);
        if fs::metadata(esp.join(&part)).is_ok() {
            state.parts.push(part);
        }
        state.copies.push(release);
    }
    for path in list(&esp.join(names::UKI_DIRECTORY))? {
        let Some(name) = name(&path).filter(|n| n.to_ascii_lowercase().ends_with(".efi")) else { continue };
        let readable = fs::metadata(&path).is_ok_and(|m| m.len() <= MAX_IMAGE);
        let image = if readable { fs::read(&path)? } else { Vec::new() };
        let text = |section| {
            let text = String::from_utf8_lossy(pe::section(&image, section)?).into_owned();
            Some(text.trim_end_matches('\0').to_owned())
        };
        let id = text(b".osrel").and_then(|text| value(&text, "ID"));
        state.unified.push(Unified { name, release: text(b".uname"), id });
    }
    (state.command_line, state.of_running) = command_line(root)?;
    Ok(state)
}

/// The copy of a kernel, relative to the EFI system partition.
pub fn copy_of(release: &str) -> PathBuf {
    Path::new(KERNELS).join(release).join("linux.efi")
}

/// The entry of a kernel, relative to the EFI system partition.
pub fn entry_of(release: &str) -> PathBuf {
    Path::new(ENTRIES).join(format!("{PREFIX}{release}.conf"))
}

/// Whether a name can be a kernel's release, and can stand in a path of the boot loader and on FAT.
pub fn is_release(text: &str) -> bool {
    text.bytes().next().is_some_and(|b| b.is_ascii_digit())
        && text.len() <= 128
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+~^".contains(&b))
}

/// How kernels are started, the first of: `/etc/kernel/cmdline`, `/usr/lib/kernel/cmdline`, and what the
/// running kernel was given; and whether it is the last.
fn command_line(root: &Path) -> Result<(String, bool)> {
    for path in ["etc/kernel/cmdline", "usr/lib/kernel/cmdline", "proc/cmdline"] {
        let text = match fs::read_to_string(root.join(path)) {
            Ok(text) => text,
            Err(error) if error.is_not_found() => continue,
            Err(error) => return Err(error.into()),
        };
        let words: Vec<&str> = text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
            .flat_map(str::split_whitespace)
            .filter(|word| !word.starts_with("initrd=") && !word.starts_with("BOOT_IMAGE="))
            .collect();
        // Whatever is running was started somehow; that it was not from a disk is no reason to start nothing from one.
        let of_running = path == "proc/cmdline";
        if words.iter().any(|word| word.starts_with("root=")) || !of_running && !words.is_empty() {
            return Ok((words.join(" "), of_running));
        }
    }
    Err(Error::NoCommandLine)
}

fn os_release(root: &Path) -> Result<(String, String, String)> {
    let path = root.join("usr/lib/os-release");
    let text = fs::read_to_string(&path)?;
    let need = |key| {
        value(&text, key)
            .filter(|v| !v.is_empty())
            .ok_or_else(|| Error::OsRelease { path: path.clone(), key })
    };
    Ok((need("ID")?, need("PRETTY_NAME")?, need("VERSION_ID")?))
}

/// A value of os-release(5), without its quotes.
fn value(text: &str, key: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?.trim();
    let bare = |quote: char| value.strip_prefix(quote).and_then(|v| v.strip_suffix(quote));
    Some(bare('"').or_else(|| bare('\'')).unwrap_or(value).replace('\\', ""))
}

/// The last part of a path, if it is UTF-8.
pub fn name(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_str()?.to_owned())
}

/// What is in a directory; nothing if there is none.
pub fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    match fs::read_dir(dir) {
        Ok(paths) => Ok(paths),
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}
