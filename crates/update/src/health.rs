//! Whether the system is well.
//!
//! Checks lie in `/usr/lib/lazuli/health.d` (of the image) and `/etc/lazuli/health.d` (of the user):
//!
//! - `NAME.units` lists systemd units, one a line, that must be active. `#` begins a comment. A unit that does not exist
//!   counts as ill, unless its line begins with `?`: then it must be active only where it is installed.
//! - an executable file must end with status 0 in time. A script is given to its interpreter by us: a host that executes
//!   nothing but files of its root would not start it, and it is a setting in `/etc`.
//!
//! A file in `/etc` replaces the one of the same name in `/usr/lib`; an empty one takes it away. Besides, the system as a
//! whole must be `running` as `systemctl is-system-running` says, which no failed unit is.

use crate::{Error, Result};
use lazuli_layout::Outcome;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Where checks are, the stronger one last.
const FOLDERS: [&str; 2] = ["usr/lib/lazuli/health.d", "etc/lazuli/health.d"];

/// Something that must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// No job is waiting and no unit failed.
    Running,
    /// A unit is active; if `optional`, only where it is installed.
    Unit {
        /// Its name.
        name: String,
        /// Whether it may be missing.
        optional: bool,
    },
    /// A program ends well.
    Program(PathBuf),
}

