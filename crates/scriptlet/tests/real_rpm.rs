//! What runs, in which order, with which arguments and input: compared with the real `rpm`, which gets
//! the same packages in a root of its own. Every script appends a line to a log in its root.
//!
//! The `rpm` of this machine is used if there is one, and those of the directories that
//! `LAZULI_TEST_RPM_ROOTS` lists, divided by colons (tool roots, for example).

mod rpm_world;

use lazuli_rpm::{FileTrigger, TriggerKind};
use proptest::prelude::*;
use rpm_world::{Judges, Operation, Spec, World, compare, compare_since};

#[test]
fn scriptlet_helper() {
    lazuli_scriptlet::helper::run_in_test();
}

fn all_kinds() -> [TriggerKind; 3] {
    [TriggerKind::In, TriggerKind::Un, TriggerKind::PostUn]
}

/// A package with file triggers of all sorts on a prefix, early and late.
fn watcher(name: &str, version: u32, prefix: &str) -> Spec {
    let mut spec = Spec::new(name, version).file(&format!("watch/{name}"));
    for kind in all_kinds() {
        spec = spec
            .file_trigger(kind, &[prefix], FileTrigger::PRIORITY)
            .file_trigger(kind, &[prefix, "/none"], 9_999)
            .file_trigger(kind, &["/elsewhere"], 20_000)
            .transaction_file_trigger(kind, &[prefix], FileTrigger::PRIORITY)
            .transaction_file_trigger(kind, &[prefix, "/watch"], 5);
    }
    spec
}

fn install(spec: Spec) -> Operation {
    Operation::Install(vec![spec])
}

fn upgrade(spec: Spec) -> Operation {
    Operation::Upgrade(vec![spec])
}

fn remove(names: &[&str]) -> Operation {
    Operation::Remove(names.iter().map(ToString::to_string).collect())
}

#[test]
fn scriptlets_of_one_package() {
    compare(&[
        install(Spec::new("a", 1)),
        upgrade(Spec::new("a", 2)),
        install(Spec::new("a", 3)),
        upgrade(Spec::new("a", 4)),
        Operation::Reinstall(Spec::new("a", 4)),
        Operation::Replace(Spec::new("a", 4)),
        remove(&["a"]),
    ]);
}

#[test]
fn several_packages_in_one_transaction() {
    let three = |version| {
        vec![
            Spec::new("a", version),
            Spec::new("b", version).requires("a"),
            Spec::new("c", version).requires("b"),
        ]
    };
    compare(&[Operation::Install(three(1)), Operation::Upgrade(three(2)), remove(&["a", "b", "c"])]);
}

#[test]
fn triggers_on_packages() {
    let on = |version: u32| {
        let mut spec = Spec::new("owner", version);
        for kind in [TriggerKind::PreIn, TriggerKind::In, TriggerKind::Un, TriggerKind::PostUn] {
            spec = spec.trigger(kind, &["a"]).trigger(kind, &["b < 2", "c"]);
        }
        spec
    };
    compare(&[
        install(Spec::new("a", 1)),
        install(Spec::new("b", 1)),
        install(on(1)),
        upgrade(Spec::new("a", 2)),
        upgrade(Spec::new("b", 2)),
        install(Spec::new("c", 1)),
        upgrade(on(2)),
        remove(&["a"]),
        remove(&["owner"]),
        remove(&["b", "c"]),
    ]);
}

#[test]
fn triggers_on_files() {
    let a = |version| Spec::new("a", version).file("data/a1").file("data/sub/a2").file("other/a");
    compare(&[
        install(a(1)),
        install(watcher("w", 1, "/data")),
        upgrade(a(2)),
        install(Spec::new("b", 1).file("data/b").file("elsewhere/x")),
        upgrade(watcher("w", 2, "/data")),
        remove(&["a"]),
        remove(&["w"]),
        remove(&["b"]),
    ]);
}

#[test]
fn triggers_on_files_in_one_transaction() {
    let both = |version| {
        vec![
            Spec::new("a", version).file("data/a"),
            watcher("w", version, "/data").requires("a"),
            Spec::new("b", version).file("data/b").requires("w"),
        ]
    };
    compare(&[
        install(watcher("v", 1, "/data")),
        Operation::Install(both(1)),
        Operation::Upgrade(both(2)),
        remove(&["a", "w", "b"]),
        remove(&["v"]),
    ]);
}

#[test]
fn failures() {
    for kind in ["pretrans", "pre", "post", "preun", "postun", "posttrans"] {
        compare(&[
            install(Spec::new("a", 1).failing(kind)),
            upgrade(Spec::new("a", 2)),
            upgrade(Spec::new("a", 3).failing(kind)),
            remove(&["a"]),
        ]);
    }
    let failing = Spec::new("owner", 1).trigger(TriggerKind::PreIn, &["a"]).trigger(TriggerKind::Un, &["a"]);
    // Before, the failure of a trigger was never critical.
    compare_since((6, 0), &[install(failing.failing("trigger")), install(Spec::new("a", 1)), remove(&["a"])]);
}

fn spec(name: &'static str) -> impl Strategy<Value = Spec> {
    let kind =
        prop::sample::select(vec![TriggerKind::PreIn, TriggerKind::In, TriggerKind::Un, TriggerKind::PostUn]);
    let file_kind = prop::sample::select(all_kinds().to_vec());
    let condition = prop::sample::select(vec!["a", "b", "c", "a < 2", "b > 1", "c = 2-1"]);
    let prefix = prop::sample::select(vec!["/d", "/d/x", "/e", "/d/a"]);
    let file = prop::sample::select(vec!["d/a", "d/x/b", "d/x/c", "e/a", "f/g"]);
    let priority = prop::sample::select(vec![1_u32, 9_999, 10_000, FileTrigger::PRIORITY]);
    let triggers = prop::collection::vec((kind, prop::collection::vec(condition, 1..3)), 0..3);
    let one = (file_kind, prop::collection::vec(prefix, 1..3), priority);
    let file_triggers = prop::collection::vec((one, any::<bool>()), 0..3);
    (prop::collection::vec(file, 0..3), triggers, file_triggers).prop_map(
        move |(files, triggers, file_triggers)| {
            let mut spec = Spec::new(name, 0);
            for file in files {
                spec = spec.file(&format!("{file}-{name}"));
            }
            for (kind, on) in triggers {
                spec = spec.trigger(kind, &on);
            }
            for ((kind, prefixes, priority), transaction) in file_triggers {
                spec = if transaction {
                    spec.transaction_file_trigger(kind, &prefixes, priority)
                } else {
                    spec.file_trigger(kind, &prefixes, priority)
                };
            }
            spec
        },
    )
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let package = prop_oneof![spec("a"), spec("b"), spec("c")];
    let one = prop_oneof![
        6 => (package, any::<bool>()).prop_map(|(spec, parallel)| {
            if parallel { Operation::Install(vec![spec]) } else { Operation::Upgrade(vec![spec]) }
        }),
        2 => prop::sample::select(vec!["a", "b", "c"]).prop_map(|name| remove(&[name])),
    ];
    prop::collection::vec(one, 1..8)
}

#[test]
fn random_packages() {
    if Judges::find().is_empty() {
        return;
    }
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(12);
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 60,
        ..ProptestConfig::default()
    };
    proptest!(config, |(operations in operations())| {
        compare(&World::numbered(operations));
    });
}
