//! What happens without somebody asking for it: `lazuli-update run`, which a timer starts every few minutes.
//!
//! ```text
//! not due ── nothing          due: at this host's own second of each `check-every`, and when its turn or window comes
//! due ─┬─ send reports
//!      ├─ fetch and verify the metadata
//!      ├─ what lies in the other slot was withdrawn ── discard it
//!      └─ the newest release whose turn it is ── stage it ── fetch the metadata again ── still its turn? ── apply, restart
//! ```
//!
//! The metadata is fetched right before each step that cannot be taken back, so that a hold or withdrawal stops all
//! machines but those between that and the write.

use crate::host::{Host, Place};
use crate::remote::{Candidate, Offered, Repository};
use crate::settings::{Automatic, Settings};
use crate::{Error, Offer as _, Result, reports};
use lazuli_layout::assess::{Event, Standing, System};
use lazuli_rollout::{Time, Verdict};
use lazuli_slots::Performed;
use std::path::Path;

/// When to look again, below the root: seconds since 1970. Gone with the next boot, which therefore looks.
const NEXT: &str = "run/lazuli/update-next";

/// What became of a run.
#[derive(Debug, PartialEq, Eq)]
pub enum Ran {
    /// Nothing was to be done, for this reason.
    Nothing(String),
    /// This version was staged, and is to be applied by somebody.
    Staged(String),
    /// This version is tried at the next boot, which is due.
    Applied(String),
}

/// One run.
pub fn run(place: &Place, now: Time, force: bool) -> Result<Ran> {
    let settings = Settings::load(&place.root)?;
    if settings.address.is_none() {
        return Ok(Ran::Nothing("no `address` is set: see /etc/lazuli/update.toml".to_owned()));
    }
    let next = place.root.join(NEXT);
    if !force && now < due(&next, now) {
        return Ok(Ran::Nothing("it is not time yet".to_owned()));
    }
    if settings.automatic == Automatic::Off {
        return Ok(Ran::Nothing("`automatic` is \"off\"".to_owned()));
    }
    let mut host = Host::open_locked(place)?;
    let sending = reports::send(&host.folder(), &settings);
    let mut again = None;
    let ran = attempt(&mut host, &settings, now, &mut again);
    // Also after an error: a server that is down is not asked every few minutes by everybody.
    let again = again.unwrap_or_else(|| Time::from_unix(now.unix() + 3600));
    if let Err(error) = lazuli_fs::write(&next, again.unix().to_string()) {
        tracing::warn!(%error, "the next run looks again");
    }
    // A collector that does not answer keeps nobody else waiting.
    drop(host);
    reports::finish(sending);
    ran
}

/// When to look again. A file that cannot be read, and a time that is far off because the clock was changed, say at once.
fn due(path: &Path, now: Time) -> Time {
    let text = lazuli_fs::read_to_string(path).unwrap_or_default();
    let time = text.trim().parse().map_or(now, Time::from_unix);
    // No interval is longer than a week (`lazuli_rollout::Settings::check_every`).
    if time.unix() - now.unix() > 7 * 86_400 { now } else { time }
}

