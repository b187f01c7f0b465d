//! The command line. Verbs and options are crictl's where it has them.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Asks the container runtime of this host: pods, containers, images.
#[derive(Debug, Parser)]
#[command(name = "lazuli-cri", version, infer_subcommands = false)]
pub struct Cli {
    /// The runtime's socket, with or without unix:// in front
    #[arg(
        short = 'r',
        long,
        visible_alias = "runtime-endpoint",
        env = "CONTAINER_RUNTIME_ENDPOINT",
        default_value = lazuli_cri::SOCKET,
        value_name = "PATH"
    )]
    pub socket: String,
    /// Seconds that one call may take
    #[arg(short, long, default_value_t = 120, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout: u64,
    /// The verb.
    #[command(subcommand)]
    pub verb: Verb,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Options of lists.
#[derive(Debug, Args)]
pub struct List {
    /// Print a table or JSON
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Format,
    /// Print identifiers only
    #[arg(short, long)]
    pub quiet: bool,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Versions of the runtime and of its interface
    Version,
    /// The state of the runtime, as JSON
    Info {
        /// Fail unless runtime and network are ready
        #[arg(long)]
        ready: bool,
    },
    /// List images
    #[command(visible_alias = "image")]
    Images {
        /// How
        #[command(flatten)]
        list: List,
    },
    /// Show an image as JSON
    Inspecti {
        /// The image
        image: String,
    },
    /// Fetch an image from its registry
    Pull {
        /// The image
        image: String,
    },
    /// Put the images of an OCI archive into the store
    Import {
        /// The archives
        #[arg(required = true)]
        archives: Vec<PathBuf>,
        /// The image's name, HOST/NAME:TAG, instead of the archive's own
        #[arg(long)]
        name: Option<String>,
        /// Never remove it to free space
        #[arg(long)]
        pin: bool,
    },
    /// Remove images
    Rmi {
        /// The images
        #[arg(required = true)]
        images: Vec<String>,
    },
    /// List pods
    Pods {
        /// How
        #[command(flatten)]
        list: List,
    },
    /// Show a pod as JSON
    Inspectp {
        /// The pod
        pod: String,
    },
    /// Start a pod
    Runp {
        /// Its configuration, a PodSandboxConfig in JSON
        config: PathBuf,
    },
    /// Stop pods
    Stopp {
        /// The pods
        #[arg(required = true)]
        pods: Vec<String>,
    },
    /// Remove pods
    Rmp {
        /// The pods
        #[arg(required = true)]
        pods: Vec<String>,
        /// Stop them first
        #[arg(short, long)]
        force: bool,
    },
    /// Show what pods use
    Statsp {
        /// How
        #[command(flatten)]
        list: List,
    },
    /// List containers
    Ps {
        /// Those that do not run, too
        #[arg(short, long)]
        all: bool,
        /// How
        #[command(flatten)]
        list: List,
    },
    /// Show a container as JSON
    Inspect {
        /// The container
        container: String,
    },
    /// Make a container in a pod
    Create {
        /// The pod
        pod: String,
        /// The container's configuration, a ContainerConfig in JSON
        container_config: PathBuf,
        /// The pod's configuration
        pod_config: PathBuf,
    },
    /// Make a pod and a container in it, and start it
    Run {
        /// The container's configuration
        container_config: PathBuf,
        /// The pod's configuration
        pod_config: PathBuf,
    },
    /// Start containers
    Start {
        /// The containers
        #[arg(required = true)]
        containers: Vec<String>,
    },
    /// Stop containers
    Stop {
        /// The containers
        #[arg(required = true)]
        containers: Vec<String>,
        /// Seconds until they are killed
        #[arg(long, default_value_t = 10)]
        grace: u32,
    },
    /// Remove containers
    Rm {
        /// The containers
        #[arg(required = true)]
        containers: Vec<String>,
        /// Stop them first
        #[arg(short, long)]
        force: bool,
    },
    /// Show a container's log
    Logs {
        /// The container
        container: String,
        /// The last lines only
        #[arg(long, value_name = "LINES")]
        tail: Option<usize>,
        /// With the time of each line
        #[arg(long)]
        timestamps: bool,
    },
    /// Run a command in a container and print what it says when it has ended
    Exec {
        /// For crictl's sake: there is no other way here
        #[arg(short, long)]
        sync: bool,
        /// The container
        container: String,
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Show what containers use
    Stats {
        /// How
        #[command(flatten)]
        list: List,
    },
}
