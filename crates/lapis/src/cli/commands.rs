//! The commands and their own options.

use super::query::RepoqueryArgs;
use clap::{ArgAction, Args, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Install packages, by name, file, URL or what they provide
    #[command(visible_alias = "in", aliases = ["localinstall", "install-n", "install-na", "install-nevra"])]
    Install(Packages),
    /// Remove packages and what only they needed
    #[command(visible_alias = "erase", aliases = ["rm", "uninstall", "remove-n", "remove-na", "remove-nevra", "erase-n"])]
    Remove(RemoveArgs),
    /// Update packages; without names all
    #[command(visible_alias = "update", aliases = ["up", "upgrade-to", "update-to", "localupdate"])]
    Upgrade(Packages),
    /// Update packages only as far as an advisory asks for
    #[command(aliases = ["update-minimal", "up-min"])]
    UpgradeMinimal(Packages),
    /// Go back to an earlier version
    #[command(alias = "dg")]
    Downgrade(Packages),
    /// Install the installed version again
    #[command(alias = "rei")]
    Reinstall(PackagesNeeded),
    /// Bring installed packages to the repositories' versions, up or down
    #[command(visible_alias = "dsync", aliases = ["distrosync", "distribution-synchronization", "dup"])]
    DistroSync(Packages),
    /// Remove one package and install another in one step
    Swap(SwapArgs),
    /// Remove dependencies that nothing needs any more
    #[command(visible_alias = "autoerase")]
    Autoremove(Packages),
    /// Change why a package is installed
    Mark(MarkArgs),
    /// Groups of packages: list, describe, install, remove; in other commands they are @GROUP
    #[command(visible_alias = "grp", aliases = ["groups", "environment"])]
    Group(GroupArgs),

    /// Look for problems among the installed packages
    Check(CheckArgs),
    /// Look for problems among the packages in a directory
    CheckLocal(CheckLocalArgs),
    /// List updates; the exit status is 100 if there are any
    #[command(visible_alias = "check-upgrade", alias = "checkupdate")]
    CheckUpdate(CheckUpdateArgs),
    /// List packages
    #[command(alias = "ls")]
    List(ListArgs),
    /// Describe packages
    Info(ListArgs),
    /// Search names and summaries, with --all descriptions and URLs too
    #[command(alias = "se")]
    Search(SearchArgs),
    /// Find the packages that provide something or own a file
    #[command(visible_alias = "whatprovides", aliases = ["prov", "wp"])]
    Provides(ProvidesArgs),
    /// Ask for packages and what is known about them
    #[command(visible_alias = "rq")]
    Repoquery(Box<RepoqueryArgs>),
    /// List the dependencies of packages and what meets them
    Deplist(PackagesNeeded),
    /// Show the changelogs of packages
    Changelog(ChangelogArgs),
    /// Count packages
    Count,

    /// List advisories
    #[command(visible_alias = "advisory", aliases = ["list-updateinfo", "info-updateinfo"])]
    Updateinfo(UpdateinfoArgs),
    /// Keep packages at their version
    Versionlock(VersionlockArgs),
    /// What was done, and undoing it
    #[command(alias = "hist")]
    History(HistoryArgs),
    /// What has to be restarted after an update
    NeedsRestarting(NeedsRestartingArgs),

    /// List repositories
    Repolist(RepolistArgs),
    /// Describe repositories
    Repoinfo(RepolistArgs),
    /// Fetch metadata of repositories
    #[command(alias = "mc")]
    Makecache(MakecacheArgs),
    /// Delete cached files
    Clean(CleanArgs),
    /// Fetch packages to a directory
    Download(DownloadArgs),
    /// Copy repositories to a directory
    Reposync(ReposyncArgs),
    /// Change the configuration of repositories
    ConfigManager(ConfigManagerArgs),

    /// Finish a transaction that was interrupted
    Recover(RecoverArgs),
    /// Install updates unattended, as /etc/lapis/automatic.conf says
    Automatic(AutomaticArgs),
    /// Give every installed kernel an entry in the boot menu, and take away those of removed ones
    BootEntries(BootEntriesArgs),
    /// Describe this program
    Version,
    /// Write shell completions or manual pages
    #[command(hide = true)]
    Generate(GenerateArgs),
    /// A word that is no command
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

/// Packages, possibly none.
#[derive(Debug, Clone, Default, Args)]
pub struct Packages {
    /// Names, NAME-VERSION, NAME.ARCH, patterns, paths or files
    #[arg(value_name = "PACKAGE")]
    pub packages: Vec<String>,
}

/// Packages, at least one.
#[derive(Debug, Clone, Default, Args)]
pub struct PackagesNeeded {
    /// Names, NAME-VERSION, NAME.ARCH, patterns or paths
    #[arg(value_name = "PACKAGE", required = true)]
    pub packages: Vec<String>,
}

/// `remove`.
#[derive(Debug, Clone, Default, Args)]
pub struct RemoveArgs {
    /// Names, NAME-VERSION, NAME.ARCH, patterns or paths
    #[arg(value_name = "PACKAGE")]
    pub packages: Vec<String>,
    /// All installonly packages but the newest and the running one
    #[arg(long)]
    pub oldinstallonly: bool,
    /// All but one of the packages that are installed more than once
    #[arg(long)]
    pub duplicates: bool,
}

/// `swap`.
#[derive(Debug, Clone, Args)]
pub struct SwapArgs {
    /// What goes
    pub remove: String,
    /// What comes
    pub install: String,
}

/// A reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MarkAs {
    /// Somebody asked for it
    #[value(alias = "user")]
    Install,
    /// It came as a dependency
    #[value(aliases = ["dependency", "auto", "remove-auto"])]
    Remove,
    /// It came because something recommends it
    Weak,
}

