use super::*;
use lazuli_rpm::{Builder, Dependency, Evr, FileEntry, FileFlags, Nevra, PackageFile};
use lazuli_store::Store;
use lazuli_tree::{Node, TreePath};
use rusqlite::Connection;

fn package(store: &Store, name: &str) -> InstalledPackage {
    let content = store.put(name.as_bytes()).unwrap();
    let builder = Builder {
        nevra: Nevra { name: name.into(), evr: Evr::new(Some(1), "1.0", "1"), arch: "x86_64".into() },
        summary: name.into(),
        license: "MIT".into(),
        build_time: 1_700_000_000,
        build_host: "lazuli".into(),
        requires: vec![Dependency::parse("(a if b)").unwrap(), Dependency::any("/bin/sh")],
        files: vec![
            FileEntry {
                path: TreePath::new(&format!("usr/bin/{name}")).unwrap(),
                node: Node::file(content, name.len() as u64).with_mode(0o755),
                flags: FileFlags::NONE,
                capabilities: None,
            },
            FileEntry {
                path: TreePath::new(&format!("usr/share/doc/{name}")).unwrap(),
                node: Node::directory(),
                flags: FileFlags::DOC,
                capabilities: None,
            },
        ],
        ..Builder::default()
    };
    let mut bytes = Vec::new();
    builder.write(store, None, &mut bytes).unwrap();
    let file = PackageFile::parse(&bytes).unwrap();
    InstalledPackage { header: file.header.clone(), signature: file.signature, states: Vec::new() }
}

fn query(path: &Path, sql: &str) -> Vec<(String, i64, i64)> {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

#[test]
fn the_same_packages_in_any_order_give_the_same_bytes_and_no_journal() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    let mut packages = vec![package(&store, "b"), package(&store, "a")];
    let (one, two) = (dir.path().join("1"), dir.path().join("2"));
    write(&one, &packages, 1_700_000_000).unwrap();
    packages.reverse();
    write(&two, &packages, 1_700_000_000).unwrap();
    assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap());
    assert_eq!(fs::read_dir(dir.path()).unwrap().len(), 3);
    assert!(write(&one, &packages, 0).is_err(), "an existing database must not be overwritten");
}

#[test]
fn rows_say_what_rpm_looks_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    let path = dir.path().join("db");
    write(&path, &[package(&store, "b"), package(&store, "a")], 7).unwrap();
    let names = query(&path, "SELECT key, hnum, idx FROM Name ORDER BY hnum");
    assert_eq!(names, [("a".into(), 1, 0), ("b".into(), 2, 0)]);
    let requires: Vec<String> = query(&path, "SELECT key, hnum, idx FROM Requirename WHERE hnum = 1")
        .into_iter()
        .map(|r| r.0)
        .collect();
    assert_eq!(requires, ["(a if b)", "!b", "a", "/bin/sh"]);
    let connection = Connection::open(&path).unwrap();
    let blob: Vec<u8> =
        connection.query_row("SELECT blob FROM Packages WHERE hnum = 1", [], |r| r.get(0)).unwrap();
    let mut with_magic = lazuli_rpm::header::MAGIC.to_vec();
    with_magic.extend(blob);
    let header = Header::parse(&with_magic).unwrap();
    assert_eq!(header.number(lazuli_rpm::tag::INSTALLTIME), Some(7));
    assert_eq!(header.numbers(lazuli_rpm::tag::FILESTATES), [0, 0]);
    assert!(header.has(lazuli_rpm::tag::SHA256HEADER));
}

#[test]
fn damaged_rows_are_no_panic() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    let marks = record::Marks { install_time: 1, transaction: 1, color: 3 };
    let whole = record::record(&package(&store, "a"), marks).unwrap().blob().to_vec();
    // Every byte of the intro and the index, one after the other, and then the rest at some distance.
    let index = 8 + 16 * u32::from_be_bytes(whole[..4].try_into().unwrap()) as usize;
    let mut read = 0;
    for at in (0..index).chain((index..whole.len()).step_by(17)) {
        for value in [0, 1, 0x7f, 0xff, whole[at] ^ 1] {
            let mut blob = whole.clone();
            blob[at] = value;
            let _ = query::listed(1, &blob);
            let _ = apply::set_states(&mut blob.clone(), &[FileState::Replaced; 2]);
            if let Ok(installed) = query::installed(1, &blob) {
                read += 1;
                for table in &schema::TABLES {
                    index::rows(table, &installed.header);
                }
                let _ = installed.package_header();
            }
        }
    }
    assert!(read > 100);
}
