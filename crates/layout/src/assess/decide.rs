//! What follows from an event.

use super::{Content, Effect, Event, Image, ImageId, Standing, System};
use crate::Slot;

/// Why an event has no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The running image has not proved itself.
    #[error(
        "the running version {0} is still on trial: the other slot holds the only image that is known to work; wait until it is blessed, or roll back"
    )]
    OnTrial(String),
    /// The running slot is not one that can be vouched for.
    #[error(
        "the running slot {0} has no entry that boots it again; restore EFI/Linux before anything is updated"
    )]
    NoEntry(Slot),
    /// The image was given up before.
    #[error(
        "version {version} was given up on this machine: {reason}; `lazuli-update forget {id}` lets it be taken again"
    )]
    Failed {
        /// The image.
        id: ImageId,
        /// Its version.
        version: String,
        /// Why.
        reason: String,
    },
    /// Nothing to do.
    #[error("version {0} is running already")]
    Running(String),
    /// Entries are told by version.
    #[error("another image of version {0} is running; a release needs a version of its own")]
    SameVersion(String),
    /// The image is there, as the one before.
    #[error(
        "version {0} is in the other slot and proved itself before; `lazuli-update rollback` returns to it"
    )]
    Previous(String),
    /// It waits for a reboot.
    #[error("version {0} is applied already; it is tried at the next boot")]
    Pending(String),
    /// Apply without stage.
    #[error("version {0} is not staged in the other slot")]
    NotStaged(String),
    /// There is no way back.
    #[error("there is nothing to go back to: the other slot holds no image that proved itself")]
    NothingBefore,
    /// Nothing to give up.
    #[error("nothing is staged or applied in the other slot")]
    NothingStaged,
    /// Nothing to forget.
    #[error("image {0} was never given up")]
    NotFailed(ImageId),
}

/// The machine after an event, if everything goes well, and what must be done for that.
///
/// # Errors
///
/// Why nothing is to be done. The machine stays as it is.
pub fn step(system: System, event: &Event) -> Result<(System, Vec<Effect>), Refusal> {
    let effects = effects(&system, event)?;
    let after = effects.iter().fold(system, System::after);
    Ok((after, effects))
}

fn effects(system: &System, event: &Event) -> Result<Vec<Effect>, Refusal> {
    let running = system.running;
    let other = running.other();
    match event {
        Event::Boot => Ok(boot(system)),
        Event::Stage(image) => stage(system, image),
        Event::Apply(image) => {
            may_take(system, image)?;
            match (system.slot(other).image(), system.standing(other)) {
                (Some(found), Standing::Staged) if found == image => Ok(vec![
                    Effect::Verify { slot: other, image: image.clone() },
                    Effect::Install { slot: other, image: image.clone() },
                ]),
                (Some(found), Standing::Trial) if found == image => {
                    Err(Refusal::Pending(image.version.clone()))
                }
                _ => Err(Refusal::NotStaged(image.version.clone())),
            }
        }
        // Only a trial ends by this. Of a blessed image it is no news.
        Event::Healthy => Ok(match system.standing(running) {
            Standing::Trial => vec![Effect::Bless { slot: running }],
            _ => Vec::new(),
        }),
        Event::Unhealthy(reason) => Ok(match (system.standing(running), system.slot(running).image()) {
            (Standing::Trial, Some(image)) => vec![
                Effect::Note { id: image.id, reason: reason.clone() },
                Effect::Reboot { reason: reason.clone() },
            ],
            _ => Vec::new(),
        }),
        Event::Rollback => {
            if system.standing(other) != Standing::Blessed {
                return Err(Refusal::NothingBefore);
            }
            let Some(image) = system.slot(running).image() else {
                return Err(Refusal::NoEntry(running));
            };
            let reason = "rolled back by hand".to_owned();
            // The name first: it alone decides what starts, and says so by itself if the power goes here.
            let mut effects = Vec::new();
            if system.slot(running).entry.is_some() {
                effects.push(Effect::Demote { slot: running });
            }
            effects.push(Effect::Remember { image: image.clone(), reason: reason.clone() });
            effects.push(Effect::Reboot { reason });
            Ok(effects)
        }
        Event::Abandon => {
            vouched(system)?;
            match system.standing(other) {
                Standing::Partial | Standing::Staged | Standing::Trial => {
                    Ok(vec![Effect::RemoveEntry { slot: other }, Effect::Clear { slot: other }])
                }
                Standing::Empty | Standing::Failed | Standing::Blessed => Err(Refusal::NothingStaged),
            }
        }
        Event::Forget(id) => {
            let there = system.slot(other).image().is_some_and(|image| image.id == *id)
                && system.standing(other) == Standing::Failed;
            if !there && !system.memory.failed.contains_key(id) {
                return Err(Refusal::NotFailed(*id));
            }
            let mut effects = Vec::new();
            if there {
                // Its name says that it failed, too.
                vouched(system)?;
                effects.push(Effect::RemoveEntry { slot: other });
            }
            effects.push(Effect::Forget { id: *id });
            Ok(effects)
        }
    }
}