/// `mark`.
#[derive(Debug, Clone, Args)]
pub struct MarkArgs {
    /// `install` (also `user`), `remove` (also `dependency`) or `weak`
    #[arg(value_enum)]
    pub reason: MarkAs,
    /// Installed packages
    #[arg(value_name = "PACKAGE", required = true)]
    pub packages: Vec<String>,
}

/// `group`.
#[derive(Debug, Clone, Default, Args)]
pub struct GroupArgs {
    /// `list` (the default), `info`, `install`, `remove` or `upgrade`, and then ids or names of groups. `remove`
    /// takes the mandatory and default packages of a group that is installed, also those that somebody asked for
    /// by name before, and leaves what other packages need or another installed group has
    #[arg(value_name = "ACTION|GROUP")]
    pub words: Vec<String>,
    /// Optional packages too
    #[arg(long)]
    pub with_optional: bool,
    /// Groups that are usually not shown too
    #[arg(long, visible_alias = "all")]
    pub hidden: bool,
    /// With ids
    #[arg(long, alias = "id")]
    pub ids: bool,
    /// Only groups that are installed
    #[arg(long, conflicts_with = "available")]
    pub installed: bool,
    /// Only groups that are not installed
    #[arg(long)]
    pub available: bool,
}

/// `check`.
#[derive(Debug, Clone, Default, Args)]
pub struct CheckArgs {
    /// Missing requirements and conflicts
    #[arg(long)]
    pub dependencies: bool,
    /// Packages that are installed more than once
    #[arg(long)]
    pub duplicates: bool,
    /// Packages that another obsoletes
    #[arg(long)]
    pub obsoleted: bool,
}

/// `check-local`.
#[derive(Debug, Clone, Args)]
pub struct CheckLocalArgs {
    /// The directory
    pub directory: PathBuf,
}

/// `check-update`.
#[derive(Debug, Clone, Default, Args)]
pub struct CheckUpdateArgs {
    /// Names or patterns; without them all
    #[arg(value_name = "PACKAGE")]
    pub packages: Vec<String>,
    /// Show the changes since the installed version
    #[arg(long)]
    pub changelogs: bool,
}

