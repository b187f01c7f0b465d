//! When a release is raised, held or withdrawn.
//!
//! ```toml
//! format = 1
//! fastest-hour = "10%"     # no plan may make more of the fleet eligible within an hour
//! patience = "6h"          # restarted and not heard of for so long: silent
//!
//! [raise]                  # the next stage, when the present one has lasted its length and
//! reports = 50             # so many machines of it are settled (all of them, where it has fewer),
//! answered = "50%"         # and so many of those it has, where the fleet is known,
//! below = "5%"             # and less than this share is in trouble,
//! confidence = "95%"       # with this confidence
//!
//! [hold]                   # when more than this share is in trouble: rolled back, failed, silent
//! share = "2%"
//! confidence = "95%"
//! failures = 3             # and at least so many machines, whatever the statistics say
//!
//! [withdraw]               # when more than this share was rolled back
//! share = "10%"
//! confidence = "99.9%"
//! failures = 5
//! ```
//!
//! What is left out has the value shown; `[hold]` and `[withdraw]` are left out as a whole or not at all. Silence and failed attempts hold a release but never withdraw it: an outage of
//! the collector or of a mirror looks like that, and a withdrawal is final.

use crate::binomial;
use crate::share::Share;
use crate::time::Seconds;
use serde::{Deserialize, Serialize};

/// The format of policies.
pub const FORMAT: u32 = 1;

/// A policy that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Policy {
    /// [`FORMAT`].
    pub format: u32,
    /// The most of the fleet that may become eligible within an hour.
    #[serde(default = "fastest_hour")]
    pub fastest_hour: Share,
    /// How long a machine that restarted may be silent.
    #[serde(default = "patience")]
    pub patience: Seconds,
    /// When the next stage is raised.
    #[serde(default)]
    pub raise: Raise,
    /// When the release is held.
    #[serde(default = "hold")]
    pub hold: Threshold,
    /// When it is withdrawn.
    #[serde(default = "withdraw")]
    pub withdraw: Threshold,
}

/// When the next stage is raised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Raise {
    /// So many machines of the stage must be settled.
    pub reports: u64,
    /// So large a share of its machines, where the fleet is known.
    pub answered: Share,
    /// Less than this share may be in trouble.
    pub below: Share,
    /// With this confidence.
    pub confidence: Share,
}

impl Default for Raise {
    fn default() -> Self {
        Self {
            reports: 50,
            answered: Share::percent(50),
            below: Share::percent(5),
            confidence: Share::percent(95),
        }
    }
}

/// From when on failures are too many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Threshold {
    /// More than this share.
    pub share: Share,
    /// With this confidence.
    pub confidence: Share,
    /// And at least so many machines.
    pub failures: u64,
}

impl Threshold {
    /// Whether `bad` of `all` machines are too many: at least `failures`, and so many that chance alone would, at the
    /// tolerated share, bring them about less often than the confidence leaves room for.
    pub fn exceeded(&self, bad: u64, all: u64) -> bool {
        bad >= self.failures && binomial::at_least(bad, all, self.share.fraction()) <= doubt(self.confidence)
    }
}

impl Raise {
    /// Whether `bad` of `all` machines show, with the confidence, that less than `below` fail.
    pub fn shown(&self, bad: u64, all: u64) -> bool {
        binomial::at_most(bad, all, self.below.fraction()) <= doubt(self.confidence)
    }

    /// How many machines it takes to show that if none of them fails.
    pub fn least(&self) -> u64 {
        // (1 - below)^n <= doubt
        (doubt(self.confidence).ln() / (-self.below.fraction()).ln_1p()).ceil().max(1.0) as u64
    }
}

/// The room that a confidence leaves.
fn doubt(confidence: Share) -> f64 {
    f64::from(Share::ALL.millionths() - confidence.millionths()) / 1e6
}

fn fastest_hour() -> Share {
    Share::percent(10)
}

fn patience() -> Seconds {
    Seconds::hours(6)
}

fn hold() -> Threshold {
    Threshold { share: Share::percent(2), confidence: Share::percent(95), failures: 3 }
}

fn withdraw() -> Threshold {
    Threshold { share: Share::percent(10), confidence: Share::from_millionths(999_000), failures: 5 }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            format: FORMAT,
            fastest_hour: fastest_hour(),
            patience: patience(),
            raise: Raise::default(),
            hold: hold(),
            withdraw: withdraw(),
        }
    }
}

