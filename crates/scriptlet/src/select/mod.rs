//! Which scripts run at each moment of a transaction, in which order, with which arguments and input.
//!
//! The arguments count instances of a package *after* the operation that the script belongs to, as RPM's
//! package state machine does. Where RPM's own behaviour is odd (a package's own `%filetriggerun`
//! runs for all installed files, its own among them, and once more for its own), the oddity is kept:
//! packages are written against it.

mod files;
mod state;
mod triggers;

use crate::script::{Kind, Script, When};
use lazuli_rpm::Header;
use state::State;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Why scripts cannot be selected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database of installed packages.
    #[error("cannot read the installed packages: {0}")]
    Installed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A script's flags ask for what cannot be done.
    #[error("{script}: {reason}")]
    Script {
        /// Which script.
        script: String,
        /// What is wrong.
        reason: String,
    },
    /// An element that is not of the kind which the moment needs, or is not there.
    #[error("element {index} of the transaction does not {wanted} a package")]
    Element {
        /// Its number.
        index: usize,
        /// `install` or `remove`.
        wanted: &'static str,
    },
}

/// What an [`Installed`] answers.
pub type Answer<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A package with its files' fates.
#[derive(Debug, Clone)]
pub struct Package {
    /// Its header.
    pub header: Header,
    /// Numbers of files that are not on the disk although the header lists them: left out, of the wrong
    /// colour, or replaced by another package's.
    pub absent: BTreeSet<usize>,
}

impl Package {
    /// A package all of whose files are on the disk.
    pub fn new(header: Header) -> Self {
        Self { header, absent: BTreeSet::new() }
    }
}

/// The packages that were installed before the transaction; the answers must not change while it runs.
/// Every list is in ascending order and names each package once.
pub trait Installed {
    /// One package.
    fn package(&self, hnum: u32) -> Answer<Arc<Package>>;
    /// Packages of this name.
    fn named(&self, name: &str) -> Answer<Vec<u32>>;
    /// Packages with a trigger that names this package (RPM's index `Triggername`).
    fn with_trigger_on(&self, name: &str) -> Answer<Vec<u32>>;
    /// Packages with a file trigger (all of the index `Filetriggername`).
    fn with_file_triggers(&self) -> Answer<Vec<u32>>;
    /// Packages with a transaction file trigger (all of the index `Transfiletriggername`).
    fn with_transaction_file_triggers(&self) -> Answer<Vec<u32>>;
    /// Packages with files in a directory whose name (absolute, with a slash at its end) starts with this
    /// text (a range of the index `Dirnames`). Naming too many costs time only.
    fn with_files_below(&self, prefix: &str) -> Answer<Vec<u32>>;
}

/// One element of a transaction.
#[derive(Debug, Clone)]
pub enum Element {
    /// A package comes.
    Install {
        /// It.
        package: Arc<Package>,
        /// Numbers of files that are not written now, although they may be there: they do not trigger.
        skipped: BTreeSet<usize>,
        /// The installed package, the same one, whose row in the database this one takes without any of
        /// the other's scripts being run, as `rpm -i --replacepkgs` does. A reinstallation in the manner of
        /// `rpm -U` and `dnf` is not this: it is an `Install` and a `Remove` that it replaces.
        replaces: Option<u32>,
    },
    /// A package goes.
    Remove {
        /// Its number in the database.
        hnum: u32,
        /// Numbers of files that stay, because another package owns them too: they do not trigger.
        skipped: BTreeSet<usize>,
        /// The element that takes its place, if it is upgraded or obsoleted.
        replaced_by: Option<usize>,
    },
}

/// Which RPM's rules are followed where releases differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rules {
    /// RPM 4.19 and 4.20: in an upgrade, the file triggers of both the old and the new package run while
    /// both are there.
    Rpm4,
    /// RPM 6: only those of the new package see files that came or went, and only those of the old one
    /// files that are about to go.
    #[default]
    Rpm6,
}

/// The scripts of one transaction. The methods are called in the order of the transaction (see the
/// crate's documentation); [`installed`](Self::installed) and [`erased`](Self::erased) tell of what has
/// happened.
///
/// A list stops at the first script that fails and [is critical](Script::is_critical); its element is
/// then left out, and so is the removal of the package that it would have replaced.
pub struct Selection<'a> {
    state: State<'a>,
    /// `%transfiletriggerpostun` of packages, noted while others were removed.
    later: BTreeSet<triggers::Ranked>,
}