/// `list` and `info`.
#[derive(Debug, Clone, Default, Args)]
pub struct ListArgs {
    /// One of the words all, available, installed, extras, obsoletes, recent, updates, upgrades,
    /// downgrades, autoremove, and then names or patterns
    #[arg(value_name = "SCOPE|PACKAGE")]
    pub words: Vec<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub scope: ScopeArgs,
    /// All versions, not only the newest
    #[arg(long, alias = "show-duplicates")]
    pub showduplicates: bool,
}

/// The scopes as options.
#[derive(Debug, Clone, Default, Args)]
#[group(multiple = false)]
pub struct ScopeArgs {
    /// Installed and available
    #[arg(long)]
    pub all: bool,
    /// Available from a repository
    #[arg(long)]
    pub available: bool,
    /// Installed
    #[arg(long)]
    pub installed: bool,
    /// Installed, but in no repository
    #[arg(long)]
    pub extras: bool,
    /// Installed packages that another one replaces
    #[arg(long)]
    pub obsoletes: bool,
    /// Added within a week
    #[arg(long)]
    pub recent: bool,
    /// Newer than what is installed
    #[arg(long, aliases = ["updates", "updatable"])]
    pub upgrades: bool,
    /// Older than what is installed
    #[arg(long)]
    pub downgrades: bool,
    /// No longer needed
    #[arg(long)]
    pub autoremove: bool,
}

/// `search`.
#[derive(Debug, Clone, Args)]
pub struct SearchArgs {
    /// Words that all must be found
    #[arg(value_name = "WORD", required = true)]
    pub words: Vec<String>,
    /// Search descriptions and URLs too; any word will do
    #[arg(long)]
    pub all: bool,
    /// All versions, not only the newest
    #[arg(long, alias = "show-duplicates")]
    pub showduplicates: bool,
}

/// `provides`.
#[derive(Debug, Clone, Args)]
pub struct ProvidesArgs {
    /// A dependency, a path or a pattern
    #[arg(value_name = "WHAT", required = true)]
    pub what: Vec<String>,
}

/// `changelog`.
#[derive(Debug, Clone, Args)]
pub struct ChangelogArgs {
    /// Names or patterns
    #[arg(value_name = "PACKAGE", required = true)]
    pub packages: Vec<String>,
    /// The newest so many entries of each package
    #[arg(long, value_name = "NUMBER")]
    pub count: Option<usize>,
    /// Only entries newer than the installed version
    #[arg(long)]
    pub upgrades: bool,
}

/// `updateinfo`.
#[derive(Debug, Clone, Default, Args)]
pub struct UpdateinfoArgs {
    /// `summary`, `list` or `info`, a scope (all, available, installed, updates), and then advisories,
    /// CVE numbers, packages or patterns
    #[arg(value_name = "MODE|SCOPE|WHAT")]
    pub words: Vec<String>,
    /// One line a package
    #[arg(long)]
    pub list: bool,
    /// In full
    #[arg(long)]
    pub info: bool,
    /// Only numbers
    #[arg(long)]
    pub summary: bool,
    /// All advisories
    #[arg(long)]
    pub all: bool,
    /// Advisories for newer versions than the installed ones (the default)
    #[arg(long)]
    pub available: bool,
    /// Advisories whose packages are installed
    #[arg(long)]
    pub installed: bool,
    /// Advisories for updates that can be installed
    #[arg(long)]
    pub updates: bool,
    /// Only advisories that name a CVE
    #[arg(long)]
    pub with_cve: bool,
    /// Only advisories that name a bug
    #[arg(long)]
    pub with_bz: bool,
}

/// `versionlock`.
#[derive(Debug, Clone, Default, Args)]
pub struct VersionlockArgs {
    /// `list` (the default), `add`, `exclude`, `delete` or `clear`, and then packages
    #[arg(value_name = "ACTION|PACKAGE")]
    pub words: Vec<String>,
    /// Take the text as a pattern as it stands, whether or not a package matches
    #[arg(long)]
    pub raw: bool,
}

