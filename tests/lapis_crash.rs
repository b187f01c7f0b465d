//! `lapis`, killed at every system call with which it changes a file while it updates packages of `core`, and
//! with every such call failing; then recovered, and looked at: the tree and the package database are those of
//! before or those of after, and so is what the history says.
//!
//! # What a point is
//!
//! The program runs below `ptrace`. One counter goes up over all its threads and all scripts that it starts, so
//! a point is a moment of the whole run, and each moment between two changes is one: unlike with fail points,
//! SQLite's writes are among them, those to the history, to the cache of metadata and packages, and to what is
//! remembered of repositories. Packages are unpacked by one thread, so that the order is the same in each run.
//!
//! Killed at a point is killed before the call. A write is also torn, that is, half of it is written. At a
//! point of a script, `lapis` alone or everything is killed. `ENOSPC` and `EIO` come at the calls of `lapis`.
//!
//! A process that is killed does not lose what it has written; what a power cut loses besides is the subject of
//! `crates/transaction/tests` and of `tests/lapis_guest.rs`.
//!
//! # How much
//!
//! By default a sample, the same each time; all points with `LAZULI_CRASH_ALL=1`. The numbers are printed.
//!
//! This program is `lapis` when it is called so: the test needs no binary that somebody must have built before.

#[path = "support/generations.rs"]
mod generations;
#[path = "support/root_state.rs"]
mod root_state;
#[path = "support/tracer.rs"]
mod tracer;
#[path = "support/user.rs"]
mod user;

use generations::{Generations, LOG};
use lazuli_fs as fs;
use lazuli_lapis::history::{History, Kind, State as Ended};
use lazuli_rpmdb::{Access, Database};
use lazuli_sandbox::Sandbox;
use nix::errno::Errno;
use root_state::{State, names, packages};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tracer::{Fault, Phase, Point, Run};
use user::lazuli;

/// Where the sample begins.
const SEED: usize = 20_261_126;
/// The name of this test, for whoever filters.
const NAME: &str = "lapis_is_whole_after_being_killed_or_failing_at_every_change";

fn main() -> ExitCode {
    lazuli_scriptlet::helper::run_if_asked();
    let args: Vec<String> = std::env::args().collect();
    if args.first().is_some_and(|program| program.ends_with("/lapis")) {
        return lazuli_lapis::run(std::env::args_os());
    }
    let asked = Asked::of(args.get(1..).unwrap_or_default());
    if asked.list {
        if !asked.ignored {
            println!("{NAME}: test");
        }
        return ExitCode::SUCCESS;
    }
    if !asked.wants(NAME) {
        // As the usual harness does, so that nobody takes it for a test that passed.
        println!("test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out");
        return ExitCode::SUCCESS;
    }
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory");
    let program = dir.path().join("lapis");
    fs::symlink(std::env::current_exe().expect("this program"), &program).expect("a link");
    let generations = Generations::new(dir.path());
    let judge = PathBuf::from(lazuli(&["tool-root", "check"]).trim());
    let world = |name, args| World::new(dir.path().join(name), &program, &judge, args);

    // A root that no package manager has seen yet.
    let mut first = world("first", &["-y", "install", "netbase", "lab-old"]);
    generations.configure(&first.pristine());
    generations.publish(1);
    let mut update = world("update", &["-y", "update"]);
    generations.configure(&update.pristine());
    update.must(
        &update.pristine(),
        &["-y", "install", "filesystem", "bash", "netbase", "hostname", "libacl1", "lab", "lab-old"],
    );
    for path in ["etc/lab.conf", "etc/lab.saved", "etc/hosts", "etc/bash.bashrc"] {
        fs::write(update.pristine().join(path), "somebody's\n").expect("a file");
    }
    fs::write(update.pristine().join(LOG), "").expect("a file");
    first.rehearse();
    first.torment(&[(Phase::Before, 12), (Phase::Committed, 20), (Phase::Finished, 8)]);

    generations.publish(2);
    update.rehearse();
    update.torment(&[(Phase::Before, 40), (Phase::Committed, 90), (Phase::Finished, 20)]);
    ExitCode::SUCCESS
}

