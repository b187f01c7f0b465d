//! What people and programs see: tables and JSON.

use serde_json::Value;
use std::io::{self, Write as _};

/// Writes JSON as crictl does: indented by two blanks.
pub fn json(value: &Value) -> io::Result<()> {
    lines([format!("{value:#}")])
}

/// Writes lines; a reader that has seen enough is no error.
pub fn lines<S: AsRef<str>>(lines: impl IntoIterator<Item = S>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in lines {
        match writeln!(out, "{}", line.as_ref()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            other => other?,
        }
    }
    Ok(())
}

/// The lines of a table whose columns are as wide as what is in them.
pub fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> Vec<String> {
    let mut widths = head.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: [&str; N]| {
        let padded: String =
            cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}  ")).collect();
        padded.trim_end().to_owned()
    };
    std::iter::once(line(head))
        .chain(rows.iter().map(|row| line(row.each_ref().map(String::as_str))))
        .collect()
}

/// The text of a value, or nothing.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The items of a list, or none.
pub fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The number in a value that JSON carries as text, or 0.
pub fn number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0)
}

/// The first 13 digits of an identifier, as crictl shows them.
pub fn short(id: &str) -> String {
    id.strip_prefix("sha256:").unwrap_or(id).chars().take(13).collect()
}

/// A size in bytes, in units of 1000 as crictl shows it.
pub fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1000.0 {
            return if unit == "B" { format!("{bytes}B") } else { format!("{value:.1}{unit}") };
        }
        value /= 1000.0;
    }
    format!("{value:.1}TB")
}

/// A name without and with its tag: `localhost/a`, `1`.
pub fn name_and_tag(name: &str) -> (String, String) {
    match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name.to_owned(), tag.to_owned()),
        _ => (name.to_owned(), String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns() {
        let rows = [["a".to_owned(), "long text".to_owned()], ["bcd".to_owned(), String::new()]];
        assert_eq!(table(["ID", "NAME"], &rows), ["ID   NAME", "a    long text", "bcd"]);
    }

    #[test]
    fn sizes_and_names() {
        assert_eq!(
            (size(999), size(1_500), size(32_784_720)),
            ("999B".into(), "1.5kB".into(), "32.8MB".into())
        );
        assert_eq!(name_and_tag("host:5000/a"), ("host:5000/a".into(), String::new()));
        assert_eq!(name_and_tag("host:5000/a:1"), ("host:5000/a".into(), "1".into()));
        assert_eq!(short("sha256:0123456789abcdef"), "0123456789abc");
    }
}