/// `history`.
#[derive(Debug, Clone, Default, Args)]
pub struct HistoryArgs {
    /// `list` (the default), `info`, `undo`, `redo`, `rollback`, `userinstalled` or `init`, and then
    /// transactions: a number, FIRST..LAST, `last`, `last-N`
    #[arg(value_name = "ACTION|TRANSACTION")]
    pub words: Vec<String>,
    /// The first transaction
    #[arg(long, value_name = "ID")]
    pub from: Option<i64>,
    /// The last transaction; of `rollback` the one to return to
    #[arg(long, value_name = "ID")]
    pub to: Option<i64>,
    /// With the packages of each transaction
    #[arg(long)]
    pub info: bool,
    /// Oldest first
    #[arg(long)]
    pub reverse: bool,
}

/// `needs-restarting`.
#[derive(Debug, Clone, Default, Args)]
pub struct NeedsRestartingArgs {
    /// Only whether a reboot is due: exit status 1 if so
    #[arg(short, long)]
    pub reboothint: bool,
    /// Only systemd services
    #[arg(short, long)]
    pub services: bool,
    /// Only processes of the calling user
    #[arg(short, long)]
    pub useronly: bool,
}

/// `repolist` and `repoinfo`.
#[derive(Debug, Clone, Default, Args)]
pub struct RepolistArgs {
    /// One of the words all, enabled, disabled, and then names or patterns
    #[arg(value_name = "SCOPE|ID")]
    pub words: Vec<String>,
    /// Enabled and disabled
    #[arg(long)]
    pub all: bool,
    /// Enabled (the default)
    #[arg(long)]
    pub enabled: bool,
    /// Disabled
    #[arg(long)]
    pub disabled: bool,
}

/// `makecache`.
#[derive(Debug, Clone, Default, Args)]
pub struct MakecacheArgs {
    /// For compatibility: `fast`
    #[arg(hide = true)]
    pub words: Vec<String>,
    /// For timers: only what has expired
    #[arg(long)]
    pub timer: bool,
}

/// What `clean` deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CleanWhat {
    /// Everything
    All,
    /// Fetched packages
    Packages,
    /// Metadata of repositories
    Metadata,
    /// Indexes made from metadata
    Dbcache,
    /// Nothing: metadata is checked at the next use
    ExpireCache,
    /// Keys of repositories that were fetched
    Keys,
    /// Nothing: there are no plugins
    Plugins,
}

/// `clean`.
#[derive(Debug, Clone, Default, Args)]
pub struct CleanArgs {
    /// What to delete; without words everything
    #[arg(value_enum)]
    pub what: Vec<CleanWhat>,
}

/// `download`.
#[derive(Debug, Clone, Default, Args)]
pub struct DownloadArgs {
    /// Names, NAME-VERSION, NAME.ARCH or patterns
    #[arg(value_name = "PACKAGE", required = true)]
    pub packages: Vec<String>,
    /// With the dependencies that are not installed
    #[arg(long)]
    pub resolve: bool,
    /// Print addresses, fetch nothing
    #[arg(long, alias = "urls")]
    pub url: bool,
    /// Source packages
    #[arg(long, alias = "srpm")]
    pub source: bool,
    /// Only packages of these architectures
    #[arg(long = "only-arch", aliases = ["arch", "archlist"], value_name = "ARCH", action = ArgAction::Append, value_delimiter = ',')]
    pub only_arch: Vec<String>,
    /// With --url: only addresses of these protocols
    #[arg(long, alias = "urlprotocols", value_name = "PROTOCOL", action = ArgAction::Append, value_delimiter = ',')]
    pub urlprotocol: Vec<String>,
}

