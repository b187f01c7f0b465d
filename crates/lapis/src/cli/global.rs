//! Options of every command.

use clap::{ArgAction, Args, ValueEnum};
use std::path::PathBuf;

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    #[value(alias = "tty", alias = "if-tty")]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Options of every command. They may stand before or after it.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Common options")]
pub struct Global {
    /// Answer yes to every question
    #[arg(short = 'y', long, global = true, overrides_with = "assumeno")]
    pub assumeyes: bool,
    /// Answer no to every question: show what would be done
    #[arg(long, global = true)]
    pub assumeno: bool,
    /// Print results as JSON
    #[arg(short = 'j', long, global = true)]
    pub json: bool,
    /// Say only what is needed
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more; twice for even more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Colours in tables
    #[arg(long, global = true, value_name = "WHEN", value_enum)]
    pub color: Option<Color>,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: Place,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub repositories: Repositories,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub solving: Solving,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub trust: Trust,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub advisories: Advisories,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub transaction: TransactionOptions,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub ignored: Ignored,
}

/// Which system and which configuration.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "System and configuration")]
pub struct Place {
    /// Work on the system in this directory instead of the running one
    #[arg(long, global = true, value_name = "DIR")]
    pub installroot: Option<PathBuf>,
    /// With --installroot: use the configuration of the running system, as tdnf does
    #[arg(long, global = true)]
    pub use_host_config: bool,
    /// Read this configuration file
    #[arg(short, long = "config", global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set a configuration key, or REPO.KEY of repositories that match
    #[arg(long, global = true, value_name = "KEY=VALUE", action = ArgAction::Append)]
    pub setopt: Vec<String>,
    /// Set a variable for configuration files
    #[arg(long, global = true, value_name = "NAME=VALUE", action = ArgAction::Append)]
    pub setvar: Vec<String>,
    /// The value of $releasever
    #[arg(long, global = true, value_name = "VERSION")]
    pub releasever: Option<String>,
    /// Work with packages of this architecture instead of the machine's
    #[arg(long, alias = "forcearch", global = true, value_name = "ARCH")]
    pub arch: Option<String>,
    /// See repositories as they were at this time: seconds since 1970 or YYYY-MM-DD[THH:MM:SS]
    #[arg(long, alias = "snapshottime", global = true, value_name = "TIME")]
    pub snapshot_time: Option<String>,
}

/// Which repositories, and how fresh.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Repositories")]
pub struct Repositories {
    /// Only these repositories (names or patterns, separated by commas)
    #[arg(long = "repo", alias = "repoid", global = true, value_name = "ID", action = ArgAction::Append, value_delimiter = ',')]
    pub only: Vec<String>,
    /// Also these repositories
    #[arg(long, alias = "enable-repo", global = true, value_name = "ID", action = ArgAction::Append, value_delimiter = ',')]
    pub enablerepo: Vec<String>,
    /// Without these repositories
    #[arg(long, alias = "disable-repo", global = true, value_name = "ID", action = ArgAction::Append, value_delimiter = ',')]
    pub disablerepo: Vec<String>,
    /// Also a repository that no file describes
    #[arg(long, global = true, value_name = "ID,URL", action = ArgAction::Append)]
    pub repofrompath: Vec<String>,
    /// Also the packages in a directory, without metadata
    #[arg(long, global = true, value_name = "ID,DIR", action = ArgAction::Append)]
    pub repofromdir: Vec<String>,
    /// Fetch metadata anew even if it has not expired
    #[arg(long, global = true, conflicts_with = "cacheonly")]
    pub refresh: bool,
    /// Use what is cached and no network
    #[arg(short = 'C', long, alias = "offline", global = true)]
    pub cacheonly: bool,
    /// Resolve names to IPv4 addresses only
    #[arg(short = '4', global = true, conflicts_with = "ipv6")]
    pub ipv4: bool,
    /// Resolve names to IPv6 addresses only
    #[arg(short = '6', global = true)]
    pub ipv6: bool,
}

/// What the solver may do.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Dependencies")]
pub struct Solving {
    /// Leave out packages that match (names or patterns, separated by commas)
    #[arg(short = 'x', long, alias = "excludepkgs", global = true, value_name = "PACKAGE", action = ArgAction::Append, value_delimiter = ',')]
    pub exclude: Vec<String>,
    /// Do not apply excludes: `all`, `main` or the id of a repository
    #[arg(long, alias = "disableexcludepkgs", global = true, value_name = "WHICH", num_args = 0..=1, default_missing_value = "all", require_equals = true, action = ArgAction::Append)]
    pub disableexcludes: Vec<String>,
    /// Fail if the best version of a package cannot be had
    #[arg(short, long, global = true, overrides_with = "nobest")]
    pub best: bool,
    /// Take an older version if the best one cannot be had
    #[arg(long, alias = "no-best", global = true)]
    pub nobest: bool,
    /// Installed packages may be removed to resolve conflicts
    #[arg(long, global = true)]
    pub allowerasing: bool,
    /// Leave out what cannot be installed and go on
    #[arg(long, global = true)]
    pub skip_broken: bool,
    /// Leave out what cannot be found and go on
    #[arg(long, global = true)]
    pub skip_unavailable: bool,
    /// Keep dependencies that nothing needs any more
    #[arg(long, alias = "no-autoremove", global = true)]
    pub noautoremove: bool,
    /// Do not replace packages by those that obsolete them
    #[arg(long, global = true)]
    pub skipobsoletes: bool,
    /// Do not report conflicts (`check`, `check-local`)
    #[arg(long, global = true, hide = true)]
    pub skipconflicts: bool,
    /// Without dependencies; for `download` and --downloadonly
    #[arg(long, global = true)]
    pub nodeps: bool,
    /// With all dependencies, installed or not; for `download` and --downloadonly
    #[arg(long, global = true)]
    pub alldeps: bool,
    /// What a source package needs to be built
    #[arg(long, global = true, hide = true)]
    pub builddeps: bool,
    /// Without what packages recommend
    #[arg(long, global = true)]
    pub no_weak_deps: bool,
}

