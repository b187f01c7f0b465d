//! The order of versions (UAPI.10), by which systemd-boot prefers the newest.

use std::cmp::Ordering;

/// Compares two versions: `~` sorts before the end, then the end, then `-`, `^`, `.`, then letters, then digits by
/// their number.
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    let valid = |c: u8| c.is_ascii_alphanumeric() || b"~-^.".contains(&c);
    let clean = |text: &str| text.bytes().filter(|c| valid(*c)).collect::<Vec<u8>>();
    let (a, b) = (clean(a), clean(b));
    let (mut a, mut b) = (&a[..], &b[..]);
    loop {
        for separator in [b'~', 0, b'-', b'^', b'.'] {
            let has = |rest: &[u8]| match separator {
                0 => rest.is_empty(),
                c => rest.first() == Some(&c),
            };
            match (has(a), has(b)) {
                (true, true) if separator == 0 => return Ordering::Equal,
                (true, true) => {
                    (a, b) = (&a[1..], &b[1..]);
                    return compare_rest(a, b);
                }
                (true, false) => return Ordering::Less,
                (false, true) => return Ordering::Greater,
                (false, false) => {}
            }
        }
        let digits = |rest: &[u8]| rest.iter().take_while(|c| c.is_ascii_digit()).count();
        let letters = |rest: &[u8]| rest.iter().take_while(|c| c.is_ascii_alphabetic()).count();
        let (ours, theirs, order) = if digits(a) > 0 || digits(b) > 0 {
            let (ours, theirs) = (digits(a), digits(b));
            (ours, theirs, compare_numbers(&a[..ours], &b[..theirs]))
        } else {
            let (ours, theirs) = (letters(a), letters(b));
            (ours, theirs, a[..ours].cmp(&b[..theirs]))
        };
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (&a[ours..], &b[theirs..]);
    }
}

fn compare_rest(a: &[u8], b: &[u8]) -> Ordering {
    compare_versions(&String::from_utf8_lossy(a), &String::from_utf8_lossy(b))
}

/// Digits as numbers of any length.
fn compare_numbers(a: &[u8], b: &[u8]) -> Ordering {
    let strip = |digits: &[u8]| digits.iter().copied().skip_while(|c| *c == b'0').collect::<Vec<u8>>();
    let (a, b) = (strip(a), strip(b));
    a.len().cmp(&b.len()).then_with(|| a.cmp(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_the_specification() {
        let ascending = [
            "1~rc1",
            "1",
            "1-2",
            "1-10",
            "1^2",
            "1.a",
            "1.1",
            "1.9",
            "1.10",
            "2",
            "10",
            "122.1",
            "123~rc1-1",
            "123",
            "123-a",
            "123-a.1",
            "123-1",
            "123-1.1",
            "123^post1",
            "123.a-1",
            "123.1-1",
            "123a-1",
            "124-1",
        ];
        for pair in ascending.windows(2) {
            let order = compare_versions(pair[0], pair[1]);
            assert_eq!(order, Ordering::Less, "{pair:?}");
        }
        assert_eq!(compare_versions("1.01", "1.1"), Ordering::Equal);
        assert_eq!(compare_versions("2026.11.27", "2026.9.30"), Ordering::Greater);
    }
}
