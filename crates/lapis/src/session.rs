//! One run of a command: configuration and command line together, the root, what is installed.

use crate::advisories::Known;
use crate::ask::Answer;
use crate::catalog::Catalog;
use crate::cli::{Global, Name};
use crate::error::{Error, Result};
use crate::history::{History, Transaction};
use crate::installed::Installed;
use crate::output::{Output, Progress, time};
use crate::repositories::{Freshness, Repos};
use crate::settings::Settings;
use lazuli_rpmdb::Access;
use std::cell::OnceCell;
use std::path::{Path, PathBuf};

/// One run of a command.
pub struct Session<'a> {
    /// What the program was called.
    pub name: Name,
    /// Options.
    pub global: &'a Global,
    /// Where results go.
    pub out: &'a Output,
    /// The root that is worked on.
    pub root: PathBuf,
    /// The command line, for the history.
    pub command_line: String,
    /// The configuration.
    pub settings: Settings,
    installed: OnceCell<Installed>,
}

impl<'a> Session<'a> {
    /// Reads the configuration.
    pub fn open(name: Name, global: &'a Global, out: &'a Output, command_line: String) -> Result<Self> {
        let root = root(global)?;
        let settings = Settings::load(&root, global, out)?;
        Ok(Self { name, global, out, root, command_line, settings, installed: OnceCell::new() })
    }

    /// Without looking at any configuration.
    pub fn bare(name: Name, global: &'a Global, out: &'a Output, command_line: String) -> Result<Self> {
        let root = root(global)?;
        let settings = Settings::defaults(&root);
        Ok(Self { name, global, out, root, command_line, settings, installed: OnceCell::new() })
    }

    /// What is installed; read when first asked for.
    pub fn installed(&self) -> Result<&Installed> {
        if let Some(installed) = self.installed.get() {
            return Ok(installed);
        }
        let opened = Installed::open(&self.root, Access::Read)?;
        Ok(self.installed.get_or_init(|| opened))
    }

    /// Whether the root is the running system's.
    pub fn is_running_system(&self) -> bool {
        self.root == Path::new("/")
    }

    /// The enabled repositories, if they are wanted.
    pub fn repositories(&self, wanted: bool) -> Result<Repos> {
        if wanted { Repos::open(self, self.freshness()) } else { Ok(Repos::default()) }
    }

    /// How fresh metadata has to be.
    pub fn freshness(&self) -> Freshness {
        if self.settings.main.cacheonly {
            Freshness::Cached
        } else if self.global.repositories.refresh {
            Freshness::Now
        } else {
            Freshness::Normal
        }
    }

    /// The packages that may be seen.
    pub fn catalog<'r>(&self, repositories: &'r Repos) -> Result<Catalog<'r>> {
        repositories.catalog(self)
    }

    /// All advisories.
    pub fn advisories(&self, repositories: &Repos) -> Result<Vec<Known>> {
        repositories.advisories()
    }

    /// The same session, with what is installed read anew: after a transaction.
    pub fn again(&self) -> Result<Self> {
        Self::open(self.name, self.global, self.out, self.command_line.clone())
    }

    /// Where progress is shown.
    pub fn progress(&self) -> Progress {
        Progress::new(self.out.quiet || self.out.json)
    }

    /// How questions are answered.
    pub fn answer(&self) -> Answer {
        Answer::new(self.global, self.settings.main.assumeyes, self.settings.main.assumeno)
    }

    /// Fails unless the caller may change the root.
    pub fn need_root(&self) -> Result<()> {
        // In a root of their own, such as a test's, users may do what the file system lets them do.
        if !self.is_running_system() || rustix::process::geteuid().is_root() {
            return Ok(());
        }
        let command = self.command_line.split(' ').next().unwrap_or_default();
        Err(Error::NotRoot(format!("`{command}` changes the system; use sudo")))
    }

    /// Records what others did to the package database since we last looked, and says so.
    pub fn notice_changes(&self) -> Result<()> {
        let installed = self.installed()?;
        let cookie = installed.database().cookie()?;
        let mut history = History::open(&self.root)?;
        if history.last_cookie()?.as_deref() == Some(&cookie) {
            return Ok(());
        }
        let nevras: Vec<_> = installed.nevras()?.into_iter().map(|(_, nevra)| nevra).collect();
        if let Some(id) = history.notice(&cookie, &nevras, time::now())? {
            let altered = history.transaction(id)?.elements.len();
            self.out.info(format!(
                "Another program changed {altered} installed packages; the history has it as transaction {id}."
            ));
        }
        Ok(())
    }

    /// A transaction of this run, to be recorded.
    pub fn transaction(&self) -> Result<Transaction> {
        let (uid, user) = caller();
        Ok(Transaction {
            started: time::now(),
            uid,
            user,
            command: self.command_line.clone(),
            comment: self.global.transaction.comment.clone().unwrap_or_default(),
            cookie_before: self.installed()?.database().cookie()?,
            ..Transaction::default()
        })
    }
}

/// The directory to work on.
fn root(global: &Global) -> Result<PathBuf> {
    let Some(root) = &global.place.installroot else { return Ok(PathBuf::from("/")) };
    lazuli_fs::create_dir_all(root)?;
    root.canonicalize().map_err(|e| Error::File { path: root.clone(), reason: e.to_string() })
}

/// Who is at it: behind sudo the one who called it.
fn caller() -> (u32, String) {
    let uid = rustix::process::getuid().as_raw();
    let variable = |name| std::env::var(name).ok().filter(|v: &String| !v.is_empty());
    if uid == 0
        && let (Some(id), Some(user)) =
            (variable("SUDO_UID").and_then(|id| id.parse().ok()), variable("SUDO_USER"))
    {
        return (id, user);
    }
    (uid, user_name(uid).unwrap_or_else(|| uid.to_string()))
}

fn user_name(uid: u32) -> Option<String> {
    let passwd = lazuli_fs::read_to_string("/etc/passwd").ok()?;
    let uid = uid.to_string();
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    })
}
