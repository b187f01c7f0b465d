//! Releases of a repository: followed, compared with the rollout plan, and written by the way with the fewest bytes.
//!
//! A release is taken only if its manifest is signed; when, its plan says, a signed file beside it
//! ([`lazuli_release::publisher::plan_name`]). A release without a plan may be taken by everybody at once.

use crate::host::Host;
use crate::identity::{ARCHITECTURE, Identity};
use crate::{Error, Offer, Result};
use lazuli_delta::choose::Way;
use lazuli_delta::{Held, ReadAt, WriteAt};
use lazuli_fetch::Options;
use lazuli_layout::assess::{Content, Image, ImageId, Standing, System};
use lazuli_layout::manifest::{MAX_EFI, Manifest};
use lazuli_layout::{UkiName, Version};
use lazuli_release::client::{self, Catalogue, Client};
use lazuli_release::update::{self, Base, Plan as Route};
use lazuli_release::{Origin, publisher};
use lazuli_rollout::{
    Explanation, Plan, Schedule, Seconds, Share, Situation, Stage as Wave, Standing as Known, Time, explain,
};
use lazuli_slots::{Release, Source, Stage, UkiFile};
use lazuli_verity::Salt;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// The largest rollout plan that is read, in bytes.
const MAX_PLAN: u64 = 64 << 10;

/// A repository as this machine follows it.
#[derive(Debug)]
pub struct Repository {
    client: Client,
    identity: Identity,
    running: Version,
    schedule: Schedule,
}

/// A release that is newer than what runs, and what becomes of it here.
#[derive(Debug)]
pub struct Candidate {
    /// What it is.
    pub manifest: Manifest,
    /// When it may be taken, and why.
    pub explanation: Explanation,
}

impl Candidate {
    /// Its image.
    pub fn image(&self) -> Image {
        Image {
            id: ImageId::from_bytes(self.manifest.root.root_hash.0),
            version: self.manifest.version.to_string(),
        }
    }
}

/// What a repository has.
#[derive(Debug)]
pub struct Offered {
    catalogue: Catalogue,
    /// Releases that are newer than what runs, the newest first.
    pub candidates: Vec<Candidate>,
}

impl Repository {
    /// The one in a folder (a USB stick), else the one that the settings name; `None` if they name none.
    pub fn open(host: &mut Host, from: Option<&Path>) -> Result<Option<Self>> {
        let settings = host.settings().clone();
        let place = match from {
            Some(folder) => {
                let folder = std::path::absolute(folder)
                    .map_err(|e| lazuli_fs::Error::new("find the absolute path of", folder, e))?;
                folder.to_str().map(str::to_owned).ok_or_else(|| Error::Folder {
                    path: folder.display().to_string(),
                    reason: "its path is not UTF-8".to_owned(),
                })?
            }
            None => match &settings.address {
                Some(address) => address.clone(),
                None => return Ok(None),
            },
        };
        let options = Options { connection: settings.connection.servers(), ..Options::default() };
        let identity = Identity::load(host.root(), &settings)?;
        let running = host.running()?.image.version;
        let running: Version = running
            .parse()
            .map_err(|e| Error::Settings { path: "the running slot".to_owned(), reason: format!("{e}") })?;
        let who = client::Host {
            product: identity.product.clone(),
            architecture: ARCHITECTURE,
            running: running.clone(),
            minimum: identity.minimum()?,
        };
        let client = Client::new(Origin::new(&place, options)?, &host.folder(), identity.anchor()?, who);
        let schedule = Schedule::new(settings.schedule.clone())?;
        Ok(Some(Self { client, identity, running, schedule }))
    }

