//! What users of a repository may rely on.

use super::*;
use lazuli_rpm::{Dependency, Evr, KeyRing, Nevra, Signer};
use lazuli_store::Digest;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

const REVISION: i64 = 1_750_000_000;

fn keys() -> (Signer, KeyRing) {
    let new = Signer::generate("Test <test@example.org>", 1_700_000_000).expect("a key");
    (Signer::from_armored(&new.secret).expect("secret"), KeyRing::from_armored(&new.public).expect("public"))
}

fn options() -> Options {
    Options {
        revision: REVISION,
        content_tags: vec!["binary-x86_64".to_owned()],
        distro_tags: vec![(Some("cpe:/o:example:example:1".to_owned()), "Example".to_owned())],
        ..Options::default()
    }
}

fn named(name: &str) -> Package {
    let evr = Evr { epoch: None, version: "1.0".to_owned(), release: "1".to_owned() };
    let nevra = Nevra { name: name.to_owned(), evr, arch: "x86_64".to_owned() };
    let location = Href::new(&format!("packages/{}", nevra.file_name())).expect("a location");
    let mut package = Package::new(nevra, Digest::of(name), location);
    package.summary = format!("The {name} package");
    package.provides = vec![Dependency::parse(&format!("{name} = 1.0-1")).expect("parses")];
    package.files = vec![
        File { path: format!("/usr/bin/{name}"), kind: FileKind::File },
        File { path: format!("/usr/share/{name}"), kind: FileKind::Directory },
    ];
    package.changelog =
        vec![Change { author: "A <a@example.org> - 1.0-1".to_owned(), date: 5, text: "- x".to_owned() }];
    package
}

/// All files of a directory tree by relative path.
fn content(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for path in lazuli_fs::read_dir(dir).expect("lists") {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if path.is_dir() {
            all.extend(content(&path).into_iter().map(|(rest, bytes)| (format!("{name}/{rest}"), bytes)));
        } else {
            all.insert(name, lazuli_fs::read(&path).expect("reads"));
        }
    }
    all
}

#[test]
fn what_is_written_is_read_and_primary_alone_lists_usual_paths() {
    let (signer, ring) = keys();
    let dir = tempfile::tempdir().expect("tempdir");
    let packages = [named("b"), named("a")];
    let repomd = write_repository(dir.path(), &packages, &options(), &signer).expect("writes");
    let all = read_directory(dir.path(), &ring, Detail::Everything).expect("reads");
    assert_eq!(all.repomd, repomd);
    assert_eq!(all.packages, [packages[1].clone(), packages[0].clone()]);
    let primary = read_directory(dir.path(), &ring, Detail::Primary).expect("reads");
    assert_eq!(primary.packages[0].files, [File { path: "/usr/bin/a".to_owned(), kind: FileKind::File }]);
    assert!(primary.packages[0].changelog.is_empty());
}

#[test]
fn the_bytes_do_not_depend_on_order_place_or_what_was_there() {
    let (signer, _) = keys();
    let dirs = [(); 2].map(|()| tempfile::tempdir().expect("tempdir"));
    write_repository(dirs[0].path(), &[named("a"), named("b"), named("c")], &options(), &signer)
        .expect("writes");
    write_repository(dirs[1].path(), &[named("old")], &options(), &signer).expect("writes");
    write_repository(dirs[1].path(), &[named("c"), named("a"), named("b")], &options(), &signer)
        .expect("writes");
    assert_eq!(content(dirs[0].path()), content(dirs[1].path()));
}

#[test]
fn names_carry_checksums_and_nothing_else_is_left_behind() {
    let (signer, _) = keys();
    let dir = tempfile::tempdir().expect("tempdir");
    for _ in 0..2 {
        write_repository(dir.path(), &[named("a")], &options(), &signer).expect("writes");
    }
    let files = content(dir.path());
    assert_eq!(files.len(), 6, "{:?}", files.keys());
    for (name, bytes) in &files {
        let name = name.strip_prefix("repodata/").expect("only repodata is there");
        if let Some((digest, kind)) = name.split_once('-') {
            assert_eq!(digest, Digest::of(bytes).to_string(), "{kind}");
        }
    }
    assert_eq!(lazuli_fs::read_dir(dir.path()).expect("lists").len(), 1);
}

#[test]
fn without_an_exchange_the_result_is_the_same() {
    let (signer, ring) = keys();
    let dir = tempfile::tempdir().expect("tempdir");
    let live = dir.path().join("repodata");
    write_repository(dir.path(), &[named("a")], &options(), &signer).expect("writes");
    let wanted: Vec<_> = content(&live).into_iter().collect();
    write_repository(dir.path(), &[named("old")], &options(), &signer).expect("writes");
    write::replace_in_place(&live, &wanted).expect("replaces");
    assert_eq!(content(&live).into_iter().collect::<Vec<_>>(), wanted);
    read_directory(dir.path(), &ring, Detail::Everything).expect("reads");
}

