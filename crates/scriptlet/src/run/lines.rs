//! Splitting output into lines, in bounded memory.

/// Where a line was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Collects the pieces of lines of one stream.
#[derive(Debug)]
pub(super) struct Lines {
    stream: Stream,
    max: usize,
    pending: Vec<u8>,
}

impl Lines {
    pub(super) fn new(stream: Stream, max: usize) -> Self {
        Self { stream, max: max.max(1), pending: Vec::new() }
    }

    pub(super) fn feed(&mut self, mut bytes: &[u8], output: &mut dyn FnMut(Stream, &str)) {
        while !bytes.is_empty() {
            let room = self.max - self.pending.len();
            let window = &bytes[..bytes.len().min(room)];
            if let Some(end) = window.iter().position(|b| *b == b'\n') {
                self.pending.extend(&window[..end]);
                self.emit(output);
                bytes = &bytes[end + 1..];
            } else {
                self.pending.extend(window);
                bytes = &bytes[window.len()..];
                if self.pending.len() == self.max {
                    // A line of exactly this length must not be followed by an empty one.
                    bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
                    self.emit(output);
                }
            }
        }
    }

    /// The end of the stream: what there is without an end of line.
    pub(super) fn finish(&mut self, output: &mut dyn FnMut(Stream, &str)) {
        if !self.pending.is_empty() {
            self.emit(output);
        }
    }

    fn emit(&mut self, output: &mut dyn FnMut(Stream, &str)) {
        let text = String::from_utf8_lossy(&self.pending);
        output(self.stream, text.trim_end_matches('\r'));
        self.pending.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(pieces: &[&[u8]], max: usize) -> Vec<String> {
        let mut lines = Lines::new(Stream::Out, max);
        let mut seen = Vec::new();
        for piece in pieces {
            lines.feed(piece, &mut |_, line| seen.push(line.to_owned()));
        }
        lines.finish(&mut |_, line| seen.push(line.to_owned()));
        seen
    }

    #[test]
    fn lines_are_whole_and_long_ones_come_in_pieces() {
        assert_eq!(split(&[b"one\ntw", b"o\n\nthree"], 100), ["one", "two", "", "three"]);
        assert_eq!(split(&[b"abcdefg\nx\n"], 3), ["abc", "def", "g", "x"]);
        assert_eq!(split(&[b"abc\nx"], 3), ["abc", "x"]);
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_output_arrives(
            text in "[a-z\n]{0,60}",
            cuts in prop::collection::vec(0_usize..60, 0..5),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(text.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&text.as_bytes()[from..cut]);
                from = cut;
            }
            pieces.push(&text.as_bytes()[from..]);
            prop_assert_eq!(split(&pieces, 1000), text.lines().map(str::to_owned).collect::<Vec<_>>());
        }
    }
}
