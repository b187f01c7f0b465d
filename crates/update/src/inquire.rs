//! What an operator asks about releases, and does with them by hand: `check`, `explain`, `stage`, `apply`.

use crate::cli::json;
use crate::host::{Host, Place};
use crate::remote::{Candidate, Repository};
use crate::run;
use crate::{Error, Result};
use lazuli_layout::assess::ImageId;
use lazuli_rollout::{Explanation, Reason, Time, Verdict};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::Path;

/// What `check` found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Checked {
    /// The version that runs.
    pub running: String,
    /// What would be taken, or is waited for; `None` if there is nothing newer.
    pub offer: Option<Offer>,
    /// Reports that wait to be sent.
    pub reports_waiting: usize,
}

/// A release that is offered.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Offer {
    /// Its version.
    pub version: String,
    /// Its root hash.
    pub image: ImageId,
    /// When it is taken, and why.
    pub explanation: Explanation,
    /// The ways to it with their bytes, the cheapest first; nothing if it is not taken at all.
    pub ways: Vec<Way>,
    /// Bytes of the unified kernel image, which come on top.
    pub uki: u64,
}

/// A way to a release.
#[derive(Debug, Serialize)]
pub struct Way {
    /// Its name.
    pub way: String,
    /// The bytes that are fetched.
    pub bytes: u64,
}

/// What `explain` found: every newer release, the newest first.
#[derive(Debug, Serialize)]
pub struct Explained {
    /// One a release.
    pub releases: Vec<Explanation>,
}

/// The repository, and the machine that asks. It is locked: the metadata that is remembered is replaced.
fn open(place: &Place, from: Option<&Path>) -> Result<(Host, Repository)> {
    let mut host = Host::open_locked(place)?;
    let repository = repository(&mut host, from)?;
    Ok((host, repository))
}

fn repository(host: &mut Host, from: Option<&Path>) -> Result<Repository> {
    Repository::open(host, from)?.ok_or_else(|| {
        Error::Nothing("no `address` is set in /etc/lazuli/update.toml, and no --from given".to_owned())
    })
}

/// `lazuli-update check`.
pub fn check(place: &Place, from: Option<&Path>) -> Result<Checked> {
    let (mut host, repository) = open(place, from)?;
    let running = host.running()?.image.version;
    let (system, _) = host.survey()?;
    let offered = repository.refresh(&system, Time::now())?;
    let reports_waiting = crate::reports::waiting(&host.folder());
    let Some(candidate) = run::due_now(&offered).or(offered.candidates.first()) else {
        return Ok(Checked { running, offer: None, reports_waiting });
    };
    let taken = !matches!(candidate.explanation.verdict, Verdict::Never {} | Verdict::Done {});
    let (mut ways, mut uki) = (Vec::new(), candidate.manifest.uki.target.size);
    if taken {
        let remote = offered.route(&mut host, candidate)?;
        uki = remote.uki();
        let considered = remote.route().map(|route| route.considered.clone()).unwrap_or_default();
        ways = considered.into_iter().map(|(way, bytes)| Way { way: way.to_string(), bytes }).collect();
        ways.sort_by_key(|way| way.bytes);
    }
    let offer = Offer {
        version: candidate.manifest.version.to_string(),
        image: candidate.image().id,
        explanation: candidate.explanation.clone(),
        ways,
        uki,
    };
    Ok(Checked { running, offer: Some(offer), reports_waiting })
}

/// `lazuli-update explain`.
pub fn explain(place: &Place, from: Option<&Path>) -> Result<Explained> {
    let (mut host, repository) = open(place, from)?;
    let (system, _) = host.survey()?;
    let offered = repository.refresh(&system, Time::now())?;
    let releases = offered.candidates.into_iter().map(|candidate| candidate.explanation);
    Ok(Explained { releases: releases.collect() })
}

/// Why a release is not taken even by hand.
fn refused(candidate: &Candidate) -> Option<&str> {
    let explanation = &candidate.explanation;
    let held = explanation.reasons.iter().any(|reason| matches!(reason, Reason::Held { .. }));
    let never = explanation.verdict == (Verdict::Never {});
    (held || never).then_some(explanation.text.as_str())
}

/// Stages a release by hand, and applies it if asked to; returns its version.
pub fn take(host: &mut Host, from: Option<&Path>, version: Option<&str>, apply: bool) -> Result<String> {
    let repository = repository(host, from)?;
    let (system, memory) = host.survey()?;
    if let Some(error) = memory {
        return Err(error.into());
    }
    let offered = repository.refresh(&system, Time::now())?;
    run::discard_withdrawn(host, &repository, &offered)?;
    let mut candidates = offered.candidates.iter();
    let found = match version {
        Some(version) => candidates.find(|candidate| candidate.manifest.version.as_str() == version),
        None => candidates.find(|candidate| refused(candidate).is_none()),
    };
    let candidate = match (found, version, offered.candidates.first()) {
        (Some(candidate), _, _) => candidate,
        (None, Some(version), _) => {
            return Err(Error::Nothing(format!(
                "the repository has no version {version} that is newer than what runs"
            )));
        }
        (None, None, Some(newest)) => return Err(Error::Nothing(newest.explanation.text.clone())),
        (None, None, None) => {
            return Err(Error::Nothing("there is nothing newer than what runs".to_owned()));
        }
    };
    if let Some(reason) = refused(candidate) {
        return Err(Error::Nothing(reason.to_owned()));
    }
    run::stage(host, &repository, &offered, candidate)?;
    if apply {
        host.apply(&mut offered.offer(host, candidate)?)?;
    }
    Ok(candidate.manifest.version.to_string())
}

impl Checked {
    /// Prints it.
    pub fn show(&self, as_json: bool) -> Result<()> {
        if as_json {
            println!("{}", json(self)?);
            return Ok(());
        }
        let mut text = format!("running  version {}\n", self.running);
        match &self.offer {
            None => text.push_str("offered  nothing newer\n"),
            Some(offer) => {
                let _ = writeln!(text, "offered  version {} ({})", offer.version, offer.image);
                let _ = writeln!(text, "when     {}", offer.explanation.text);
                for (index, way) in offer.ways.iter().enumerate() {
                    let word = if index == 0 { "way" } else { "or" };
                    let _ = writeln!(text, "{word:<8} {}: {} bytes to fetch", way.way, way.bytes);
                }
                if !offer.ways.is_empty() {
                    let _ = writeln!(text, "and      kernel image: {} bytes", offer.uki);
                }
            }
        }
        if self.reports_waiting > 0 {
            let _ = writeln!(text, "reports  {} wait to be sent", self.reports_waiting);
        }
        print!("{text}");
        Ok(())
    }
}

impl Explained {
    /// Prints it.
    pub fn show(&self, as_json: bool) -> Result<()> {
        if as_json {
            println!("{}", json(self)?);
        } else if self.releases.is_empty() {
            println!("there is nothing newer than what runs");
        } else {
            self.releases.iter().for_each(|release| println!("{}", release.text));
        }
        Ok(())
    }
}
