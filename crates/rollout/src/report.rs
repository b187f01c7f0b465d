//! What a host tells about a release: updated, healthy, rolled back and why.
//!
//! # Format
//!
//! One JSON object, at most [`MOST_BYTES`] long, without line ends inside, so that a file or a stream of them is
//! JSON lines. Unknown fields are errors: a new field is a new format.
//!
//! ```json
//! {"format":1,"host":"HOSTID","release":{"product":"container-host","version":"2.0"},"from":"1.0","time":"2026-11-27T10:00:00Z","outcome":{"kind":"healthy"}}
//! ```
//!
//! A collector may wrap what it receives and say when, by its own clock, which is then believed instead of the host's:
//! `{"received":"2026-11-27T10:00:05Z","report":{...}}`.
//!
//! Reports are not signed. Whoever can write to the collector can lie for hosts whose id he knows; what that can do
//! is bounded in [`crate::evidence`] and [`crate::decide`]. A collector should ask hosts for a client certificate.

use crate::time::Time;
use crate::wave::{HostId, Release};
use serde::{Deserialize, Serialize};

/// The format of reports.
pub const FORMAT: u32 = 1;

/// The most bytes of a report, wrapped or not.
pub const MOST_BYTES: usize = 4096;

/// The longest explanation in a report in bytes. Longer ones are cut when a report is made.
pub const LONGEST_DETAIL: usize = 256;

/// What a host tells about a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// Who tells it.
    pub host: HostId,
    /// What it is about.
    pub release: Release,
    /// The version that ran before, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// When it happened, by the clock of the host.
    pub time: Time,
    /// What happened.
    pub outcome: Outcome,
}

/// What happened to a release on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Outcome {
    /// It is in the idle slot, verified, and the host restarts into it now. One of the others should follow; if none
    /// does, the host has fallen silent.
    Updated {},
    /// It ran without failure for the whole soak period and was blessed.
    Healthy {},
    /// The host runs the version before again.
    RolledBack {
        /// Why.
        cause: Cause,
        /// More about it: the name of a unit or check, the last words of the kernel.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        detail: String,
    },
    /// It could not be brought into the slot. The version before runs on, undisturbed.
    Failed {
        /// Why.
        cause: Obstacle,
        /// More about it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        detail: String,
    },
}

/// Why a host went back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// It did not come up: all tries were used up.
    Boot,
    /// The watchdog ended it.
    Watchdog,
    /// A health check failed within the soak period.
    Health,
    /// Somebody asked for it.
    Operator,
    /// Anything else.
    Other,
}

/// Why a release could not be brought into the slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Obstacle {
    /// It could not be fetched.
    Download,
    /// A signature, digest or root hash is wrong.
    Verification,
    /// No room.
    Space,
    /// The disk refused.
    Disk,
    /// Anything else.
    Other,
}

/// A report and when it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The report.
    pub report: Report,
    /// When it came, by the collector's clock; `None` if the collector does not say.
    pub received: Option<Time>,
}

/// Why a report is refused.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Too long.
    #[error("a report has {0} bytes, more than {MOST_BYTES}")]
    Size(usize),
    /// Not a report.
    #[error("not a report: {0}")]
    Json(#[from] serde_json::Error),
    /// Of another format.
    #[error("a report has format {0}, this program knows format {FORMAT}")]
    Format(u32),
    /// A text with control characters, or too long.
    #[error("a report has a `{0}` that is too long or has control characters")]
    Text(&'static str),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wrapped {
    received: Time,
    report: Report,
}

/// What tells a report from a wrapped one, and which format it has.
#[derive(Deserialize)]
struct Kind {
    format: Option<u32>,
    received: Option<serde::de::IgnoredAny>,
}

impl Report {
    /// A report in the present format. A detail that is too long is cut, control characters in it become blanks.
    pub fn new(host: HostId, release: Release, from: Option<&str>, time: Time, outcome: Outcome) -> Self {
        let outcome = match outcome {
            Outcome::RolledBack { cause, detail } => {
                Outcome::RolledBack { cause, detail: bounded(&detail, LONGEST_DETAIL) }
            }
            Outcome::Failed { cause, detail } => {
                Outcome::Failed { cause, detail: bounded(&detail, LONGEST_DETAIL) }
            }
            plain => plain,
        };
        let from = from.map(|from| bounded(from, 64));
        Self { format: FORMAT, host, release, from, time, outcome }
    }

    /// The report as one line of JSON, with its line end.
    pub fn to_line(&self) -> Result<Vec<u8>, ReportError> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        if line.len() > MOST_BYTES { Err(ReportError::Size(line.len())) } else { Ok(line) }
    }

    fn checked(self) -> Result<Self, ReportError> {
        if self.format != FORMAT {
            return Err(ReportError::Format(self.format));
        }
        let good = |text: &str, most: usize| text.len() <= most && !text.chars().any(char::is_control);
        if !self.from.as_deref().is_none_or(|from| good(from, 64)) {
            return Err(ReportError::Text("from"));
        }
        match &self.outcome {
            Outcome::RolledBack { detail, .. } | Outcome::Failed { detail, .. }
                if !good(detail, LONGEST_DETAIL) =>
            {
                Err(ReportError::Text("detail"))
            }
            _ => Ok(self),
        }
    }
}

