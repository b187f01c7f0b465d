//! Which way costs the fewest bytes.

/// A way to the new image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// A recipe for the running image.
    Recipe,
    /// Blocks of the running image, the others from the full image.
    Reuse,
    /// The full image.
    Full,
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Recipe => "recipe",
            Self::Reuse => "block reuse",
            Self::Full => "full image",
        })
    }
}

/// The cheapest of the ways that there are, with its bytes; of equal ones the first of [`Way`].
pub fn cheapest(ways: impl IntoIterator<Item = (Way, u64)>) -> Option<(Way, u64)> {
    ways.into_iter().min_by_key(|(way, bytes)| (*bytes, *way))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewest_bytes_win_even_against_a_recipe() {
        let ways = [(Way::Full, 100), (Way::Recipe, 140), (Way::Reuse, 127)];
        assert_eq!(cheapest(ways), Some((Way::Full, 100)));
        assert_eq!(cheapest([(Way::Full, 9), (Way::Recipe, 9)]), Some((Way::Recipe, 9)));
        assert_eq!(cheapest([]), None);
    }
}
