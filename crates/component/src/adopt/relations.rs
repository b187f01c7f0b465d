//! Relations between packages: Debian's in RPM's words.
//!
//! | Debian | RPM |
//! |---|---|
//! | `Depends: a (>= 1-2), b \| c` | `Requires: a >= 1-2`, `Requires: (b or c)` |
//! | `Pre-Depends` | `Requires`, without the flags of scriptlets: there are none, and RPM forgets requirements that only scriptlets have once the package is installed |
//! | `Recommends`, `Suggests`, `Enhances` | the same, rich where there are alternatives |
//! | `Provides: v (= 1)` | `Provides: v = 1-0` |
//! | `Provides: v` | `Provides: v = VERSION OF THE PACKAGE`, see below |
//! | `Conflicts`, `Breaks` | `Conflicts` |
//! | `Replaces` together with `Conflicts` or `Breaks`, and a *versioned* `Provides` of the same name | also `Obsoletes: NAME < VERSION`: the package was renamed |
//! | `Replaces` otherwise | nothing: RPM has no rule for taking files over, and `Conflicts` says which versions do not go together |
//!
//! Policy 7.6.2 lets a package push out another one with `Conflicts` and `Replaces` alone. That is not
//! turned into `Obsoletes`, because RPM's tools follow an obsoletion at every *upgrade*: a host with
//! `resolvconf` would get `systemd-resolved` in its place unasked.
//!
//! Debian writes `<< 2.1-.` for "2.1 in whatever revision, or older", because a dot sorts behind every digit.
//! RPM says so by leaving the release out: `<= 2.1`.
//!
//! A version without a revision is compared as with revision 0 in Debian, while RPM ignores the
//! release if one side has none; so `-0` is written out. A package may conflict with a name that it
//! provides itself (only one mail server at a time); RPM has the same rule, so it is kept.
//!
//! Something provided without a version meets no relation with one in Debian, and every one in RPM, conflicts among
//! them: `perl-base`, which conflicts with `perl-modules < 5.40`, could not be installed beside
//! `perl-modules-5.40`, which provides `perl-modules`. RPM cannot say what Debian means, so the version of the package
//! itself is written down: what succeeds a package under another name usually counts on. Where that is not so, an
//! overlay drops the conflict (`drop-conflicts`).
//!
//! Qualifiers such as `:any` are dropped; architecture restrictions and build profiles are evaluated for
//! this architecture and a normal build.
//!
//! Debian leaves out dependencies on packages marked `Essential` (`bash`, `coreutils`, `sed` ...). What
//! programs need of them shows up as sonames and interpreters; a shell script that calls `sed` says
//! nothing, so images must name the usual commands themselves.

use super::names;
use lazuli_debian::relation::{Alternative, Op, Relation};
use lazuli_debian::version::Version;
use lazuli_rpm::{Dependency, DependencyFlags, Evr};

/// One alternative as a dependency; `None` if it is not for this architecture.
fn one(alternative: &Alternative, architecture: &str) -> Option<Dependency> {
    if let Some(qualifier) = &alternative.arch_qualifier
        && !["any", "native", "all", architecture].contains(&qualifier.as_str())
    {
        return None;
    }
    if !applies(alternative, architecture) {
        return None;
    }
    Some(match &alternative.version {
        None => Dependency::any(&alternative.name),
        Some((op, version)) => {
            let flags = match op {
                Op::Earlier => DependencyFlags::LESS,
                Op::EarlierOrEqual => DependencyFlags::LESS | DependencyFlags::EQUAL,
                Op::Equal => DependencyFlags::EQUAL,
                Op::LaterOrEqual => DependencyFlags::GREATER | DependencyFlags::EQUAL,
                Op::Later => DependencyFlags::GREATER,
            };
            if version.revision() == Some(".") && *op != Op::Equal {
                return Some(any_revision(&alternative.name, flags, version));
            }
            Dependency::versioned(&alternative.name, flags, names::evr(version).to_string())
        }
    })
}

/// A bound behind all revisions of a version.
fn any_revision(name: &str, flags: DependencyFlags, version: &Version) -> Dependency {
    let evr = names::evr(version);
    let text = match evr.epoch {
        Some(epoch) => format!("{epoch}:{}", evr.version),
        None => evr.version,
    };
    let flags = if flags.contains(DependencyFlags::LESS) {
        DependencyFlags::LESS | DependencyFlags::EQUAL
    } else {
        DependencyFlags::GREATER
    };
    Dependency::versioned(name, flags, text)
}

/// Whether restrictions like `[amd64]` and `<!nocheck>` let the alternative count.
fn applies(alternative: &Alternative, architecture: &str) -> bool {
    let list = &alternative.architectures;
    let here = match list.first() {
        None => true,
        Some(first) if first.starts_with('!') => !list.iter().any(|a| a[1..] == *architecture),
        Some(_) => list.iter().any(|a| a == architecture || a == "any" || a == "linux-any"),
    };
    // No profile is active: a restriction holds if all of its terms are negated.
    let profiles = &alternative.profiles;
    here && (profiles.is_empty() || profiles.iter().any(|p| p.iter().all(|term| term.starts_with('!'))))
}

/// The relation as one dependency, rich if it has alternatives; `None` if none of them is for this
/// architecture.
pub fn dependency(relation: &Relation, architecture: &str) -> Option<Dependency> {
    let mut all: Vec<Dependency> = Vec::new();
    for dependency in relation.alternatives.iter().filter_map(|a| one(a, architecture)) {
        if !all.contains(&dependency) {
            all.push(dependency);
        }
    }
    match all.len() {
        0 => None,
        1 => all.pop(),
        _ => {
            let text: Vec<String> = all.iter().map(ToString::to_string).collect();
            Some(Dependency::any(format!("({})", text.join(" or "))))
        }
    }
}

