//! Describing bytes by other bytes that resemble them.
//!
//! A new executable differs from the old one less in its instructions than in the addresses in them: long
//! stretches are equal but for a byte here and there. So a stretch is described as a piece of the old file and
//! the difference of each byte; the differences are nearly all zero and compress to almost nothing. Bytes that
//! resemble nothing are literals. (The idea is that of Colin Percival, "Naive differences of executable code",
//! 2003.)
//!
//! The search walks through the new bytes. At each place a suffix array of the old ones tells the longest equal
//! piece. As long as going on with the current alignment does about as well, it is kept; only where another
//! alignment is clearly better the description turns to it, and the border between both is put where the fewest
//! bytes differ.

/// A stretch of new bytes: first `add` bytes that resemble the old ones from `source` on, then `literal` bytes
/// that resemble nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) source: usize,
    pub(crate) add: usize,
    pub(crate) literal: usize,
}

/// By how many equal bytes another alignment must be better before it is turned to: about what a step costs.
const MARGIN: usize = 8;

/// The old bytes and their suffixes in order.
pub(crate) struct Index<'a> {
    old: &'a [u8],
    suffixes: Vec<i32>,
}

impl<'a> Index<'a> {
    /// Sorts the suffixes: four bytes of memory for each byte. The bytes must be fewer than 2^31.
    pub(crate) fn new(old: &'a [u8]) -> Self {
        let mut suffixes = vec![0; old.len()];
        divsufsort::sort_in_place(old, &mut suffixes);
        Self { old, suffixes }
    }

    /// The place and length of the longest old piece that `wanted` begins with.
    fn longest(&self, wanted: &[u8]) -> (usize, usize) {
        // What both borders of the search share with `wanted` need not be compared again.
        let (mut low, mut high) = (0, self.suffixes.len());
        let (mut low_shared, mut high_shared) = (0, 0);
        let mut best = (0, 0);
        while low < high {
            let middle = usize::midpoint(low, high);
            let place = self.suffixes[middle] as usize;
            let skip = low_shared.min(high_shared);
            let suffix = &self.old[place..];
            let shared = skip + common(&suffix[skip..], &wanted[skip..]);
            if shared > best.1 {
                best = (place, shared);
            }
            if shared == wanted.len() {
                return best;
            }
            if suffix.get(shared).is_none_or(|byte| *byte < wanted[shared]) {
                low = middle + 1;
                low_shared = shared;
            } else {
                high = middle;
                high_shared = shared;
            }
        }
        best
    }

    /// Describes `new` by the old bytes.
    pub(crate) fn describe(&self, new: &[u8]) -> Vec<Step> {
        Walk { index: self, new, steps: Vec::new(), new_start: 0, old_start: 0 }.run()
    }
}

/// How many bytes two slices begin with in common.
fn common(a: &[u8], b: &[u8]) -> usize {
    let limit = a.len().min(b.len());
    let mut at = 0;
    while at + 8 <= limit && a[at..at + 8] == b[at..at + 8] {
        at += 8;
    }
    while at < limit && a[at] == b[at] {
        at += 1;
    }
    at
}

struct Walk<'a> {
    index: &'a Index<'a>,
    new: &'a [u8],
    steps: Vec<Step>,
    /// What is described already ends here, and the current alignment puts this place...
    new_start: usize,
    /// ...beside this one.
    old_start: usize,
}

impl Walk<'_> {
    fn run(mut self) -> Vec<Step> {
        let new = self.new;
        let mut at = 0;
        let (mut place, mut length) = (0, 0);
        while at < new.len() {
            // How many of the bytes from `at` to `counted` the current alignment has right.
            let mut equal = 0;
            at += length;
            let mut counted = at;
            while at < new.len() {
                (place, length) = self.index.longest(&new[at..]);
                while counted < at + length {
                    equal += usize::from(self.aligned(counted));
                    counted += 1;
                }
                if (length == equal && length != 0) || length > equal + MARGIN {
                    break;
                }
                equal -= usize::from(counted > at && self.aligned(at));
                at += 1;
                counted = counted.max(at);
            }
            if length != equal || at == new.len() {
                self.turn(at, place);
            }
        }
        self.steps
    }

    /// Whether the current alignment has this byte right.
    fn aligned(&self, at: usize) -> bool {
        let place = at - self.new_start + self.old_start;
        self.index.old.get(place).is_some_and(|byte| *byte == self.new[at])
    }

    /// Ends the current alignment and puts `at` beside `place` from now on.
    fn turn(&mut self, at: usize, place: usize) {
        let (old, new) = (self.index.old, self.new);
        let mut forward = longest_good((at - self.new_start).min(old.len() - self.old_start), |i| {
            old[self.old_start + i] == new[self.new_start + i]
        });
        let mut backward = if at < new.len() {
            longest_good((at - self.new_start).min(place), |i| old[place - 1 - i] == new[at - 1 - i])
        } else {
            0
        };
        if self.new_start + forward > at - backward {
            // Both claim some bytes: the border goes where most are right.
            let overlap = self.new_start + forward - (at - backward);
            let (mut score, mut best, mut kept) = (0_isize, 0_isize, 0);
            for i in 0..overlap {
                let offset = forward - overlap + i;
                score += isize::from(new[self.new_start + offset] == old[self.old_start + offset]);
                score -= isize::from(new[at - backward + i] == old[place - backward + i]);
                if score > best {
                    (best, kept) = (score, i + 1);
                }
            }
            forward = forward - overlap + kept;
            backward -= kept;
        }
        let literal = at - backward - (self.new_start + forward);
        if forward + literal > 0 {
            self.steps.push(Step { source: self.old_start, add: forward, literal });
        }
        self.new_start = at - backward;
        self.old_start = place - backward;
    }
}

/// The length up to which more bytes are right than wrong, by the largest lead.
fn longest_good(limit: usize, right: impl Fn(usize) -> bool) -> usize {
    let (mut score, mut best, mut length) = (0_isize, 0_isize, 0);
    for i in 0..limit {
        score += if right(i) { 1 } else { -1 };
        if score > best {
            (best, length) = (score, i + 1);
        }
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rebuilt(old: &[u8], new: &[u8]) -> (Vec<u8>, usize) {
        let steps = Index::new(old).describe(new);
        let (mut out, mut differing): (Vec<u8>, usize) = (Vec::new(), 0);
        for step in steps {
            for i in 0..step.add {
                let difference = new[out.len()].wrapping_sub(old[step.source + i]);
                differing += usize::from(difference != 0);
                out.push(old[step.source + i].wrapping_add(difference));
            }
            differing += step.literal;
            let at = out.len();
            out.extend_from_slice(&new[at..at + step.literal]);
        }
        (out, differing)
    }

    proptest! {
        #[test]
        fn steps_describe_all_of_it(
            old in prop::collection::vec(0_u8..4, 0..300),
            new in prop::collection::vec(0_u8..4, 0..300),
        ) {
            prop_assert_eq!(rebuilt(&old, &new).0, new);
        }
    }

    #[test]
    fn moved_and_touched_pieces_are_found() {
        let old: Vec<u8> = (0..20_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let mut new = old[8000..].to_vec();
        new.extend_from_slice(&old[..8000]);
        for i in (0..new.len()).step_by(100) {
            new[i] ^= 1;
        }
        let (out, differing) = rebuilt(&old, &new);
        assert_eq!(out, new);
        assert!(differing < 300, "{differing} bytes differ where 200 were touched");
    }
}
