//! Progress: bars on a terminal, nothing or plain lines elsewhere.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::io::IsTerminal as _;
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