/// What the arguments of a test program ask for, as far as they mean something for one test.
#[derive(Default)]
struct Asked {
    list: bool,
    ignored: bool,
    exact: bool,
    filters: Vec<String>,
    skip: Vec<String>,
}

impl Asked {
    fn of(args: &[String]) -> Self {
        let mut asked = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--list" => asked.list = true,
                "--ignored" => asked.ignored = true,
                "--exact" => asked.exact = true,
                "--skip" => asked.skip.extend(args.next().cloned()),
                // Their values are no filters.
                "--test-threads" | "--format" | "--color" | "--logfile" | "--shuffle-seed" | "-Z" => {
                    args.next();
                }
                other => match other.strip_prefix("--skip=") {
                    Some(skip) => asked.skip.push(skip.to_owned()),
                    None if other.starts_with('-') => {}
                    None => asked.filters.push(other.to_owned()),
                },
            }
        }
        asked
    }

    fn wants(&self, name: &str) -> bool {
        let fits = |filter: &String| if self.exact { name == filter } else { name.contains(&filter[..]) };
        let chosen = self.filters.is_empty() || self.filters.iter().any(fits);
        !self.ignored && chosen && !self.skip.iter().any(fits)
    }
}

/// A root before and after one command, and a place to run it.
struct World {
    dir: PathBuf,
    program: PathBuf,
    judge: PathBuf,
    args: &'static [&'static str],
    old: State,
    new: State,
    /// What the scripts of the command write.
    log: Vec<String>,
    /// What `rpm -Va` says of a root like this: of what was changed on purpose.
    verified: [String; 2],
    /// Files of `lapis` itself after the command, and once more.
    own: BTreeSet<String>,
    transactions: usize,
    reasons: String,
    points: Vec<Point>,
}

/// How many points had which result.
#[derive(Default)]
struct Tally(Mutex<BTreeMap<String, usize>>);

impl Tally {
    fn count(&self, what: impl Into<String>) {
        *self.0.lock().expect("no panic").entry(what.into()).or_default() += 1;
    }
}

/// One thing to be tried.
#[derive(Clone, Copy)]
struct Job {
    number: usize,
    point: usize,
    fault: Fault,
}

