//! From a command to jobs.

use super::{Change, Group, Wanted, duplicates, old_install_only};
use crate::advisories::Filter;
use crate::cli::{Command, MarkAs};
use crate::error::{Error, Result};
use crate::session::Session;
use crate::spec::Spec;
use lazuli_solve::{Job, Keep, Select};

/// What a command wants.
pub fn wanted(session: &Session<'_>, command: &Command) -> Result<Wanted> {
    let mut wanted = Wanted::default();
    match command {
        Command::Install(args) => {
            need(&args.packages, "install")?;
            let packages = groups(&mut wanted, &args.packages, Change::Install { optional: false });
            each(&mut wanted, &packages, Job::Install);
        }
        Command::Reinstall(args) => each(&mut wanted, &args.packages, Job::Reinstall),
        Command::Downgrade(args) => {
            need(&args.packages, "downgrade")?;
            each(&mut wanted, &args.packages, Job::Downgrade);
        }
        Command::Upgrade(args) | Command::UpgradeMinimal(args) => {
            let minimal = matches!(command, Command::UpgradeMinimal(_));
            let job = |select| Job::Upgrade { select, minimal, only: None };
            if args.packages.is_empty() {
                wanted.jobs.push(job(None));
            }
            let packages = groups(&mut wanted, &args.packages, Change::Upgrade);
            each(&mut wanted, &packages, |select| job(Some(select)));
            wanted.minimal = minimal;
            wanted.by_advisory = minimal || Filter::new(session.global)?.is_some();
        }
        Command::DistroSync(args) => {
            if args.packages.is_empty() {
                wanted.jobs.push(Job::DistroSync(None));
            }
            each(&mut wanted, &args.packages, |select| Job::DistroSync(Some(select)));
        }
        Command::Remove(args) => {
            wanted.offline = true;
            if args.oldinstallonly || args.duplicates {
                let mut old = if args.duplicates { duplicates(session)? } else { Vec::new() };
                if args.oldinstallonly {
                    old.extend(old_install_only(session)?);
                }
                wanted.jobs.extend(old.into_iter().map(|hnum| Job::Remove(Select::Installed(hnum))));
            } else {
                need(&args.packages, "remove")?;
                let packages = groups(&mut wanted, &args.packages, Change::Remove);
                each(&mut wanted, &packages, Job::Remove);
                no_files(&wanted, "remove")?;
            }
        }
        Command::Swap(args) => {
            let (remove, install) = (Select::text(&args.remove), Select::text(&args.install));
            wanted.jobs.push(Job::Swap { remove, install });
        }
        Command::Autoremove(args) => {
            wanted.offline = true;
            each(&mut wanted, &args.packages, Job::Remove);
            no_files(&wanted, "autoremove")?;
            wanted.jobs.push(Job::Autoremove);
        }
        Command::Mark(args) => {
            wanted.offline = true;
            let keep = match args.reason {
                MarkAs::Install => Keep::User,
                MarkAs::Remove => Keep::Dependency,
                MarkAs::Weak => Keep::Weak,
            };
            each(&mut wanted, &args.packages, |select| Job::Mark { select, keep });
        }
        _ => return Err(Error::Usage("this command changes nothing".to_owned())),
    }
    Ok(wanted)
}

/// A job for each word; words that are files come later, when keys are known.
fn each(wanted: &mut Wanted, words: &[String], job: impl Fn(Select) -> Job) {
    for word in words {
        match Spec::parse(word) {
            Spec::File(file) => wanted.files.push(file),
            // With spaces around the comparison, whatever was written.
            Spec::Dependency(text) => wanted.jobs.push(job(Select::text(text))),
            Spec::Path(_) | Spec::Package(_) => wanted.jobs.push(job(Select::text(word.trim()))),
        }
    }
    wanted.words.extend(words.iter().cloned());
}

/// Puts the groups among the words aside; returns the other words.
fn groups(wanted: &mut Wanted, words: &[String], change: Change) -> Vec<String> {
    let mut packages = Vec::new();
    for word in words {
        match word.strip_prefix('@') {
            // `@^name` is an environment; their names are looked for among all.
            Some(name) => {
                let name = name.trim_start_matches('^').to_owned();
                wanted.groups.push(Group { name, change });
                wanted.words.push(word.clone());
            }
            None => packages.push(word.clone()),
        }
    }
    packages
}

fn need(words: &[String], command: &str) -> Result<()> {
    if words.is_empty() { Err(Error::Usage(format!("{command} needs packages"))) } else { Ok(()) }
}

fn no_files(wanted: &Wanted, command: &str) -> Result<()> {
    match wanted.files.first() {
        Some(file) => Err(Error::Usage(format!("{command} takes names of packages, not files: {file}"))),
        None => Ok(()),
    }
}
