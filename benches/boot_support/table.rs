//! What was measured, as a table in Markdown.

use super::guest::Run;
use super::{Image, State};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A question about one start: its name, its unit, how many digits are worth printing.
type Question = (&'static str, &'static str, usize, fn(&Run) -> f64);

/// A size of an image in bytes.
type Size = fn(&Image) -> u64;

const TIMES: [Question; 4] = [
    ("kernel start to `running`", "s", 1, Run::boot),
    ("of that, kernel and initial RAM disk", "s", 1, |run| run.kernel),
    ("of that, userspace", "s", 1, |run| run.userspace),
    ("QEMU start to `running`, from outside", "s", 1, |run| run.outside),
];

const MEMORY: [Question; 2] = [
    ("idle memory, total less available", "MiB", 0, |run| run.unavailable),
    ("idle memory, page cache not counted", "MiB", 0, |run| run.used),
];

/// One line a question and state, ours first; `ratio` is ours by the peer's.
pub fn render(images: &[Image; 2], runs: &BTreeMap<State, [Vec<Run>; 2]>) -> String {
    let mut out = String::from("\n| what |");
    for image in images {
        let _ = write!(out, " {}, median | smallest to largest |", image.name);
    }
    out.push_str(" ratio |\n|---|--:|--:|--:|--:|--:|\n");
    for (state, both) in runs {
        for (text, unit, digits, value) in TIMES {
            line(&mut out, &format!("{state} boot: {text}, {unit}"), digits, both, value);
        }
    }
    // Memory is that of a machine on an ordinary day.
    if let Some(both) = runs.values().next() {
        for (text, unit, digits, value) in MEMORY {
            line(&mut out, &format!("{text}, {unit}"), digits, both, value);
        }
    }
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let sizes: [(&str, Size); 3] = [
        ("files of the root", |image| image.root_bytes),
        ("data on the disk", |image| image.disk_bytes),
        ("compressed qcow2", |image| image.qcow2_bytes),
    ];
    for (text, bytes) in sizes {
        let [ours, theirs] = images.each_ref().map(|image| mib(bytes(image)));
        let _ = writeln!(out, "| {text}, MiB | {ours:.0} | | {theirs:.0} | | {:.2} |", ours / theirs);
    }
    let [ours, theirs] = images.each_ref().map(|image| image.packages);
    let _ = writeln!(out, "| packages | {ours} | | {theirs} | | {:.2} |", ours as f64 / theirs as f64);
    out
}

fn line(out: &mut String, text: &str, digits: usize, both: &[Vec<Run>; 2], value: fn(&Run) -> f64) {
    let _ = write!(out, "| {text} |");
    let medians = both.each_ref().map(|runs| {
        let mut values: Vec<f64> = runs.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        let at = |place: usize| values.get(place).copied().unwrap_or(f64::NAN);
        let (median, smallest, largest) = (at(values.len() / 2), at(0), at(values.len().saturating_sub(1)));
        let _ = write!(out, " {median:.digits$} | {smallest:.digits$} to {largest:.digits$} |");
        median
    });
    let _ = writeln!(out, " {:.2} |", medians[0] / medians[1]);
}
