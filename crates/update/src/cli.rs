//! The command line.

use crate::folder::Folder;
use crate::host::{Host, Place};
use crate::identity::Identity;
use crate::loader::Brought;
use crate::run::{self, Ran};
use crate::settings::Settings;
use crate::status::Status;
use crate::watch::{Machine, soak};
use crate::{Error, Result, health, inquire, reports};
use clap::{Args, Parser, Subcommand, ValueEnum};
use lazuli_layout::assess::{Event, ImageId, Standing};
use lazuli_layout::{Outcome, Slot, assess};
use lazuli_rollout::Time;
use lazuli_slots::Access;
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Updates this machine by whole images, keeps what proves itself, and goes back from what does not.
#[derive(Debug, Parser)]
#[command(name = "lazuli-update", version, about)]
pub struct Cli {
    /// The root of the system.
    #[arg(long, global = true, hide = true, default_value = "/")]
    root: PathBuf,
    /// An image file in place of the disk.
    #[arg(long, global = true, hide = true, requires = "running")]
    disk: Option<PathBuf>,
    /// The slot of the image file that counts as running.
    #[arg(long, global = true, hide = true)]
    running: Option<RunningSlot>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RunningSlot {
    A,
    B,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows what is in the slots and what the next boot tries.
    Status(Output),
    /// Asks the repository what there is, and which way it would be fetched.
    Check(From),
    /// Says of each newer release when this machine takes it, and why not yet.
    Explain(From),
    /// Fetches a release and writes it to the other slot, without having it started.
    Stage(Offered),
    /// Stages a release if that was not done, and has it tried at the next boot.
    Apply(Offered),
    /// Returns to the image before, and remembers this one as not wanted.
    Rollback(Reboot),
    /// Discards what was staged or applied.
    Abandon(Output),
    /// Lets an image be taken again that was given up.
    Forget {
        /// Its root hash, as `status` shows it.
        image: ImageId,
        #[command(flatten)]
        output: Output,
    },
    /// Shows what happened so far.
    History(Output),
    /// Looks once whether the system is well.
    Health(Output),
    /// Does what the settings allow without somebody asking; a timer starts it.
    Run {
        /// Also if it is not time to look again.
        #[arg(long)]
        now: bool,
        #[command(flatten)]
        reboot: Reboot,
    },
    /// Takes note of what the boot loader did; run at each boot.
    #[command(hide = true)]
    Boot(Output),
    /// Watches a new image through its soak and keeps it, or gives it up and reboots; run at each boot.
    Bless(Reboot),
}

#[derive(Debug, Args)]
struct Output {
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Reboot {
    /// Does not reboot; the caller does.
    #[arg(long)]
    no_reboot: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct From {
    /// A folder with a repository, such as a USB stick, instead of the address in the settings.
    #[arg(long, value_name = "FOLDER")]
    from: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Offered {
    #[command(flatten)]
    from: From,
    /// A release other than the newest that is neither held nor withdrawn.
    #[arg(long)]
    version: Option<String>,
    /// For development: the folder holds root.img and uki.efi, and this is the root hash that you vouch for.
    #[arg(long, value_name = "HEX", hide = true, requires_all = ["from", "version"])]
    root_hash: Option<ImageId>,
    /// The product of that image, which the salt of its hash tree is made from.
    #[arg(long, hide = true, default_value = "container-host")]
    product: String,
}

/// The program.
pub fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lazuli-update: {error}");
            ExitCode::from(error.status())
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    let running = cli.running.map(|slot| match slot {
        RunningSlot::A => Slot::A,
        RunningSlot::B => Slot::B,
    });
    let place = Place { root: cli.root.clone(), image: cli.disk.clone().zip(running) };
    match &cli.command {
        Command::Status(output) => status(&place, output),
        Command::Check(from) => inquire::check(&place, from.from.as_deref())?.show(from.output.json),
        Command::Explain(from) => inquire::explain(&place, from.from.as_deref())?.show(from.output.json),
        Command::History(output) => history(&place, output),
        Command::Health(output) => {
            let host = Host::open(&place, Access::Read)?;
            let checks = health::checks(&place.root)?;
            let timeout = Duration::from_secs(host.settings().health.timeout);
            match health::look(&checks, timeout) {
                Outcome::Well => {}
                Outcome::Starting(reason) | Outcome::Ill(reason) => return Err(Error::Ill(reason)),
            }
            Done::new("healthy", format!("all {} checks hold", checks.len())).show(output.json)
        }
        Command::Stage(offered) => take(&place, offered, false),
        Command::Apply(offered) => take(&place, offered, true),
        Command::Rollback(reboot) => {
            let performed = Host::open(&place, Access::Write)?.perform(&Event::Rollback)?;
            Done::new("rolled-back", "the next boot starts the image before this one")
                .show(reboot.output.json)?;
            finish(performed.reboot.as_deref(), reboot)
        }
        Command::Abandon(output) => {
            Host::open(&place, Access::Write)?.perform(&Event::Abandon)?;
            Done::new("abandoned", "what was in the other slot is discarded").show(output.json)
        }
        Command::Forget { image, output } => {
            Host::open(&place, Access::Write)?.perform(&Event::Forget(*image))?;
            Done::new("forgotten", format!("image {image} may be taken again")).show(output.json)
        }
        Command::Run { now, reboot } => run_once(&place, *now, reboot),
        Command::Boot(output) => boot(&place, output),
        Command::Bless(reboot) => bless(&place, reboot),
    }
}

/// What a command did.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Done {
    #[serde(rename = "done")]
    what: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    text: String,
}

impl Done {
    fn new(what: &'static str, text: impl Into<String>) -> Self {
        Self { what, version: None, text: text.into() }
    }