impl Received {
    /// Reads a report, wrapped or not.
    pub fn from_json(json: &[u8]) -> Result<Self, ReportError> {
        if json.len() > MOST_BYTES {
            return Err(ReportError::Size(json.len()));
        }
        // Which of the two it is, and which format it has, before its fields are looked at.
        let kind: Kind = serde_json::from_slice(json)?;
        let (report, received) = match kind {
            Kind { received: Some(_), .. } => {
                let wrapped: Wrapped = serde_json::from_slice(json)?;
                (wrapped.report, Some(wrapped.received))
            }
            Kind { format: Some(format), .. } if format != FORMAT => return Err(ReportError::Format(format)),
            Kind { .. } => (serde_json::from_slice(json)?, None),
        };
        Ok(Self { report: report.checked()?, received })
    }
}

/// At most `most` bytes of a text, without control characters.
fn bounded(text: &str, most: usize) -> String {
    let mut out = String::new();
    for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if out.len() + c.len_utf8() > most {
            break;
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wave::MachineId;
    use proptest::prelude::*;

    fn report(outcome: Outcome) -> Report {
        let host = HostId::of(MachineId::new([1; 16]));
        let release = Release::new("container-host", "2.0").unwrap();
        Report::new(host, release, Some("1.0"), Time::from_unix(1_795_773_600), outcome)
    }

    #[test]
    fn the_format_is_as_written() {
        let line = report(Outcome::RolledBack { cause: Cause::Health, detail: "containerd\n".into() });
        insta::assert_snapshot!(
            String::from_utf8(line.to_line().unwrap()).unwrap().trim_end(),
            @r#"{"format":1,"host":"4dff9f4e1717fa6e7e0e5c0d89e53e6b","release":{"product":"container-host","version":"2.0"},"from":"1.0","time":"2026-11-27T10:00:00Z","outcome":{"kind":"rolled-back","cause":"health","detail":"containerd "}}"#
        );
    }

    #[test]
    fn the_longest_report_fits() {
        let detail = "\\".repeat(10_000);
        let mut long = report(Outcome::Failed { cause: Obstacle::Verification, detail });
        long.release = Release::new(&"p".repeat(64), &"v".repeat(64)).unwrap();
        let line = long.to_line().unwrap();
        assert_eq!(Received::from_json(&line).unwrap(), Received { report: long, received: None });
    }

    #[test]
    fn wrong_reports_are_refused() {
        let good = String::from_utf8(report(Outcome::Healthy {}).to_line().unwrap()).unwrap();
        let wrapped = format!("{{\"received\":\"2026-11-27T10:00:05Z\",\"report\":{}}}", good.trim_end());
        assert_eq!(
            Received::from_json(wrapped.as_bytes()).unwrap().received,
            Some("2026-11-27T10:00:05Z".parse().unwrap())
        );
        for (from, to, word) in [
            ("\"format\":1", "\"format\":2,\"new\":1", "format 2"),
            ("\"format\":1", "\"format\":1,\"new\":1", "new"),
            ("\"healthy\"", "\"happy\"", "happy"),
            ("\"healthy\"", "\"healthy\",\"detail\":\"x\"", "detail"),
            ("\"healthy\"", "\"failed\",\"cause\":\"disk\",\"detail\":\"\\u001b[2J\"", "control"),
            ("\"1.0\"", "\"1\\n0\"", "from"),
            ("\"time\"", "\"received\":1,\"time\"", "expected"),
        ] {
            let error = Received::from_json(good.replacen(from, to, 1).as_bytes()).unwrap_err().to_string();
            assert!(error.contains(word), "{to}: {error}");
        }
        assert!(matches!(Received::from_json(&[b' '; MOST_BYTES + 1]), Err(ReportError::Size(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Received::from_json(&bytes);
        }

        #[test]
        fn any_detail_is_written_and_read_again(detail in "\\PC*|[\\x00-\\x1f]{0,9}") {
            let report = report(Outcome::RolledBack { cause: Cause::Other, detail });
            let read = Received::from_json(&report.to_line().unwrap()).unwrap();
            prop_assert_eq!(read.report, report);
        }
    }
}