/// Why a policy is refused.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Not TOML, or not these fields.
    #[error("the rollout policy cannot be read: {0}")]
    Toml(#[from] toml::de::Error),
    /// Of another format.
    #[error("the rollout policy has format {0}, this program knows format {FORMAT}")]
    Format(u32),
    /// One value is wrong.
    #[error("`{what}` of the rollout policy: {reason}")]
    Value {
        /// Which.
        what: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl Policy {
    /// Reads a policy from TOML.
    pub fn from_toml(text: &str) -> Result<Self, PolicyError> {
        let policy: Self = toml::from_str(text)?;
        if policy.format != FORMAT {
            return Err(PolicyError::Format(policy.format));
        }
        policy.check()?;
        Ok(policy)
    }

    /// Checks that each value can do what it is for.
    pub fn check(&self) -> Result<(), PolicyError> {
        let value =
            |good: bool, what, reason| if good { Ok(()) } else { Err(PolicyError::Value { what, reason }) };
        let within = |share: Share| share > Share::NONE && share < Share::ALL;
        let sure = |share: Share| (Share::percent(50)..Share::ALL).contains(&share);
        value(self.fastest_hour > Share::NONE, "fastest-hour", "nothing could ever be released")?;
        value(
            self.patience >= Seconds::minutes(10),
            "patience",
            "less than 10min is less than a restart takes",
        )?;
        value(self.raise.reports > 0, "raise.reports", "a stage would be raised that nobody has tried")?;
        for (what, share) in [
            ("raise.below", self.raise.below),
            ("hold.share", self.hold.share),
            ("withdraw.share", self.withdraw.share),
        ] {
            value(within(share), what, "it lies between 0% and 100%")?;
        }
        for (what, share) in [
            ("raise.confidence", self.raise.confidence),
            ("hold.confidence", self.hold.confidence),
            ("withdraw.confidence", self.withdraw.confidence),
        ] {
            value(sure(share), what, "it lies from 50% to below 100%")?;
        }
        value(self.hold.failures > 0, "hold.failures", "at least 1 machine has to fail")?;
        value(self.withdraw.failures > 0, "withdraw.failures", "at least 1 machine has to fail")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_policy_is_the_default() {
        let source = include_str!("policy.rs");
        let lines = source.lines().skip_while(|line| !line.contains("```toml")).skip(1);
        let toml: Vec<_> = lines
            .take_while(|line| !line.contains("```"))
            .map(|line| line.trim_start_matches("//!").trim_start())
            .collect();
        assert_eq!(Policy::from_toml(&toml.join("\n")).unwrap(), Policy::default());
        assert_eq!(Policy::from_toml("format = 1").unwrap(), Policy::default());
    }

    #[test]
    fn one_of_three_does_not_decide() {
        let policy = Policy::default();
        for (bad, all, hold, withdraw) in [
            (1, 3, false, false),
            (1, 1, false, false),
            (2, 2, false, false),
            (3, 3, true, false),
            (5, 5, true, true),
            (3, 100, false, false), // 3 %, but with 2 % tolerated that happens one time in three
            (6, 100, true, false),
            (40, 1000, true, false), // surely above 2 %, surely below 10 %
            (25, 100, true, true),
            (100, 10_000, false, false), // 1 %
        ] {
            let said = (policy.hold.exceeded(bad, all), policy.withdraw.exceeded(bad, all));
            assert_eq!(said, (hold, withdraw), "{bad} of {all}");
        }
    }

    #[test]
    fn fifty_nine_without_failure_raise() {
        let raise = Raise::default();
        assert_eq!(raise.least(), 59);
        assert!(raise.shown(0, 59) && !raise.shown(0, 58) && !raise.shown(1, 59) && raise.shown(1, 93));
    }

    #[test]
    fn wrong_policies_say_what_is_wrong() {
        for (toml, word) in [
            ("format = 2", "format 2"),
            ("format = 1\nfastest_hour = \"1%\"", "fastest_hour"),
            ("format = 1\nfastest-hour = \"0%\"", "fastest-hour"),
            ("format = 1\npatience = \"1min\"", "patience"),
            ("format = 1\n[raise]\nreports = 0", "raise.reports"),
            ("format = 1\n[hold]\nshare = \"2%\"\nconfidence = \"100%\"\nfailures = 1", "hold.confidence"),
            ("format = 1\n[withdraw]\nshare = \"0%\"\nconfidence = \"99%\"\nfailures = 1", "withdraw.share"),
            (
                "format = 1\n[withdraw]\nshare = \"2%\"\nconfidence = \"99%\"\nfailures = 0",
                "withdraw.failures",
            ),
        ] {
            let error = Policy::from_toml(toml).unwrap_err().to_string();
            assert!(error.contains(word), "{toml}: {error}");
        }
    }
}
