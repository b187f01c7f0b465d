//! `lazuli update`: publishing releases of images, and the keys that hosts trust.

use crate::cli::{UpdateCommand, UpdatePublishArgs, UpdateRepository, UpdateRotateArgs};
use crate::ui::say;
use crate::update_keys;
use crate::workspace::now;
use anyhow::{Context as _, Result, bail};
use lazuli_component::keys::Keys;
use lazuli_fs as fs;
use lazuli_layout::Architecture;
use lazuli_release::key::Key;
use lazuli_release::publisher::{Publisher, Release, Roles, Settings, plan_name, time};
use lazuli_rollout::Plan;
use std::path::{Path, PathBuf};

/// Runs it; says whether nothing is left to do.
pub fn run(command: &UpdateCommand, json: bool) -> Result<bool> {
    match command {
        UpdateCommand::Rollout(args) => super::rollout::run(args, json).map(|()| true),
        UpdateCommand::Publish(args) => publish(args).map(|()| true),
        UpdateCommand::Root(args) => root(args).map(|()| true),
        UpdateCommand::Rotate(args) => rotate(args),
        UpdateCommand::Refresh { repository, timestamp } => {
            let place = Place::open(repository)?;
            if *timestamp {
                place.publisher.refresh_timestamp(&place.roles)?;
            } else {
                place.publisher.refresh(&place.roles)?;
            }
            Ok(true)
        }
        UpdateCommand::Withdraw { repository, manifest } => {
            let place = Place::open(repository)?;
            place.publisher.withdraw(manifest, &place.roles)?;
            Ok(true)
        }
    }
}

/// A repository with its keys.
struct Place {
    publisher: Publisher,
    roles: Roles,
    keys: PathBuf,
}

impl Place {
    fn open(args: &UpdateRepository) -> Result<Self> {
        let keys = match &args.keys {
            Some(dir) => dir.clone(),
            None => update_keys::directory(&Keys::discover()?),
        };
        let roles = update_keys::roles(&keys)?;
        let mut publisher = Publisher::new(&args.to, Key::load_all(&keys)?, time(now())?);
        let anchor = update_keys::anchor_path(&keys);
        if anchor.exists() {
            publisher =
                publisher.anchored(&fs::read(&anchor)?).with_context(|| anchor.display().to_string())?;
        }
        Ok(Self { publisher, roles, keys })
    }
}

/// Makes development keys that are not there, and an empty repository that images of these keys trust.
fn root(args: &UpdateRepository) -> Result<()> {
    let keys = Place::open(args)?.keys;
    let anchor = update_keys::anchor(&keys)?;
    let place = Place::open(args)?;
    place.publisher.create_from(&anchor, &place.roles)?;
    say!("images built with these keys trust it; others by {}", update_keys::anchor_path(&keys).display());
    Ok(())
}

/// New root metadata; says whether it is in its place.
fn rotate(args: &UpdateRotateArgs) -> Result<bool> {
    let place = Place::open(&args.repository)?;
    let publisher = &place.publisher;
    if let Some(path) = &args.unsigned {
        let (version, bytes, signed) = publisher.pending_root()?;
        fs::write(path, bytes)?;
        say!("{} are the bytes of root metadata {version} to sign", path.display());
        say!("signed by: {}", if signed.is_empty() { "nobody".to_owned() } else { signed.join(", ") });
        return Ok(true);
    }
    if let Some(text) = &args.attach {
        let (key, path) = text.split_once('=').context("--attach wants KEY=FILE")?;
        publisher.attach(key, fs::read(path)?)?;
    }
    if args.attach.is_none() && !args.commit {
        let done = publisher.rotate(&place.roles)?;
        if done {
            update_keys::store_anchor(&place.keys, publisher)?;
        } else {
            say!("more signatures are needed: see --unsigned and --attach, then --commit");
        }
        return Ok(done);
    }
    if args.commit {
        publisher.commit_root()?;
        publisher.refresh(&place.roles)?;
        update_keys::store_anchor(&place.keys, publisher)?;
    }
    Ok(true)
}

fn publish(args: &UpdatePublishArgs) -> Result<()> {
    let place = Place::open(&args.repository)?;
    if args.images.is_empty() && args.plan.is_empty() {
        bail!("name at least one image, a directory with a {}, or a --plan", Release::FILE);
    }
    let releases = args.images.iter().map(|dir| Release::load(dir)).collect::<Result<Vec<_>, _>>()?;
    // With the release, in one write: there is no moment in which hosts find it without its plan.
    let plans = args.plan.iter().map(|path| read_plan(path)).collect::<Result<Vec<_>>>()?;
    let settings = Settings { recipes: args.recipes, level: args.level, ..Settings::default() };
    for manifest in place.publisher.publish_with(&releases, &plans, &place.roles, &settings)? {
        say!(
            "{} {}: {} bytes as full image, {} recipes",
            manifest.product,
            manifest.version,
            manifest.full.image.size,
            manifest.recipes.len()
        );
        for recipe in &manifest.recipes {
            say!("  {}: {} bytes", recipe.target.name, recipe.target.size);
        }
    }
    Ok(())
}

/// A rollout plan as the target that hosts look for.
fn read_plan(path: &Path) -> Result<(String, Vec<u8>)> {
    let bytes = fs::read(path)?;
    let plan = Plan::from_json(&bytes).with_context(|| path.display().to_string())?;
    let release = plan.release();
    let version = release.version().parse().with_context(|| path.display().to_string())?;
    Ok((plan_name(release.product(), Architecture::X86_64, &version), plan.to_json()?))
}
