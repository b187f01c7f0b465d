//! What was measured, as tables in Markdown.

use crate::Question;
use crate::support::{Peer, Run};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The runs of each peer that answered a question.
type Answers<'a> = [(&'a Question, BTreeMap<Peer, Vec<Run>>)];

/// One line a question: `lapis`, the fastest of the others, and its memory beside dnf5's.
pub fn summary(answers: &Answers<'_>) -> String {
    let mut out = String::from(
        "| what | lapis, s | fastest peer | its time, s | ratio | lapis, MiB | dnf5, MiB | share |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for (question, runs) in answers {
        let medians = medians(runs);
        let lapis = medians.get(&Peer::Lapis);
        let fastest = medians
            .iter()
            .filter(|(peer, _)| **peer != Peer::Lapis)
            .min_by(|a, b| a.1.seconds.total_cmp(&b.1.seconds));
        let dnf5 = medians.get(&Peer::Dnf5);
        let cell = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let ratio = lapis.zip(fastest).map(|(l, (_, f))| format!("{:.1}", f.seconds / l.seconds));
        let share = lapis.zip(dnf5).map(|(l, d)| format!("{:.2}", l.kib as f64 / d.kib as f64));
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            question.text,
            cell(lapis.map(seconds)),
            cell(fastest.map(|(peer, _)| peer.to_string())),
            cell(fastest.map(|(_, run)| seconds(run))),
            cell(ratio),
            cell(lapis.map(mib)),
            cell(dnf5.map(mib)),
            cell(share),
        );
    }
    out
}

/// One line a question and peer, the fastest first.
pub fn details(answers: &Answers<'_>) -> String {
    let mut out = String::from(
        "\n| what | program | seconds | times the fastest peer | times lapis | MiB | of dnf5's |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for (question, runs) in answers {
        let medians = medians(runs);
        let lapis = medians.get(&Peer::Lapis);
        let dnf5 = medians.get(&Peer::Dnf5);
        let others = medians.iter().filter(|(peer, _)| **peer != Peer::Lapis);
        let fastest = others.map(|(_, run)| run.seconds).min_by(f64::total_cmp);
        let mut sorted: Vec<_> = medians.iter().collect();
        sorted.sort_by(|a, b| a.1.seconds.total_cmp(&b.1.seconds));
        for (peer, run) in sorted {
            let times =
                |base: Option<f64>| base.map_or("-".to_owned(), |b| format!("{:.2}", run.seconds / b));
            let share = dnf5.map_or("-".to_owned(), |d| format!("{:.2}", run.kib as f64 / d.kib as f64));
            let _ = writeln!(
                out,
                "| {} | {peer} | {} | {} | {} | {} | {share} |",
                question.text,
                seconds(run),
                times(fastest),
                times(lapis.map(|l| l.seconds)),
                mib(run),
            );
        }
    }
    out
}

fn seconds(run: &Run) -> String {
    format!("{:.3}", run.seconds)
}

fn mib(run: &Run) -> String {
    format!("{:.0}", run.kib as f64 / 1024.0)
}

/// Time and memory each by itself: the run in the middle by time is seldom that by memory.
fn medians(runs: &BTreeMap<Peer, Vec<Run>>) -> BTreeMap<Peer, Run> {
    let of = |runs: &Vec<Run>| {
        let (mut seconds, mut kib): (Vec<f64>, Vec<u64>) = runs.iter().map(|r| (r.seconds, r.kib)).unzip();
        seconds.sort_by(f64::total_cmp);
        kib.sort_unstable();
        Some(Run { seconds: *seconds.get(seconds.len() / 2)?, kib: *kib.get(kib.len() / 2)? })
    };
    runs.iter().filter_map(|(peer, runs)| Some((*peer, of(runs)?))).collect()
}