/// What is verified. Everything is, unless one insists.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Trust")]
pub struct Trust {
    /// Install packages without a valid signature; asks first, and is recorded in the history
    #[arg(long, aliases = ["no-gpgchecks", "no-gpgcheck", "skipsignature"], global = true)]
    pub nogpgcheck: bool,
    /// The answer to the question of --nogpgcheck, for scripts that know what they do
    #[arg(long, global = true, requires = "nogpgcheck")]
    pub i_accept_unverified_packages: bool,
    /// For compatibility; digests are always checked
    #[arg(long, global = true, hide = true)]
    pub skipdigest: bool,
}

/// Which advisories count.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Advisories")]
pub struct Advisories {
    /// Only packages of security advisories
    #[arg(long, global = true)]
    pub security: bool,
    /// Only packages of bug fix advisories
    #[arg(long, global = true)]
    pub bugfix: bool,
    /// Only packages of enhancement advisories
    #[arg(long, global = true)]
    pub enhancement: bool,
    /// Only packages of advisories for new packages
    #[arg(long, global = true)]
    pub newpackage: bool,
    /// Only packages of these advisories
    #[arg(long, aliases = ["advisories"], global = true, value_name = "ID", action = ArgAction::Append, value_delimiter = ',')]
    pub advisory: Vec<String>,
    /// Only packages that fix these vulnerabilities
    #[arg(long, aliases = ["cves"], global = true, value_name = "CVE", action = ArgAction::Append, value_delimiter = ',')]
    pub cve: Vec<String>,
    /// Only packages that fix these bugs
    #[arg(long, aliases = ["bzs"], global = true, value_name = "BUG", action = ArgAction::Append, value_delimiter = ',')]
    pub bz: Vec<String>,
    /// Only security advisories of these severities (Critical, Important, Moderate, Low), or for tdnf of
    /// at least this CVSS score
    #[arg(long, aliases = ["secseverity", "advisory-severities"], global = true, value_name = "SEVERITY", action = ArgAction::Append, value_delimiter = ',')]
    pub sec_severity: Vec<String>,
    /// Only packages after whose update a reboot is due
    #[arg(long, global = true)]
    pub reboot_required: bool,
}

/// How a transaction is carried out.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Transactions")]
pub struct TransactionOptions {
    /// Fetch packages, install nothing
    #[arg(long, global = true)]
    pub downloadonly: bool,
    /// Where fetched packages go
    #[arg(long, alias = "destdir", global = true, value_name = "DIR")]
    pub downloaddir: Option<PathBuf>,
    /// Leave out documentation
    #[arg(long, alias = "no-docs", global = true)]
    pub nodocs: bool,
    /// Verify and stage everything, change nothing
    #[arg(long, global = true)]
    pub testonly: bool,
    /// A note for the history
    #[arg(long, global = true, value_name = "TEXT")]
    pub comment: Option<String>,
}

/// Options that others have and that mean nothing here.
#[derive(Debug, Clone, Default, Args)]
pub struct Ignored {
    /// Which plugins; there are none
    #[arg(long, alias = "disable-plugin", global = true, hide = true, value_name = "NAME", action = ArgAction::Append)]
    pub disableplugin: Vec<String>,
    /// Which plugins; there are none
    #[arg(long, alias = "enable-plugin", global = true, hide = true, value_name = "NAME", action = ArgAction::Append)]
    pub enableplugin: Vec<String>,
    /// No plugins; there are none
    #[arg(long, alias = "no-plugins", global = true, hide = true)]
    pub noplugins: bool,
    /// How much rpm says
    #[arg(long, global = true, hide = true, value_name = "LEVEL")]
    pub rpmverbosity: Option<String>,
    /// A macro for rpm
    #[arg(long, global = true, hide = true, value_name = "MACRO", action = ArgAction::Append)]
    pub rpmdefine: Vec<String>,
    /// What the solver was asked
    #[arg(long, global = true, hide = true)]
    pub debugsolver: bool,
    /// How much is logged
    #[arg(short = 'd', long, global = true, hide = true, value_name = "LEVEL")]
    pub debuglevel: Option<String>,
    /// How much is logged
    #[arg(short = 'e', long, global = true, hide = true, value_name = "LEVEL")]
    pub errorlevel: Option<String>,
    /// For dnf5
    #[arg(long, global = true, hide = true)]
    pub dump_main_config: bool,
    /// Waiting before the start is the timer's business
    #[arg(short = 'R', long, global = true, hide = true, value_name = "MINUTES")]
    pub randomwait: Option<u32>,
    /// New leaves are no part of the plan
    #[arg(long, global = true, hide = true)]
    pub show_new_leaves: bool,
    /// Going down to meet a request is a matter of --best and --nobest
    #[arg(long, global = true, hide = true)]
    pub allow_downgrade: bool,
    /// The opposite is not done, and refused
    #[arg(long, global = true, hide = true)]
    pub no_allow_downgrade: bool,
}
