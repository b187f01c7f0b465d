//! What of a `Cargo.toml` decides about a build, and the manifest reduced to that.

use std::collections::BTreeSet;
use toml::{Table, Value};

/// Where a dependency of a workspace member comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Dependency {
    /// The key in the manifest, which is its name in `[workspace.dependencies]` too.
    pub key: String,
    /// The name of the package.
    pub package: String,
    /// The directory, for a package of the workspace: relative to the member, or to the workspace if
    /// `inherited`.
    pub path: Option<String>,
    /// Whether the details are in `[workspace.dependencies]`.
    pub inherited: bool,
}

/// The tables of dependencies that take part in a build of the package itself.
const USED: [&str; 2] = ["dependencies", "build-dependencies"];

/// Tables and lists that only tests, benches, examples and lints look at, and build nothing.
const UNUSED: [&str; 5] = ["dev-dependencies", "lints", "test", "bench", "example"];

/// The dependencies of a member, for any platform and feature, without those of its tests.
pub(super) fn dependencies(member: &Table, workspace: &Table) -> BTreeSet<Dependency> {
    let shared = table_at(workspace, &["workspace", "dependencies"]);
    let mut found = BTreeSet::new();
    for table in dependency_tables(member) {
        for (key, value) in table {
            let inherited = bool_at(value, "workspace");
            let details = if inherited { shared.and_then(|s| s.get(key)) } else { Some(value) };
            let text = |name: &str| details?.get(name)?.as_str().map(str::to_owned);
            found.insert(Dependency {
                key: key.clone(),
                package: text("package").unwrap_or_else(|| key.clone()),
                path: text("path"),
                inherited,
            });
        }
    }
    found
}

/// `[dependencies]` and `[build-dependencies]`, plain and below `[target.*]`.
fn dependency_tables(member: &Table) -> impl Iterator<Item = &Table> {
    let targets = table_at(member, &["target"]).into_iter().flat_map(|t| t.values());
    std::iter::once(member)
        .chain(targets.filter_map(Value::as_table))
        .flat_map(|owner| USED.iter().filter_map(|name| owner.get(*name)?.as_table()))
}

/// The member's manifest without what builds nothing. `None` if it has no `[package]`.
pub(super) fn reduced_member(member: &Table) -> Option<Table> {
    let mut reduced = member.clone();
    for key in UNUSED {
        reduced.remove(key);
    }
    if let Some(targets) = reduced.get_mut("target").and_then(Value::as_table_mut) {
        for (_, target) in targets.iter_mut() {
            if let Some(table) = target.as_table_mut() {
                table.remove("dev-dependencies");
            }
        }
    }
    let package = reduced.get_mut("package")?.as_table_mut()?;
    for key in ["autotests", "autobenches", "autoexamples"] {
        package.insert(key.to_owned(), Value::Boolean(false));
    }
    // They name files that are not copied.
    for key in ["readme", "license-file"] {
        package.remove(key);
    }
    Some(reduced)
}

