//! The command line's definition.

use crate::commands::rollout::RolloutArgs;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Builds and runs Lazuli Linux: from pinned packages to signed RPMs, images and a running system,
/// without root.
#[derive(Debug, Parser)]
#[command(name = "lazuli", version, propagate_version = true, infer_subcommands = false)]
pub struct Cli {
    /// What is common to all commands.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// The distribution's directory; by default the `distro/` of the checkout that one is in
    #[arg(long, global = true, env = "LAZULI_DISTRO", value_name = "DIR")]
    pub distro: Option<PathBuf>,
    /// The lock file; by default `lazuli.lock` beside `distro/`
    #[arg(long, global = true, value_name = "FILE")]
    pub lock_file: Option<PathBuf>,
    /// The store of downloads and results; by default ~/.cache/lazuli
    #[arg(long, global = true, env = "LAZULI_STORE", value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// Fail rather than re-pin what a mirror no longer carries
    #[arg(long, global = true)]
    pub locked: bool,
    /// The version of images with slots; by default the day of their inputs
    #[arg(long, global = true, env = "LAZULI_IMAGE_VERSION", value_name = "VERSION")]
    pub image_version: Option<String>,
    /// Print results as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Show the commands that are run (-v) and what they print (-vv)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build an image if needed and boot it in QEMU
    Run(RunArgs),
    /// Build images, or everything that they need
    Build(BuildArgs),
    /// Pin every outside input in lazuli.lock
    Lock(LockArgs),
    /// Look at components and add new ones
    #[command(subcommand)]
    Component(ComponentCommand),
    /// Look at images
    #[command(subcommand)]
    Image(ImageCommand),
    /// Look at the kernel
    #[command(subcommand)]
    Kernel(KernelCommand),
    /// Work with package repositories
    #[command(subcommand)]
    Repo(RepoCommand),
    /// Look after the store
    #[command(subcommand)]
    Store(StoreCommand),
    /// Publish releases of images to hosts that update themselves as a whole
    #[command(subcommand)]
    Update(UpdateCommand),
    /// Check this host and say what to do about each finding
    Doctor,
    /// Write the metadata of all packages of the default suites as if all were adopted; for measurements
    #[command(hide = true)]
    ConvertSuite {
        /// The directory of the repository
        dir: PathBuf,
    },
    /// Fetch and unpack a tool root and print its directory; for tests
    #[command(hide = true)]
    ToolRoot {
        /// A table `[tool-root.NAME]` of lazuli.toml
        name: String,
    },
}

/// `lazuli run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The image, a file of distro/images without `.toml`
    pub image: String,
    /// Run this command in the guest, print its output and exit with its status
    #[arg(long, value_name = "CMD", conflicts_with = "ssh")]
    pub exec: Option<String>,
    /// Log in over SSH with a key made for this run, instead of the console
    #[arg(long)]
    pub ssh: bool,
    /// Give up after this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub timeout: Option<u64>,
    /// Keep what the guest writes in this disk file (made from the image if it is not there)
    #[arg(long, value_name = "FILE")]
    pub persist: Option<PathBuf>,
    /// Give the guest a TPM 2.0 (in software). With --persist its state is kept beside the disk, in FILE.tpm
    #[arg(long)]
    pub tpm: bool,
    /// Hand the guest a systemd credential; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = credential)]
    pub credential: Vec<(String, String)>,
    /// Let the guest take packages from here, instead of from where the distribution says; a server on
    /// this host is http://10.0.2.2:PORT/
    #[arg(long, value_name = "URL")]
    pub repository: Option<String>,
    /// Let a TCP port of this host (on 127.0.0.1) lead to one of the guest; may be given several times
    #[arg(long, value_name = "HOST:GUEST", value_parser = port_pair)]
    pub forward: Vec<(u16, u16)>,
    /// Memory of the guest in MiB
    #[arg(long, default_value_t = 1024, value_name = "MIB", value_parser = clap::value_parser!(u32).range(128..=1 << 20))]
    pub memory: u32,
    /// Processors of the guest
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=255))]
    pub cpus: u32,
    /// Size of the guest's disk in GiB; the root file system grows to it
    #[arg(long, default_value_t = 8, value_name = "GIB", value_parser = clap::value_parser!(u64).range(1..=16_384))]
    pub disk: u64,
    /// Virtualisation: `auto` uses KVM after a probe has shown that it works
    #[arg(long, default_value = "auto", value_parser = ["auto", "kvm", "tcg"])]
    pub accel: String,
}

