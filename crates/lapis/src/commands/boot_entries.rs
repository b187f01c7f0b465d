//! `boot-entries`: after kernels came or went.

use crate::cli::BootEntriesArgs;
use crate::error::{Error, Result};
use crate::output::Output;
use crate::run::Outcome;
use lazuli_boot::{Esp, Lock, is_chroot, modules};
use serde_json::json;
use std::path::Path;
use std::time::Duration;

/// How long to wait for another run: copying some kernels takes seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs `boot-entries`. It looks at files only: it runs in the middle of transactions.
pub fn boot_entries(out: &Output, args: &BootEntriesArgs) -> Result<Outcome> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::NotRoot("`boot-entries` changes the EFI system partition; use sudo".to_owned()));
    }
    let root = Path::new("/");
    let _lock = Lock::acquire(root, PATIENCE, || {
        out.warn("Boot entries are being changed by somebody else; waiting.");
    })?;
    // Modules can be loaded as soon as there is an entry, if they can; if not, the kernel is of use without.
    let indexed = modules::index(root);
    let gone = modules::tidy(root)?;
    let esp = if is_chroot() { None } else { Esp::find(root)? };
    let Some(esp) = esp else {
        if args.triggered {
            return Ok(indexed.map(|()| Outcome::Done)?);
        }
        return Err(Error::Usage(
            "there is no boot menu to be kept: this is a chroot, a container, or not started by UEFI"
                .to_owned(),
        ));
    };
    let steps = lazuli_boot::update(root, esp.path())?;
    if out.json {
        let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
        out.json(&json!({ "Place": esp.path(), "Steps": steps, "IndexesRemoved": gone }));
        return Ok(indexed.map(|()| Outcome::Done)?);
    }
    for step in &steps {
        out.info(step.to_string());
    }
    if steps.is_empty() && !args.triggered {
        out.info(format!("The boot entries at {} are as they should be.", esp.path().display()));
    }
    Ok(indexed.map(|()| Outcome::Done)?)
}
