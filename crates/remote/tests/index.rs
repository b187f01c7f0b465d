//! The index answers as the records in memory do, and damage never makes it read what is not there.

use lazuli_fs as fs;
use lazuli_remote::Index;
use lazuli_repo::{File, FileKind, Href, Package};
use lazuli_rpm::{Dependency, Evr, Nevra};
use lazuli_solve::{List, PackageId, Packages, Universe};
use lazuli_store::Digest;
use proptest::prelude::*;

const LISTS: [List; 6] =
    [List::Provides, List::Requires, List::Conflicts, List::Obsoletes, List::Recommends, List::Supplements];

fn dependencies() -> impl Strategy<Value = Vec<Dependency>> {
    let one = "[a-e]|[a-e] >= [0-3]|\\([a-c] or [c-e]\\)|/bin/[a-c]";
    prop::collection::vec(one.prop_map(|text| Dependency::parse(&text).expect("a dependency")), 0..4)
}

prop_compose! {
    fn package()(
        name in "[a-e]", version in "[0-3]", epoch in prop::option::of(0_u32..3), text in ".{0,20}",
        lists in prop::collection::vec(dependencies(), 8), files in prop::collection::vec("/(bin|etc)/[a-c]", 0..4),
        numbers in any::<(u32, u32)>(),
    ) -> Package {
        let nevra = Nevra { name: name.clone(), evr: Evr::new(epoch, version.clone(), "1"), arch: "noarch".into() };
        let href = Href::new(&format!("p/{name}-{version}-{}.rpm", numbers.0)).expect("a location");
        let mut package = Package::new(nevra, Digest::of(format!("{name}{numbers:?}")), href);
        package.summary = text;
        package.package_size = u64::from(numbers.0);
        package.build_time = i64::from(numbers.1);
        package.file_time = -1;
        let mut lists = lists.into_iter();
        let mut next = || lists.next().unwrap_or_default();
        (package.provides, package.requires, package.conflicts) = (next(), next(), next());
        (package.obsoletes, package.recommends, package.suggests) = (next(), next(), next());
        (package.supplements, package.enhances) = (next(), next());
        package.files = files.into_iter().map(|path| File { path, kind: FileKind::Ghost }).collect();
        package.files.sort();
        package.files.dedup();
        package
    }
}

fn index(packages: &[Package], dir: &tempfile::TempDir) -> Index {
    let (path, source) = (dir.path().join("index"), Digest::of("source"));
    lazuli_remote::index::build(&path, &source, packages).expect("an index");
    Index::open(&path, &source).expect("a file").expect("an index")
}

/// Everything that a universe answers about a small world.
fn answers(universe: &dyn Universe) -> String {
    let mut out = String::new();
    for id in (0..universe.count()).map(PackageId) {
        out += &format!("{} {:?} {:?}\n", universe.nevra(id), universe.size(id), universe.tie_break(id));
        for list in LISTS {
            out += &format!("{:?}\n", universe.dependencies(id, list));
        }
    }
    for name in ["a", "b", "c", "d", "e", "/", "/bin/a", "/bin/b", "/etc/c", "zz", ""] {
        let mut providers = universe.providers(name);
        providers.sort();
        let lists = [
            universe.named(name),
            universe.owners(name),
            universe.obsoleters(name),
            universe.supplementers(name),
        ];
        out += &format!("{name}: {lists:?} {providers:?}\n");
    }
    let mut names = Vec::new();
    universe.each_name(&mut |name| {
        names.push(name.to_owned());
        true
    });
    universe.each_provided_name(&mut |name| {
        names.push(format!("provided {name}"));
        true
    });
    names.sort();
    out + &names.join(" ")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_answers_as_the_records_do(packages in prop::collection::vec(package(), 0..8)) {
        let dir = tempfile::tempdir().expect("a directory");
        let index = index(&packages, &dir);
        prop_assert_eq!(answers(&index), answers(&Packages::new(&packages)));
        for (id, package) in (0..).map(PackageId).zip(&packages) {
            prop_assert_eq!(index.package(id), Some(package.clone()));
        }
    }

    #[test]
    fn damage_gives_wrong_answers_at_worst(
        packages in prop::collection::vec(package(), 1..4),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let dir = tempfile::tempdir().expect("a directory");
        drop(index(&packages, &dir));
        let (path, source) = (dir.path().join("index"), Digest::of("source"));
        let mut bytes = fs::read(&path).expect("a file");
        for (place, value) in damage {
            // Behind the header, which notices damage by itself.
            let at = 256 + place.index(bytes.len() - 256);
            bytes[at] = value;
        }
        fs::write(&path, bytes).expect("a file");
        if let Some(index) = Index::open(&path, &source).expect("a file") {
            let _ = answers(&index);
            (0..index.count()).for_each(|id| drop(index.package(PackageId(id))));
        }
    }
}

#[test]
fn a_header_with_any_bit_flipped_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    drop(index(&[], &dir));
    let (path, source) = (dir.path().join("index"), Digest::of("source"));
    let good = fs::read(&path).expect("a file");
    for at in 0..256 {
        let mut bytes = good.clone();
        bytes[at] ^= 0x40;
        fs::write(&path, bytes).expect("a file");
        assert!(Index::open(&path, &source).expect("a file").is_none(), "byte {at}");
    }
    fs::write(&path, good).expect("a file");
    assert!(Index::open(&path, &Digest::of("other")).expect("a file").is_none());
}
