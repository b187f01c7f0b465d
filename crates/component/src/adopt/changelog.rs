//! Debian changelogs, deb-changelog(5): the newest entries for RPM's changelog.

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Seconds since 1970.
    pub time: i64,
    /// `Name <address> - version`, RPM's custom.
    pub name: String,
    /// The text, a change a line.
    pub text: String,
}

/// Longest text of one entry that is taken over, in bytes.
const MAX_TEXT: usize = 8 << 10;

/// The first `count` entries. What is not understood ends the list.
pub fn newest(changelog: &str, count: usize) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut version = None;
    let mut text: Vec<&str> = Vec::new();
    for line in changelog.lines() {
        if entries.len() == count {
            break;
        }
        if let Some(trailer) = line.strip_prefix(" -- ") {
            let Some(version) = version.take() else { break };
            let Some((who, date)) = trailer.split_once("  ") else { break };
            let Some(time) = timestamp(date.trim()) else { break };
            let mut body = text.join("\n").trim().to_owned();
            if body.len() > MAX_TEXT {
                let end = (0..=MAX_TEXT).rev().find(|i| body.is_char_boundary(*i)).unwrap_or(0);
                body.truncate(end);
            }
            entries.push(Entry { time, name: format!("{} - {version}", who.trim()), text: body });
            text.clear();
        } else if line.starts_with(' ') || line.is_empty() {
            if !line.trim().is_empty() {
                text.push(line.strip_prefix("  ").unwrap_or(line).trim_end());
            }
        } else {
            let Some((_, rest)) = line.split_once(" (") else { break };
            let Some((found, _)) = rest.split_once(')') else { break };
            version = Some(found);
            text.clear();
        }
    }
    entries
}

/// Seconds since 1970 of a date as in RFC 5322: `Sat, 01 Mar 2025 10:00:00 +0100`.
fn timestamp(date: &str) -> Option<i64> {
    let date = date.split_once(',').map_or(date, |(_, rest)| rest);
    let words: Vec<&str> = date.split_whitespace().collect();
    let [day, month, year, time, zone, ..] = words.as_slice() else { return None };
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = i64::try_from(months.iter().position(|m| m == month)?).ok()? + 1;
    let (day, year): (i64, i64) = (day.parse().ok()?, year.parse().ok()?);
    let mut clock = time.split(':').map(str::parse::<i64>);
    let (hours, minutes, seconds) = (clock.next()?.ok()?, clock.next()?.ok()?, clock.next()?.ok()?);
    let offset: i64 = zone.strip_prefix(['+', '-'])?.parse().ok()?;
    let ranges = [(day, 1, 31), (year, 1970, 9999), (hours, 0, 23), (minutes, 0, 59), (seconds, 0, 60)];
    if ranges.iter().any(|(value, low, high)| value < low || value > high) || offset > 2359 {
        return None;
    }
    let offset = (offset / 100 * 60 + offset % 100) * 60 * if zone.starts_with('-') { -1 } else { 1 };
    // Days before the month, counted from March so that the leap day comes last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    Some(days * 86_400 + hours * 3600 + minutes * 60 + seconds - offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGELOG: &str = "\
hello (2.10-5) unstable; urgency=medium

  * First change,
    continued.
  * Second.

 -- Some One <one@example.org>  Sat, 01 Mar 2025 10:00:00 +0100

hello (2.10-4) unstable; urgency=low

  [ Other ]
  * Older.

 -- Other <other@example.org>  Thu, 29 Feb 2024 23:59:59 +0000
";

    #[test]
    fn entries_come_newest_first_with_their_times() {
        let entries = newest(CHANGELOG, 5);
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].name, "Some One <one@example.org> - 2.10-5");
        assert_eq!(entries[0].text, "* First change,\n  continued.\n* Second.");
        // `date -u -d '2025-03-01 09:00' +%s` and `date -u -d '2024-02-29 23:59:59' +%s`
        assert_eq!((entries[0].time, entries[1].time), (1_740_819_600, 1_709_251_199));
        assert_eq!(newest(CHANGELOG, 1), entries[..1]);
    }

    #[test]
    fn nonsense_ends_the_list() {
        assert!(newest("not a changelog\n", 5).is_empty());
        assert!(newest("a (1) x\n\n * b\n\n -- c <d>  yesterday\n", 5).is_empty());
        assert!(newest("", 5).is_empty());
    }
}
