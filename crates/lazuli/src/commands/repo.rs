//! `lazuli repo`: building, publishing, pruning and verifying package repositories.

use crate::cli::{RepoBuildArgs, RepoCommand, RepoPublishArgs};
use crate::commands::build::put_in_place;
use crate::errata::{self, Errata};
use crate::rpms::Rpm;
use crate::ui::say;
use crate::workspace::{Workspace, now};
use anyhow::{Context as _, Result};
use lazuli_component::lock::Lock;
use lazuli_repo::publish::{self, Keep, Publication};
use lazuli_repo::{Advisory, Detail, Href, Options, Package};
use lazuli_rpm::PackageFile;
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::path::Path;

const DAY: i64 = 86_400;

/// Runs it; says whether what was looked at is fine.
pub fn run(workspace: &Workspace, command: &RepoCommand) -> Result<bool> {
    match command {
        RepoCommand::Build(args) => build(workspace, args).map(|()| true),
        RepoCommand::Publish(args) => publish(workspace, args).map(|()| true),
        RepoCommand::Prune { dir, keep, days } => prune(workspace, dir, *keep, *days).map(|()| true),
        RepoCommand::Verify { dir } => verify(workspace, dir),
    }
}

/// A package with the file it is in and the component it comes from.
pub struct Made {
    /// The file in the store.
    pub rpm: Rpm,
    /// What its header says.
    pub package: Package,
}

/// The packages of all components, or those that these images need.
fn content(workspace: &Workspace, images: &[String]) -> Result<Vec<Made>> {
    // An image that does not exist is said before an hour of building.
    let images = images.iter().map(|name| workspace.image_spec(name)).collect::<Result<Vec<_>>>()?;
    let rpms = workspace.all_rpms()?;
    let located = |rpm: &Rpm| {
        let location = Href::new(&format!("packages/{}", rpm.file))?;
        Ok((workspace.store.path(&rpm.digest), location, Some(rpm.digest)))
    };
    let files = rpms.iter().map(located).collect::<Result<Vec<_>>>()?;
    let packages = lazuli_repo::describe_files(&files)?;
    let made: Vec<Made> =
        rpms.into_iter().zip(packages).map(|(rpm, package)| Made { rpm, package }).collect();
    if images.is_empty() {
        return Ok(made);
    }
    let packages: Vec<Package> = made.iter().map(|made| made.package.clone()).collect();
    let mut needed = BTreeSet::new();
    for image in &images {
        let request = lazuli_solve::Request {
            install: image.spec.packages.clone(),
            weak: image.spec.weak_dependencies,
            architecture: "x86_64".into(),
            ..lazuli_solve::Request::default()
        };
        let solution = lazuli_solve::solve(&packages, &request)
            .map_err(|error| anyhow::anyhow!("image `{}`: {error}", image.name))?;
        needed.extend(solution.packages.iter().map(|package| package.checksum));
    }
    Ok(made.into_iter().filter(|made| needed.contains(&made.package.checksum)).collect())
}

/// The advisories for what changed since the lock `old`, after those of `before`.
fn advisories(
    workspace: &Workspace,
    made: &[Made],
    old: Option<&Lock>,
    before: Vec<Advisory>,
) -> Result<Vec<Advisory>> {
    let own = Errata::read(&workspace.source)?;
    let mut found = Vec::new();
    if let Some(old) = old {
        let changes = errata::changes(workspace, old)?;
        found = errata::advisories(workspace, &own, &changes, made);
    }
    found.extend(own.advisories(workspace, made));
    Ok(errata::merge(before, found))
}

/// What the repository says about itself.
fn tags(workspace: &Workspace) -> (Vec<String>, Vec<(Option<String>, String)>) {
    let distro = &workspace.source.distro;
    let cpe = format!("cpe:/o:{0}:{0}:{1}", distro.id, distro.version);
    (vec!["binary-x86_64".into()], vec![(Some(cpe), format!("{} {}", distro.name, distro.version))])
}