/// Writes a repository of two packages, lets `damage` change its files, and reads it.
fn damaged(damage: impl Fn(&mut BTreeMap<String, Vec<u8>>)) -> Result<Repository> {
    let (signer, ring) = keys();
    let dir = tempfile::tempdir().expect("tempdir");
    write_repository(dir.path(), &[named("a"), named("b")], &options(), &signer).expect("writes");
    let mut files = content(dir.path());
    damage(&mut files);
    let get = |href: &str, _| files.get(href).cloned().ok_or_else(|| GetError::from("not there"));
    read_repository(get, &ring, Detail::Everything)
}

fn part<'f>(files: &'f mut BTreeMap<String, Vec<u8>>, kind: &str) -> &'f mut Vec<u8> {
    files.iter_mut().find(|(name, _)| name.contains(kind)).expect("the part").1
}

#[test]
fn every_flipped_byte_of_any_file_is_noticed() {
    damaged(|_| ()).expect("intact");
    for kind in ["repomd.xml", "repomd.xml.asc", "primary", "filelists", "other"] {
        for place in [0, 40, 100] {
            let outcome = damaged(|files| {
                let bytes = match kind {
                    "repomd.xml" => files.get_mut(repomd::PATH).expect("there"),
                    kind => part(files, kind),
                };
                bytes[place] ^= 1;
            });
            assert!(outcome.is_err(), "{kind}, byte {place}");
        }
    }
}

#[test]
fn errors_say_what_is_wrong_with_which_file() {
    let cut = damaged(|files| part(files, "primary").truncate(50)).expect_err("cut").to_string();
    assert!(cut.contains("-primary.xml.zst has 50 bytes, but repomd.xml promises"), "{cut}");
    let flipped = damaged(|files| part(files, "other")[60] ^= 1).expect_err("flipped").to_string();
    assert!(flipped.contains("-other.xml.zst has sha256") && flipped.contains("another mirror"), "{flipped}");
    let gone =
        damaged(|files| files.retain(|name, _| !name.contains("filelists"))).expect_err("gone").to_string();
    assert!(gone.contains("-filelists.xml.zst: not there"), "{gone}");
    let unsigned = damaged(|files| {
        files.insert(repomd::SIGNATURE_PATH.to_owned(), b"nothing".to_vec());
    });
    assert!(matches!(unsigned, Err(Error::Signature { .. })));
    assert!(
        damaged(|files| files.retain(|name, _| name != repomd::SIGNATURE_PATH)).is_err(),
        "no signature, no repository"
    );
}

#[test]
fn a_signature_by_another_key_is_refused() {
    let (signer, _) = keys();
    let (_, other) = keys();
    let dir = tempfile::tempdir().expect("tempdir");
    write_repository(dir.path(), &[named("a")], &options(), &signer).expect("writes");
    let error = read_directory(dir.path(), &other, Detail::Primary).expect_err("refused");
    assert!(matches!(error, Error::Signature { .. }), "{error}");
}

/// Signs a `repomd.xml` made by `change` from a valid one, so that only later checks can notice.
fn resigned(change: impl Fn(&mut Repomd, &mut BTreeMap<String, Vec<u8>>)) -> Result<Repository> {
    let (signer, ring) = keys();
    let dir = tempfile::tempdir().expect("tempdir");
    let mut repomd = write_repository(dir.path(), &[named("a")], &options(), &signer).expect("writes");
    let mut files = content(dir.path());
    change(&mut repomd, &mut files);
    let bytes = repomd.to_xml().expect("writes");
    let signature = signature::sign(&bytes, &signer, REVISION).expect("signs");
    files.insert(repomd::PATH.to_owned(), bytes);
    files.insert(repomd::SIGNATURE_PATH.to_owned(), signature);
    let get = |href: &str, _| files.get(href).cloned().ok_or_else(|| GetError::from("not there"));
    read_repository(get, &ring, Detail::Files)
}

#[test]
fn promises_of_a_signed_list_are_held_against_it() {
    resigned(|_, _| ()).expect("intact");
    let primary =
        |repomd: &mut Repomd, change: fn(&mut Part)| change(repomd.parts.get_mut("primary").expect("there"));
    let bomb = resigned(|repomd, _| primary(repomd, |part| part.open_size = part.open_size.map(|n| n - 1)));
    assert!(matches!(bomb, Err(Error::TooLarge { .. })));
    let short = resigned(|repomd, _| primary(repomd, |part| part.open_size = part.open_size.map(|n| n + 1)));
    assert!(matches!(short, Err(Error::Size { .. })));
    let huge = resigned(|repomd, _| primary(repomd, |part| part.size = u64::MAX));
    assert!(matches!(huge, Err(Error::Limit { .. })));
    let vast = resigned(|repomd, _| primary(repomd, |part| part.open_size = Some(u64::MAX)));
    assert!(matches!(vast, Err(Error::Limit { .. })));
    let other = resigned(|repomd, _| primary(repomd, |part| part.open_checksum = Some(Digest::of("x"))));
    assert!(matches!(other, Err(Error::Checksum { open: true, .. })));
    let none = resigned(|repomd, _| repomd.parts.clear());
    assert!(matches!(none, Err(Error::MissingPart { part: "primary" })));
}

