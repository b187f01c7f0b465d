//! Patterns of module aliases: `*`, `?`, `[a-f0-9]`, `[!x]`, and `\` before what stands for itself (fnmatch(3) without flags).
//!
//! In aliases, `-` and `_` are the same outside brackets, as kmod has it.

/// Whether all of `text` is what `pattern` describes. Takes at most the product of both lengths in steps.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Behind the last `*`, and where the text went on when it was met: everything before is settled.
    let mut star: Option<(usize, usize)> = None;
    loop {
        if p < pattern.len() && pattern[p] == b'*' {
            p += 1;
            star = Some((p, t));
            continue;
        }
        if t == text.len() {
            return p == pattern.len();
        }
        if let Some(next) = one(pattern, p, text[t]) {
            (p, t) = (next, t + 1);
            continue;
        }
        let Some((behind, from)) = star else { return false };
        (p, t) = (behind, from + 1);
        star = Some((behind, t));
    }
}

/// Whether the part of the pattern at `p`, which is no `*`, takes `byte`; then where the next part begins.
fn one(pattern: &[u8], p: usize, byte: u8) -> Option<usize> {
    let fold = |byte: u8| if byte == b'-' { b'_' } else { byte };
    match *pattern.get(p)? {
        b'?' => Some(p + 1),
        b'[' => match class(pattern, p, byte) {
            Some((taken, next)) => taken.then_some(next),
            // Without its end it stands for itself.
            None => (byte == b'[').then_some(p + 1),
        },
        b'\\' if p + 1 < pattern.len() => (fold(pattern[p + 1]) == fold(byte)).then_some(p + 2),
        literal => (fold(literal) == fold(byte)).then_some(p + 1),
    }
}

/// Whether the class at `p` takes `byte`, and where it ends; `None` if it has no end.
fn class(pattern: &[u8], p: usize, byte: u8) -> Option<(bool, usize)> {
    let mut at = p + 1;
    let negated = matches!(pattern.get(at), Some(b'!' | b'^'));
    at += usize::from(negated);
    let first = at;
    let mut taken = false;
    loop {
        let low = *pattern.get(at)?;
        if low == b']' && at > first {
            return Some((taken != negated, at + 1));
        }
        match (pattern.get(at + 1), pattern.get(at + 2)) {
            (Some(b'-'), Some(&high)) if high != b']' => {
                taken |= (low..=high).contains(&byte);
                at += 3;
            }
            _ => {
                taken |= low == byte;
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn aliases_of_real_modules() {
        let pci = "pci:v00001AF4d00001045sv00001AF4sd00001100bc00sc00i00";
        assert!(matches("pci:v00001AF4d*sv*sd*bc*sc*i*", pci));
        assert!(!matches("pci:v000010ECd*sv*sd*bc*sc*i*", pci));
        assert!(matches("virtio:d0000001Bv*", "virtio:d0000001Bv00001AF4"));
        assert!(matches(
            "usb:v*p*d*dc*dsc*dp*ic08isc06ip50in*",
            "usb:v46F4p0001d0000dc00dsc00dp00ic08isc06ip50in00"
        ));
        assert!(matches("usb:v0123p456[0-7]d*", "usb:v0123p4565d0100"));
        assert!(!matches("usb:v0123p456[!0-7]d*", "usb:v0123p4565d0100"));
        assert!(matches("platform:sdhci_acpi", "platform:sdhci-acpi"));
    }

    #[test]
    fn odd_patterns() {
        assert!(matches("", "") && !matches("", "a") && matches("*", "") && matches("**", "ab"));
        assert!(matches("[]a]", "]") && matches("[a-]", "-") && !matches("[a-]", "b"));
        assert!(
            matches("[a", "[a") && matches("a\\*", "a*") && !matches("a\\*", "ab") && matches("a\\", "a\\")
        );
        assert!(!matches("[z-a]", "m") && matches("[^a]", "b"));
    }

    #[test]
    fn a_pattern_of_many_stars_does_not_take_for_ever() {
        assert!(!matches(&format!("{}b", "*a".repeat(200)), &"a".repeat(4000)));
    }

    /// The meaning in as few words as possible.
    fn plain(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.first() {
            None => text.is_empty(),
            Some(b'*') => (0..=text.len()).any(|n| plain(&pattern[1..], &text[n..])),
            Some(_) => {
                !text.is_empty()
                    && one(pattern, 0, text[0]).is_some_and(|next| plain(&pattern[next..], &text[1..]))
            }
        }
    }

    proptest! {
        #[test]
        fn going_back_to_the_last_star_is_enough(pattern in "[ab*?\\[\\]!\\\\-]{0,10}", text in "[ab\\-\\[]{0,10}") {
            prop_assert_eq!(matches(&pattern, &text), plain(pattern.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn a_text_without_signs_is_its_own_pattern(text in "[A-Za-z0-9:_.,-]{0,30}") {
            prop_assert!(matches(&text, &text));
            let star = text.replace(|c: char| c.is_ascii_digit(), "*");
            prop_assert!(matches(&star, &text));
        }
    }
}
