//! File modes as text: `rwxr-xr-x`, `u+x,go-w`, `0755`.

/// A mode of a file as `ls` shows it, without the type.
pub(super) fn text(mode: u32) -> String {
    let mut text: Vec<u8> = b"rwxrwxrwx"
        .iter()
        .enumerate()
        .map(|(i, c)| if mode & (0o400 >> i) == 0 { b'-' } else { *c })
        .collect();
    for (bit, at) in [(0o4000, 2), (0o2000, 5)] {
        if mode & bit != 0 {
            text[at] = if text[at] == b'x' { b's' } else { b'S' };
        }
    }
    String::from_utf8(text).unwrap_or_default()
}

/// The mode that `text` makes of `old`; `None` if it is no mode.
pub(super) fn parse(text: &str, old: u32) -> Option<u32> {
    let first = text.chars().next()?;
    if first.is_ascii_digit() {
        return u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
    }
    if text.len() == 9 && matches!(first, 'r' | '-') && !text.contains(['+', '=', ',']) {
        return literal(text);
    }
    text.split(',').try_fold(old & 0o7777, clause)
}

fn literal(text: &str) -> Option<u32> {
    let mut mode = 0;
    for (i, c) in text.bytes().enumerate() {
        let bit = 0o400 >> i;
        mode |= match (c, i) {
            (b'-', _) => 0,
            (b'r', 0 | 3 | 6) | (b'w', 1 | 4 | 7) | (b'x', 2 | 5 | 8) => bit,
            (b's', 2) => bit | 0o4000,
            (b's', 5) => bit | 0o2000,
            (b'S', 2) => 0o4000,
            (b'S', 5) => 0o2000,
            (b't', 8) => bit | 0o1000,
            (b'T', 8) => 0o1000,
            _ => return None,
        };
    }
    Some(mode)
}

/// `[ugoa]*[+-=][rwxst]*`
fn clause(mode: u32, text: &str) -> Option<u32> {
    let at = text.find(['+', '-', '='])?;
    let (who, rest) = text.split_at(at);
    let mut affected = 0;
    for c in who.chars() {
        affected |= match c {
            'u' => 0o4700,
            'g' => 0o2070,
            'o' => 0o1007,
            'a' => 0o7777,
            _ => return None,
        };
    }
    if who.is_empty() {
        affected = 0o7777;
    }
    let mut bits = 0;
    for c in rest[1..].chars() {
        bits |= match c {
            'r' => 0o444,
            'w' => 0o222,
            'x' => 0o111,
            's' => 0o6000,
            't' => 0o1000,
            _ => return None,
        };
    }
    let bits = bits & affected;
    Some(match rest.as_bytes()[0] {
        b'+' => mode | bits,
        b'-' => mode & !bits,
        _ => mode & !affected | bits,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn modes_are_understood() {
        for (given, old, new) in [
            ("rwxr-xr-x", 0, Some(0o755)),
            ("rwsr-xr-x", 0, Some(0o4755)),
            ("0644", 0o777, Some(0o644)),
            ("u+x,go-w", 0o666, Some(0o744)),
            ("+x", 0o644, Some(0o755)),
            ("a=r", 0o4777, Some(0o444)),
            ("u=rwx,g=rx,o=", 0, Some(0o750)),
            ("g+s", 0o755, Some(0o2755)),
            ("99", 0, None),
            ("u~x", 0, None),
            ("rwxr-xr-q", 0, None),
            ("", 0, None),
        ] {
            assert_eq!(parse(given, old), new, "{given}");
        }
    }

    proptest! {
        #[test]
        fn text_survives(mode in 0_u32..0o10000) {
            let mode = mode & !0o1000;
            prop_assert_eq!(parse(&text(mode), 0), Some(mode));
        }
    }
}