#[test]
fn parts_of_different_publications_do_not_mix() {
    let (signer, _) = keys();
    let dir = tempfile::tempdir().expect("tempdir");
    let later =
        write_repository(dir.path(), &[named("a"), named("new")], &options(), &signer).expect("writes");
    let theirs = content(dir.path());
    let mixed = resigned(|repomd, files| {
        repomd.parts.insert("filelists".to_owned(), later.parts["filelists"].clone());
        files.extend(theirs.clone());
    });
    assert!(matches!(mixed, Err(Error::Mismatch { file: "filelists.xml", .. })));
}

#[test]
fn two_packages_at_one_location_are_refused() {
    let (signer, _) = keys();
    let dir = tempfile::tempdir().expect("tempdir");
    let mut twin = named("b");
    twin.location = named("a").location;
    let error = write_repository(dir.path(), &[named("a"), twin], &options(), &signer).expect_err("refused");
    assert!(error.to_string().contains("a-1.0-1.x86_64 and b-1.0-1.x86_64"), "{error}");
    assert!(lazuli_fs::read_dir(dir.path()).expect("lists").is_empty(), "nothing half-written");
}

fn text() -> impl Strategy<Value = String> {
    // What XML can carry; a carriage return it cannot.
    "[ -~äöß€\n]{0,40}"
}

fn dependencies() -> impl Strategy<Value = Vec<Dependency>> {
    let one = prop_oneof![
        "[a-z][a-z0-9.+-]{0,8}",
        "[a-z]{1,3} (<|<=|=|>=|>) ([1-9]:)?[0-9.]{1,3}(-[a-z0-9]{1,3})?",
        "lib[a-z]\\.so\\.[0-9]\\(\\)\\(64bit\\)",
        Just("(a or b)".to_owned()),
    ]
    .prop_filter_map("parses", |text| Dependency::parse(&text).ok());
    proptest::collection::vec(one, 0..4).prop_map(|mut list| {
        list.sort();
        list.dedup();
        list
    })
}

prop_compose! {
    fn some_package()(
        name in "[a-z][a-z0-9+]{0,6}",
        epoch in proptest::option::of(1_u32..9),
        (version, release) in ("[0-9a-z.~^]{1,5}", "[0-9a-z.]{1,4}"),
        texts in proptest::collection::vec(text(), 9),
        times in any::<[u32; 2]>(),
        sizes in any::<[u64; 3]>(),
        lists in proptest::collection::vec(dependencies(), 8),
        paths in proptest::collection::btree_map("/(etc|usr/bin|usr/share)/[a-z&<]{1,6}", 0..3_u8, 0..5),
        changes in proptest::collection::vec(("[ -~]{1,20}", any::<u32>(), text()), 0..10),
    ) -> Package {
        let nevra = Nevra { name, evr: Evr { epoch, version, release }, arch: "noarch".to_owned() };
        let location = Href::new(&nevra.file_name()).expect("a location");
        let [a, b, c, d, e, f, g, h, i]: [String; 9] = texts.try_into().expect("nine");
        let [l1, l2, l3, l4, l5, l6, l7, l8]: [Vec<Dependency>; 8] = lists.try_into().expect("eight");
        Package {
            summary: a, description: b, packager: c, url: d, license: e, vendor: f, group: g, build_host: h,
            source_rpm: i, build_time: times[0].into(), file_time: times[1].into(),
            package_size: sizes[0], installed_size: sizes[1], archive_size: sizes[2],
            header_range: sizes[0]..sizes[1],
            provides: l1, requires: l2, conflicts: l3, obsoletes: l4,
            recommends: l5, suggests: l6, supplements: l7, enhances: l8,
            files: paths.into_iter().map(|(path, kind)| File {
                path,
                kind: [FileKind::Directory, FileKind::Ghost, FileKind::File][usize::from(kind)],
            }).collect(),
            changelog: changes.into_iter().map(|(author, date, text)| Change { author, date: date.into(), text }).collect(),
            ..Package::new(nevra.clone(), Digest::of(nevra.to_string()), location)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_record_survives_writing_and_reading(package in some_package()) {
        let primary = primary::document(&[primary::write(&package).expect("writes")]).expect("writes");
        let mut read = primary::read(&primary).expect("reads");
        for list in [lists::List::Files, lists::List::Other] {
            let document = list.document(&[list.write(&package).expect("writes")]).expect("writes");
            list.read(&document, &mut read).expect("reads");
        }
        prop_assert_eq!(&read, &[package]);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = primary::read(&bytes);
        let _ = Repomd::parse(&bytes);
        let _ = lists::List::Files.read(&bytes, &mut []);
        let _ = Package::from_rpm(&bytes, Href::new("a.rpm").expect("a location"));
    }

    #[test]
    fn a_damaged_document_is_an_error_or_a_repository(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut primary = primary::document(&[primary::write(&named("a")).expect("writes")]).expect("writes");
        let place = place.index(primary.len());
        primary[place] = byte;
        let _ = primary::read(&primary);
    }
}
