//! What people see of a start.
//!
//! Messages go to the kernel's log: it shows them on every console, keeps them for the journal of the system that comes,
//! and is there without any file system. If it is not, they go to standard error, which is the last console.

use std::io::Write as _;

/// How much a message matters; the numbers are those of syslog(3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// Consoles show it (`loglevel=4`).
    Error = 3,
    /// For the journal.
    Info = 6,
}

/// The longest text of one record of the kernel's log, with some room for what is put before it.
const LONGEST: usize = 800;

/// Says one thing. Never fails: there is nobody to tell.
pub(crate) fn say(level: Level, text: &str) {
    for record in records(level, text) {
        let written = std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/kmsg")
            .and_then(|mut log| log.write_all(record.as_bytes()));
        if written.is_err() {
            let _nobody =
                writeln!(std::io::stderr(), "{}", record.split_once('>').map_or("", |(_, text)| text));
        }
    }
}

/// A text as records of the kernel's log: priority, our name, no line feed inside.
fn records(level: Level, text: &str) -> Vec<String> {
    // Facility 3, system daemons: facility 0 is the kernel's own.
    let priority = 3 << 3 | level as u8;
    let text = text.replace(|c: char| c.is_control(), " ");
    let mut rest = text.as_str();
    let mut records = Vec::new();
    while !rest.is_empty() {
        let mut end = rest.len().min(LONGEST);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (now, later) = rest.split_at(end);
        records.push(format!("<{priority}>lazuli-initrd: {now}"));
        rest = later;
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_divided_between_characters_and_keeps_to_its_line() {
        let text = format!("a\n{}", "ä".repeat(LONGEST));
        let records = records(Level::Error, &text);
        assert!(records.len() > 1);
        assert!(records[0].starts_with("<27>lazuli-initrd: a ää"), "{}", records[0]);
        assert!(records.iter().all(|r| r.len() < LONGEST + 30 && !r.contains('\n')));
    }
}
