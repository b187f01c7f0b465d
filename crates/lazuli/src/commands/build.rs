//! `lazuli build`.

use crate::cli::BuildArgs;
use crate::images::export;
use crate::rpms::Rpm;
use crate::ui::{say, size};
use crate::workspace::Workspace;
use anyhow::{Context as _, Result};
use lazuli_image::Format;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What `lazuli build --json` prints.
#[derive(Serialize)]
struct Report {
    packages: Vec<Rpm>,
    images: Vec<ImageReport>,
}

#[derive(Serialize)]
struct ImageReport {
    name: String,
    packages: usize,
    command_line: String,
    files: Vec<FileReport>,
}

#[derive(Serialize)]
struct FileReport {
    path: PathBuf,
    format: String,
    bytes: u64,
    cached: bool,
}

/// `lazuli build`.
pub fn build(workspace: &Workspace, args: &BuildArgs) -> Result<()> {
    let formats = args.format.iter().map(|f| parse_format(f)).collect::<Result<Vec<_>>>()?;
    let mut report = Report { packages: Vec::new(), images: Vec::new() };
    if args.images.is_empty() {
        let repo = workspace.repository(workspace.all_rpms()?)?;
        copy_repo(&repo.dir, &args.output.join("repo"))?;
        report.packages = repo.rpms;
    }
    for name in &args.images {
        let built = workspace.build_image(name, &formats)?;
        let mut files = Vec::new();
        for file in &built.disk.files {
            let path = args.output.join(format!("{name}.{}", file.format.extension()));
            export(&file.path, &path)?;
            files.push(FileReport {
                path,
                format: file.format.extension().to_owned(),
                bytes: file.len,
                cached: file.cached,
            });
        }
        report.images.push(ImageReport {
            name: name.clone(),
            packages: built.packages.len(),
            command_line: built.disk.command_line,
            files,
        });
        report.packages = built.repo.rpms;
    }
    if workspace.global.json {
        say!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        summary(&report);
    }
    Ok(())
}

fn summary(report: &Report) {
    let made: Vec<&Rpm> = report.packages.iter().filter(|r| !r.cached).collect();
    let bytes: u64 = report.packages.iter().map(|r| r.size).sum();
    say!(
        "packages  {} ({}), {} built now, {} from cache",
        report.packages.len(),
        size(bytes),
        made.len(),
        report.packages.len() - made.len()
    );
    let mut slow: Vec<&&Rpm> = made.iter().filter(|r| r.millis >= 5000).collect();
    slow.sort_by_key(|r| std::cmp::Reverse(r.millis));
    for rpm in slow.iter().take(5) {
        say!("          {} took {:.0} s", rpm.component, rpm.millis as f64 / 1000.0);
    }
    for image in &report.images {
        say!("image     {} ({} packages)", image.name, image.packages);
        for file in &image.files {
            let when = if file.cached { "from cache" } else { "built now" };
            say!("          {} ({} when read in full, {when})", file.path.display(), size(file.bytes));
        }
    }
}

fn parse_format(text: &str) -> Result<Format> {
    [Format::Raw, Format::Qcow2, Format::Vhd]
        .into_iter()
        .find(|f| f.extension() == text)
        .with_context(|| format!("`{text}` is not a format; known: raw, qcow2, vhd"))
}

/// Copies a repository out of the store; what was at the place before is replaced as a whole.
fn copy_repo(from: &Path, to: &Path) -> Result<()> {
    let parent = to.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    lazuli_fs::create_dir_all(parent)?;
    // A name of its own for each run: several may write to one place at once.
    let scratch = tempfile::Builder::new()
        .prefix(".lazuli-repo-")
        .tempdir_in(parent)
        .with_context(|| format!("cannot create a temporary directory in {}", parent.display()))?;
    let fresh = scratch.path().join("repo");
    for dir in ["packages", "repodata"] {
        lazuli_fs::create_dir_all(fresh.join(dir))?;
        for file in lazuli_fs::read_dir(from.join(dir))? {
            let target = fresh.join(dir).join(file.file_name().unwrap_or_default());
            lazuli_fs::copy(&file, &target)?;
            lazuli_fs::set_mode(&target, 0o644)?;
        }
    }
    put_in_place(scratch.path(), &fresh, to)
}

/// Gives `fresh` the name `to`, whatever has that name now. `scratch` is a directory beside it for what is
/// moved away.
pub fn put_in_place(scratch: &Path, fresh: &Path, to: &Path) -> Result<()> {
    // The old directory is moved out of the way rather than emptied, so that a reader sees one or the
    // other; if another run was faster between the two steps, its result is moved away too.
    for attempt in 0..ATTEMPTS {
        let old = scratch.join(format!("old-{attempt}"));
        match lazuli_fs::rename(to, &old) {
            Err(error) if !error.is_not_found() => return Err(error.into()),
            _ => {}
        }
        match lazuli_fs::rename(fresh, to) {
            Ok(()) => return Ok(()),
            Err(error) if attempt + 1 == ATTEMPTS => return Err(error.into()),
            Err(_) => {}
        }
    }
    Ok(())
}

/// How often a repository is put into place while others do the same.
const ATTEMPTS: usize = 20;