/// `reposync`.
#[derive(Debug, Clone, Default, Args)]
pub struct ReposyncArgs {
    /// Ids of repositories; without them all that are enabled
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    /// Packages of this architecture only
    #[arg(long = "only-arch", alias = "arch", value_name = "ARCH", action = ArgAction::Append)]
    pub only_arch: Vec<String>,
    /// Delete packages that the repository no longer has
    #[arg(long)]
    pub delete: bool,
    /// Copy the metadata too, signature included
    #[arg(long, alias = "download-metadata")]
    pub download_metadata: bool,
    /// Where to; a directory per repository is made in it
    #[arg(short = 'p', long, value_name = "DIR")]
    pub download_path: Option<PathBuf>,
    /// Where metadata goes
    #[arg(long, value_name = "DIR")]
    pub metadata_path: Option<PathBuf>,
    /// Delete packages whose signature does not hold
    #[arg(short = 'g', long)]
    pub gpgcheck: bool,
    /// Only the newest version of each package
    #[arg(short = 'n', long)]
    pub newest_only: bool,
    /// Without a directory per repository
    #[arg(long)]
    pub norepopath: bool,
    /// Source packages only
    #[arg(long)]
    pub source: bool,
    /// Print addresses, fetch nothing
    #[arg(short = 'u', long)]
    pub urls: bool,
}

/// `config-manager`.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigManagerArgs {
    /// Ids of repositories, or the sub-commands of dnf5 (`setopt ID.KEY=VALUE`, `addrepo --from-repofile=FILE`)
    #[arg(value_name = "ID|WORD")]
    pub words: Vec<String>,
    /// Enable them for good
    #[arg(long, alias = "enable", conflicts_with = "set_disabled")]
    pub set_enabled: bool,
    /// Disable them for good
    #[arg(long, alias = "disable")]
    pub set_disabled: bool,
    /// Add a .repo file, from here or from an https address, or a repository at this address
    #[arg(long, alias = "from-repofile", value_name = "FILE|URL", action = ArgAction::Append)]
    pub add_repo: Vec<String>,
    /// With `addrepo`: the id of the new repository
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// With `addrepo`: a key of the new repository
    #[arg(long, value_name = "KEY=VALUE", action = ArgAction::Append)]
    pub set: Vec<String>,
    /// With `addrepo`: replace a file that is there
    #[arg(long, alias = "add-or-replace")]
    pub overwrite: bool,
    /// For compatibility; directories are made when they are needed
    #[arg(long, hide = true)]
    pub create_missing_dir: bool,
    /// Write what --setopt sets to the repository's file
    #[arg(long)]
    pub save: bool,
    /// Print the configuration
    #[arg(long)]
    pub dump: bool,
}

/// `recover`.
#[derive(Debug, Clone, Default, Args)]
pub struct RecoverArgs {
    /// Say nothing if there is nothing to do; for the unit that runs at boot
    #[arg(long)]
    pub boot: bool,
}

/// `boot-entries`.
#[derive(Debug, Clone, Default, Args)]
pub struct BootEntriesArgs {
    /// Do nothing where a boot menu is somebody else's business: in a chroot, or without UEFI. For the file
    /// trigger that runs after each transaction with kernels in it
    #[arg(long)]
    pub triggered: bool,
}

/// `automatic`.
#[derive(Debug, Clone, Default, Args)]
pub struct AutomaticArgs {
    /// The configuration
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Wait up to the configured random delay first
    #[arg(long)]
    pub timer: bool,
    /// Fetch and install, whatever the configuration says
    #[arg(long)]
    pub installupdates: bool,
    /// Fetch only
    #[arg(long)]
    pub downloadupdates: bool,
}

/// What `generate` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Generated {
    /// Manual pages
    Man,
    /// Completions for bash, zsh and fish
    Completions,
    /// Both, in the directories where they belong below a root
    All,
}

/// `generate`.
#[derive(Debug, Clone, Args)]
pub struct GenerateArgs {
    /// What
    #[arg(value_enum)]
    pub what: Generated,
    /// Where
    pub directory: PathBuf,
}