    /// When to ask and when to disturb.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Who asks.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Fetches and verifies the metadata, and judges every newer release.
    pub fn refresh(&self, system: &System, now: Time) -> Result<Offered> {
        let catalogue = self.client.refresh()?;
        let minimum = self.client.minimum()?;
        let (mut candidates, mut unreadable) = (Vec::new(), None);
        for version in catalogue.versions().into_iter().rev().filter(|version| *version > self.running) {
            if version < minimum {
                continue;
            }
            // What is signed and written for newer programs leaves the way to it open: a release in between.
            let (manifest, plan) = match self.described(&catalogue, &version) {
                Ok(described) => described,
                Err(error @ (Error::Release(lazuli_release::Error::Manifest(_)) | Error::Plan { .. })) => {
                    tracing::warn!(%version, %error, "it is passed over");
                    unreadable.get_or_insert(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let standing = known(system, &ImageId::from_bytes(manifest.root.root_hash.0));
            let situation = Situation {
                now,
                host: self.identity.host()?,
                plan: &plan,
                schedule: &self.schedule,
                standing,
            };
            candidates.push(Candidate { manifest, explanation: explain(&situation) });
        }
        if let (true, Some(error)) = (candidates.is_empty(), unreadable) {
            return Err(error);
        }
        // Nothing newer, and what there is must not be older than what may run: a repository that was reset is named.
        if candidates.is_empty() {
            catalogue.newest()?;
        }
        Ok(Offered { catalogue, candidates })
    }

    /// What the publisher says of an image that lies in the other slot: why it must not be started, if so.
    pub fn withdrawn(&self, offered: &Offered, version: &str) -> Result<Option<String>> {
        let Ok(version) = version.parse::<Version>() else { return Ok(None) };
        if version <= self.running {
            return Ok(None);
        }
        if !offered.catalogue.versions().contains(&version) {
            return Ok(Some("the repository has it no more".to_owned()));
        }
        let plan = match self.plan(&offered.catalogue, &version) {
            // Written for newer programs, perhaps to withdraw it: what cannot be read does not speak for an image.
            Err(Error::Plan { reason, .. }) => return Ok(Some(format!("its plan cannot be read: {reason}"))),
            plan => plan?,
        };
        match plan.state() {
            lazuli_rollout::State::Withdrawn { reason, .. } => Ok(Some(reason.clone())),
            _ => Ok(None),
        }
    }

    fn described(&self, catalogue: &Catalogue, version: &Version) -> Result<(Manifest, Plan)> {
        Ok((catalogue.manifest(version)?, self.plan(catalogue, version)?))
    }

    fn plan(&self, catalogue: &Catalogue, version: &Version) -> Result<Plan> {
        let name = publisher::plan_name(&self.identity.product, ARCHITECTURE, version);
        let release = self.identity.release(version.as_str())?;
        let wrong = |reason: String| Error::Plan { name: name.clone(), reason };
        let Some(bytes) = catalogue.file(&name, MAX_PLAN)? else {
            let all = Wave::new(Share::percent(100), Seconds::ZERO, Seconds::ZERO);
            return Plan::timetable(release, Time::from_unix(0), vec![all]).map_err(|e| wrong(e.to_string()));
        };
        let plan = Plan::from_json(&bytes).map_err(|e| wrong(e.to_string()))?;
        if *plan.release() == release {
            return Ok(plan);
        }
        Err(wrong(format!("it is the plan of {}", plan.release())))
    }
}

/// What the slots and the memory say of an image.
fn known(system: &System, image: &ImageId) -> Known {
    let other = system.running.other();
    let there = system.slot(other).image().is_some_and(|found| found.id == *image);
    if let Some(failure) = system.memory.failed.get(image) {
        return Known::Failed { reason: failure.reason.clone() };
    }
    match system.standing(other) {
        Standing::Failed if there => Known::Failed { reason: "it used up its tries".to_owned() },
        Standing::Trial if there => Known::Staged,
        _ => Known::Offered,
    }
}

impl Offered {
    /// A release as the engine takes it, without a way to it yet: to apply what is staged.
    pub fn offer<'a>(&'a self, host: &Host, candidate: &'a Candidate) -> Result<Remote<'a>> {
        let manifest = &candidate.manifest;
        let image = candidate.image();
        let wrong = |reason: String| Error::Plan { name: manifest.target_name(), reason };
        let name = UkiName { id: host.settings().id.clone(), version: image.version.clone(), counter: None };
        if manifest.uki.file != name.to_string() {
            return Err(wrong(format!("its UKI is called {}, and {name} here", manifest.uki.file)));
        }
        let salt = Salt::from_bytes(manifest.root.salt.0.to_vec())
            .ok_or_else(|| wrong("its salt is too long".to_owned()))?;
        let uki = UkiFile { size: manifest.uki.target.size, sha256: manifest.uki.target.sha256.0 };
        Ok(Remote {
            release: Release { image, blocks: manifest.root.blocks, salt, uki },
            content: Fetched {
                catalogue: &self.catalogue,
                manifest,
                route: None,
                held: Held::Nothing,
                failure: None,
            },
        })
    }

    /// Finds the way with the fewest bytes to a release. Small parts are fetched for it.
    pub fn route<'a>(&'a self, host: &mut Host, candidate: &'a Candidate) -> Result<Remote<'a>> {
        let mut remote = self.offer(host, candidate)?;
        let (system, _) = host.survey()?;
        let partial = Content::Partial { version: remote.release.image.version.clone() };
        if system.slot(system.running.other()).content == partial {
            remote.content.held = Held::Something;
        }
        let running = host.running()?;
        let base = Base {
            root_hash: *running.image.id.as_bytes(),
            blocks: running.blocks,
            leaves: &|| host.leaves(&running),
        };
        let route = match update::plan(&self.catalogue, &candidate.manifest, Some(&base)) {
            // What the cheap way needs is not what was signed; the full image does not need it.
            Err(error) if error.refusal().is_some() => {
                tracing::warn!(%error, "the full image is taken");
                update::plan_full(&self.catalogue, &candidate.manifest)?
            }
            route => route?,
        };
        remote.content.route = Some(route);
        Ok(remote)
    }
}

/// A release of a repository, and the way to it.
#[derive(Debug)]
pub struct Remote<'a> {
    release: Release,
    content: Fetched<'a>,
}

#[derive(Debug)]
struct Fetched<'a> {
    catalogue: &'a Catalogue,
    manifest: &'a Manifest,
    /// `None`: not looked for.
    route: Option<Route>,
    held: Held,
    /// What the engine hears of in words only.
    failure: Option<lazuli_release::Error>,
}

impl Remote<'_> {
    /// How it will be fetched, if that was looked for.
    pub fn route(&self) -> Option<&Route> {
        self.content.route.as_ref()
    }

