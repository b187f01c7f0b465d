//! Counts power cuts: `cargo run --release -p lazuli-crash --example power-cuts -- [SECONDS] [SEED]`.
//!
//! Runs stage and apply, bless, rollback and the replacement of the loader on small machines of ever new content, looks
//! at what every cut leaves, and prints how many disks it looked at and how fast. Then flushes that lie, and orders that
//! are wrong on purpose. Ends with status 1 if a cut leaves a disk that is not right, or a wrong order is not found.
//!
//! `... -- --image DISK.raw --uki FILE --data FILE --version V [--id ID] [--samples N --to FOLDER]` does it on a real
//! disk whose slot A runs: stages and applies that image, and writes sampled disks as raw images to be started.

use lazuli_crash::fixture::{Fixture, ID, Made, Sizes, Window, perform};
use lazuli_crash::{
    Budget, Expectation, Known, Log, Machine, Recording, Report, Rules, Sparse, explore, real, sampled_states,
};
use lazuli_layout::Slot;
use lazuli_layout::assess::{Event, Loader};
use lazuli_slots::fat::Content;
use lazuli_slots::{Engine, Settings};
use sha2::Digest as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let good = if args.first().is_some_and(|arg| arg.starts_with("--")) {
        on_image(&args)
    } else {
        let number = |n: usize| args.get(n).and_then(|arg| arg.parse().ok());
        on_fixtures(Duration::from_secs(number(0).unwrap_or(60)), number(1).unwrap_or(1))
    };
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn line(name: &str, report: &Report) {
    println!(
        "{name:<28} {:>9} states {:>9} distinct {:>6} bad {:>6} burning {:>9.0} a minute",
        report.states,
        report.distinct,
        report.bad,
        report.burning,
        report.rate()
    );
    for bad in report.examples.iter().take(2) {
        println!(
            "    after {} sectors{}: {:?}",
            bad.written,
            if bad.torn { ", torn" } else { "" },
            bad.outcome
        );
    }
}

struct Scenario {
    name: &'static str,
    disk: Sparse,
    log: Log,
    expectation: Expectation,
}

const V2: usize = 1;
const V3: usize = 2;

fn scenarios(fixture: &Fixture) -> Vec<Scenario> {
    let updated = fixture.updated();
    let mut trial = updated.disk.clone();
    {
        let mut window = Window::new(&mut trial, &fixture.partitions.esp);
        let fs = fatfs::FileSystem::new(&mut window, fatfs::FsOptions::new()).expect("a file system");
        let directory = fs.root_dir().open_dir("EFI/Linux").expect("a directory");
        directory.rename("lazuli-3+3-0.efi", &directory, "lazuli-3+2-1.efi").expect("a rename");
    }
    let mut blessed = Recording::new(trial.clone());
    perform(&mut blessed, Slot::B, &Event::Healthy, None).expect("a blessing");
    let mut back = Recording::new(blessed.disk.clone());
    perform(&mut back, Slot::B, &Event::Rollback, None).expect("a rollback");
    let mut loader = Recording::new(fixture.disk.clone());
    let settings = Settings { id: ID.into(), running: Slot::A, time: 0 };
    let mut engine = Engine::open(&mut loader, settings).expect("a disk");
    for which in [Loader::Main, Loader::Fallback] {
        let new = &fixture.loaders[1];
        let sha256 = sha2::Sha256::digest(new).into();
        let content = Content { bytes: &mut &new[..], len: new.len() as u64, sha256 };
        engine.replace_loader(which, content).expect("a loader");
    }
    let scenario = |name, disk, log, before, after| Scenario {
        name,
        disk,
        log,
        expectation: Expectation { before, after },
    };
    vec![
        scenario("stage and apply", fixture.disk.clone(), updated.log, V2, V3),
        scenario("bless", trial, blessed.log, V3, V3),
        scenario("rollback", blessed.disk, back.log, V3, V2),
        scenario("loader", fixture.disk.clone(), loader.log, V2, V2),
    ]
}

