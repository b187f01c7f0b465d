//! What of a container host lasts, early in its boot: the state partition, and the settings in it.
//!
//! One program for three steps, each a unit of systemd's, because each program that starts costs a boot its time:
//!
//! - `state etc` lays a layer in memory over `/etc` ([`etc`]);
//! - `state open` finds the state partition, makes, unlocks or checks it, and mounts it on `/var` ([`open`]);
//! - `lazuli-settings`, the same file under another name, keeps settings and puts them back ([`settings`]).
//!
//! On a machine that was shut down in order none of them starts another program. The tools of file systems and of
//! encryption are called where there is something to make, to repair or to unlock.
//!
//! It must not know what a slot is, nor what the settings mean.

mod content;
mod disk;
mod error;
mod etc;
mod fill;
mod open;
mod settings;
mod tool;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
state etc    lay a writable layer over /etc
state open   find, make, unlock or check the state partition, and mount it on /var
";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    let arguments: Vec<OsString> = arguments.collect();
    if Path::new(&name).file_name().is_some_and(|name| name == "lazuli-settings") {
        return settings::main(&arguments);
    }
    let done = match arguments.iter().map(|word| word.to_str().unwrap_or_default()).collect::<Vec<_>>()[..] {
        ["etc"] => etc::lay(),
        ["open"] => open::open(),
        ["--version"] => {
            say(concat!("lazuli-state ", env!("CARGO_PKG_VERSION"), "\n"));
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Level 2, critical: it shows on the console and stands out in the journal.
            eprintln!("<2>state: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes to standard output; a reader that is gone is no error.
fn say(text: &str) {
    let _gone = std::io::stdout().write_all(text.as_bytes());
}
