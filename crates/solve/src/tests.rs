//! What users of the solver may rely on.

use super::*;
use insta::assert_snapshot;
use lazuli_repo::{File, FileKind, Href};
use lazuli_rpm::{Evr, Nevra};
use lazuli_store::Digest;

/// Makes a package from lines such as `Requires: b >= 1`; the first is `name-version-release.arch`.
pub(crate) fn package(text: &str) -> Package {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let id = lines.next().expect("a first line");
    let (rest, arch) = id.rsplit_once('.').expect("an architecture");
    let mut parts = rest.rsplitn(3, '-');
    let release = parts.next().expect("a release").to_owned();
    let version = parts.next().expect("a version");
    let name = parts.next().expect("a name").to_owned();
    let (epoch, version) = match version.split_once(':') {
        Some((epoch, version)) => (Some(epoch.parse().expect("an epoch")), version),
        None => (None, version),
    };
    let evr = Evr { epoch, version: version.to_owned(), release };
    let own = format!("{name} = {evr}");
    let nevra = Nevra { name, evr, arch: arch.to_owned() };
    let href = Href::new(&format!("{}.rpm", id.replace(':', "_"))).expect("a location");
    let mut package = Package::new(nevra, Digest::of(text), href);
    package.provides.push(Dependency::parse(&own).expect("parses"));
    for line in lines {
        let (kind, value) = line.split_once(": ").expect("a kind");
        if kind == "File" {
            package.files.push(File { path: value.to_owned(), kind: FileKind::File });
            continue;
        }
        let list = match kind {
            "Provides" => &mut package.provides,
            "Requires" => &mut package.requires,
            "Conflicts" => &mut package.conflicts,
            "Obsoletes" => &mut package.obsoletes,
            "Recommends" => &mut package.recommends,
            "Supplements" => &mut package.supplements,
            other => panic!("{other}"),
        };
        list.push(Dependency::parse(value).expect(value));
    }
    package
}

/// Packages separated by empty lines.
pub(crate) fn universe(text: &str) -> Vec<Package> {
    let stripped: Vec<&str> = text.lines().map(str::trim).collect();
    stripped.join("\n").split("\n\n").filter(|block| !block.trim().is_empty()).map(package).collect()
}

fn request(install: &[&str]) -> Request {
    Request { install: install.iter().map(|&text| text.to_owned()).collect(), ..Request::default() }
}

fn with_weak(install: &[&str]) -> Request {
    Request { weak: true, ..request(install) }
}

fn ids(solution: &Solution<'_>) -> Vec<String> {
    solution.packages.iter().map(|package| package.id()).collect()
}

fn solved(text: &str, request: &Request) -> Vec<String> {
    match solve(&universe(text), request) {
        Ok(solution) => ids(&solution),
        Err(error) => panic!("{error}"),
    }
}

