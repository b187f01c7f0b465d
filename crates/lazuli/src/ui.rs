//! What a person sees while work goes on: progress bars on a terminal, plain lines otherwise.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::collections::HashMap;
use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Why results could not be written to standard output.
static UNWRITTEN: OnceLock<io::Error> = OnceLock::new();

/// Writes results to standard output. Once that has failed nothing more is written, but the work goes on;
/// [`unwritten`] tells at the end.
pub fn write_result(text: fmt::Arguments<'_>) {
    if UNWRITTEN.get().is_none()
        && let Err(error) = io::stdout().write_fmt(text).and_then(|()| io::stdout().flush())
    {
        // Whoever was first has said why.
        drop(UNWRITTEN.set(error));
    }
}

/// What keeps results from being written, if anything did.
pub fn unwritten() -> Option<&'static io::Error> {
    UNWRITTEN.get()
}

/// A line of results: `println!` without its panic when nobody reads any more (`lazuli component list | head`).
macro_rules! say {
    ($($text:tt)*) => { $crate::ui::write_result(format_args!("{}\n", format_args!($($text)*))) };
}
pub(crate) use say;

/// Where progress goes: standard error, so that results can be piped.
pub struct Ui {
    bars: Option<MultiProgress>,
    downloads: Mutex<Downloads>,
}

/// All downloads share one bar: a hundred small files would only flicker.
#[derive(Default)]
struct Downloads {
    bar: Option<ProgressBar>,
    open: usize,
    /// Size in bytes of each that is not done, by name.
    sizes: HashMap<String, u64>,
    /// All that were announced; in the end, all that came.
    files: usize,
    bytes: u64,
    started: Option<Instant>,
}

impl Ui {
    /// Bars if standard error is a terminal.
    pub fn new() -> Self {
        let terminal = std::io::stderr().is_terminal() && std::env::var_os("NO_PROGRESS").is_none();
        Self { bars: terminal.then(MultiProgress::new), downloads: Mutex::default() }
    }

    /// Prints a line above the bars.
    pub fn line(&self, text: impl AsRef<str>) {
        match &self.bars {
            // A failed write to a closed terminal must not stop the build.
            Some(bars) => drop(bars.println(text.as_ref())),
            None => drop(writeln!(io::stderr(), "{}", text.as_ref())),
        }
    }

    /// A step with a known number of parts.
    pub fn counted(&self, what: &str, total: u64) -> Step<'_> {
        let bar = self.bars.as_ref().map(|bars| {
            let style = ProgressStyle::with_template("{msg:28} [{bar:30.cyan}] {pos}/{len} {elapsed}");
            let bar = bars.add(ProgressBar::new(total).with_style(styled(style)));
            bar.set_message(what.to_owned());
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Step { ui: self, what: what.to_owned(), bar, started: Instant::now() }
    }

    /// A step whose parts are not known, such as a compilation.
    pub fn spinner(&self, what: &str) -> Step<'_> {
        let bar = self.bars.as_ref().map(|bars| {
            let style = ProgressStyle::with_template("{prefix:28} {spinner} {elapsed} {wide_msg:.dim}");
            let bar = bars.add(ProgressBar::new_spinner().with_style(styled(style)));
            bar.set_prefix(what.to_owned());
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        if bar.is_none() {
            self.line(format!("{what} ..."));
        }
        Step { ui: self, what: what.to_owned(), bar, started: Instant::now() }
    }
}

fn styled(style: Result<ProgressStyle, indicatif::style::TemplateError>) -> ProgressStyle {
    style.unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// A step under way.
pub struct Step<'a> {
    ui: &'a Ui,
    what: String,
    bar: Option<ProgressBar>,
    started: Instant,
}

impl Step<'_> {
    /// One part is done.
    pub fn advance(&self) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    /// What goes on right now.
    pub fn note(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_owned());
        }
    }

    /// The step ended; `outcome` is what became of it.
    pub fn finish(self, outcome: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let seconds = self.started.elapsed().as_secs_f64();
        self.ui.line(format!("{:28} {outcome} ({seconds:.1} s)", self.what));
    }

    /// The step ended and is not worth a line.
    pub fn clear(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A size as a person reads it.
pub fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

impl lazuli_fetch::Progress for Ui {
    fn start(&self, name: &str, total: u64) {
        let mut downloads = self.downloads.lock().unwrap_or_else(PoisonError::into_inner);
        downloads.open += 1;
        downloads.files += 1;
        downloads.bytes += total;
        downloads.started.get_or_insert_with(Instant::now);
        downloads.sizes.insert(name.to_owned(), total);
        let all = downloads.bytes;
        if let Some(bars) = &self.bars {
            let bar = downloads.bar.get_or_insert_with(|| {
                let template = "{prefix:28} [{bar:30.cyan}] {bytes}/{total_bytes} {bytes_per_sec} {msg:.dim}";
                let bar =
                    bars.add(ProgressBar::new(0).with_style(styled(ProgressStyle::with_template(template))));
                bar.set_prefix("download");
                bar
            });
            bar.set_length(all);
            bar.set_message(name.to_owned());
        }
    }

    fn advance(&self, _: &str, bytes: u64) {
        let downloads = self.downloads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = &downloads.bar {
            bar.inc(bytes);
        }
    }

    fn done(&self, name: &str, outcome: lazuli_fetch::Outcome) {
        let mut downloads = self.downloads.lock().unwrap_or_else(PoisonError::into_inner);
        downloads.open = downloads.open.saturating_sub(1);
        let size = downloads.sizes.remove(name).unwrap_or(0);
        if outcome == lazuli_fetch::Outcome::Failed {
            downloads.files -= 1;
            downloads.bytes -= size;
        }
        tracing::debug!(name, ?outcome, "download");
        if downloads.open == 0 {
            if let Some(bar) = downloads.bar.take() {
                bar.finish_and_clear();
            }
            let seconds = downloads.started.take().map_or(0.0, |s| s.elapsed().as_secs_f64());
            let (files, bytes) = (downloads.files, self::size(downloads.bytes));
            (downloads.files, downloads.bytes) = (0, 0);
            drop(downloads);
            if files > 0 {
                self.line(format!("{:28} {files} files, {bytes} ({seconds:.1} s)", "download"));
            }
        }
    }
}
