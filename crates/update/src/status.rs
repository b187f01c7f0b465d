//! `lazuli-update status`: what is in the slots, for people and programs.

use lazuli_layout::Slot;
use lazuli_layout::assess::{Content, Entry, ImageId, Standing, System};
use serde::Serialize;
use std::fmt;

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// The slot that runs.
    pub running: SlotStatus,
    /// The other one.
    pub other: SlotStatus,
    /// The version that the next boot tries, if it is not the running one.
    pub next: Option<String>,
    /// Images that are not taken again.
    pub failed: Vec<Failed>,
    /// Why no update is taken, if none is.
    pub blocked: Option<String>,
}

/// A slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SlotStatus {
    /// `A` or `B`.
    pub slot: String,
    /// What it is.
    pub standing: Standing,
    /// The version in it.
    pub version: Option<String>,
    /// The image in it, if it is whole.
    pub image: Option<ImageId>,
    /// Tries left, while it has a counter.
    pub tries_left: Option<u8>,
}

/// An image that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Failed {
    /// The image.
    pub image: ImageId,
    /// Its version.
    pub version: String,
    /// Why.
    pub reason: String,
}

impl Status {
    /// From what was found. `memory` says why the memory cannot be read, if it cannot.
    pub fn of(system: &System, memory: Option<String>) -> Self {
        let slot = |slot: Slot| {
            let view = system.slot(slot);
            let version = match &view.content {
                Content::Empty => None,
                Content::Partial { version } => Some(version.clone()),
                Content::Complete(image) => Some(image.version.clone()),
            };
            let tries_left = match view.entry {
                Some(Entry::Counted(counter)) => Some(counter.left),
                _ => None,
            };
            SlotStatus {
                slot: slot.to_string(),
                standing: system.standing(slot),
                version,
                image: view.image().map(|image| image.id),
                tries_left,
            }
        };
        let running = slot(system.running);
        let other = slot(system.running.other());
        let next = (other.standing == Standing::Trial).then(|| other.version.clone()).flatten();
        let trial = (running.standing == Standing::Trial)
            .then(|| "the running image is on trial; updates wait until it is blessed".to_owned());
        let failed = system.memory.failed.iter().map(|(image, failure)| Failed {
            image: *image,
            version: failure.version.clone(),
            reason: failure.reason.clone(),
        });
        Self { running, other, next, failed: failed.collect(), blocked: memory.or(trial) }
    }
}

fn words(standing: Standing) -> &'static str {
    match standing {
        Standing::Empty => "empty",
        Standing::Partial => "being written",
        Standing::Staged => "staged",
        Standing::Trial => "on trial",
        Standing::Failed => "failed",
        Standing::Blessed => "blessed",
    }
}

impl fmt::Display for SlotStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "slot {}  {:<14} {}",
            self.slot,
            self.version.as_deref().unwrap_or("-"),
            words(self.standing)
        )?;
        if let Some(left) = self.tries_left {
            write!(f, ", {left} {} left", if left == 1 { "try" } else { "tries" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "running  {}", self.running)?;
        writeln!(f, "other    {}", self.other)?;
        if let Some(next) = &self.next {
            writeln!(f, "next     version {next} is tried at the next boot")?;
        }
        for failed in &self.failed {
            writeln!(f, "failed   version {}: {} ({})", failed.version, failed.reason, failed.image)?;
        }
        if let Some(blocked) = &self.blocked {
            writeln!(f, "blocked  {blocked}")?;
        }
        Ok(())
    }
}
