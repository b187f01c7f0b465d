//! What `lazuli doctor` says about this host's ability to run sandboxes.

use std::path::Path;

use serde::Serialize;

use crate::diagnose::Host;
use crate::sys::Image;
use crate::{Child, Error, Sandbox};

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Works.
    Ok,
    /// Something optional does not work.
    Warning,
    /// Lazuli cannot work like this.
    Error,
}

/// One check and its outcome.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// What was checked, for example `user namespaces`.
    pub name: String,
    /// How it came out.
    pub verdict: Verdict,
    /// What was found, one line.
    pub detail: String,
    /// What to do about it, if anything.
    pub remedy: Option<String>,
}

/// Tries everything a sandbox needs on this host. `scratch` is an existing directory on the file system
/// where the store is, since overlays depend on it.
pub fn probe(scratch: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    let trial = match tempfile::tempdir_in(scratch) {
        Ok(dir) => dir,
        Err(e) => {
            return vec![Finding {
                name: "sandbox".to_owned(),
                verdict: Verdict::Error,
                detail: format!("cannot make a directory in {}: {e}", scratch.display()),
                remedy: Some("Free some space, or set LAZULI_STORE to a writable directory.".to_owned()),
            }];
        }
    };
    let root = trial.path().join("root");
    if let Err(e) = lazuli_fs::create_dir_all(&root) {
        findings.push(finding("sandbox", Verdict::Error, Err(e.into())));
        return findings;
    }
    let user = libc::CLONE_NEWUSER;
    findings.push(finding("user namespaces", Verdict::Error, start(user, Vec::new())));
    if findings.iter().any(|f| f.verdict == Verdict::Error) {
        return findings;
    }
    let sandbox = Sandbox::new(&root);
    findings.push(finding("sandbox without a network", Verdict::Error, set_up(&sandbox)));
    let overlay = sandbox.overlay(trial.path().join("upper"));
    findings.push(finding("overlay in a user namespace", Verdict::Error, set_up(&overlay)));
    let _ = crate::overlay::finish(&trial.path().join("upper"));
    if let Some(limit) = Host::read().max_user_namespaces.filter(|limit| (1..64).contains(limit)) {
        findings.push(Finding {
            name: "number of user namespaces".to_owned(),
            verdict: Verdict::Warning,
            detail: format!("user.max_user_namespaces is {limit}"),
            remedy: Some("As root: `sysctl -w user.max_user_namespaces=15000`.".to_owned()),
        });
    }
    findings
}

fn set_up(sandbox: &Sandbox) -> Result<(), Error> {
    if let Some(upper) = &sandbox.upper {
        crate::overlay::prepare(upper)?;
    }
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    start(crate::command::NAMESPACES | libc::CLONE_NEWNET, crate::layout::plan(sandbox, uid, gid, false)?)
}

fn start(namespaces: i32, ops: Vec<crate::ops::Op>) -> Result<(), Error> {
    let image = Image { namespaces, ops, program: None };
    Child::start(&image, [None, None, None], "")?.wait().map(drop)
}

fn finding(name: &str, bad: Verdict, result: Result<(), Error>) -> Finding {
    let name = name.to_owned();
    match result {
        Ok(()) => Finding { name, verdict: Verdict::Ok, detail: "works".to_owned(), remedy: None },
        Err(Error::Setup { step, source, hint }) => Finding {
            name,
            verdict: bad,
            detail: format!("cannot {step}: {source}"),
            remedy: Some(hint.trim().to_owned()).filter(|hint| !hint.is_empty()),
        },
        Err(other) => Finding { name, verdict: bad, detail: other.to_string(), remedy: None },
    }
}