fn attempt(host: &mut Host, settings: &Settings, now: Time, again: &mut Option<Time>) -> Result<Ran> {
    let Some(repository) = Repository::open(host, None)? else {
        return Ok(Ran::Nothing("no `address` is set".to_owned()));
    };
    let me = repository.identity().host()?;
    *again = Some(repository.schedule().next_check(me, now));
    let (system, memory) = host.survey()?;
    if let Some(error) = memory {
        return Err(error.into());
    }
    if system.standing(system.running) != Standing::Blessed {
        return Ok(Ran::Nothing("the running image has not proved itself yet".to_owned()));
    }
    let offered = repository.refresh(&system, now)?;
    discard_withdrawn(host, &repository, &offered)?;
    let Some(candidate) = due_now(&offered) else {
        // The earliest moment at which something becomes possible, if that is before the next check.
        for candidate in &offered.candidates {
            if let Verdict::Later { at } = candidate.explanation.verdict {
                *again = again.map(|time| time.min(at));
            }
        }
        let why = offered.candidates.first().map(|newest| newest.explanation.text.clone());
        return Ok(Ran::Nothing(why.unwrap_or_else(|| "there is nothing newer".to_owned())));
    };
    let version = candidate.manifest.version.to_string();
    if settings.automatic == Automatic::Check {
        return Ok(Ran::Nothing(format!("{}; `automatic` is \"check\"", candidate.explanation.text)));
    }
    stage(host, &repository, &offered, candidate)?;
    if settings.automatic == Automatic::Stage {
        return Ok(Ran::Staged(version));
    }
    // It took a while: ask again whether it is still wanted.
    let (system, _) = host.survey()?;
    let offered = repository.refresh(&system, Time::now().max(now))?;
    discard_withdrawn(host, &repository, &offered)?;
    let still = offered.candidates.iter().find(|candidate| candidate.manifest.version.as_str() == version);
    match still {
        Some(candidate) if candidate.explanation.verdict == (Verdict::Now {}) => {
            host.apply(&mut offered.offer(host, candidate)?)?;
            Ok(Ran::Applied(version))
        }
        Some(candidate) => Ok(Ran::Nothing(candidate.explanation.text.clone())),
        None => Ok(Ran::Nothing(format!("version {version} was withdrawn while it was staged"))),
    }
}

/// The newest release that may be taken now.
pub fn due_now(offered: &Offered) -> Option<&Candidate> {
    // A release that waits for its restart stands before all that are older.
    offered
        .candidates
        .iter()
        .take_while(|candidate| candidate.explanation.verdict != (Verdict::Done {}))
        .find(|candidate| candidate.explanation.verdict == (Verdict::Now {}))
}

/// Discards what lies in the other slot if the publisher wants no machine to start it.
pub fn discard_withdrawn(host: &mut Host, repository: &Repository, offered: &Offered) -> Result<()> {
    let (system, _) = host.survey()?;
    let Some(version) = waiting(&system) else { return Ok(()) };
    if let Some(reason) = repository.withdrawn(offered, &version)? {
        tracing::warn!(version, reason, "it was withdrawn and is discarded");
        host.perform(&Event::Abandon)?;
    }
    Ok(())
}

/// The version that lies in the other slot and was never started.
fn waiting(system: &System) -> Option<String> {
    let other = system.running.other();
    match system.standing(other) {
        Standing::Staged | Standing::Trial => system.slot(other).image().map(|image| image.version.clone()),
        _ => None,
    }
}

/// Stages a release: by the cheapest way, and if that ends in another image, by the full one. A failure is reported.
pub fn stage(
    host: &mut Host,
    repository: &Repository,
    offered: &Offered,
    candidate: &Candidate,
) -> Result<Performed> {
    let result = stage_unreported(host, offered, candidate);
    if let Err(error) = &result
        && !matches!(error, Error::Slots(lazuli_slots::Error::Refused(_)))
    {
        let from = host.running().map(|running| running.image.version).unwrap_or_default();
        let version = candidate.manifest.version.as_str();
        reports::keep_failure(&host.folder(), repository.identity(), version, &from, error);
    }
    result
}

fn stage_unreported(host: &mut Host, offered: &Offered, candidate: &Candidate) -> Result<Performed> {
    let mut offer = offered.route(host, candidate)?;
    tracing::info!(version = %offer.release().image.version, way = ?offer.route().map(|route| route.way), "stage");
    match host.stage(&mut offer) {
        Err(Error::Slots(error)) if wrong_content(&error) => {
            let failure = offer.failure();
            // A network or disk that fails is not helped by fetching more; another image than the signed one is.
            let other = failure.as_ref().is_none_or(|failure| failure.refusal().is_some());
            if !other || !offer.fall_back()? {
                return Err(failure.map_or(Error::Slots(error), Error::Release));
            }
            tracing::warn!(%error, "it is fetched as a whole instead");
            host.stage(&mut offer).map_err(|error| offer.failure().map_or(error, Error::Release))
        }
        other => other,
    }
}

/// Whether other bytes than the right ones came.
fn wrong_content(error: &lazuli_slots::Error) -> bool {
    matches!(error, lazuli_slots::Error::Source { .. } | lazuli_slots::Error::ReadBack { .. })
}