/// All checks of a root.
pub fn checks(root: &Path) -> Result<Vec<Check>> {
    let mut files: BTreeMap<std::ffi::OsString, PathBuf> = BTreeMap::new();
    for folder in FOLDERS {
        match lazuli_fs::read_dir(root.join(folder)) {
            Ok(paths) => {
                files.extend(paths.into_iter().map(|p| (p.file_name().unwrap_or_default().to_owned(), p)));
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut checks = vec![Check::Running];
    for path in files.into_values() {
        let metadata = lazuli_fs::metadata(&path)?;
        if !metadata.is_file() || metadata.len() == 0 {
            continue;
        }
        if path.extension().is_some_and(|extension| extension == "units") {
            checks.extend(units(&lazuli_fs::read_to_string(&path)?));
        } else if metadata.permissions().mode() & 0o111 != 0 {
            checks.push(Check::Program(path));
        } else {
            return Err(Error::Settings {
                path: path.display().to_string(),
                reason: "a check is an executable, or a list of units named *.units".to_owned(),
            });
        }
    }
    Ok(checks)
}

fn units(text: &str) -> impl Iterator<Item = Check> {
    text.lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty())
        .map(|line| {
            let name = line.trim_start_matches('?').trim();
            Check::Unit { name: name.to_owned(), optional: line.starts_with('?') }
        })
}

/// Looks at all checks; the first that does not hold, in words. While the system starts nothing else is looked at.
pub fn look(checks: &[Check], timeout: Duration) -> Outcome {
    checks
        .iter()
        .map(|check| check.look(timeout))
        .find(|outcome| *outcome != Outcome::Well)
        .unwrap_or(Outcome::Well)
}

impl Check {
    fn look(&self, timeout: Duration) -> Outcome {
        match self.try_look(timeout) {
            Ok(outcome) => outcome,
            Err(reason) => Outcome::Ill(reason),
        }
    }

    fn try_look(&self, timeout: Duration) -> std::result::Result<Outcome, String> {
        Ok(match self {
            Self::Running => {
                let (_, text) = run(Command::new("systemctl").arg("is-system-running"), timeout)?;
                match text.trim() {
                    "running" => Outcome::Well,
                    // Said until the first jobs are done, and never again.
                    state @ ("initializing" | "starting") => {
                        Outcome::Starting(format!("the system is `{state}`"))
                    }
                    "degraded" => Outcome::Ill(degraded(timeout)?),
                    state => Outcome::Ill(format!("the system is `{state}`")),
                }
            }
            Self::Unit { name, optional } => {
                let mut command = Command::new("systemctl");
                command.args(["show", "--property=LoadState", "--property=ActiveState", "--"]).arg(name);
                let (_, text) = run(&mut command, timeout)?;
                let value =
                    |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
                match (value("LoadState="), value("ActiveState=")) {
                    ("not-found", _) if *optional => Outcome::Well,
                    (_, "active") => Outcome::Well,
                    (load, active) => Outcome::Ill(format!("{name} is {active} ({load})")),
                }
            }
            Self::Program(path) => {
                let (success, text) = run(&mut program(path), timeout)?;
                let last = text.lines().last().unwrap_or_default();
                if success {
                    Outcome::Well
                } else {
                    Outcome::Ill(format!("{} failed: {last}", path.display()))
                }
            }
        })
    }
}

/// Which units failed, in words.
fn degraded(timeout: Duration) -> std::result::Result<String, String> {
    let mut command = Command::new("systemctl");
    command.args(["list-units", "--state=failed", "--plain", "--no-legend", "--no-pager"]);
    let (_, text) = run(&mut command, timeout)?;
    Ok(format!("the system is `degraded`{}", failed(&text)))
}

/// What `systemctl list-units` has in its first column; a few of many.
fn failed(list: &str) -> String {
    const NAMED: usize = 5;
    let units: Vec<&str> = list.lines().filter_map(|line| line.split_whitespace().next()).collect();
    match units.len() {
        0 => String::new(),
        count if count > NAMED => {
            format!(": {} and {} more failed", units[..NAMED].join(", "), count - NAMED)
        }
        _ => format!(": {} failed", units.join(", ")),
    }
}

/// How a check is started: `#!INTERPRETER [ARGUMENT]` as execve(2) has it, anything else by itself.
fn program(path: &Path) -> Command {
    use std::io::Read as _;
    let mut head = Vec::new();
    if let Ok(file) = lazuli_fs::open(path) {
        // What cannot be read is started as it is, and its error tells.
        let _ = file.take(256).read_to_end(&mut head);
    }
    let first = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = first.strip_prefix(b"#!").and_then(|line| std::str::from_utf8(line).ok()).map(str::trim);
    let Some(line) = line.filter(|line| !line.is_empty()) else { return Command::new(path) };
    let (interpreter, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let mut command = Command::new(interpreter);
    let argument = argument.trim();
    if !argument.is_empty() {
        command.arg(argument);
    }
    command.arg(path);
    command
}

/// Runs a program with a time limit; whether it succeeded, and what it said. The checks are the user's and may hang, so
/// this does not wait for its output's end, which a child of it may hold open.
fn run(command: &mut Command, timeout: Duration) -> std::result::Result<(bool, String), String> {
    use std::io::Read as _;
    let name = command.get_program().to_string_lossy().into_owned();
    let (mut reader, writer) = std::io::pipe().map_err(|e| format!("{name}: {e}"))?;
    let errors = writer.try_clone().map_err(|e| format!("{name}: {e}"))?;
    command.stdin(Stdio::null()).stdout(writer).stderr(errors);
    let started = command.spawn();
    // The ends that were for the child.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = started.map_err(|e| format!("{name} cannot be started: {e}"))?;
    let (told, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut output = Vec::new();
        let _ = (&mut reader).take(64 << 10).read_to_end(&mut output);
        let _ = told.send(output);
        // Whatever is left is read, so that the program does not wait for its reader.
        let _ = std::io::copy(&mut reader, &mut std::io::sink());
    });
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => {
                let output = heard.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
                return Ok((status.success(), String::from_utf8_lossy(&output).into_owned()));
            }
            Ok(None) if begun.elapsed() < timeout => std::thread::sleep(Duration::from_millis(20)),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{name} did not end within {} s", timeout.as_secs()));
            }
            Err(error) => return Err(format!("{name}: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, path: &str, text: &str, mode: u32) {
        let path = root.join(path);
        lazuli_fs::create_dir_all(path.parent().unwrap()).unwrap();
        lazuli_fs::write_atomic(&path, text, mode).unwrap();
    }

    #[test]
    fn checks_of_the_user_replace_those_of_the_image() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        assert_eq!(checks(root).unwrap(), [Check::Running]);
        put(
            root,
            "usr/lib/lazuli/health.d/10-base.units",
            "# of the image\na.service\n? b.service # maybe\n",
            0o644,
        );
        put(root, "usr/lib/lazuli/health.d/20-x", "#!/bin/sh\n", 0o755);
        put(root, "etc/lazuli/health.d/20-x", "", 0o644);
        put(root, "etc/lazuli/health.d/30-y", "#!/bin/sh\nexit 1\n", 0o755);
        let unit = |name: &str, optional| Check::Unit { name: name.into(), optional };
        let program = Check::Program(root.join("etc/lazuli/health.d/30-y"));
        assert_eq!(
            checks(root).unwrap(),
            [Check::Running, unit("a.service", false), unit("b.service", true), program]
        );
        put(root, "etc/lazuli/health.d/40-z", "not executable", 0o644);
        assert!(checks(root).unwrap_err().to_string().contains("a check is an executable"));
    }

    #[test]
    fn failed_units_are_named() {
        let line = |name: &str| format!("{name} loaded failed failed What it is\n");
        assert_eq!(failed(""), "");
        assert_eq!(failed(&(line("a.service") + &line("b.mount"))), ": a.service, b.mount failed");
        let many: String = (0..7).map(|n| line(&format!("{n}.service"))).collect();
        assert!(failed(&many).ends_with("4.service and 2 more failed"));
    }

    #[test]
    fn programs_are_believed_and_do_not_hang() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| Check::Program(dir.path().join(name));
        put(dir.path(), "good", "#!/bin/sh\nexit 0\n", 0o755);
        put(dir.path(), "bad", "#!/bin/sh\necho first\necho no disk\nexit 1\n", 0o755);
        put(dir.path(), "slow", "#!/bin/sh\nsleep 60\n", 0o755);
        let timeout = Duration::from_millis(500);
        let ill = |name: &str| match path(name).look(timeout) {
            Outcome::Ill(reason) => reason,
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(path("good").look(timeout), Outcome::Well);
        // Where nothing can be executed, a script is not either; its interpreter reads it.
        put(dir.path(), "argument", "#!/bin/sh -e\nfalse\nexit 0\n", 0o644);
        assert!(ill("argument").ends_with("argument failed: "));
        assert!(ill("bad").ends_with("bad failed: no disk"));
        assert!(ill("slow").contains("did not end"));
        assert!(ill("none").contains("cannot be started"));
    }
}
