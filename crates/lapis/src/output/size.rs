//! Sizes as a person reads them.

/// Bytes with at most three digits and a unit, as dnf writes them: `999 B` is `999`, `12 k`, `1.5 M`.
pub fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["", "k", "M", "G", "T", "P"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        return format!("{bytes} B");
    }
    let digits = usize::from(value < 9.95);
    format!("{value:.digits$} {}", UNITS[unit])
}

/// A difference of sizes, with its sign.
pub fn signed(bytes: i64) -> String {
    let sign = if bytes < 0 { "-" } else { "" };
    format!("{sign}{}", human(bytes.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        let shown: Vec<String> =
            [0, 999, 1000, 1536, 10_240, 1_022_976, 1_100_000, u64::MAX].map(human).into();
        assert_eq!(shown, ["0 B", "999 B", "1.0 k", "1.5 k", "10 k", "999 k", "1.0 M", "16384 P"]);
        assert_eq!(signed(-2048), "-2.0 k");
    }
}
