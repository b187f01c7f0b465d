//! Going through the disks that a cut may have left.

use crate::Log;
use crate::boot::Outcome;
use crate::image::{Machine, Step};
use crate::random::Random;
use crate::state::{Key, State};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// How much is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Random subsets of the unflushed sectors, for each prefix.
    pub subsets: usize,
    /// Where chance begins.
    pub seed: u64,
    /// Threads.
    pub threads: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { subsets: 8, seed: 1, threads: 2 }
    }
}

/// What is right.
#[derive(Debug, Clone)]
pub struct Expectation {
    /// The image that starts before the update; at a cut, this one or the other.
    pub before: usize,
    /// The image that starts once all is done.
    pub after: usize,
}

/// A disk that is not right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bad {
    /// How many sectors were written before the cut.
    pub written: usize,
    /// Whether some of those since the last flush were lost.
    pub torn: bool,
    /// What happens.
    pub outcome: Outcome,
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Disks that were looked at.
    pub states: usize,
    /// How many of them differ in the tables, on the ESP or in what slots hold in full.
    pub distinct: usize,
    /// Disks on which neither the old nor the new system comes up whole. The first few are in `examples`.
    pub bad: usize,
    /// Disks on which it does, after a start that came to nothing.
    pub burning: usize,
    /// Some of both.
    pub examples: Vec<Bad>,
    /// How long it took.
    pub elapsed: Duration,
}

impl Report {
    /// States in a minute.
    pub fn rate(&self) -> f64 {
        self.states as f64 * 60.0 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Adds another.
    pub fn add(&mut self, other: Self) {
        self.states += other.states;
        self.distinct += other.distinct;
        self.bad += other.bad;
        self.burning += other.burning;
        self.examples.extend(other.examples);
        self.examples.truncate(EXAMPLES);
        self.elapsed += other.elapsed;
    }

    /// Whether every disk was right.
    pub fn is_good(&self) -> bool {
        self.states > 0 && self.bad == 0 && self.burning == 0
    }
}

const EXAMPLES: usize = 5;
/// Decisions that are kept, for each thread.
const DECISIONS: usize = 1 << 20;
/// Sectors since the last flush up to which each prefix gets its subsets. With more, every so many prefixes do.
const SMALL_EPOCH: usize = 64;

/// Looks at every prefix of a log, and at random subsets of what was not flushed.
pub fn explore(machine: &mut Machine, log: &Log, expectation: &Expectation, budget: &Budget) -> Report {
    let steps = machine.steps(log);
    let machine = &*machine;
    let begun = Instant::now();
    let threads = budget.threads.max(1);
    let parts: Vec<(Report, HashSet<Key>)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|number| {
                let steps = &steps;
                scope.spawn(move || {
                    let worker = Worker::new(machine, expectation, budget, number);
                    worker.run(steps, number, threads)
                })
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let mut report = Report::default();
    let mut distinct = HashSet::new();
    for (part, keys) in parts {
        report.add(part);
        distinct.extend(keys);
    }
    report.distinct = distinct.len();
    report.elapsed = begun.elapsed();
    report
}

struct Worker<'m> {
    state: State<'m>,
    machine: &'m Machine,
    expectation: &'m Expectation,
    subsets: usize,
    random: Random,
    decisions: HashMap<Key, Outcome>,
    keys: HashSet<Key>,
    report: Report,
}

impl<'m> Worker<'m> {
    fn new(machine: &'m Machine, expectation: &'m Expectation, budget: &Budget, number: usize) -> Self {
        Self {
            state: State::new(machine),
            machine,
            expectation,
            subsets: budget.subsets,
            random: Random::new(budget.seed.wrapping_mul(0x1000).wrapping_add(number as u64)),
            decisions: HashMap::new(),
            keys: HashSet::new(),
            report: Report::default(),
        }
    }

    /// Takes every n-th prefix, beginning with its own number.
    fn run(mut self, steps: &[Step], number: usize, threads: usize) -> (Report, HashSet<Key>) {
        // What was written since the last flush, with what was there before each write.
        let mut epoch: Vec<(u64, u32, u32)> = Vec::new();
        let mut written = 0;
        if number == 0 {
            self.look(0, false, steps.is_empty());
        }
        for (index, step) in steps.iter().enumerate() {
            match step {
                Step::Flush => epoch.clear(),
                Step::Write { sector, content } => {
                    let old = self.state.set(*sector, *content);
                    epoch.push((*sector, old, *content));
                    written += 1;
                }
            }
            if index % threads != number {
                continue;
            }
            let last = index + 1 == steps.len();
            self.look(written, false, last && epoch.is_empty());
            // Of many sectors, a subset costs as many steps: so that prefixes of bulk data do not take for ever.
            let every = 1 + epoch.len() / SMALL_EPOCH;
            let due = epoch.len() > 1 && (index / threads).is_multiple_of(every);
            let end_of_epoch = steps.get(index + 1).is_none_or(|next| *next == Step::Flush);
            if due || (end_of_epoch && epoch.len() > 1) {
                for _ in 0..self.subsets {
                    self.tear(&epoch, written);
                }
            }
        }
        (self.report, self.keys)
    }

    /// Looks at a disk to which only some of the sectors since the last flush came: for each sector an earlier or a
    /// later write, or none.
    fn tear(&mut self, epoch: &[(u64, u32, u32)], written: usize) {
        for (sector, old, _) in epoch.iter().rev() {
            self.state.set(*sector, *old);
        }
        // Few lost, few kept, or half of them.
        let share = [1, 8, 32, 56, 63][self.random.below(5) as usize];
        for (sector, _, content) in epoch {
            if self.random.below(64) < share {
                self.state.set(*sector, *content);
            }
        }
        self.look(written, true, false);
        for (sector, old, _) in epoch.iter().rev() {
            self.state.set(*sector, *old);
        }
        for (sector, _, content) in epoch {
            self.state.set(*sector, *content);
        }
    }

    fn look(&mut self, written: usize, torn: bool, done: bool) {
        let key = self.state.key();
        self.report.states += 1;
        self.keys.insert(key);
        if self.decisions.len() >= DECISIONS {
            self.decisions.clear();
        }
        let known = self.decisions.get(&key).cloned();
        let outcome = known.unwrap_or_else(|| {
            let outcome = self.machine.start(&self.state);
            self.decisions.insert(key, outcome.clone());
            outcome
        });
        let Expectation { before, after } = *self.expectation;
        let right = match outcome {
            Outcome::Starts { image, .. } => image == after || (image == before && !done),
            Outcome::Dead(_) => false,
        };
        let burns = matches!(outcome, Outcome::Starts { burnt, .. } if burnt > 0);
        self.report.bad += usize::from(!right);
        self.report.burning += usize::from(right && burns);
        if (!right || burns) && self.report.examples.len() < EXAMPLES {
            self.report.examples.push(Bad { written, torn, outcome });
        }
    }
}