fn build(workspace: &Workspace, args: &RepoBuildArgs) -> Result<()> {
    let old = args.since.as_deref().map(Lock::read).transpose()?;
    let made = content(workspace, &args.images)?;
    let advisories = advisories(workspace, &made, old.as_ref(), Vec::new())?;
    let parent = args.to.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    lazuli_fs::create_dir_all(parent)?;
    let scratch = tempfile::Builder::new()
        .prefix(".lazuli-repo-")
        .tempdir_in(parent)
        .with_context(|| format!("cannot create a temporary directory in {}", parent.display()))?;
    let fresh = scratch.path().join("repo");
    lazuli_fs::create_dir_all(fresh.join("packages"))?;
    made.par_iter().try_for_each(|made| {
        let target = fresh.join(made.package.location.as_str());
        lazuli_fs::copy(workspace.store.path(&made.rpm.digest), &target)?;
        lazuli_fs::set_mode(&target, 0o644)
    })?;
    let (content_tags, distro_tags) = tags(workspace);
    let described = advisories.len();
    // The lock's time, not this moment's: two builds of one lock are the same, byte for byte.
    let revision = workspace.epoch();
    let options = Options { revision, content_tags, distro_tags, advisories, ..Options::default() };
    let packages: Vec<Package> = made.into_iter().map(|made| made.package).collect();
    let signer = workspace.signer()?;
    lazuli_repo::write_repository(&fresh, &packages, &options, &signer)?;
    put_in_place(scratch.path(), &fresh, &args.to)?;
    say!(
        "{}: {} packages, {described} advisories, signed by {}",
        args.to.display(),
        packages.len(),
        signer.fingerprint()
    );
    Ok(())
}

fn publish(workspace: &Workspace, args: &RepoPublishArgs) -> Result<()> {
    let last = publish::current(&args.dir)?;
    let old = match (&args.since, last) {
        (Some(since), _) => Some(Lock::read(since)?),
        (None, Some(id)) => {
            let lock = args.dir.join(id.path()).join(publish::LOCK);
            if lock.is_file() { Some(Lock::read(&lock)?) } else { None }
        }
        (None, None) => None,
    };
    let before = match last {
        Some(id) => publish::advisories(&args.dir, id)?,
        None => Vec::new(),
    };
    let made = content(workspace, &args.images)?;
    let advisories = advisories(workspace, &made, old.as_ref(), before)?;
    let (content_tags, distro_tags) = tags(workspace);
    let described = advisories.len();
    // As building may have pinned something anew, the lock is read now.
    let lock = lazuli_fs::read_to_string(&workspace.lock_path)?;
    let publication = Publication {
        packages: made
            .into_iter()
            .map(|made| (made.package, workspace.store.path(&made.rpm.digest)))
            .collect(),
        advisories,
        content_tags,
        distro_tags,
        now: now(),
        lifetime: u64::from(args.expires) * DAY.unsigned_abs(),
        lock: Some(&lock),
    };
    let published = publish::publish(&args.dir, publication, &workspace.signer()?)?;
    if workspace.global.json {
        say!("{}", serde_json::to_string_pretty(&published)?);
    } else {
        say!(
            "{}: snapshot {}, {} packages ({} new), {described} advisories; publish again within {} days",
            args.dir.display(),
            published.snapshot,
            published.packages,
            published.added,
            args.expires
        );
    }
    Ok(())
}

fn prune(workspace: &Workspace, dir: &Path, count: usize, days: u32) -> Result<()> {
    let keep = Keep { count, since: now() - i64::from(days) * DAY };
    let pruned = publish::prune(dir, keep)?;
    if workspace.global.json {
        say!("{}", serde_json::to_string_pretty(&pruned)?);
    } else {
        say!(
            "{}: removed {} snapshots and {} packages ({})",
            dir.display(),
            pruned.snapshots.len(),
            pruned.packages,
            crate::ui::size(pruned.bytes)
        );
    }
    Ok(())
}

fn verify(workspace: &Workspace, dir: &Path) -> Result<bool> {
    let keys = workspace.keys.key_ring()?;
    let repository = lazuli_repo::read_directory(dir, &keys, Detail::Primary)?;
    let mut bad = 0;
    for package in &repository.packages {
        let path = dir.join(package.location.to_string());
        let verdict = lazuli_fs::read(&path).map_err(anyhow::Error::from).and_then(|bytes| {
            let digest = lazuli_store::Digest::of(&bytes);
            anyhow::ensure!(
                digest == package.checksum,
                "sha256 is {digest}, the metadata says {}",
                package.checksum
            );
            Ok(PackageFile::parse(&bytes)?.verify(&keys)?)
        });
        if let Err(error) = verdict {
            bad += 1;
            say!("{}: {error}", path.display());
        }
    }
    say!("{} packages, metadata signature and checksums good, {bad} packages bad", repository.packages.len());
    if repository.repomd.is_expired(now()) {
        say!("the metadata has expired; publish again");
        return Ok(false);
    }
    Ok(bad == 0)
}
