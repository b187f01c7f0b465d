//! Following what a file receives, and keeping a console's last lines for an error message.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// How many of the console's last lines an error shows.
const TAIL_LINES: usize = 30;
/// Characters of a line that are kept.
const LINE_LIMIT: usize = 240;

/// A file that another process appends to.
#[derive(Debug)]
pub(crate) struct Follower(File);

impl Follower {
    /// Makes the file, empty, and follows it.
    pub(crate) fn create(path: &Path) -> Result<Self, lazuli_fs::Error> {
        drop(lazuli_fs::create(path)?);
        Ok(Self(lazuli_fs::open(path)?))
    }

    /// What has come since the last call.
    pub(crate) fn fresh(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // An error here shows in what is missing; the file is our own scratch file.
        let _ = self.0.read_to_end(&mut bytes);
        bytes
    }
}

/// The last lines of a terminal stream, without its control sequences.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    lines: VecDeque<String>,
    line: String,
    state: State,
}

/// Where in a terminal's control sequence (ECMA-48) we are.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// After ESC [: parameters, then one final byte of 0x40 to 0x7e.
    Sequence,
    /// After ESC ]: text up to BEL or the next ESC.
    Command,
}

impl Tail {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        for character in String::from_utf8_lossy(bytes).chars() {
            self.state = match (self.state, character) {
                (State::Text | State::Command, '\x1b') => State::Escape,
                (State::Escape, '[') => State::Sequence,
                (State::Escape, ']') => State::Command,
                (State::Sequence, '\x40'..='\x7e') | (State::Escape, _) | (State::Command, '\x07') => {
                    State::Text
                }
                (State::Text, '\n') => {
                    self.end_line();
                    State::Text
                }
                (State::Text, character) => {
                    if !character.is_control() && self.line.len() < LINE_LIMIT {
                        self.line.push(character);
                    }
                    State::Text
                }
                (other, _) => other,
            };
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if line.trim().is_empty() {
            return;
        }
        if self.lines.len() == TAIL_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line.trim_end().to_owned());
    }

    pub(crate) fn into_lines(mut self) -> Vec<String> {
        self.end_line();
        self.lines.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sequences_are_no_text() {
        let mut tail = Tail::default();
        tail.push(b"\x1b[2J\x1b[01;01Hone\r\n\x1b]0;title\x07t\x1b[0;32mwo\x1b[0m\r\n\n");
        // A sequence that comes in two pieces.
        tail.push(b"th\x1b[1");
        tail.push(b"mree");
        assert_eq!(tail.into_lines(), ["one", "two", "three"]);
    }

    #[test]
    fn only_the_last_lines_are_kept_and_none_grows_without_end() {
        let mut tail = Tail::default();
        for n in 0..1000 {
            tail.push(format!("line {n}\n").as_bytes());
        }
        tail.push(&vec![b'x'; 100_000]);
        let lines = tail.into_lines();
        assert_eq!(lines.len(), TAIL_LINES);
        assert_eq!(lines.get(TAIL_LINES - 2).map(String::as_str), Some("line 999"));
        assert_eq!(lines.last().map(String::len), Some(LINE_LIMIT));
    }

    #[test]
    fn a_follower_sees_each_byte_once() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("log");
        let mut follower = Follower::create(&path).expect("create");
        assert_eq!(follower.fresh(), b"");
        lazuli_fs::write(&path, "ab").expect("write");
        assert_eq!(follower.fresh(), b"ab");
        lazuli_fs::write(&path, "abc").expect("write");
        assert_eq!(follower.fresh(), b"c");
    }
}
