//! `lazuli build`.

use crate::cli::BuildArgs;
use crate::images::{Built, export};
use crate::rpms::Rpm;
use crate::ui::{say, size};
use crate::workspace::Workspace;
use anyhow::{Context as _, Result};
use lazuli_image::Format;
use lazuli_layout::Architecture;
use lazuli_release::publisher::Release;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What `lazuli build --json` prints.
#[derive(Serialize)]
struct Report {
    packages: Vec<Rpm>,
    images: Vec<ImageReport>,
}

/// What was written of one image.
#[derive(Serialize)]
pub struct ImageReport {
    name: String,
    packages: usize,
    command_line: String,
    files: Vec<FileReport>,
    /// The directory that `lazuli update publish` takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    update: Option<PathBuf>,
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
        let mut written = write(&built, name, &args.output)?;
        if args.update {
            written.update = Some(update(&built, name, &args.output)?);
        }
        report.images.push(written);
        report.packages = built.repo.rpms;
    }
    if workspace.global.json {
        say!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        summary(&report);
    }
    Ok(())
}

/// Writes the files of an image into a directory.
pub fn write(built: &Built, name: &str, output: &Path) -> Result<ImageReport> {
    let mut files = Vec::new();
    for file in &built.disk.files {
        let path = output.join(format!("{name}.{}", file.format.extension()));
        export(&file.path, &path)?;
        files.push(FileReport {
            path,
            format: file.format.extension().to_owned(),
            bytes: file.len,
            cached: file.cached,
        });
    }
    Ok(ImageReport {
        name: name.to_owned(),
        packages: built.packages.len(),
        command_line: built.disk.command_line.clone(),
        files,
        update: None,
    })
}

/// Writes what an update to an image consists of, for `lazuli update publish`; its description comes last.
fn update(built: &Built, name: &str, output: &Path) -> Result<PathBuf> {
    let release =
        built.disk.release.as_ref().with_context(|| {
            format!("--update: the image `{name}` has no slots; it is updated by packages")
        })?;
    let dir = output.join(format!("{name}-{}", release.version));
    let described = Release {
        product: release.product.clone(),
        version: release.version.parse()?,
        architecture: Architecture::X86_64,
        minimum_version: built.minimum_version.parse()?,
        root: "root.erofs".into(),
        uki: release.uki_name.to_string().into(),
        uki_file: release.uki_name.to_string(),
        systemd_boot: Some("systemd-bootx64.efi".into()),
    };
    export(&release.root.file, &dir.join(&described.root))?;
    export(&release.uki, &dir.join(&described.uki))?;
    if let Some(path) = &described.systemd_boot {
        export(&release.systemd_boot, &dir.join(path))?;
    }
    let text = serde_json::to_vec_pretty(&described)?;
    lazuli_fs::write_atomic(dir.join(Release::FILE), text, 0o644)?;
    Ok(dir)
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
    report.images.iter().for_each(ImageReport::show);
}

impl ImageReport {
    /// Says what was written.
    pub fn show(&self) {
        say!("image     {} ({} packages)", self.name, self.packages);
        for file in &self.files {
            let when = if file.cached { "from cache" } else { "built now" };
            say!("          {} ({} when read in full, {when})", file.path.display(), size(file.bytes));
        }
        if let Some(dir) = &self.update {
            say!("          {} (for `lazuli update publish`)", dir.display());
        }
    }
}

/// A format by its name.
pub fn parse_format(text: &str) -> Result<Format> {
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