/// The workspace's manifest with these members and these shared dependencies only.
pub(super) fn reduced_workspace(workspace: &Table, members: &[String], used: &BTreeSet<String>) -> Table {
    let strings = |list: &[String]| Value::Array(list.iter().cloned().map(Value::String).collect());
    let mut table = Table::new();
    table.insert("members".into(), strings(members));
    for key in ["resolver", "package"] {
        if let Some(value) = workspace.get("workspace").and_then(|w| w.get(key)) {
            table.insert(key.into(), value.clone());
        }
    }
    if let Some(shared) = table_at(workspace, &["workspace", "dependencies"]) {
        let kept: Table = shared
            .iter()
            .filter(|(key, _)| used.contains(*key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        table.insert("dependencies".into(), Value::Table(kept));
    }
    let mut reduced = Table::new();
    reduced.insert("workspace".into(), Value::Table(table));
    // [patch] decides which code is compiled; profiles come with the build.
    if let Some(patch) = workspace.get("patch") {
        reduced.insert("patch".into(), patch.clone());
    }
    reduced
}

/// The packages of a `Cargo.lock` that `roots` need, in its own form. `roots` are packages of the
/// workspace with the names of what they depend on; of everything else the lock itself knows that. It
/// knows more than one build needs (other platforms, features that only others switch on): Cargo drops
/// that later.
pub(super) fn reduced_lock(lock: &Table, roots: &[(String, BTreeSet<String>)]) -> Table {
    let empty = Vec::new();
    let packages = lock.get("package").and_then(Value::as_array).unwrap_or(&empty);
    let mut kept: Vec<bool> = vec![false; packages.len()];
    let mut reduced: Vec<Option<Value>> = vec![None; packages.len()];
    let mut queue: Vec<String> = roots.iter().map(|(name, _)| name.clone()).collect();
    while let Some(wanted) = queue.pop() {
        for (i, package) in packages.iter().enumerate() {
            if kept[i] || !is(package, &wanted) {
                continue;
            }
            kept[i] = true;
            let mut package = package.clone();
            let name = str_at(&package, "name").to_owned();
            let local = package.get("source").is_none();
            let own = roots.iter().find(|(n, _)| local && *n == name).map(|(_, names)| names);
            if let Some(list) = package.get_mut("dependencies").and_then(Value::as_array_mut) {
                if let Some(names) = own {
                    list.retain(|d| names.contains(first_word(d.as_str().unwrap_or_default())));
                }
                queue.extend(list.iter().filter_map(Value::as_str).map(str::to_owned));
            }
            reduced[i] = Some(package);
        }
    }
    let mut table = Table::new();
    if let Some(version) = lock.get("version") {
        table.insert("version".into(), version.clone());
    }
    table.insert("package".into(), Value::Array(reduced.into_iter().flatten().collect()));
    table
}

/// Whether a dependency of `Cargo.lock` (`name`, `name version` or `name version (source)`) means this
/// package.
fn is(package: &Value, wanted: &str) -> bool {
    let mut words = wanted.split_whitespace();
    words.next() == Some(str_at(package, "name"))
        && words.next().is_none_or(|version| version == str_at(package, "version"))
        && words.next().is_none_or(|s| s.trim_matches(['(', ')']) == str_at(package, "source"))
}

fn first_word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}

/// The string at `key`, or nothing.
pub(super) fn str_at<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn bool_at(value: &Value, key: &str) -> bool {
    value.get(key).and_then(Value::as_bool).unwrap_or(false)
}

/// The table at a path of keys.
pub(super) fn table_at<'a>(table: &'a Table, keys: &[&str]) -> Option<&'a Table> {
    keys.iter().try_fold(table, |table, key| table.get(*key)?.as_table())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Table {
        toml::from_str(text).expect("valid TOML")
    }

    #[test]
    fn dependencies_of_tests_do_not_count_and_those_of_platforms_do() {
        let workspace = parse("[workspace.dependencies]\nshared = { path = \"crates/shared\" }\n");
        let member = parse(
            "[package]\nname = \"a\"\n[dependencies]\nshared.workspace = true\nb = { package = \"bee\", version = \"1\" }\n\
             [target.'cfg(unix)'.build-dependencies]\ncc = \"1\"\n[dev-dependencies]\nproptest = \"1\"\n",
        );
        let found = dependencies(&member, &workspace);
        let names: Vec<(&str, Option<&str>)> =
            found.iter().map(|d| (d.package.as_str(), d.path.as_deref())).collect();
        assert_eq!(names, [("bee", None), ("cc", None), ("shared", Some("crates/shared"))]);
    }

    #[test]
    fn a_reduced_member_does_not_change_with_its_tests_and_lints() {
        let plain = parse("[package]\nname = \"a\"\nversion = \"1.0.0\"\n[dependencies]\nb = \"1\"\n");
        let more = parse(
            "[package]\nname = \"a\"\nversion = \"1.0.0\"\nreadme = \"README\"\n[dependencies]\nb = \"1\"\n\
             [dev-dependencies]\nc = \"1\"\n[lints]\nworkspace = true\n[[bench]]\nname = \"x\"\nharness = false\n",
        );
        assert_eq!(reduced_member(&plain), reduced_member(&more));
    }

    #[test]
    fn a_reduced_lock_has_what_the_roots_need_and_no_more() {
        let lock = parse(
            "version = 4\n\
             [[package]]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = [\"dup 1.0.0\", \"testing\"]\n\
             [[package]]\nname = \"dup\"\nversion = \"1.0.0\"\nsource = \"r\"\ndependencies = [\"leaf\"]\n\
             [[package]]\nname = \"dup\"\nversion = \"2.0.0\"\nsource = \"r\"\n\
             [[package]]\nname = \"leaf\"\nversion = \"3.0.0\"\nsource = \"r\"\n\
             [[package]]\nname = \"other\"\nversion = \"0.1.0\"\n\
             [[package]]\nname = \"testing\"\nversion = \"1.0.0\"\nsource = \"r\"\n",
        );
        let names = BTreeSet::from(["dup".to_owned()]);
        let reduced = reduced_lock(&lock, &[("app".to_owned(), names)]);
        let packages = reduced["package"].as_array().expect("a list");
        let shown: Vec<String> =
            packages.iter().map(|p| format!("{} {}", str_at(p, "name"), str_at(p, "version"))).collect();
        assert_eq!(shown, ["app 0.1.0", "dup 1.0.0", "leaf 3.0.0"]);
        assert_eq!(packages[0]["dependencies"].as_array().map(Vec::len), Some(1));
    }
}
