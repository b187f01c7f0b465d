//! What a person or a script sees.
//!
//! Results go to standard output, everything else to standard error. On a terminal tables fit its width and
//! have colours; anywhere else lines are never broken or shortened and there is no colour, because scripts
//! read them.

mod progress;
pub mod size;
mod table;
pub mod time;

pub use progress::Progress;
pub use table::{Align, Table};

use crate::cli::{Color, Global};
use std::cell::RefCell;
use std::fmt;
use std::io::{BufWriter, IsTerminal as _, Write};

/// Where results go.
pub struct Output {
    to: RefCell<Box<dyn Write>>,
    /// Print JSON instead of tables.
    pub json: bool,
    /// Only what is needed.
    pub quiet: bool,
    /// How much more to say.
    pub verbose: u8,
    /// The terminal's width in columns; nothing if this is no terminal.
    pub width: Option<usize>,
    color: bool,
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("json", &self.json).field("width", &self.width).finish_non_exhaustive()
    }
}

/// A way to set text apart. Without colours it is plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Headings and names.
    Bold,
    /// Good: what is up to date or was done.
    Good,
    /// What needs attention.
    Warn,
    /// What is wrong.
    Bad,
    /// Of less interest.
    Dim,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Self::Bold => "1",
            Self::Good => "32",
            Self::Warn => "33",
            Self::Bad => "31",
            Self::Dim => "2",
        }
    }
}

impl Output {
    /// Standard output, as the options and the environment want it.
    pub fn new(global: &Global) -> Self {
        let stdout = std::io::stdout();
        let terminal = stdout.is_terminal();
        let width = terminal.then(terminal_width).flatten();
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let color = match global.color.unwrap_or_default() {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !no_color,
        };
        Self {
            to: RefCell::new(Box::new(BufWriter::new(stdout))),
            json: global.json,
            quiet: global.quiet,
            verbose: global.verbose,
            width,
            color,
        }
    }

    /// Output that a test can look at: no terminal, no colours.
    #[cfg(test)]
    pub(crate) fn captured() -> (Self, Captured) {
        let captured = Captured::default();
        let to: Box<dyn Write> = Box::new(captured.clone());
        let out =
            Self { to: RefCell::new(to), json: false, quiet: false, verbose: 0, width: None, color: false };
        (out, captured)
    }

    /// Prints a line. Whoever reads may have gone: that ends the program as it ends others, quietly.
    pub fn line(&self, text: impl AsRef<str>) {
        self.text(text);
        self.text("\n");
    }

    /// Prints text without ending the line.
    pub fn text(&self, text: impl AsRef<str>) {
        let written = self.to.borrow_mut().write_all(text.as_ref().as_bytes());
        end_if_nobody_reads(written);
    }

    /// Prints a line unless asked to be quiet.
    pub fn info(&self, text: impl AsRef<str>) {
        if !self.quiet && !self.json {
            self.line(text);
        }
    }

    /// A line on standard error.
    pub fn warn(&self, text: impl fmt::Display) {
        self.flush();
        eprintln!("{text}");
    }

    /// A line on standard error if asked to say more.
    pub fn detail(&self, text: impl fmt::Display) {
        if self.verbose > 0 {
            self.warn(text);
        }
    }

    /// Prints a value as JSON, on one line per result when it is not for a person.
    pub fn json(&self, value: &impl serde::Serialize) {
        // What is serialised here has string keys only, so it cannot fail.
        let text = if self.width.is_some() {
            serde_json::to_string_pretty(value)
        } else {
            serde_json::to_string(value)
        };
        self.line(text.unwrap_or_default());
    }

    /// A table.
    pub fn table(&self, table: &Table) {
        self.text(table.render(self.width));
    }

    /// Text in a style.
    pub fn styled(&self, style: Style, text: impl AsRef<str>) -> String {
        let text = text.as_ref();
        if self.color { format!("\x1b[{}m{text}\x1b[0m", style.code()) } else { text.to_owned() }
    }

    /// A line of `=` over the width.
    pub fn rule(&self) {
        self.line("=".repeat(self.width.unwrap_or(80)));
    }

    /// Hands over what is buffered: before a question and before anything on standard error.
    pub fn flush(&self) {
        let flushed = self.to.borrow_mut().flush();
        end_if_nobody_reads(flushed);
    }
}

fn end_if_nobody_reads(result: std::io::Result<()>) {
    if result.is_err_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe) {
        // 128 + SIGPIPE, what a shell reports of other tools in the same place.
        std::process::exit(141);
    }
}

/// The width of the terminal on standard output.
fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|w| *w >= 20)
}

/// What was printed.
#[cfg(test)]
#[derive(Clone, Default)]
pub(crate) struct Captured(std::rc::Rc<RefCell<Vec<u8>>>);

#[cfg(test)]
impl Captured {
    /// The text so far.
    pub fn take(&self) -> String {
        String::from_utf8(self.0.take()).expect("UTF-8")
    }
}

#[cfg(test)]
impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