fn on_fixtures(time: Duration, seed: u64) -> bool {
    let begun = Instant::now();
    let mut totals: Vec<(&'static str, Report)> = Vec::new();
    let mut all = Report::default();
    let mut round = 0;
    let mut good = true;
    while round == 0 || begun.elapsed() < time {
        let cluster = if round % 2 == 0 { 512 } else { 4096 };
        let fixture = Fixture::new(seed + round, Sizes { cluster, uki: 200_000, blocks: 512 });
        for scenario in scenarios(&fixture) {
            let mut machine = fixture.machine_with(&scenario.disk, Rules::default());
            let budget = Budget { seed: seed + round, ..Budget::default() };
            let report = explore(&mut machine, &scenario.log, &scenario.expectation, &budget);
            good &= report.is_good();
            all.add(report.clone());
            match totals.iter_mut().find(|(name, _)| *name == scenario.name) {
                Some((_, total)) => {
                    total.distinct += report.distinct;
                    total.add(Report { distinct: 0, ..report });
                }
                None => totals.push((scenario.name, report)),
            }
        }
        round += 1;
    }
    println!(
        "{round} machines, 2 threads; the time of making machines and logs is not in the rates of lines"
    );
    for (name, report) in &totals {
        line(name, report);
    }
    let wall = begun.elapsed();
    all.elapsed = wall;
    line("all, by the clock on the wall", &all);
    println!("\na flush that lies, and orders that are wrong on purpose:");
    good & wrong_on_purpose(seed)
}

fn wrong_on_purpose(seed: u64) -> bool {
    let fixture = Fixture::new(seed, Sizes::default());
    let log = fixture.updated().log;
    let expectation = Expectation { before: V2, after: V3 };
    let look = |log: &Log, rules: Rules, subsets: usize| {
        let budget = Budget { seed, subsets, ..Budget::default() };
        explore(&mut fixture.machine(rules), log, &expectation, &budget)
    };
    let mut lies = Report::default();
    for flush in 0..log.flushes() {
        lies.add(look(&log.with_a_lie(flush), Rules::default(), 8));
    }
    line("one flush lies", &lies);
    let none = look(&log.without_flushes(), Rules::default(), 40);
    line("no flushes", &none);
    let kernel = look(&log, Rules { kernel_takes_backup: false, ..Rules::default() }, 8);
    line("kernel without `gpt`", &kernel);
    let found = !none.is_good() && !kernel.is_good();
    if !found {
        println!("a wrong order was NOT found");
    }
    found
}

fn on_image(args: &[String]) -> bool {
    let value = |name: &str| {
        args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1)).map(String::as_str)
    };
    let need = |name: &str| value(name).unwrap_or_else(|| panic!("{name} is needed"));
    let path = PathBuf::from(need("--image"));
    let id = value("--id").unwrap_or(ID);
    let base = Sparse::over(&path).expect("the disk");
    let mut machine: Machine = real::machine_of(&base, id, Rules::default()).expect("a machine");
    let read = |name: &str| lazuli_fs::read(need(name)).expect("a file");
    let made = Made::with_uki(
        need("--version"),
        value("--product").unwrap_or("container-host"),
        read("--data"),
        read("--uki"),
    );
    let image = made.release.image.clone();
    let before =
        machine.images().iter().position(|known: &Known| known.version != image.version).expect("an image");
    let after = machine.add_image(&image.version, image.id, &made.uki, &made.data, &made.hash);
    let mut recording = Recording::new(base.clone());
    let begun = Instant::now();
    perform(&mut recording, Slot::A, &Event::Stage(image.clone()), Some(&made)).expect("a stage");
    perform(&mut recording, Slot::A, &Event::Apply(image), Some(&made)).expect("an apply");
    println!(
        "update: {} sectors, {} flushes, {:.1?}",
        recording.log.sectors(),
        recording.log.flushes(),
        begun.elapsed()
    );
    let report = explore(&mut machine, &recording.log, &Expectation { before, after }, &Budget::default());
    line("stage and apply", &report);
    if let (Some(count), Some(to)) = (value("--samples"), value("--to")) {
        let count: usize = count.parse().expect("a number");
        for (number, sample) in sampled_states(&base, &recording.log, 1, count).iter().enumerate() {
            let to = PathBuf::from(to).join(format!("cut-{number:03}.raw"));
            sample.write_to(Some(&path), &to).expect("a sample");
            println!("{}: {} events, {} sectors lost", to.display(), sample.events, sample.lost);
        }
    }
    report.is_good()
}