impl<'a> Selection<'a> {
    /// For a transaction of these elements.
    pub fn new(installed: &'a dyn Installed, elements: &'a [Element]) -> Self {
        Self { state: State::new(installed, elements), later: BTreeSet::new() }
    }

    /// By the rules of another RPM.
    pub fn with_rules(mut self, rules: Rules) -> Self {
        self.state.rules = rules;
        self
    }

    /// `%pretrans` of every package that comes. They run before files are checked, in a root that may be
    /// empty.
    pub fn pretrans(&self) -> Result<Vec<Script>, Error> {
        self.each_install(Kind::PreTrans, |state, _, name| Ok(state.count(name)? + 1))
    }

    /// Before the first element: `%preuntrans` and `%transfiletriggerun`.
    pub fn before_transaction(&self) -> Result<Vec<Script>, Error> {
        let mut scripts = self.each_remove(Kind::PreUnTrans, State::after_removal)?;
        scripts.extend(files::of_transaction(&self.state, When::Un)?);
        for (index, header) in self.removals()? {
            let arg = self.state.after_removal(index, &name(&header.header))?;
            scripts.extend(files::own(
                &self.state,
                index,
                &header,
                When::Un,
                files::Scope::Transaction,
                arg,
            )?);
        }
        Ok(scripts)
    }

    /// Before the files of a package that comes are written: `%triggerprein` and `%pre`. Users and groups
    /// come before these, see [`crate::sysusers`].
    pub fn before_install(&self, index: usize) -> Result<Vec<Script>, Error> {
        let package = self.state.install(index)?;
        let mut scripts = triggers::set_off(&self.state, index, &package.header, When::PreIn)?;
        scripts.extend(triggers::own(&self.state, index, &package.header, When::PreIn)?);
        let arg = self.state.count(&name(&package.header))? + 1;
        scripts.extend(of(&package.header, Kind::Pre, arg, index)?);
        Ok(scripts)
    }

    /// The package's files and its row in the database are there.
    pub fn installed(&mut self, index: usize) -> Result<(), Error> {
        self.state.installed(index)
    }

    /// After a package came.
    pub fn after_install(&self, index: usize) -> Result<Vec<Script>, Error> {
        let package = self.state.install(index)?;
        // Its row is there by now. RPM counts before it takes the row of a package that it replaces.
        let arg = self.state.count(&name(&package.header))? + u32::from(self.state.replaces(index));
        let files = |class| -> Result<Vec<Script>, Error> {
            let mut scripts = files::set_off(&self.state, index, &package, When::In, class, arg)?;
            let scope = files::Scope::Package(class);
            scripts.extend(files::own(&self.state, index, &package, When::In, scope, arg)?);
            Ok(scripts)
        };
        let mut scripts = files(files::Class::Early)?;
        scripts.extend(of(&package.header, Kind::Post, arg, index)?);
        scripts.extend(triggers::set_off(&self.state, index, &package.header, When::In)?);
        scripts.extend(triggers::own(&self.state, index, &package.header, When::In)?);
        scripts.extend(files(files::Class::Late)?);
        Ok(scripts)
    }

    /// Before the files of a package that goes are removed.
    pub fn before_erase(&self, index: usize) -> Result<Vec<Script>, Error> {
        let package = self.state.removal(index)?;
        let arg = self.state.count(&name(&package.header))?.saturating_sub(1);
        let files = |class| -> Result<Vec<Script>, Error> {
            let scope = files::Scope::Package(class);
            let mut scripts = files::own(&self.state, index, &package, When::Un, scope, arg)?;
            scripts.extend(files::set_off(&self.state, index, &package, When::Un, class, arg)?);
            Ok(scripts)
        };
        let mut scripts = files(files::Class::Early)?;
        scripts.extend(triggers::own(&self.state, index, &package.header, When::Un)?);
        scripts.extend(triggers::set_off(&self.state, index, &package.header, When::Un)?);
        scripts.extend(of(&package.header, Kind::PreUn, arg, index)?);
        scripts.extend(files(files::Class::Late)?);
        Ok(scripts)
    }