/// `lazuli build`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// Images to build; without any, all components and the repository
    pub images: Vec<String>,
    /// Directory for the results; by default `build/`
    #[arg(long, short, default_value = "build", value_name = "DIR")]
    pub output: PathBuf,
    /// Formats to write, instead of those that the image names
    #[arg(long, value_delimiter = ',', value_name = "FORMAT")]
    pub format: Vec<String>,
    /// Also write what `lazuli update publish` takes, to DIR/IMAGE-VERSION (images with slots)
    #[arg(long, requires = "images")]
    pub update: bool,
}

/// `lazuli lock`.
#[derive(Debug, Args)]
pub struct LockArgs {
    /// Say what is out of date and change nothing; the status is 1 if something is
    #[arg(long, conflicts_with = "update")]
    pub check: bool,
    /// Move the named components and tool roots (all without a name) to the current versions
    #[arg(long, num_args = 0.., value_name = "NAME")]
    pub update: Option<Vec<String>>,
}

/// `lazuli component`.
#[derive(Debug, Subcommand)]
pub enum ComponentCommand {
    /// List all components
    List,
    /// Explain a component: origin, overlay, the fate of every maintainer script
    Show {
        /// The component, or one of its packages
        name: String,
    },
    /// Write component files for Debian packages and what they need
    Add {
        /// Debian binary packages
        #[arg(required = true)]
        packages: Vec<String>,
    },
    /// Build components
    Build {
        /// The components
        #[arg(required = true)]
        names: Vec<String>,
        /// Directory for the RPMs; by default `build/rpms`
        #[arg(long, short, default_value = "build/rpms", value_name = "DIR")]
        output: PathBuf,
    },
}

/// `lazuli image`.
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// List all images
    List,
    /// Measure an image: sizes, boot time, idle memory
    Stats {
        /// The image
        name: String,
    },
    /// List the packages and files of an image's root
    Show {
        /// The image
        name: String,
        /// List every path
        #[arg(long)]
        files: bool,
    },
    /// Write what has to be signed for an image, for a key that is elsewhere
    Unsigned(UnsignedArgs),
    /// Take signatures back, check them and write the image
    Attach(AttachArgs),
}

/// `lazuli image unsigned`.
#[derive(Debug, Args)]
pub struct UnsignedArgs {
    /// The image, one with slots
    pub name: String,
    /// The directory
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// The certificate of the key that signs, PEM or DER; by default db.crt in the directory
    #[arg(long, value_name = "FILE")]
    pub certificate: Option<PathBuf>,
}

/// `lazuli image attach`.
#[derive(Debug, Args)]
pub struct AttachArgs {
    /// The image, one with slots
    pub name: String,
    /// The directory that `lazuli image unsigned` wrote, with the signatures
    #[arg(long, value_name = "DIR")]
    pub from: PathBuf,
    /// The certificate of the key that signed, PEM or DER; by default db.crt in the directory
    #[arg(long, value_name = "FILE")]
    pub certificate: Option<PathBuf>,
    /// Directory for the results; by default `build/`
    #[arg(long, short, default_value = "build", value_name = "DIR")]
    pub output: PathBuf,
    /// Formats to write, instead of those that the image names
    #[arg(long, value_delimiter = ',', value_name = "FORMAT")]
    pub format: Vec<String>,
}

/// `lazuli kernel`.
#[derive(Debug, Subcommand)]
pub enum KernelCommand {
    /// Judge configuration and command line with kernel-hardening-checker
    Check {
        /// The image whose command line is judged
        #[arg(long, default_value = "core")]
        image: String,
    },
    /// Print the built configuration
    Config,
}

/// `lazuli repo`.
#[derive(Debug, Subcommand)]
pub enum RepoCommand {
    /// Write a signed repository of the packages of images, or of all components, to a directory
    Build(RepoBuildArgs),
    /// Publish packages to a directory that a web server serves: a new immutable snapshot, then the pointer to it
    Publish(RepoPublishArgs),
    /// Remove old snapshots of a published repository, and packages that none of the others has
    Prune {
        /// Its directory
        dir: PathBuf,
        /// Keep at least this many snapshots
        #[arg(long, default_value_t = 3, value_name = "COUNT")]
        keep: usize,
        /// Keep snapshots of the last so many days
        #[arg(long, default_value_t = 90, value_name = "DAYS")]
        days: u32,
    },
    /// Verify signature and checksums of a repository
    Verify {
        /// Its directory
        dir: PathBuf,
    },
}

