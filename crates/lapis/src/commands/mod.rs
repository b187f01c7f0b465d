//! One module a command, or a few commands that are alike.

pub(crate) mod automatic;
mod boot_entries;
mod change;
mod check;
mod config_manager;
mod download;
mod group;
mod history;
mod list;
mod lock;
mod repoquery;
mod repos;
mod restarting;
mod targets;
mod updateinfo;

pub use boot_entries::boot_entries;

use crate::cli::Command;
use crate::error::Result;
use crate::run::Outcome;
use crate::session::Session;

/// Runs a command.
pub fn run(session: &Session<'_>, command: &Command) -> Result<Outcome> {
    // Commands that change something wait for whoever is at it, and begin with this themselves.
    if !changes(command) {
        change::recover_if_idle(session);
    }
    match command {
        Command::Install(_)
        | Command::Remove(_)
        | Command::Upgrade(_)
        | Command::UpgradeMinimal(_)
        | Command::Downgrade(_)
        | Command::Reinstall(_)
        | Command::DistroSync(_)
        | Command::Swap(_)
        | Command::Autoremove(_)
        | Command::Mark(_) => change::change(session, command),
        Command::History(args) => {
            let changes =
                args.words.first().is_some_and(|w| ["undo", "redo", "rollback"].contains(&w.as_str()));
            if changes {
                session.need_root()?;
                change::recover(session, true)?;
            }
            match history::history(session, args)? {
                history::Request::Shown => Ok(Outcome::Done),
                history::Request::Wishes(wishes) => change::wishes(session, wishes),
            }
        }
        Command::Group(args) => match group::group(session, args)? {
            Some(wanted) => change::groups(session, wanted),
            None => Ok(Outcome::Done),
        },
        Command::Check(args) => check::check(session, args),
        Command::CheckLocal(args) => check::check_local(session, &args.directory),
        Command::CheckUpdate(args) => list::check_update(session, args),
        Command::List(args) => list::list(session, args, false),
        Command::Info(args) => list::list(session, args, true),
        Command::Search(args) => list::search(session, args),
        Command::Provides(args) => list::provides(session, args),
        Command::Count => list::count(session),
        Command::Repoquery(args) => repoquery::repoquery(session, args),
        Command::Deplist(args) => repoquery::deplist(session, &args.packages),
        Command::Changelog(args) => repoquery::changelog(session, args),
        Command::Updateinfo(args) => updateinfo::updateinfo(session, args),
        Command::Versionlock(args) => lock::versionlock(session, args),
        Command::NeedsRestarting(args) => restarting::needs_restarting(session, args),
        Command::Repolist(args) => Ok(repos::repolist(session, args)),
        Command::Repoinfo(args) => repos::repoinfo(session, args),
        Command::Makecache(args) => repos::makecache(session, args.timer),
        Command::Clean(args) => repos::clean(session, args),
        Command::Download(args) => download::download(session, args),
        Command::Reposync(args) => download::reposync(session, args),
        Command::ConfigManager(args) => config_manager::config_manager(session, args),
        Command::Recover(args) => {
            session.need_root()?;
            change::recover(session, args.boot)
        }
        Command::Automatic(args) => automatic::automatic(session, args),
        Command::Version | Command::Generate(_) | Command::BootEntries(_) | Command::Other(_) => {
            Ok(Outcome::Done)
        }
    }
}

/// Whether a command changes the system, or may.
fn changes(command: &Command) -> bool {
    matches!(
        command,
        Command::Install(_)
            | Command::Remove(_)
            | Command::Upgrade(_)
            | Command::UpgradeMinimal(_)
            | Command::Downgrade(_)
            | Command::Reinstall(_)
            | Command::DistroSync(_)
            | Command::Swap(_)
            | Command::Autoremove(_)
            | Command::Mark(_)
            | Command::Recover(_)
            | Command::Automatic(_)
    )
}
