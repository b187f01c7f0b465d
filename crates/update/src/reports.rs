//! Reports: what became of a release, told to the collector that the settings name.
//!
//! A report is in the outbox, on the disk, before the restart that it announces; it is sent by whichever system comes up.
//! Nothing here stands in the way of an update: what fails is logged.

use crate::identity::Identity;
use crate::settings::Settings;
use lazuli_layout::Slot;
use lazuli_layout::assess::{Effect, System};
use lazuli_rollout::client::{Delivery, Endpoint, deliver_in_background};
use lazuli_rollout::outbox::{Outbox, OutboxError};
use lazuli_rollout::report::{Cause, Obstacle, Outcome};
use lazuli_rollout::{Report, Time};
use lazuli_slots::Performed;
use std::path::Path;
use std::thread::JoinHandle;

/// The outbox within the updater's folder.
const OUTBOX: &str = "outbox";

fn outbox(folder: &Path) -> Outbox {
    Outbox::new(folder.join(OUTBOX))
}

/// What effects mean to the collector: the version that they are about, and what became of it.
fn outcomes(performed: &Performed) -> Vec<(String, Outcome)> {
    let version = |slot: Slot| performed.system.slot(slot).image().map(|image| image.version.clone());
    let outcome = |effect: &Effect| match effect {
        Effect::Install { image, .. } => Some((image.version.clone(), Outcome::Updated {})),
        Effect::Bless { slot } => Some((version(*slot)?, Outcome::Healthy {})),
        Effect::Remember { image, reason } => {
            let cause = match reason.as_str() {
                "rolled back by hand" => Cause::Operator,
                "it did not come up within its tries" => Cause::Boot,
                _ => Cause::Health,
            };
            let outcome = Outcome::RolledBack { cause, detail: reason.clone() };
            Some((image.version.clone(), outcome))
        }
        _ => None,
    };
    performed.effects.iter().filter_map(outcome).collect()
}

/// The version beside the one that a report is about.
fn from(system: &System, about: &str) -> Option<String> {
    let images = [system.running, system.running.other()].map(|slot| system.slot(slot).image());
    images.into_iter().flatten().map(|image| image.version.clone()).find(|version| version != about)
}

/// Puts into the outbox what was done.
pub fn keep(folder: &Path, identity: &Identity, performed: &Performed) {
    for (version, outcome) in outcomes(performed) {
        put(folder, identity, &version, from(&performed.system, &version).as_deref(), outcome);
    }
}

/// Puts into the outbox that a release could not be brought into the slot.
pub fn keep_failure(folder: &Path, identity: &Identity, version: &str, from: &str, error: &crate::Error) {
    let outcome = Outcome::Failed { cause: obstacle(error), detail: error.to_string() };
    put(folder, identity, version, Some(from), outcome);
}

fn put(folder: &Path, identity: &Identity, version: &str, from: Option<&str>, outcome: Outcome) {
    let report = identity
        .host()
        .and_then(|host| Ok(Report::new(host, identity.release(version)?, from, Time::now(), outcome)));
    let kept = report
        .map_err(|error| error.to_string())
        .and_then(|report| outbox(folder).put(&report).map_err(|error| error.to_string()));
    if let Err(error) = kept {
        tracing::warn!(error, "a report is lost");
    }
}

/// What an error means to a collector.
fn obstacle(error: &crate::Error) -> Obstacle {
    match error {
        crate::Error::Release(error) if error.refusal().is_some() => Obstacle::Verification,
        crate::Error::Release(lazuli_release::Error::Fetch(_)) => Obstacle::Download,
        crate::Error::Slots(error) => match error {
            lazuli_slots::Error::EspFull { .. } | lazuli_slots::Error::TooLarge { .. } => Obstacle::Space,
            lazuli_slots::Error::ReadBack { .. } | lazuli_slots::Error::Fs(_) => Obstacle::Disk,
            lazuli_slots::Error::Source { .. } => Obstacle::Download,
            _ => Obstacle::Other,
        },
        _ => Obstacle::Other,
    }
}

/// A delivery under way.
pub type Sending = JoinHandle<Result<Delivery, OutboxError>>;

/// Begins to send what waits, if the settings say where to.
pub fn send(folder: &Path, settings: &Settings) -> Option<Sending> {
    let url = settings.reports.as_ref()?;
    let endpoint = Endpoint { connection: settings.connection.servers(), ..Endpoint::new(url) };
    match deliver_in_background(outbox(folder), endpoint) {
        Ok(sending) => Some(sending),
        Err(error) => {
            tracing::warn!(%error, "reports are not sent");
            None
        }
    }
}

/// Waits for a delivery, which ends by itself within its limit.
pub fn finish(sending: Option<Sending>) {
    let Some(sending) = sending else { return };
    match sending.join() {
        Ok(Ok(Delivery { error: None, sent, .. })) => tracing::debug!(sent, "reports"),
        Ok(Ok(Delivery { error: Some(error), kept, dropped, .. })) => {
            tracing::warn!(%error, kept, dropped, "reports are not sent");
        }
        Ok(Err(error)) => tracing::warn!(%error, "reports are not sent"),
        Err(_) => tracing::warn!("reports are not sent"),
    }
}

/// How many reports wait.
pub fn waiting(folder: &Path) -> usize {
    outbox(folder).waiting().map_or(0, |waiting| waiting.len())
}