    /// Bytes that are fetched beside the root image.
    pub fn uki(&self) -> u64 {
        self.release.uki.size
    }

    /// What went wrong with the repository while it was written, if anything did.
    pub fn failure(&mut self) -> Option<lazuli_release::Error> {
        self.content.failure.take()
    }

    /// Takes the full image instead, if there is anything left that could be done better that way.
    pub fn fall_back(&mut self) -> Result<bool> {
        if self.route().is_none_or(|route| route.way == Way::Full) {
            return Ok(false);
        }
        self.content.route = Some(update::plan_full(self.content.catalogue, self.content.manifest)?);
        self.content.held = Held::Something;
        Ok(true)
    }
}

impl Offer for Remote<'_> {
    fn release(&self) -> &Release {
        &self.release
    }

    fn source(&mut self) -> &mut dyn Source {
        &mut self.content
    }
}

impl Fetched<'_> {
    fn write(&mut self, stage: &mut Stage<'_>) -> std::result::Result<(), lazuli_release::Error> {
        let stage = Mutex::new(stage);
        let (old, slot) = (Old(&stage), Slot(&stage));
        let mut route = match self.route.take() {
            Some(route) => route,
            None => update::plan_full(self.catalogue, self.manifest)?,
        };
        if self.held == Held::Something {
            // It only saves bytes.
            if let Err(error) = route.resume(self.catalogue, self.manifest, &slot) {
                tracing::warn!(%error, "what is there already is not looked at");
            }
        }
        let report = route.run(self.catalogue, &old, &slot, self.held);
        let route = self.route.insert(route);
        let report = report?;
        tracing::info!(way = %route.way, report.written, report.kept, report.skipped_parts, "fetched");
        Ok(())
    }
}

impl Source for Fetched<'_> {
    fn data(&mut self, stage: &mut Stage<'_>) -> lazuli_slots::Result<()> {
        self.write(stage).map_err(|error| {
            let detail = error.to_string();
            self.failure = Some(error);
            lazuli_slots::Error::Source { what: "the image".to_owned(), detail }
        })
    }

    fn uki(&mut self) -> lazuli_slots::Result<Box<dyn Read + '_>> {
        match self.catalogue.read(&self.manifest.uki.target, MAX_EFI) {
            Ok(bytes) => Ok(Box::new(io::Cursor::new(bytes))),
            Err(error) => {
                let detail = error.to_string();
                self.failure = Some(error);
                Err(lazuli_slots::Error::Source { what: "the unified kernel image".to_owned(), detail })
            }
        }
    }
}

/// The slot that is written; threads take turns.
struct Slot<'a, 'b, 'c>(&'a Mutex<&'b mut Stage<'c>>);
/// The running slot.
struct Old<'a, 'b, 'c>(&'a Mutex<&'b mut Stage<'c>>);

impl ReadAt for Old<'_, '_, '_> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let stage = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stage.read_running(offset, buffer).map_err(io::Error::other)
    }
}

impl ReadAt for Slot<'_, '_, '_> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let stage = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stage.read_at(offset, buffer).map_err(io::Error::other)
    }
}

impl WriteAt for Slot<'_, '_, '_> {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut stage = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stage.write_at(offset, bytes).map_err(io::Error::other)
    }
}
