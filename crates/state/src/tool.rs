//! Other programs, where they are needed.

use crate::error::{Error, Result};
use std::ffi::OsStr;
use std::process::{Command, Stdio};

/// Runs a program; its exit status (255 if a signal ended it) and what it wrote where that is collected.
fn run(program: &str, arguments: &[&OsStr], stdout: Stdio, stderr: Stdio) -> Result<(i32, String)> {
    let output = Command::new(program)
        .args(arguments)
        // Device nodes are made by the library of the device mapper itself: whether udev runs already does not matter.
        .env("DM_DISABLE_UDEV", "1")
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .and_then(std::process::Child::wait_with_output)
        .map_err(|source| {
            Error::State(format!("`{}` does not start: {source}", command_line(program, arguments)))
        })?;
    Ok((output.status.code().unwrap_or(255), String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// A program's exit status.
pub fn status(program: &str, arguments: &[&OsStr]) -> Result<i32> {
    run(program, arguments, Stdio::inherit(), Stdio::inherit()).map(|(status, _)| status)
}

/// The exit status of a program that is only asked whether.
pub fn quiet(program: &str, arguments: &[&OsStr]) -> Result<i32> {
    run(program, arguments, Stdio::null(), Stdio::null()).map(|(status, _)| status)
}

/// A program's exit status and standard output.
pub fn output(program: &str, arguments: &[&OsStr]) -> Result<(i32, String)> {
    run(program, arguments, Stdio::piped(), Stdio::inherit())
}

/// A program that has to succeed.
pub fn must(program: &str, arguments: &[&OsStr]) -> Result<()> {
    match status(program, arguments)? {
        0 => Ok(()),
        status => {
            Err(Error::State(format!("`{}` ended with status {status}", command_line(program, arguments))))
        }
    }
}

/// The command line, which names the device. No argument is a secret.
fn command_line(program: &str, arguments: &[&OsStr]) -> String {
    let words = arguments.iter().map(|argument| argument.to_string_lossy());
    [program.into()].into_iter().chain(words).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_was_done_to_what() {
        let error = must("false", &["/dev/vda6".as_ref()]).unwrap_err();
        assert_eq!(error.to_string(), "`false /dev/vda6` ended with status 1");
        let error = must("/no/such/program", &[]).unwrap_err();
        assert!(error.to_string().starts_with("`/no/such/program` does not start: "), "{error}");
    }
}