fn refused(text: &str, request: &Request) -> String {
    match solve(&universe(text), request) {
        Ok(solution) => panic!("{:?}", ids(&solution)),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_best_version_that_fits_is_chosen() {
    let text = "a-1-1.noarch\n Requires: b < 3\n\n b-1-1.noarch\n\n b-2-1.noarch\n\n b-3-1.noarch\n\n b-2-1~rc.noarch";
    assert_eq!(solved(text, &request(&["a"])), ["a-1-1.noarch", "b-2-1.noarch"]);
}

#[test]
fn an_older_version_is_taken_when_the_newest_cannot_be() {
    let text = "a-2-1.noarch\n Requires: gone\n\n a-1-1.noarch";
    assert_eq!(solved(text, &request(&["a"])), ["a-1-1.noarch"]);
}

#[test]
fn virtual_names_paths_and_sonames_are_provided() {
    let text = "a-1-1.x86_64
         Requires: mta
         Requires: /usr/bin/awk
         Requires: libc.so.6(GLIBC_2.34)(64bit)

         postfix-3-1.x86_64
         Provides: mta

         mawk-1-1.x86_64
         File: /usr/bin/awk

         glibc-2-1.x86_64
         Provides: libc.so.6(GLIBC_2.34)(64bit)";
    assert_eq!(
        solved(text, &request(&["a"])),
        ["a-1-1.x86_64", "glibc-2-1.x86_64", "mawk-1-1.x86_64", "postfix-3-1.x86_64"]
    );
    assert_eq!(solved(text, &request(&["/usr/bin/awk"])), ["mawk-1-1.x86_64"]);
}

#[test]
fn a_provider_that_was_asked_for_is_preferred() {
    let text = "a-1-1.noarch\n Requires: awk\n\n gawk-1-1.noarch\n Provides: awk\n\n mawk-1-1.noarch\n Provides: awk";
    assert_eq!(solved(text, &request(&["a"])), ["a-1-1.noarch", "gawk-1-1.noarch"]);
    assert_eq!(solved(text, &request(&["a", "mawk"])), ["a-1-1.noarch", "mawk-1-1.noarch"]);
}

#[test]
fn what_is_provided_without_a_version_meets_every_version() {
    let text = "a-1-1.noarch\n Requires: x >= 1\n\n b-1-1.noarch\n Provides: x\n\n \
                c-1-1.noarch\n Provides: x = 0.9\n\n d-1-1.noarch\n Conflicts: x < 3";
    assert_eq!(solved(text, &request(&["a"])), ["a-1-1.noarch", "b-1-1.noarch"]);
    assert!(refused(text, &request(&["b", "d"])).contains("cannot be had together"));
}

#[test]
fn conflicts_do_not_hit_the_package_itself() {
    let text = "postfix-3-1.noarch\n Provides: mta\n Conflicts: mta";
    assert_eq!(solved(text, &request(&["postfix"])), ["postfix-3-1.noarch"]);
}

#[test]
fn obsoletes_match_names_and_not_what_is_provided() {
    let text = "new-2-1.noarch
         Obsoletes: old < 2
         Obsoletes: mta

         old-1-1.noarch

         postfix-3-1.noarch
         Provides: mta";
    assert_eq!(solved(text, &request(&["new", "postfix"])), ["new-2-1.noarch", "postfix-3-1.noarch"]);
    assert!(refused(text, &request(&["new", "old"])).contains("new-2-1.noarch obsoletes old < 2"));
}

#[test]
fn a_requirement_met_by_the_package_itself_needs_nothing() {
    let text = "a-1-1.noarch\n Requires: a = 1-1\n Requires: x\n Provides: x";
    assert_eq!(solved(text, &request(&["a"])), ["a-1-1.noarch"]);
}

#[test]
fn rich_requirements() {
    let base = "b-1-1.noarch\n\n c-1-1.noarch\n\n d-1-1.noarch\n\n e-1-1.noarch\n Provides: x = 1\n\n \
                f-1-1.noarch\n Provides: x = 1\n Provides: y\n\n";
    for (rich, install, expected) in [
        ("(b and c)", &["a"][..], "a b c"),
        ("(b or c)", &["a"], "a b"),
        ("(gone or c)", &["a"], "a c"),
        ("(b if c)", &["a"], "a"),
        ("(b if c)", &["a", "c"], "a b c"),
        ("(b if c else d)", &["a"], "a d"),
        ("(b if c else d)", &["a", "c"], "a b c"),
        ("(b if gone else d)", &["a"], "a d"),
        ("(b if (c and d))", &["a", "c"], "a c"),
        ("(b if (c and d))", &["a", "c", "d"], "a b c d"),
        ("(b if (c or d))", &["a", "d"], "a b d"),
        ("(b unless c)", &["a"], "a b"),
        ("(x = 1 with y)", &["a"], "a f"),
        ("(x without y)", &["a"], "a e"),
        ("(b if a)", &["a"], "a b"),
        ("((b and c) or d)", &["a"], "a b c"),
        ("((gone and c) or d)", &["a"], "a d"),
    ] {
        let text = format!("{base}a-1-1.noarch\nRequires: {rich}\n");
        let names: Vec<_> = solved(&text, &request(install)).iter().map(|id| id[..1].to_owned()).collect();
        assert_eq!(names.join(" "), expected, "{rich} with {install:?}");
    }
}

#[test]
fn a_rich_conflict_forbids_the_combination_only() {
    let text = "a-1-1.noarch\n Conflicts: (b and c)\n\n b-1-1.noarch\n\n c-1-1.noarch";
    assert_eq!(solved(text, &request(&["a", "b"])).len(), 2);
    assert_snapshot!(refused(text, &request(&["a", "b", "c"])), @r"
    `a` and `c` cannot be had together:
      1. `a` is asked for
      2. `c` is asked for
      but a-1-1.noarch conflicts with (b and c), and all of that is needed
      try: leave out `a` or `c`, or add versions that go together
    ");
}

#[test]
fn packages_for_another_architecture_are_not_considered() {
    let text = "a-2-1.aarch64\n\n a-1-1.x86_64";
    let native = Request { architecture: "x86_64".to_owned(), ..request(&["a"]) };
    assert_eq!(solved(text, &native), ["a-1-1.x86_64"]);
}

#[test]
fn a_lock_fixes_the_version_and_does_not_install() {
    let text = "a-1-1.noarch\n\n a-2-1.noarch\n\n b-1-1.noarch";
    let nevra = package("a-1-1.noarch").nevra;
    let locked = |install: &[&str]| Request { locked: vec![nevra.clone()], ..request(install) };
    assert_eq!(solved(text, &locked(&["a"])), ["a-1-1.noarch"]);
    assert_eq!(solved(text, &locked(&["b"])), ["b-1-1.noarch"]);
    assert_snapshot!(refused(text, &locked(&["a >= 2"])), @r"
    `a >= 2` cannot be had:
        a-2-1.noarch cannot be chosen: `a` is locked to a-1-1.noarch
      try: allow that package, add another one that can take its place, or leave out `a >= 2`
    ");
}

#[test]
fn weak_dependencies_are_followed_where_possible() {
    let text = "a-1-1.noarch
         Recommends: b
         Recommends: gone
         Recommends: clash

         b-1-1.noarch
         Requires: c
         Recommends: d

         c-1-1.noarch
         Conflicts: clash

         d-1-1.noarch

         clash-1-1.noarch

         lang-1-1.noarch
         Supplements: (a and d)

         other-1-1.noarch
         Supplements: nowhere";
    assert_eq!(solved(text, &request(&["a"])), ["a-1-1.noarch"]);
    let all = universe(text);
    let solution = solve(&all, &with_weak(&["a"])).expect("solvable");
    assert_eq!(
        ids(&solution),
        ["a-1-1.noarch", "b-1-1.noarch", "c-1-1.noarch", "d-1-1.noarch", "lang-1-1.noarch"]
    );
    let skipped: Vec<_> =
        solution.skipped.iter().map(|s| format!("{} {}", s.package, s.dependency)).collect();
    assert_eq!(skipped, ["a-1-1.noarch gone", "a-1-1.noarch clash"]);
}

#[test]
fn a_weak_dependency_does_not_change_what_is_required() {
    let text = "a-1-1.noarch\n Requires: x\n Recommends: c\n\n b-1-1.noarch\n Provides: x\n Conflicts: c\n\n \
                c-1-1.noarch\n Provides: x";
    assert_eq!(solved(text, &with_weak(&["a"])), solved(text, &request(&["a"])));
}

#[test]
fn why_leads_back_to_the_request() {
    let text = "a-1-1.noarch\n Requires: libb\n\n b-1-1.noarch\n Provides: libb\n Requires: c >= 1\n\n \
                c-1-1.noarch\n Recommends: d\n\n d-1-1.noarch";
    let all = universe(text);
    let solution = solve(&all, &with_weak(&["a"])).expect("solvable");
    assert_snapshot!(solution.why("d").expect("is there").join("\n"), @r"
    a-1-1.noarch was asked for by `a`
    b-1-1.noarch is required by a-1-1.noarch (libb)
    c-1-1.noarch is required by b-1-1.noarch (c >= 1)
    d-1-1.noarch is recommended by c-1-1.noarch (d)
    ");
    assert_eq!(solution.why("nowhere"), None);
}

#[test]
fn unknown_format_features_exclude_a_package() {
    let text = "a-1-1.noarch\n Requires: rpmlib(PayloadIsZstd) <= 5.4.18-1\n\n \
                b-1-1.noarch\n Requires: rpmlib(TimeTravel) <= 1-1";
    assert_eq!(solved(text, &request(&["a"])), ["a-1-1.noarch"]);
    assert_snapshot!(refused(text, &request(&["b"])), @r"
    `b` cannot be had:
        b-1-1.noarch cannot be chosen: it needs the package format feature `rpmlib(TimeTravel) <= 1-1`, which is not implemented
      try: allow that package, add another one that can take its place, or leave out `b`
    ");
}

#[test]
fn a_missing_library_is_explained_with_its_trail() {
    let text = "core-1.0-1.x86_64
         Requires: x >= 1

         x-1.0-1.x86_64
         Requires: libfoo.so.1()(64bit)

         foo-2.0-1.x86_64
         Provides: libfoo.so.2()(64bit)

         foo-compat-1.0-1.x86_64
         Provides: libfoo.so.1";
    assert_snapshot!(refused(text, &request(&["core"])), @r"
    `core` cannot be had:
        core-1.0-1.x86_64 requires x >= 1
        x-1.0-1.x86_64 requires libfoo.so.1()(64bit)
        nothing provides libfoo.so.1()(64bit)
      similar: libfoo.so.2()(64bit), provided by foo-2.0-1.x86_64
      try: add a package that provides `libfoo.so.1()(64bit)`, or leave out `core`
    ");
}

#[test]
fn alternatives_that_fail_too_are_mentioned() {
    let text = "core-1-1.noarch
         Requires: x

         x-2-1.noarch
         Requires: y

         x-1-1.noarch
         Requires: z";
    assert_snapshot!(refused(text, &request(&["core"])), @r"
    `core` cannot be had:
        core-1-1.noarch requires x
        x-2-1.noarch requires y
        nothing provides y
        x-1-1.noarch would do instead, but requires z, which cannot be had
      try: add a package that provides `y`, or leave out `core`
    ");
}

#[test]
fn a_version_that_is_not_there_is_explained_with_those_that_are() {
    let text = "core-1-1.noarch\n Requires: openssl >= 4\n\n openssl-3.5.1-1.x86_64\n\n openssl-3.0-1.x86_64";
    assert_snapshot!(refused(text, &request(&["core"])), @r"
    `core` cannot be had:
        core-1-1.noarch requires openssl >= 4
        nothing provides openssl >= 4
      there is: openssl = 3.5.1-1, provided by openssl-3.5.1-1.x86_64
      there is: openssl = 3.0-1, provided by openssl-3.0-1.x86_64
      try: add a version that satisfies `openssl >= 4`, or leave out `core`
    ");
}

#[test]
fn a_misspelt_name_is_answered_with_similar_ones() {
    let text = "openssh-server-1-1.noarch\n\n openssh-clients-1-1.noarch\n\n bash-1-1.noarch";
    assert_snapshot!(refused(text, &request(&["opensh-server", "bash"])), @r"
    `opensh-server` cannot be had:
        nothing provides opensh-server
      similar: openssh-server
      try: check the spelling of `opensh-server`, or add a package that provides it
    ");
}

#[test]
fn a_conflict_is_explained_from_both_sides() {
    let text = "web-1-1.noarch
         Requires: nginx

         nginx-1-1.x86_64
         Conflicts: httpd-server

         shop-1-1.noarch
         Requires: shop-engine

         shop-engine-1-1.noarch
         Requires: apache

         apache-2-1.x86_64
         Provides: httpd-server";
    assert_snapshot!(refused(text, &request(&["web", "shop"])), @r"
    `shop` and `web` cannot be had together:
      1. `shop` is asked for
         shop-1-1.noarch requires shop-engine
         shop-engine-1-1.noarch requires apache
      2. `web` is asked for
         web-1-1.noarch requires nginx
      but nginx-1-1.x86_64 conflicts with httpd-server, and apache-2-1.x86_64 provides that
      try: leave out `shop` or `web`, or add versions that go together
    ");
}

#[test]
fn two_versions_of_one_package_are_explained() {
    let text = "a-1-1.noarch\n Requires: lib = 1\n\n b-1-1.noarch\n Requires: lib = 2\n\n lib-1-1.noarch\n\n lib-2-1.noarch";
    assert_snapshot!(refused(text, &request(&["a", "b"])), @r"
    `a` and `b` cannot be had together:
      1. `a` is asked for
         a-1-1.noarch requires lib = 1
      2. `b` is asked for
         b-1-1.noarch requires lib = 2
      but lib-1-1.noarch and lib-2-1.noarch are versions of one package; only one can be installed
      try: leave out `a` or `b`, or add versions that go together
    ");
}

#[test]
fn an_exclusion_is_explained_with_its_reason() {
    let text = "a-1-1.noarch\n Requires: b\n\n b-1-1.noarch";
    let exclude = vec![Exclusion { package: "b".to_owned(), reason: "it is not audited".to_owned() }];
    assert_snapshot!(refused(text, &Request { exclude, ..request(&["a"]) }), @r"
    `a` cannot be had:
        a-1-1.noarch requires b
        b-1-1.noarch cannot be chosen: it is excluded: it is not audited
      try: allow that package, add another one that can take its place, or leave out `a`
    ");
}

#[test]
fn texts_that_are_no_dependencies_are_refused() {
    for text in ["", "a b c", "(a or", "(a and b", "a >="] {
        assert!(matches!(solve(&[], &request(&[text])), Err(Error::BadText(_))), "{text:?} was accepted");
    }
}

/// A condition with an `else` stands in the formula twice, so this one would have 2^60 parts.
#[test]
fn conditions_in_conditions_are_refused_before_they_cost_anything() {
    let nested = (0..60).fold("b".to_owned(), |text, _| format!("(b if {text} else b)"));
    for kind in ["Requires", "Recommends", "Supplements", "Conflicts"] {
        let text = format!("a-1-1.noarch\n{kind}: {nested}\n\nb-1-1.noarch");
        let universe = universe(&text);
        let solution = solve(&universe, &with_weak(&["a"]));
        // Of a conflict that cannot be read it is only said that its package cannot be had.
        if let (Err(error), "Requires") = (&solution, kind) {
            assert!(error.to_string().contains("combines too many conditions"), "{error}");
        }
        assert_eq!(solution.is_err(), ["Requires", "Conflicts"].contains(&kind), "{kind}");
    }
    let error = refused("b-1-1.noarch", &request(&[&nested]));
    assert!(error.contains("combines too many conditions"), "{error}");
}

#[test]
fn a_condition_that_holds_without_its_consequence_is_explained() {
    let text = "f-2-1.noarch
         Requires: (d if g else b)

         g-1-1.noarch";
    assert_snapshot!(refused(text, &request(&["f", "g"])), @r"
    `f` and `g` cannot be had together:
      1. `f` is asked for
         f-2-1.noarch requires (d if g else b)
      2. `g` is asked for
      but f-2-1.noarch requires (d if g else b), which cannot be met as things are
        nothing provides d
        nothing provides b
      try: leave out `f` or `g`, or add versions that go together
    ");
    assert_snapshot!(refused(text, &request(&["g", "(x if g)"])), @r"
    `(x if g)` and `g` cannot be had together:
      1. `(x if g)` is asked for
      2. `g` is asked for
      but the request requires (x if g), which cannot be met as things are
        nothing provides x
      try: leave out `(x if g)` or `g`, or add versions that go together
    ");
}

pub(crate) mod laws;