/// `lazuli repo build`.
#[derive(Debug, Args)]
pub struct RepoBuildArgs {
    /// Only packages that these images need
    #[arg(value_name = "IMAGE", conflicts_with = "all")]
    pub images: Vec<String>,
    /// The packages of all components, as without any image
    #[arg(long)]
    pub all: bool,
    /// The directory
    #[arg(long, default_value = "build/repo", value_name = "DIR")]
    pub to: PathBuf,
    /// Describe in `updateinfo` what changed since this lazuli.lock
    #[arg(long, value_name = "FILE")]
    pub since: Option<PathBuf>,
}

/// `lazuli repo publish`.
#[derive(Debug, Args)]
pub struct RepoPublishArgs {
    /// The directory
    pub dir: PathBuf,
    /// Only packages that these images need; by default those of all components
    #[arg(long = "image", value_name = "IMAGE")]
    pub images: Vec<String>,
    /// Describe in `updateinfo` what changed since this lazuli.lock; by default since the one published last
    #[arg(long, value_name = "FILE")]
    pub since: Option<PathBuf>,
    /// Days until the metadata expires: publish again before they are over
    #[arg(long, default_value_t = 30, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub expires: u32,
}

/// `lazuli store`.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Remove what was not used for a while
    Gc {
        /// Age in days of what is removed
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(..=36_500))]
        days: u64,
    },
    /// Read every blob again and remove damaged ones
    Verify,
}

/// `lazuli update`.
#[derive(Debug, Subcommand)]
pub enum UpdateCommand {
    /// Raise, hold or withdraw a release by what hosts report of it
    Rollout(RolloutArgs),
    /// Publish images: pack them, make recipes from the last releases, sign the metadata
    Publish(UpdatePublishArgs),
    /// Make an empty repository, and development keys if there are none
    Root(UpdateRepository),
    /// Replace keys, thresholds or dates: sign new root metadata as roles.json beside the keys says
    Rotate(UpdateRotateArgs),
    /// Sign the metadata again before it expires; nothing that it lists changes
    Refresh {
        /// The repository
        #[command(flatten)]
        repository: UpdateRepository,
        /// Sign only the timestamp, which needs only its key
        #[arg(long)]
        timestamp: bool,
    },
    /// Take a release out of the metadata, so that no host takes it any more
    Withdraw {
        /// The repository
        #[command(flatten)]
        repository: UpdateRepository,
        /// The name of its manifest, PRODUCT-ARCHITECTURE-VERSION.manifest.json
        manifest: String,
    },
}

/// Which update repository, and who signs.
#[derive(Debug, Args)]
pub struct UpdateRepository {
    /// The directory of the repository, for a web server or a USB stick
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// The directory of the keys and their roles.json; by default `update` in the directory of keys
    #[arg(long, value_name = "DIR")]
    pub keys: Option<PathBuf>,
}

/// `lazuli update publish`.
#[derive(Debug, Args)]
pub struct UpdatePublishArgs {
    /// The images: directories with a release.json, as `lazuli build --update` writes them
    pub images: Vec<PathBuf>,
    /// Rollout plans to publish with them, or anew after `lazuli update rollout` changed one; a release without a plan
    /// may be taken by every host at once
    #[arg(long, value_name = "FILE")]
    pub plan: Vec<PathBuf>,
    /// The repository
    #[command(flatten)]
    pub repository: UpdateRepository,
    /// From how many of the last releases recipes are made
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub recipes: usize,
    /// Level of zstd for the full image
    #[arg(long, default_value_t = 19, value_name = "LEVEL", value_parser = clap::value_parser!(i32).range(1..=22))]
    pub level: i32,
}

/// `lazuli update rotate`.
#[derive(Debug, Args)]
pub struct UpdateRotateArgs {
    /// The repository
    #[command(flatten)]
    pub repository: UpdateRepository,
    /// Write the bytes that are to be signed elsewhere to this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["attach", "commit"])]
    pub unsigned: Option<PathBuf>,
    /// Take a signature that was made elsewhere; KEY is the key's identity in hexadecimal
    #[arg(long, value_name = "KEY=FILE")]
    pub attach: Option<String>,
    /// Put the new root metadata in its place once it has all signatures
    #[arg(long)]
    pub commit: bool,
}

/// The name of a credential and its value.
fn credential(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-~@".contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
        return Err(format!(
            "`{name}` is not the name of a credential: letters, digits and any of . _ - ~ @"
        ));
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// Two ports with a colon between.
fn port_pair(text: &str) -> Result<(u16, u16), String> {
    text.split_once(':')
        .and_then(|(host, guest)| Some((host.parse().ok()?, guest.parse().ok()?)))
        .filter(|(host, guest)| *host != 0 && *guest != 0)
        .ok_or_else(|| format!("`{text}` is not a pair of ports such as 8080:80"))
}
