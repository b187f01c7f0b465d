//! Options of `repoquery`.

use clap::{ArgAction, Args};

/// `repoquery`.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Which packages")]
pub struct RepoqueryArgs {
    /// Names, NAME-VERSION, NAME.ARCH or patterns; without them all
    #[arg(value_name = "PACKAGE")]
    pub packages: Vec<String>,
    /// For compatibility: all packages are the default
    #[arg(short = 'a', long, hide = true)]
    pub all: bool,
    /// From repositories (the default)
    #[arg(long)]
    pub available: bool,
    /// Installed
    #[arg(long)]
    pub installed: bool,
    /// Installed, but in no repository
    #[arg(long)]
    pub extras: bool,
    /// Installed in several versions
    #[arg(long)]
    pub duplicates: bool,
    /// Installed because somebody asked for it
    #[arg(long)]
    pub userinstalled: bool,
    /// Installed as dependencies and no longer needed
    #[arg(long)]
    pub unneeded: bool,
    /// Installed packages that may be there several times, such as kernels
    #[arg(long)]
    pub installonly: bool,
    /// Newer than what is installed
    #[arg(long)]
    pub upgrades: bool,
    /// Older than what is installed
    #[arg(long)]
    pub downgrades: bool,
    /// Added within a week
    #[arg(long)]
    pub recent: bool,
    /// Packages that own the file
    #[arg(short = 'f', long, value_name = "PATH", action = ArgAction::Append, value_delimiter = ',')]
    pub file: Vec<String>,
    /// Packages that provide it
    #[arg(long, value_name = "WHAT", action = ArgAction::Append, value_delimiter = ',')]
    pub whatprovides: Vec<String>,
    /// Packages that require it
    #[arg(long, value_name = "WHAT", action = ArgAction::Append, value_delimiter = ',')]
    pub whatrequires: Vec<String>,
    /// Packages that depend on it in any way
    #[arg(long, value_name = "WHAT", action = ArgAction::Append, value_delimiter = ',')]
    pub whatdepends: Vec<String>,
    /// Packages that conflict with it
    #[arg(long, value_name = "WHAT", action = ArgAction::Append, value_delimiter = ',')]
    pub whatconflicts: Vec<String>,
    /// Packages that obsolete it
    #[arg(long, value_name = "WHAT", action = ArgAction::Append, value_delimiter = ',')]
    pub whatobsoletes: Vec<String>,
    /// Packages that recommend it
    #[arg(long, value_name = "WHAT", action = ArgAction::Append, value_delimiter = ',')]
    pub whatrecommends: Vec<String>,
    /// Packages that suggest it
    #[arg(long, value_name = "WHAT", action = ArgAction::Append, value_delimiter = ',')]
    pub whatsuggests: Vec<String>,
    /// Packages that supplement it
    #[arg(long, value_name = "WHAT", action = ArgAction::Append, value_delimiter = ',')]
    pub whatsupplements: Vec<String>,
    /// Packages that enhance it
    #[arg(long, value_name = "WHAT", action = ArgAction::Append, value_delimiter = ',')]
    pub whatenhances: Vec<String>,
    /// With --whatrequires: take the text literally, not what packages of that name provide
    #[arg(long)]
    pub exactdeps: bool,
    /// For compatibility: all versions are shown in any case
    #[arg(long, alias = "show-duplicates", hide = true)]
    pub showduplicates: bool,
    /// For compatibility: there are no modules
    #[arg(long, hide = true)]
    pub disable_modular_filtering: bool,
    /// With --whatrequires: also what requires those packages, and so on
    #[arg(long)]
    pub recursive: bool,
    /// Only the newest N versions of each package, or with a minus all but those
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub latest_limit: Option<i64>,
    /// Only packages of these architectures
    #[arg(long = "only-arch", alias = "arch", value_name = "ARCH", action = ArgAction::Append, value_delimiter = ',')]
    pub only_arch: Vec<String>,
    /// Only source packages
    #[arg(long)]
    pub srpm: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub show: Show,
}

/// What is shown of each package.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "What to show")]
#[group(multiple = true)]
pub struct Show {
    /// A format, for example '%{name}-%{evr}\n'
    #[arg(long, alias = "qf", value_name = "FORMAT")]
    pub queryformat: Option<String>,
    /// Name, epoch, version, release and architecture (the default)
    #[arg(long)]
    pub nevra: bool,
    /// Name, version and release
    #[arg(long)]
    pub nvr: bool,
    /// Epoch, name, version, release and architecture
    #[arg(long)]
    pub envra: bool,
    /// The dependencies and the packages that meet them
    #[arg(long)]
    pub deplist: bool,
    /// A description
    #[arg(short = 'i', long)]
    pub info: bool,
    /// Its files
    #[arg(short = 'l', long)]
    pub list: bool,
    /// Where it lies
    #[arg(long)]
    pub location: bool,
    /// Changelog
    #[arg(long, alias = "changelog")]
    pub changelogs: bool,
    /// The name of its source package
    #[arg(short = 's', long, alias = "sourcerpm")]
    pub source: bool,
    /// All dependencies
    #[arg(long)]
    pub depends: bool,
    /// What it provides
    #[arg(long)]
    pub provides: bool,
    /// What it requires
    #[arg(long)]
    pub requires: bool,
    /// What its scriptlets require
    #[arg(long)]
    pub requires_pre: bool,
    /// What it conflicts with
    #[arg(long)]
    pub conflicts: bool,
    /// What it obsoletes
    #[arg(long)]
    pub obsoletes: bool,
    /// What it recommends
    #[arg(long)]
    pub recommends: bool,
    /// What it suggests
    #[arg(long)]
    pub suggests: bool,
    /// What it supplements
    #[arg(long)]
    pub supplements: bool,
    /// What it enhances
    #[arg(long)]
    pub enhances: bool,
    /// Show the packages that meet what was asked for instead of the dependencies
    #[arg(long)]
    pub resolve: bool,
    /// The names that --queryformat knows
    #[arg(long)]
    pub querytags: bool,
}
