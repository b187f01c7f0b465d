//! `lazuli doctor`: can this host build and run, and if not, what to do about it.

use crate::cli::Global;
use crate::ui::say;
use crate::workspace::store_dir;
use anyhow::Result;
use lazuli_fetch::{Fetcher, Silent};
use lazuli_sandbox::probe::{Finding, Verdict};
use lazuli_store::Store;
use std::path::Path;
use std::sync::Arc;

/// Bytes that a full build needs on disk, with some room.
const SPACE: u64 = 12 << 30;
/// The longest `InRelease` in bytes.
const MAX_RELEASE: u64 = 16 << 20;

/// Checks the host; `false` if something is in the way.
pub fn run(global: &Global) -> Result<bool> {
    let dir = store_dir(global)?;
    let mut findings = Vec::new();
    // Before the first build there is no store yet, and what is checked depends on the file system below it.
    match Store::open(&dir) {
        Ok(store) => {
            findings.extend(lazuli_sandbox::probe::probe(&dir));
            findings.push(disk(&dir));
            findings.push(mirror(&store));
        }
        Err(error) => {
            let remedy = "set LAZULI_STORE to a directory that you may write to; the sandbox, the disk and the \
                          mirror were not checked";
            findings.push(finding("store", Verdict::Error, error.to_string(), Some(remedy)));
        }
    }
    findings.push(kvm());
    if global.json {
        say!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        for finding in &findings {
            let mark = match finding.verdict {
                Verdict::Ok => "ok",
                Verdict::Warning => "note",
                Verdict::Error => "FAIL",
            };
            say!("{mark:5} {:22} {}", finding.name, finding.detail);
            if let Some(remedy) = &finding.remedy {
                say!("      {:22} -> {remedy}", "");
            }
        }
    }
    Ok(findings.iter().all(|f| f.verdict != Verdict::Error))
}

fn finding(name: &str, verdict: Verdict, detail: String, remedy: Option<&str>) -> Finding {
    Finding { name: name.into(), verdict, detail, remedy: remedy.map(str::to_owned) }
}

fn disk(store: &Path) -> Finding {
    let name = "disk space";
    let Some(there) = store.ancestors().find(|p| p.exists()) else {
        return finding(name, Verdict::Warning, format!("cannot look at {}", store.display()), None);
    };
    match rustix::fs::statvfs(there) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let detail = format!("{} free for the store {}", crate::ui::size(free), store.display());
            if free >= SPACE {
                finding(name, Verdict::Ok, detail, None)
            } else {
                let remedy = "a full build takes about 12 GiB: free some, run `lazuli store gc`, or set \
                              LAZULI_STORE to another disk";
                finding(name, Verdict::Warning, detail, Some(remedy))
            }
        }
        Err(error) => finding(name, Verdict::Warning, format!("{}: {error}", there.display()), None),
    }
}

fn kvm() -> Finding {
    let path = Path::new("/dev/kvm");
    if !path.exists() {
        let remedy = "guests run under software emulation, ten times slower; on a virtual machine switch \
                      nested virtualisation on";
        return finding("kvm", Verdict::Warning, "/dev/kvm is not there".into(), Some(remedy));
    }
    let open = rustix::fs::open(path, rustix::fs::OFlags::RDWR, rustix::fs::Mode::empty());
    match open {
        Ok(_) => {
            finding("kvm", Verdict::Ok, "/dev/kvm opens (`lazuli run` probes that guests live)".into(), None)
        }
        Err(error) => {
            let remedy = "add yourself to the group that owns /dev/kvm (usually `kvm`) and log in again";
            finding("kvm", Verdict::Warning, format!("/dev/kvm: {error}"), Some(remedy))
        }
    }
}

fn mirror(store: &Store) -> Finding {
    let name = "mirror";
    let mirror = match lazuli_debian::mirror::discover() {
        Ok(mirror) => mirror,
        Err(error) => {
            let remedy = "set LAZULI_MIRROR to a URL below which debian/ and debian-security/ lie";
            return finding(name, Verdict::Error, error.to_string(), Some(remedy));
        }
    };
    let url = mirror.url("debian", "dists/stable/InRelease");
    let options = lazuli_fetch::Options { attempts: 1, ..lazuli_fetch::Options::default() };
    let answer = Fetcher::with_options(store, Arc::new(Silent), options).get_unpinned(&url, MAX_RELEASE);
    match answer {
        Ok(_) => finding(name, Verdict::Ok, format!("{mirror} answers"), None),
        Err(error) => {
            let remedy = "check the network, or set LAZULI_MIRROR to a mirror that this host reaches";
            finding(name, Verdict::Error, error.to_string(), Some(remedy))
        }
    }
}