/// The other image used up its tries, and nobody has taken note.
fn boot(system: &System) -> Vec<Effect> {
    let other = system.running.other();
    let mut effects = Vec::new();
    if system.standing(other) == Standing::Failed
        && let Some(image) = system.slot(other).image()
        && !system.memory.failed.contains_key(&image.id)
    {
        let reason = match &system.memory.note {
            Some((id, reason)) if *id == image.id => reason.clone(),
            _ => "it did not come up within its tries".to_owned(),
        };
        effects.push(Effect::Remember { image: image.clone(), reason });
    }
    effects
}

/// Whether the running image would start again whatever happens to the other slot.
fn vouched(system: &System) -> Result<(), Refusal> {
    match (system.standing(system.running), system.slot(system.running).image()) {
        (Standing::Blessed, _) => Ok(()),
        (Standing::Trial, Some(image)) => Err(Refusal::OnTrial(image.version.clone())),
        _ => Err(Refusal::NoEntry(system.running)),
    }
}

/// Whether an image may be taken at all.
fn may_take(system: &System, image: &Image) -> Result<(), Refusal> {
    vouched(system)?;
    let other = system.running.other();
    if let Some(failure) = system.memory.failed.get(&image.id) {
        return Err(Refusal::Failed {
            id: image.id,
            version: image.version.clone(),
            reason: failure.reason.clone(),
        });
    }
    if let Some(running) = system.slot(system.running).image() {
        if running.id == image.id {
            return Err(Refusal::Running(image.version.clone()));
        }
        if running.version == image.version {
            return Err(Refusal::SameVersion(image.version.clone()));
        }
    }
    if system.slot(other).image().is_some_and(|found| found.id == image.id) {
        match system.standing(other) {
            Standing::Failed => {
                return Err(Refusal::Failed {
                    id: image.id,
                    version: image.version.clone(),
                    reason: "it used up its tries".to_owned(),
                });
            }
            Standing::Blessed => return Err(Refusal::Previous(image.version.clone())),
            _ => {}
        }
    }
    Ok(())
}

fn stage(system: &System, image: &Image) -> Result<Vec<Effect>, Refusal> {
    may_take(system, image)?;
    let slot = system.running.other();
    let found = system.slot(slot);
    if found.image() == Some(image) {
        return match system.standing(slot) {
            Standing::Trial => Err(Refusal::Pending(image.version.clone())),
            // It is there: nothing to write.
            _ => Ok(Vec::new()),
        };
    }
    let mut effects = Vec::new();
    // Also for a slot without one that this code knows of: an entry of that version may have been left over.
    effects.push(Effect::RemoveEntry { slot });
    if found.content != (Content::Partial { version: image.version.clone() }) {
        effects.push(Effect::Invalidate { slot, image: image.clone() });
    }
    effects.push(Effect::Write { slot, image: image.clone() });
    effects.push(Effect::Verify { slot, image: image.clone() });
    effects.push(Effect::Stamp { slot, image: image.clone() });
    Ok(effects)
}
