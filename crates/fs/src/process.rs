//! The one way to run another program: logs the argument vector, keeps the tail of standard error.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command as StdCommand, ExitStatus, Stdio};

/// Why a program did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be started.
    #[error("cannot start `{program}`: {source}")]
    Start {
        /// The program's name or path.
        program: String,
        /// The operating system's reason.
        #[source]
        source: std::io::Error,
    },
    /// It ended with a status other than 0.
    #[error("`{command}` ended with {status}{}", tail_text(.tail))]
    Failed {
        /// The argument vector, quoted for a shell.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The last lines of its standard error.
        tail: Vec<String>,
    },
}

fn tail_text(tail: &[String]) -> String {
    if tail.is_empty() { String::new() } else { format!(":\n    {}", tail.join("\n    ")) }
}

/// How many lines of standard error an error message shows.
pub const TAIL_LINES: usize = 25;

/// An argument vector as a person would type it.
pub fn display(program: &OsStr, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> String {
    let quote = |word: &OsStr| {
        let word = word.to_string_lossy();
        let plain =
            !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c));
        if plain { word.into_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
    };
    let mut text = quote(program);
    for arg in args {
        text.push(' ');
        text.push_str(&quote(arg.as_ref()));
    }
    text
}

/// Runs an already configured command to its end; standard output is returned, standard error goes to
/// the log line by line (`line` sees each one, for progress) and its tail into the error.
pub fn run(mut command: StdCommand, mut line: impl FnMut(&str)) -> Result<Vec<u8>, Error> {
    let program: OsString = command.get_program().to_owned();
    let shown = display(&program, command.get_args());
    tracing::debug!(command = %shown, "run");
    let start = |source| Error::Start { program: program.to_string_lossy().into_owned(), source };
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(start)?;
    let mut stdout = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut output = Vec::new();
        if let Some(stream) = stdout.as_mut() {
            stream.read_to_end(&mut output)?;
        }
        Ok::<_, std::io::Error>(output)
    });
    let mut tail: Vec<String> = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        let mut stderr = BufReader::new(stderr);
        let mut buffer = Vec::new();
        while stderr.read_until(b'\n', &mut buffer).unwrap_or(0) > 0 {
            let text = String::from_utf8_lossy(&buffer).trim_end().to_owned();
            tracing::trace!(target: "stderr", "{text}");
            line(&text);
            if tail.len() == TAIL_LINES {
                tail.remove(0);
            }
            tail.push(text);
            buffer.clear();
        }
    }
    let status = child.wait().map_err(start)?;
    let output = reader
        .join()
        .unwrap_or_else(|_| Err(std::io::Error::other("the reader of standard output panicked")))
        .map_err(start)?;
    if status.success() { Ok(output) } else { Err(Error::Failed { command: shown, status, tail }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_the_command_and_the_tail() {
        let mut command = StdCommand::new("sh");
        command.args(["-c", "echo one >&2; echo two >&2; exit 3"]);
        let error = run(command, |_| ()).expect_err("must fail").to_string();
        assert!(error.contains("sh -c 'echo one >&2; echo two >&2; exit 3'"), "{error}");
        assert!(error.contains("exit status: 3") && error.contains("one\n    two"), "{error}");
    }

    #[test]
    fn a_success_returns_standard_output() {
        let mut command = StdCommand::new("printf");
        command.arg("%s").arg("x y");
        assert_eq!(run(command, |_| ()).expect("runs"), b"x y");
    }
}
