//! What a caller asks of a sandbox.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::Command;

/// Whether a bound directory or file may be written inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Writing fails with EROFS.
    ReadOnly,
    /// Writes reach the host's directory.
    ReadWrite,
}

/// What of the network the command sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// A network namespace of its own with nothing but a loopback interface.
    #[default]
    None,
    /// The host's network.
    Host,
}

/// A host path shown inside.
#[derive(Debug, Clone)]
pub(crate) struct Bind {
    pub host: PathBuf,
    pub guest: String,
    pub access: Access,
}

/// A root directory and everything that surrounds a command run in it.
///
/// The root is never changed: it is mounted read-only, and mount points that it lacks are made in a
/// scratch file system around it. With [`overlay`](Self::overlay) the command sees a writable root
/// whose changes land in a directory of the caller's.
///
/// ```no_run
/// use lazuli_sandbox::{Access, Sandbox};
/// let sandbox = Sandbox::new("/srv/tools").bind("/srv/work", "/build", Access::ReadWrite).workdir("/build");
/// let listing = sandbox.command("ls").arg("-l").run(|line| eprintln!("{line}"))?;
/// # Ok::<(), lazuli_sandbox::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sandbox {
    pub(crate) root: PathBuf,
    pub(crate) upper: Option<PathBuf>,
    pub(crate) binds: Vec<Bind>,
    pub(crate) files: Vec<(String, Vec<u8>)>,
    pub(crate) devices: Vec<PathBuf>,
    pub(crate) network: Network,
    pub(crate) hostname: String,
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) workdir: String,
}

impl Sandbox {
    /// A sandbox whose root file system is the directory `root`, read-only.
    pub fn new(root: impl AsRef<Path>) -> Self {
        Self {
            root: root.as_ref().to_owned(),
            upper: None,
            binds: Vec::new(),
            files: Vec::new(),
            devices: Vec::new(),
            network: Network::None,
            hostname: "lazuli".to_owned(),
            env: Vec::new(),
            workdir: "/".to_owned(),
        }
    }

    /// Makes the root writable through an overlay. Changes land in the directory `upper` (made if
    /// missing), which must lie on a file system with extended attributes; read them back with
    /// [`overlay::changes`](crate::overlay::changes).
    #[must_use]
    pub fn overlay(mut self, upper: impl AsRef<Path>) -> Self {
        self.upper = Some(upper.as_ref().to_owned());
        self
    }

    /// Shows the host's file or directory `host` at the absolute path `guest`.
    #[must_use]
    pub fn bind(mut self, host: impl AsRef<Path>, guest: &str, access: Access) -> Self {
        self.binds.push(Bind { host: host.as_ref().to_owned(), guest: guest.to_owned(), access });
        self
    }

    /// Puts a small read-only file with mode 0644 at `guest`; without an overlay it hides what the
    /// root has there, with one it appears only where the root has nothing.
    #[must_use]
    pub fn file(mut self, guest: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((guest.to_owned(), content.into()));
        self
    }

    /// Shows one more device node of the host, for example `/dev/kvm`.
    #[must_use]
    pub fn device(mut self, node: impl AsRef<Path>) -> Self {
        self.devices.push(node.as_ref().to_owned());
        self
    }

    /// Chooses the network; the default is none.
    #[must_use]
    pub fn network(mut self, network: Network) -> Self {
        self.network = network;
        self
    }

    /// The host name seen inside; the default is `lazuli`.
    #[must_use]
    pub fn hostname(mut self, name: &str) -> Self {
        name.clone_into(&mut self.hostname);
        self
    }

    /// Sets an environment variable. The environment is otherwise fixed: see [`Command`].
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets `SOURCE_DATE_EPOCH` (seconds since 1970), the time that reproducible tools write.
    #[must_use]
    pub fn source_date_epoch(self, seconds: i64) -> Self {
        self.env("SOURCE_DATE_EPOCH", seconds.to_string())
    }

    /// The directory the command starts in, an absolute path inside; the default is `/`.
    #[must_use]
    pub fn workdir(mut self, guest: &str) -> Self {
        guest.clone_into(&mut self.workdir);
        self
    }

    /// A command to be run inside; a name without a slash is looked up in the sandbox's PATH.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        Command::new(self.clone(), program.as_ref())
    }
}