impl World {
    fn new(dir: PathBuf, program: &Path, judge: &Path, args: &'static [&'static str]) -> Self {
        fs::create_dir_all(dir.join("pristine")).expect("a directory");
        Self {
            dir,
            program: program.to_owned(),
            judge: judge.to_owned(),
            args,
            old: State { tree: BTreeMap::new(), packages: Vec::new() },
            new: State { tree: BTreeMap::new(), packages: Vec::new() },
            log: Vec::new(),
            verified: Default::default(),
            own: BTreeSet::new(),
            transactions: 0,
            reasons: String::new(),
            points: Vec::new(),
        }
    }

    fn pristine(&self) -> PathBuf {
        self.dir.join("pristine")
    }

    /// Runs `lapis`; its status and what it prints.
    fn lapis(&self, root: &Path, args: &[&str]) -> (Option<i32>, String) {
        let output = Command::new(&self.program)
            .arg("--installroot")
            .arg(root)
            .args(args)
            .env("LC_ALL", "C.UTF-8")
            .env_remove("SUDO_UID")
            .output()
            .expect("lapis starts");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    }

    fn must(&self, root: &Path, args: &[&str]) -> String {
        let (status, text) = self.lapis(root, args);
        assert_eq!(status, Some(0), "{args:?}: {text}");
        text
    }

    /// The command below the tracer.
    fn run(&self, place: &Path, args: &[&str], fault: Option<(usize, Fault)>) -> Run {
        let root = place.join("root");
        let mut all = vec!["--installroot", root.to_str().expect("UTF-8")];
        all.extend(args);
        tracer::run(&self.program, &all, &root, place, fault)
    }

    /// A fresh copy of the root.
    fn reset(&self, place: &Path) -> PathBuf {
        let root = place.join("root");
        fs::create_dir_all(place).expect("a directory");
        fs::remove_dir_all(&root).expect("a directory");
        let copied =
            Command::new("cp").arg("-a").arg(self.pristine()).arg(&root).status().expect("cp starts");
        assert!(copied.success());
        root
    }

    /// Learns what should come out, and at which points.
    fn rehearse(&mut self) {
        let place = self.dir.join("rehearsal");
        let root = self.reset(&place);
        self.old = State::of(&root, &[LOG]);
        self.verified[0] = self.rpm_verify(&root);
        self.transactions = History::read(&root).expect("a history").transactions().expect("a list").len();
        let run = self.run(&place, self.args, None);
        assert_eq!(run.status, Some(0), "{}", run.output);
        self.points = run.points;
        self.new = State::of(&root, &[LOG]);
        assert_ne!(self.old, self.new);
        self.log = log_of(&root);
        self.verified[1] = self.rpm_verify(&root);
        assert!(self.points.iter().any(|p| p.phase == Phase::Committed), "no commit was seen");
        assert!(self.points.iter().any(|p| p.phase == Phase::Finished), "no end was seen");
        self.must(&root, self.args);
        self.own = names(&root.join("var/lib/lapis"));
        self.reasons = reasons(&root);
        self.check_history(&root, "rehearsal");
        let once = self.log.iter().collect::<BTreeSet<_>>();
        assert_eq!(once.len(), self.log.len(), "a script has no line of its own: {:?}", self.log);
        if std::env::var_os("LAZULI_CRASH_LIST").is_some() {
            for (number, point) in self.points.iter().enumerate() {
                println!(
                    "{number} {:?} {} {}",
                    point.phase,
                    if point.own { "lapis" } else { "script" },
                    point.label
                );
            }
        }
    }

    /// Tries a sample of points, so many of each phase; and of errors and torn writes half as many.
    fn torment(&self, budgets: &[(Phase, usize)]) {
        let all = std::env::var_os("LAZULI_CRASH_ALL").is_some_and(|v| v == "1");
        let of = |wanted: &dyn Fn(&Point) -> bool, share: usize| -> Vec<usize> {
            let mut chosen = Vec::new();
            for (phase, budget) in budgets {
                let here: Vec<usize> = (0..self.points.len())
                    .filter(|n| self.points[*n].phase == *phase && wanted(&self.points[*n]))
                    .collect();
                chosen.extend(sample(&here, if all { usize::MAX } else { budget.div_ceil(share) }));
            }
            chosen
        };
        let mut jobs = Vec::new();
        let mut add = |points: Vec<usize>, fault: &dyn Fn(usize) -> Fault| {
            for point in points {
                jobs.push(Job { number: jobs.len(), point, fault: fault(point) });
            }
        };
        // Those of scripts are few, and each is one of its own.
        let of_scripts = (0..self.points.len()).filter(|n| !self.points[*n].own).collect();
        add(of_scripts, &|point| if point % 2 == 0 { Fault::Kill } else { Fault::KillAll });
        add(of(&|p| p.own, 1), &|point| if point % 2 == 0 { Fault::Kill } else { Fault::KillAll });
        add(of(&|p| p.writes, 3), &|_| Fault::Tear);
        add(of(&|p| p.own, 2), &|_| Fault::Fail(Errno::ENOSPC));
        add(of(&|p| p.own, 2), &|_| Fault::Fail(Errno::EIO));
        let (next, failed, tally) = (AtomicUsize::new(0), AtomicUsize::new(0), Tally::default());
        let workers = std::thread::available_parallelism().map_or(1, usize::from).min(8);
        std::thread::scope(|scope| {
            for worker in 0..workers {
                let (next, failed, tally, jobs) = (&next, &failed, &tally, &jobs);
                let place = self.dir.join(format!("worker-{worker}"));
                scope.spawn(move || {
                    while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                        // The others are tried all the same: they tell what the failures have in common.
                        let tried = AssertUnwindSafe(|| self.attempt(&place, *job, tally));
                        if std::panic::catch_unwind(tried).is_err() {
                            failed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let scope = if all { "all" } else { "a sample" };
        println!(
            "lapis {}: {} points, {scope} tried in {} attempts",
            self.args.join(" "),
            self.points.len(),
            jobs.len()
        );
        for (what, count) in tally.0.lock().expect("no panic").iter() {
            println!("  {count:5} {what}");
        }
        let counts = tally.0.lock().expect("no panic").clone();
        let failed = failed.into_inner();
        assert_eq!(failed, 0, "so many of {} attempts failed, see above", jobs.len());
        // Otherwise nothing was tried, or next to nothing.
        let missed = counts.get("not reached").copied().unwrap_or(0);
        assert!(missed * 20 <= jobs.len(), "{missed} of {} points were not reached", jobs.len());
        for kind in ["killed", "torn write", "ENOSPC", "EIO"] {
            let start = format!("{kind}, {:?}: ", Phase::Committed);
            assert!(counts.keys().any(|what| what.starts_with(&start)), "none: {start}");
        }
    }

    /// One point: the fault, a look, recovery, a look, the command again, a look.
    fn attempt(&self, place: &Path, job: Job, tally: &Tally) {
        let root = self.reset(place);
        let run = self.run(place, self.args, Some((job.point, job.fault)));
        let Some(point) = run.points.first() else {
            // Threads may take turns in another way; the run was whole then.
            assert_eq!(run.status, Some(0), "point {} was not reached: {}", job.point, run.output);
            tally.count("not reached");
            return;
        };
        let what = format!("{:?} at point {} ({:?}, {})", job.fault, job.point, point.phase, point.label);
        assert!(!run.output.contains("panicked"), "{what}: {}", run.output);
        let kind = match job.fault {
            Fault::Kill | Fault::KillAll => "killed",
            Fault::Tear => "torn write",
            Fault::Fail(Errno::ENOSPC) => "ENOSPC",
            Fault::Fail(_) => "EIO",
        };
        let installed = packages(&root);
        let unique: BTreeSet<&str> =
            installed.iter().map(|n| n.rsplitn(3, '-').last().unwrap_or(n)).collect();
        assert_eq!(unique.len(), installed.len(), "{what}: a package is there twice: {installed:?}");
        let pending = lazuli_transaction::pending(&root);
        if let Fault::Fail(_) = job.fault {
            let status = run.status.unwrap_or_else(|| panic!("{what}: it crashed: {}", run.output));
            let whole = if status == 0 {
                assert_eq!(installed, self.new.packages, "{what}: done, it says: {}", run.output);
                "done"
            } else if pending {
                "interrupted"
            } else if installed == self.new.packages {
                "done, but not recorded"
            } else {
                let now = State::of(&root, &[LOG]);
                assert!(now == self.old, "{what}: it failed, and changed {:?}", now.differences(&self.old));
                "nothing changed"
            };
            tally.count(format!("{kind}, {:?}: {whole}", point.phase));
        } else {
            assert_eq!(run.status, None, "{what}: it was not killed: {}", run.output);
        }
        // Recovery is killed as well, sometimes.
        let mut interruptions = 1;
        if pending && job.number % 3 == 1 {
            let again = self.run(place, &["recover"], Some((job.point * 7 % 61, Fault::Kill)));
            if again.status.is_none() {
                interruptions += 1;
                tally.count(format!("{kind}, and recovery killed"));
            }
        }
        let log = log_of(&root);
        if job.number % 4 != 3 {
            let command: &[&str] = if job.number % 4 == 2 { &["list", "--installed"] } else { &["recover"] };
            self.must(&root, command);
            self.recovered(&root, &what, job.number);
            let happened = packages(&root) == self.new.packages;
            if !matches!(job.fault, Fault::Fail(_)) {
                let fate = if happened { "the new state" } else { "the old state" };
                tally.count(format!("{kind}, {:?}: {fate}", point.phase));
            }
            assert!(happened || log.is_empty(), "{what}: scripts ran: {log:?}");
        } else if !matches!(job.fault, Fault::Fail(_)) {
            tally.count(format!("{kind}, {:?}: recovered by the next command", point.phase));
        }
        self.again(&root, &what, interruptions);
    }

    /// What must hold after a recovery.
    fn recovered(&self, root: &Path, what: &str, number: usize) {
        assert!(!lazuli_transaction::pending(root), "{what}: something is left to be recovered");
        let now = State::of(root, &[LOG]);
        let happened = now.packages == self.new.packages;
        let (expected, verified) =
            if happened { (&self.new, &self.verified[1]) } else { (&self.old, &self.verified[0]) };
        assert!(now == *expected, "{what}: after recovery, and expected: {:#?}", now.differences(expected));
        self.check_history(root, what);
        // Without a database it has nothing to say.
        if number.is_multiple_of(25) && !now.packages.is_empty() {
            assert_eq!(self.rpm_verify(root), *verified, "{what}: rpm -Va");
        }
    }

    /// The command once more brings everything to the new state.
    fn again(&self, root: &Path, what: &str, interruptions: usize) {
        let text = self.must(root, self.args);
        let now = State::of(root, &[LOG]);
        assert!(now == self.new, "{what}, and again: {:#?}\n{text}", now.differences(&self.new));
        self.check_history(root, what);
        assert_eq!(reasons(root), self.reasons, "{what}: reasons");
        let own = names(&root.join("var/lib/lapis"));
        assert_eq!(own, self.own, "{what}: files of lapis itself");
        // A script that was interrupted is not run again, one for each time; no script runs twice.
        let log = log_of(root);
        let once: BTreeSet<&String> = log.iter().collect();
        assert_eq!(once.len(), log.len(), "{what}: a script ran twice: {log:?}");
        let known: BTreeSet<&String> = self.log.iter().collect();
        assert!(
            once.is_subset(&known) && once.len() + interruptions >= known.len(),
            "{what}: scripts: {log:?}"
        );
    }

    /// The history says of each transaction how it ended, and that nobody else was at it.
    fn check_history(&self, root: &Path, what: &str) {
        let history = History::read(root).unwrap_or_else(|e| panic!("{what}: {e}"));
        let all = history.transactions().expect("transactions");
        let mine = &all[..all.len() - self.transactions];
        assert!(mine.iter().all(|t| t.kind == Kind::Own), "{what}: somebody else: {mine:#?}");
        assert!(mine.iter().all(|t| t.state != Ended::Running), "{what}: still running: {mine:#?}");
        let done = mine.iter().filter(|t| t.state != Ended::Failed).count();
        let new = packages(root) == self.new.packages;
        assert_eq!(done, usize::from(new), "{what}: {mine:#?}");
        let database = Database::open(root, Access::Read).expect("a database");
        if !mine.is_empty() || self.transactions > 0 {
            let cookie = database.cookie().expect("a cookie");
            assert_eq!(history.last_cookie().expect("a cookie"), Some(cookie), "{what}: a change not seen");
        }
    }

    /// What the real rpm finds to be different from its database; owners are the business of [`State`].
    fn rpm_verify(&self, root: &Path) -> String {
        let sandbox = Sandbox::new(&self.judge).bind(root, "/build", lazuli_sandbox::Access::ReadOnly);
        let script = "rpm --root /build --dbpath /usr/lib/sysimage/rpm -Va --nouser --nogroup 2>&1";
        let (_, text, _) = sandbox.command("/bin/sh").args(["-c", script]).capture(|_| ()).expect("rpm runs");
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines = text.lines().filter(|l| !l.starts_with("warning: private mounts"));
        lines.map(|line| format!("{line}\n")).collect()
    }
}

/// So many of the numbers, evenly spread, the same each time.
fn sample(all: &[usize], budget: usize) -> Vec<usize> {
    if all.len() <= budget {
        return all.to_vec();
    }
    (0..budget).map(|n| all[(n * all.len() + SEED % all.len()) / budget % all.len()]).collect()
}

fn log_of(root: &Path) -> Vec<String> {
    fs::read_to_string(root.join(LOG)).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn reasons(root: &Path) -> String {
    let reasons = History::read(root).expect("a history").reasons().expect("reasons");
    format!("{reasons:?}")
}
