//! Questions.

use crate::cli::Global;
use crate::error::{Error, Result};
use crate::output::Output;
use std::io::{BufRead as _, IsTerminal as _, Write as _};

/// How questions are answered without asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Somebody is asked.
    Ask,
    /// Yes (-y).
    Yes,
    /// No (--assumeno).
    No,
}

impl Answer {
    /// From options, then configuration.
    pub fn new(global: &Global, yes: bool, no: bool) -> Self {
        if global.assumeno {
            Self::No
        } else if global.assumeyes {
            Self::Yes
        } else if no {
            Self::No
        } else if yes {
            Self::Yes
        } else {
            Self::Ask
        }
    }
}

/// Asks; `default_yes` is what an empty line means. Where nobody can answer it is no.
pub fn confirm(out: &Output, answer: Answer, question: &str, default_yes: bool) -> Result<()> {
    match answer {
        Answer::Yes => Ok(()),
        Answer::No => Err(Error::Aborted),
        Answer::Ask => {
            out.flush();
            // A question is not a result: it must not end up in a pipe.
            let hint = if default_yes { "[Y/n]" } else { "[y/N]" };
            eprint!("{question} {hint}: ");
            drop(std::io::stderr().flush());
            let mut line = String::new();
            let read = std::io::stdin().lock().read_line(&mut line);
            if !std::io::stdin().is_terminal() {
                eprintln!();
            }
            let word = line.trim().to_lowercase();
            match word.as_str() {
                "y" | "yes" => Ok(()),
                "" if default_yes && read.is_ok_and(|n| n > 0) => Ok(()),
                _ => Err(Error::Aborted),
            }
        }
    }
}

/// The question about packages whose signatures are not checked. `-y` is no answer to it: only a person or
/// the long option is.
pub fn confirm_unverified(out: &Output, global: &Global) -> Result<()> {
    if global.trust.i_accept_unverified_packages {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Error::Usage(
            "--nogpgcheck needs somebody to answer a question, and -y does not count; \
             a script that means it adds --i-accept-unverified-packages"
                .to_owned(),
        ));
    }
    out.warn("Signatures of packages will NOT be checked. Whoever can change a package on its way can run");
    out.warn("anything as root on this machine. This is recorded in the history.");
    confirm(out, Answer::Ask, "Install unverified packages", false)
}
