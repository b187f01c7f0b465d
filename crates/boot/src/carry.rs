//! Doing: the steps of a plan, each one flushed before the next begins.

use crate::scan::{KERNELS, PART, State, copy_of, entry_of};
use crate::{Error, Result, Step};
use lazuli_fs as fs;
use lazuli_fs::Context as _;
use lazuli_layout::esp as names;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// What directories and rounding may take beside a file.
const SLACK: u64 = 64 << 10;
const MIB: u64 = 1 << 20;

/// Carries out `steps` on the EFI system partition `esp`, after a [`plan`](crate::plan()) from `state`.
pub fn carry_out(root: &Path, esp: &Path, state: &State, steps: &[Step]) -> Result<()> {
    carry_out_within(root, esp, state, steps, &mut || available(esp))
}

/// The same with another way to ask how many bytes are free.
pub fn carry_out_within(
    root: &Path,
    esp: &Path,
    state: &State,
    steps: &[Step],
    available: &mut dyn FnMut() -> Result<u64>,
) -> Result<()> {
    // What was left over takes space, and nothing needs it.
    let (tidy, rest): (Vec<&Step>, Vec<&Step>) = steps.iter().partition(|s| matches!(s, Step::Tidy(_)));
    for step in tidy {
        one(root, esp, step)?;
    }
    let (needed, free) = (needed(&rest), available()?);
    let Some((release, needed)) = needed else { return all(root, esp, &rest) };
    let too_little = |available| Error::Space {
        esp: esp.to_owned(),
        release: release.to_owned(),
        needed: needed.div_ceil(MIB),
        available: available / MIB,
    };
    if free >= needed {
        return all(root, esp, &rest);
    }
    // What goes away goes last, because something has to start all the time; unless there is no other way, and
    // something that stays starts already.
    if !startable(state) {
        return Err(too_little(free));
    }
    let (out, new): (Vec<&Step>, Vec<&Step>) = rest.into_iter().partition(|s| s.takes_away());
    all(root, esp, &out)?;
    let free = available()?;
    if free < needed {
        return Err(too_little(free));
    }
    all(root, esp, &new)
}

fn all(root: &Path, esp: &Path, steps: &[&Step]) -> Result<()> {
    steps.iter().try_for_each(|step| one(root, esp, step))
}

fn one(root: &Path, esp: &Path, step: &Step) -> Result<()> {
    match step {
        Step::Tidy(path) => remove(&esp.join(path))?,
        Step::Copy { release, .. } => {
            let linux = fs::read(root.join("usr/lib/modules").join(release).join("vmlinuz"))?;
            write(&esp.join(copy_of(release)), &linux)?;
        }
        Step::Write { release, content } => write(&esp.join(entry_of(release)), content.as_bytes())?,
        Step::RemoveEntry { release } => remove(&esp.join(entry_of(release)))?,
        Step::RemoveUnified { name } => remove(&esp.join(names::UKI_DIRECTORY).join(name))?,
        Step::RemoveCopy { release } => {
            remove(&esp.join(copy_of(release)))?;
            // Somebody else's files in it are no reason to fail.
            let _ = rustix::fs::rmdir(esp.join(KERNELS).join(release));
        }
    }
    flush(esp)
}

/// Whether an installed kernel can be started as things are, without anything that is to go.
fn startable(state: &State) -> bool {
    state.kernels.iter().any(|kernel| {
        let entry = state.entries.iter().any(|e| e.release == kernel.release);
        kernel.copied && entry || state.has_image_of(&kernel.release)
    })
}

/// What all copies need, and the last one's release; nothing if there are none.
fn needed<'a>(steps: &[&'a Step]) -> Option<(&'a str, u64)> {
    steps.iter().fold(None, |sum: Option<(&str, u64)>, step| match step {
        Step::Copy { release, size } => Some((release, sum.map_or(0, |(_, sum)| sum) + size + SLACK)),
        _ => sum,
    })
}

fn available(esp: &Path) -> Result<u64> {
    let stat = rustix::fs::statvfs(esp).at("ask for the free space of", esp)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Writes a file under another name, flushes and renames it.
fn write(path: &Path, content: &[u8]) -> Result<()> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(dir)?;
    let part: PathBuf = match path.extension() {
        // The boot loader must not take an unfinished entry for an entry.
        Some(extension) if extension == "conf" => path.with_extension(format!("conf.{PART}")),
        _ => path.with_extension(PART),
    };
    let mut file = fs::create(&part)?;
    file.write_all(content).at("write", &part)?;
    file.sync_all().at("flush", &part)?;
    drop(file);
    fs::rename(&part, path)?;
    Ok(fs::sync_dir(dir)?)
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if !error.is_not_found() => Err(error.into()),
        _ => Ok(()),
    }
}

fn flush(esp: &Path) -> Result<()> {
    Ok(rustix::fs::syncfs(fs::open(esp)?).at("flush", esp)?)
}
