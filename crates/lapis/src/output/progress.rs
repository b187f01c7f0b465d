//! Progress: bars on a terminal, nothing or plain lines elsewhere.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Bars on standard error, if it is a terminal.
#[derive(Debug, Clone)]
pub struct Progress {
    bars: Option<MultiProgress>,
}

impl Progress {
    /// Bars unless asked to be quiet.
    pub fn new(quiet: bool) -> Self {
        Self { bars: (!quiet && std::io::stderr().is_terminal()).then(MultiProgress::new) }
    }

    /// A bar of bytes.
    pub fn bytes(&self, what: &str, total: u64) -> ProgressBar {
        self.bar(
            what,
            total,
            "{msg:34!} [{bar:25}] {bytes:>10}/{total_bytes:10} {bytes_per_sec:>12} {eta:>4}",
        )
    }

    /// A bar of things.
    pub fn count(&self, what: &str, total: u64) -> ProgressBar {
        self.bar(what, total, "{msg:50!} [{bar:25}] {pos}/{len}")
    }

    fn bar(&self, what: &str, total: u64, template: &str) -> ProgressBar {
        let Some(bars) = &self.bars else { return ProgressBar::hidden() };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = bars.add(ProgressBar::new(total).with_style(style.progress_chars("=> ")));
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }

    /// One bar for all downloads: a hundred small files would only flicker.
    pub fn downloads(&self, what: &str) -> Downloads {
        Downloads { progress: self.clone(), what: what.to_owned(), state: Mutex::default() }
    }

    /// Whether bars are shown.
    pub fn is_shown(&self) -> bool {
        self.bars.is_some()
    }

    /// Prints a line on standard error above the bars.
    pub fn line(&self, text: &str) {
        match &self.bars {
            Some(bars) => bars.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }
}

/// The bar of downloads. It appears with the first of them and goes with the last.
#[derive(Debug)]
pub struct Downloads {
    progress: Progress,
    what: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bar: Option<ProgressBar>,
    total: u64,
    /// Bytes so far of those under way: what was announced and never came is taken back.
    open: BTreeMap<String, u64>,
}

impl Downloads {
    /// Takes the bar away.
    pub fn finish(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = state.bar.take() {
            bar.finish_and_clear();
        }
        *state = State::default();
    }
}

impl lazuli_fetch::Progress for Downloads {
    fn start(&self, name: &str, total: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.total += total;
        state.open.insert(name.to_owned(), 0);
        let length = state.total;
        let bar = state.bar.get_or_insert_with(|| self.progress.bytes(&self.what, length));
        bar.set_length(length);
        bar.set_message(name.to_owned());
    }

    fn advance(&self, name: &str, bytes: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(so_far) = state.open.get_mut(name) {
            *so_far += bytes;
        }
        if let Some(bar) = &state.bar {
            bar.inc(bytes);
            bar.set_message(name.to_owned());
        }
    }

    fn done(&self, name: &str, _outcome: lazuli_fetch::Outcome) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.open.remove(name);
        let last = state.open.is_empty();
        drop(state);
        if last {
            self.finish();
        }
    }
}