    fn of(what: &'static str, version: &str, text: impl Into<String>) -> Self {
        Self { version: Some(version.to_owned()), ..Self::new(what, text) }
    }

    fn show(&self, as_json: bool) -> Result<()> {
        if as_json {
            println!("{}", json(self)?);
        } else {
            println!("{}", self.text);
        }
        Ok(())
    }
}

/// `stage` and `apply`: by hand, so without waiting for waves and windows; but not what is held or withdrawn.
fn take(place: &Place, offered: &Offered, apply: bool) -> Result<()> {
    let mut host = Host::open_locked(place)?;
    let version = match (offered.root_hash, &offered.from.from, &offered.version) {
        (Some(hash), Some(folder), Some(version)) => {
            let mut folder = Folder::open(folder, hash, version, &offered.product)?;
            host.stage(&mut folder)?;
            if apply {
                host.apply(&mut folder)?;
            }
            version.clone()
        }
        _ => inquire::take(&mut host, offered.from.from.as_deref(), offered.version.as_deref(), apply)?,
    };
    let done = if apply {
        Done::of("applied", &version, format!("version {version} is tried at the next boot"))
    } else {
        Done::of("staged", &version, format!("version {version} is staged"))
    };
    done.show(offered.from.output.json)
}

fn run_once(place: &Place, now: bool, reboot: &Reboot) -> Result<()> {
    let as_json = reboot.output.json;
    match run::run(place, Time::now(), now)? {
        Ran::Nothing(why) => Done::new("nothing", why).show(as_json),
        Ran::Staged(version) => {
            Done::of("staged", &version, format!("version {version} is staged")).show(as_json)
        }
        Ran::Applied(version) => {
            let text = format!("version {version} is tried at the next boot");
            Done::of("applied", &version, text).show(as_json)?;
            finish(Some(&format!("version {version} is to be tried")), reboot)
        }
    }
}

fn status(place: &Place, output: &Output) -> Result<()> {
    let mut host = Host::open(place, Access::Read)?;
    let (system, error) = host.survey()?;
    let status = Status::of(&system, error.map(|error| error.to_string()));
    if output.json {
        println!("{}", json(&status)?);
    } else {
        print!("{status}");
    }
    Ok(())
}

fn history(place: &Place, output: &Output) -> Result<()> {
    let records = Host::open(place, Access::Read)?.history().read()?;
    if output.json {
        println!("{}", json(&records)?);
        return Ok(());
    }
    for record in records {
        let event = json(&record.event)?;
        let time = Time::from_unix(i64::try_from(record.time).unwrap_or(i64::MAX));
        let version = record.version.unwrap_or_default();
        print!("{:<20}  {:<10} {version}", time.to_string(), event.trim_matches('"'));
        println!("{}", record.reason.map(|reason| format!(": {reason}")).unwrap_or_default());
    }
    Ok(())
}

/// JSON for people and programs.
pub(crate) fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string_pretty(value)
        .map_err(|e| Error::Settings { path: "the output".to_owned(), reason: e.to_string() })
}

/// Whether the running image is on trial.
fn on_trial(place: &Place) -> Result<bool> {
    let (system, _) = Host::open(place, Access::Read)?.survey()?;
    Ok(system.standing(system.running) == Standing::Trial)
}

fn boot(place: &Place, output: &Output) -> Result<()> {
    // Mostly there is nothing to do, and then nothing is opened for writing.
    let (system, _) = Host::open(place, Access::Read)?.survey()?;
    let nothing = assess::step(system, &Event::Boot).is_ok_and(|(_, effects)| effects.is_empty());
    if !nothing {
        Host::open_patiently(place)?.perform(&Event::Boot)?;
    }
    let Some(brought) = Brought::read(&place.root)? else { return noted(output) };
    if let Some(loader) = Host::open(place, Access::Read)?.plan_loader(&brought)? {
        Host::open_patiently(place)?.replace_loader(loader, &brought)?;
    }
    noted(output)
}

fn noted(output: &Output) -> Result<()> {
    if output.json { Done::new("noted", "this start is taken note of").show(true) } else { Ok(()) }
}

fn bless(place: &Place, reboot: &Reboot) -> Result<()> {
    let settings = Settings::load(&place.root)?;
    if !on_trial(place)? {
        // Once more: power may have gone between the blessing and this.
        let mut host = Host::open(place, Access::Read)?;
        let (system, _) = host.survey()?;
        if system.standing(system.running) == Standing::Blessed {
            raise_minimum(&host, &settings);
        }
        return Done::new("nothing", "the running image is not on trial").show(reboot.output.json);
    }
    let verdict = match health::checks(&place.root) {
        // A mistake in the user's checks is no fault of the image, but whoever cannot look cannot vouch either.
        Err(error) => Err(error.to_string()),
        Ok(checks) => soak(&checks, &settings.health, &Machine),
    };
    // Only now: whoever mounts the EFI system partition meanwhile is not disturbed for minutes.
    let mut host = Host::open_patiently(place)?;
    match verdict {
        Ok(()) => {
            let performed = host.perform(&Event::Healthy)?;
            raise_minimum(&host, &settings);
            let sending = reports::send(&host.folder(), &settings);
            // The lock is not held for a collector that does not answer.
            drop(host);
            reports::finish(sending);
            let system = &performed.system;
            let version = system.slot(system.running).image().map(|image| image.version.clone());
            Done { version, ..Done::new("blessed", "the running image is kept") }.show(reboot.output.json)
        }
        Err(reason) => {
            let performed = host.perform(&Event::Unhealthy(reason.clone()))?;
            finish(performed.reboot.as_deref(), reboot)?;
            Err(Error::GivenUp(reason))
        }
    }
}

/// From now on nothing older than the kept image says may be run again.
fn raise_minimum(host: &Host, settings: &Settings) {
    let raised = Identity::load(host.root(), settings).and_then(|identity| {
        Ok(lazuli_release::client::raise_minimum(&host.folder(), &identity.minimum()?)?)
    });
    if let Err(error) = raised {
        // What the running image brings holds in any case.
        tracing::warn!(%error, "the minimum version is not raised");
    }
}

/// Reboots if that is what follows.
fn finish(reason: Option<&str>, reboot: &Reboot) -> Result<()> {
    let Some(reason) = reason else { return Ok(()) };
    if reboot.no_reboot {
        if !reboot.output.json {
            println!("a reboot is due: {reason}");
        }
        return Ok(());
    }
    let mut command = std::process::Command::new("systemctl");
    command.arg("reboot").arg(format!("--message=lazuli-update: {reason}"));
    lazuli_fs::process::run(command, |_| {})?;
    Ok(())
}