/// Each alternative as a dependency of its own, for fields that have no alternatives.
pub fn dependencies<'a>(
    relations: &'a [Relation],
    architecture: &'a str,
) -> impl Iterator<Item = Dependency> + 'a {
    relations.iter().flat_map(|r| &r.alternatives).filter_map(move |a| one(a, architecture))
}

/// What is provided, by a package of version `evr`.
pub fn provides(relations: &[Relation], architecture: &str, evr: &Evr) -> Vec<Dependency> {
    let version = |provided: Dependency| {
        if provided.evr.is_empty() {
            Dependency::versioned(&provided.name, DependencyFlags::EQUAL, evr.to_string())
        } else {
            provided
        }
    };
    dependencies(relations, architecture).map(version).collect()
}

/// The names of packages that this one is the renamed form of, as `Obsoletes`.
pub fn obsoletes(
    package: &str,
    provides: &[Relation],
    replaces: &[Relation],
    conflicts: &[Relation],
    breaks: &[Relation],
) -> Vec<Dependency> {
    let names = |relations: &[Relation], name: &str| {
        relations.iter().flat_map(|r| &r.alternatives).any(|a| a.name == name)
    };
    provides
        .iter()
        .flat_map(|r| &r.alternatives)
        .filter(|p| p.name != package && names(replaces, &p.name))
        .filter(|p| names(conflicts, &p.name) || names(breaks, &p.name))
        .filter_map(|p| {
            let (_, version) = p.version.as_ref()?;
            let evr = names::evr(version).to_string();
            Some(Dependency::versioned(&p.name, DependencyFlags::LESS, evr))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lazuli_debian::relation::parse;
    use proptest::prelude::*;

    fn shown(text: &str) -> Vec<String> {
        parse(text).unwrap().iter().filter_map(|r| dependency(r, "amd64")).map(|d| d.to_string()).collect()
    }

    #[test]
    fn each_form_has_its_counterpart() {
        for (debian, rpm) in [
            ("a", "a"),
            ("a (>= 1:2.3-4)", "a >= 1:2.3-4"),
            ("a (<< 2)", "a < 2-0"),
            ("a (>> 2~)", "a > 2~-0"),
            ("a (= 1.2-3+b1)", "a = 1.2-3+b1"),
            ("a:any (<= 2-1)", "a <= 2-1"),
            ("a (<< 1:2.47-.)", "a <= 1:2.47"),
            ("a (>= 2.47-.)", "a > 2.47"),
            ("a | b (>= 2) | a", "(a or b >= 2-0)"),
            ("libc6:i386 | a", "a"),
            ("a [!amd64] | b [amd64 arm64]", "b"),
            ("a <!nocheck> | b <cross>", "a"),
        ] {
            assert_eq!(shown(debian), [rpm], "{debian}");
        }
        assert!(shown("a [arm64], libc6:i386").is_empty());
    }

    #[test]
    fn what_is_provided_without_a_version_has_that_of_the_package() {
        let relations = parse("perl-modules, awk (= 2), foreign [arm64]").unwrap();
        let evr = names::evr(&"5.40.1-6".parse().unwrap());
        let texts: Vec<String> =
            provides(&relations, "amd64", &evr).iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["perl-modules = 5.40.1-6", "awk = 2-0"]);
    }

    #[test]
    fn only_a_rename_obsoletes() {
        let p = |t: &str| parse(t).unwrap();
        let renamed = obsoletes(
            "libfoo1t64",
            &p("libfoo1 (= 1.4-2), foo-api"),
            &p("libfoo1"),
            &p(""),
            &p("libfoo1 (<< 1.4-2)"),
        );
        assert_eq!(renamed, [Dependency::parse("libfoo1 < 1.4-2").unwrap()]);
        let exclusive = obsoletes("resolver", &p("resolvconf"), &p("resolvconf"), &p("resolvconf"), &p(""));
        assert!(exclusive.is_empty());
    }

    /// RPM's rule for `Requires: OP wanted` against `Provides: = have`.
    fn rpm_holds(dependency: &Dependency, have: &Evr) -> bool {
        let mut wanted: Evr = dependency.evr.parse().unwrap();
        if wanted.release.is_empty() {
            // RPM leaves out of a comparison what one side has not.
            wanted.release.clone_from(&have.release);
        }
        let flags = dependency.flags;
        match have.cmp(&wanted) {
            std::cmp::Ordering::Less => flags.contains(DependencyFlags::LESS),
            std::cmp::Ordering::Equal => flags.contains(DependencyFlags::EQUAL),
            std::cmp::Ordering::Greater => flags.contains(DependencyFlags::GREATER),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]
        #[test]
        fn a_version_is_accepted_by_both_or_by_neither(
            op in "<<|<=|=|>=|>>",
            wanted in "[0-2](\\.[0-2])?(~rc1)?(-[0-2](\\+b1)?|-\\.)?",
            have in "[0-2](\\.[0-2])?(~rc1)?(-[0-2](\\+b1)?)?",
        ) {
            prop_assume!(op != "=" || !wanted.ends_with("-."));
            let relation = parse(&format!("a ({op} {wanted})")).unwrap();
            let have: lazuli_debian::version::Version = have.parse().unwrap();
            let mapped = dependency(&relation[0], "amd64").unwrap();
            prop_assert_eq!(relation[0].alternatives[0].accepts(&have), rpm_holds(&mapped, &names::evr(&have)));
        }
    }
}