    /// After the files of a package were removed, while its row is still there.
    pub fn after_erase(&mut self, index: usize) -> Result<Vec<Script>, Error> {
        let package = self.state.removal(index)?;
        let arg = self.state.count(&name(&package.header))?.saturating_sub(1);
        let files = |class| files::set_off(&self.state, index, &package, When::PostUn, class, arg);
        let mut scripts = files(files::Class::Early)?;
        scripts.extend(of(&package.header, Kind::PostUn, arg, index)?);
        scripts.extend(triggers::set_off(&self.state, index, &package.header, When::PostUn)?);
        scripts.extend(files(files::Class::Late)?);
        let later = files::after_removal(&self.state, &package)?;
        self.later.extend(later);
        Ok(scripts)
    }

    /// The package's row is gone from the database.
    pub fn erased(&mut self, index: usize) -> Result<(), Error> {
        self.state.erased(index)
    }

    /// After the last element: `%posttrans`, `%postuntrans`, and the transaction file triggers. Elements
    /// that failed must be left out by [`without`](Self::without).
    pub fn after_transaction(&self) -> Result<Vec<Script>, Error> {
        let arg =
            |state: &State<'_>, index, name: &str| Ok(state.count(name)? + u32::from(state.is_update(index)));
        let mut scripts = self.each_install(Kind::PostTrans, arg)?;
        scripts.extend(self.each_remove(Kind::PostUnTrans, |state, _, name| state.count(name))?);
        scripts.extend(files::of_transaction(&self.state, When::In)?);
        scripts.extend(files::noted(&self.state, &self.later)?);
        for (index, package) in self.state.installs() {
            let arg = arg(&self.state, index, &name(&package.header))?;
            let scope = files::Scope::Transaction;
            scripts.extend(files::own(&self.state, index, package, When::In, scope, arg)?);
        }
        Ok(scripts)
    }

    /// An element failed: it did not happen, and what depends on it will not. Returns the elements that
    /// must be left out too: removals of what the package would have replaced.
    pub fn without(&mut self, index: usize) -> Vec<usize> {
        self.state.without(index)
    }

    fn removals(&self) -> Result<Vec<(usize, Arc<Package>)>, Error> {
        self.state.removals().map(|index| Ok((index, self.state.removal(index)?))).collect()
    }

    fn each_install(
        &self,
        kind: Kind,
        arg: impl Fn(&State<'a>, usize, &str) -> Result<u32, Error>,
    ) -> Result<Vec<Script>, Error> {
        let mut scripts = Vec::new();
        for (index, package) in self.state.installs() {
            let arg = arg(&self.state, index, &name(&package.header))?;
            scripts.extend(of(&package.header, kind, arg, index)?);
        }
        Ok(scripts)
    }

    fn each_remove(
        &self,
        kind: Kind,
        arg: impl Fn(&State<'a>, usize, &str) -> Result<u32, Error>,
    ) -> Result<Vec<Script>, Error> {
        let mut scripts = Vec::new();
        for (index, package) in self.removals()? {
            let arg = arg(&self.state, index, &name(&package.header))?;
            scripts.extend(of(&package.header, kind, arg, index)?);
        }
        Ok(scripts)
    }
}

/// A scriptlet of an element, ready to run.
fn of(header: &Header, kind: Kind, arg: u32, index: usize) -> Result<Option<Script>, Error> {
    let script = Script::from_header(header, kind, arg);
    script.map(|script| prepare(Script { element: Some(index), ..script }, header)).transpose()
}

/// Expands macros and fills in the query format, if the script's flags ask for it.
fn prepare(mut script: Script, header: &Header) -> Result<Script, Error> {
    let fail = |script: &Script, reason: String| Error::Script { script: script.to_string(), reason };
    if let Some(body) = &script.body {
        let body =
            crate::body::prepare(body, script.flags, header).map_err(|reason| fail(&script, reason))?;
        script.body = Some(body);
    }
    Ok(script)
}

fn name(header: &Header) -> String {
    header.string(lazuli_rpm::tag::NAME).unwrap_or_default()
}

#[cfg(test)]
mod tests;
