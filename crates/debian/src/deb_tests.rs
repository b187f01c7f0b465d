use super::*;
use crate::ar::tests::write as ar;
use lazuli_tree::{Kind, TreePath};
use std::io::{Cursor, Write as _};

const CONTROL: &str = "Package: a\nVersion: 1\nArchitecture: amd64\n";

fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(if path.ends_with('/') { 0o755 } else { 0o644 });
        header.set_mtime(7);
        header.set_uid(0);
        header.set_gid(8);
        header.set_username("root").unwrap();
        header.set_groupname("mail").unwrap();
        if path.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
        }
        header.set_size(content.len() as u64);
        // Names that the writer would refuse are put in as they are.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        builder.append(&header, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn pack(extension: &str, bytes: &[u8]) -> Vec<u8> {
    match extension {
        "gz" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        "xz" => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        "zst" => zstd::encode_all(bytes, 1).unwrap(),
        _ => bytes.to_vec(),
    }
}

/// A package with these archives, packed in this way.
fn deb(extension: &str, control: &[(&str, &str)], data: &[(&str, &str)]) -> Vec<u8> {
    let name =
        |stem: &str| if extension.is_empty() { stem.to_owned() } else { format!("{stem}.{extension}") };
    let (control, data) = (pack(extension, &tar(control)), pack(extension, &tar(data)));
    ar(&[
        ("debian-binary", 100, b"2.0\n"),
        ("_gpgorigin", 900, b"not for us"),
        (&name("control.tar"), 300, &control),
        (&name("data.tar"), 200, &data),
        ("after", 50, b""),
    ])
}

fn read_with(bytes: &[u8], limits: &Limits) -> Result<(Deb, Store, tempfile::TempDir), Error> {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    Ok((Deb::read(Cursor::new(bytes), &store, limits)?, store, dir))
}

fn error(bytes: &[u8]) -> String {
    read_with(bytes, &Limits::default()).expect_err("must fail").to_string()
}

#[test]
fn every_packing_gives_the_same_package() {
    for extension in ["", "gz", "xz", "zst"] {
        let bytes = deb(
            extension,
            &[
                ("./", ""),
                ("./control", CONTROL),
                ("./postinst", "#!/bin/sh\n"),
                ("./conffiles", "/etc/a\nremove-on-upgrade /etc/b\n\n"),
                ("./triggers", "activate-noawait ldconfig\n"),
                ("./md5sums", "0  usr/a\n"),
                ("./shlibs", "liba 1 a\n"),
            ],
            &[("./", ""), ("./etc/", ""), ("./etc/a", "content")],
        );
        let (deb, store, _dir) = read_with(&bytes, &Limits::default()).unwrap();
        assert_eq!(deb.control.get("Package"), Some("a"), "{extension}");
        assert_eq!(deb.scripts.keys().collect::<Vec<_>>(), ["postinst"]);
        assert_eq!((deb.conffiles, deb.removed_conffiles), (vec!["/etc/a".into()], vec!["/etc/b".into()]));
        assert_eq!(
            (deb.triggers.as_str(), deb.md5sums.as_str()),
            ("activate-noawait ldconfig\n", "0  usr/a\n")
        );
        assert_eq!(deb.other.keys().collect::<Vec<_>>(), ["shlibs"]);
        assert_eq!(deb.timestamp, 900);
        let path = TreePath::new("/etc/a").unwrap();
        let node = deb.data.get(&path).unwrap();
        assert!(matches!(node.kind, Kind::File { size: 7, .. }));
        assert_eq!((node.mode, node.group.as_str(), node.mtime), (0o644, "mail", 7));
        assert_eq!(deb.data.read(&store, &path).unwrap().unwrap(), b"content");
        let only = Deb::read_control(Cursor::new(&bytes), &Limits::default()).unwrap();
        assert!(only.data.is_empty() && only.control == deb.control);
    }
}

#[test]
fn a_truncated_package_is_refused_at_every_length() {
    for extension in ["", "gz", "xz", "zst"] {
        let bytes = deb(extension, &[("./control", CONTROL)], &[("./a", "content")]);
        let end = bytes.len() - 60;
        for length in (0..end).step_by(end / 50) {
            let cut = &bytes[..length];
            assert!(read_with(cut, &Limits::default()).is_err(), "{extension}, {length} of {end} bytes");
        }
    }
}

#[test]
fn a_flipped_byte_in_packed_files_is_noticed() {
    // gzip, xz and zstd (as dpkg writes it) have checksums; the digest of the index covers the rest.
    let bytes = deb("xz", &[("./control", CONTROL)], &[("./a", "content")]);
    let start = bytes.len() - 60 - 40;
    let mut damaged = bytes.clone();
    damaged[start] ^= 1;
    assert!(error(&damaged).starts_with("data.tar.xz: "));
}

#[test]
fn paths_do_not_leave_the_tree() {
    let message = error(&deb("gz", &[("./control", CONTROL)], &[("../evil", "x")]));
    assert!(message.starts_with("data.tar.gz: ") && message.contains("../evil"), "{message}");
    let message = error(&deb("gz", &[("./control", CONTROL), ("./../evil", "x")], &[]));
    assert!(
        message.starts_with("control.tar.gz: ") && message.contains("not the name of a control file"),
        "{message}"
    );
}

#[test]
fn limits_hold() {
    let big = "x".repeat(100_000);
    let bytes = deb("xz", &[("./control", CONTROL), ("./templates", &big)], &[("./a", &big), ("./b", "y")]);
    let with = |change: &dyn Fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        read_with(&bytes, &limits).err().map(|e| e.to_string())
    };
    assert_eq!(with(&|_| ()), None);
    let has = |message: Option<String>, part: &str| {
        let message = message.expect("must fail");
        assert!(message.contains(part), "{message}");
    };
    has(with(&|l| l.control_file = 99_999), "control.tar.xz: `templates` has 100000 bytes, more than 99999");
    has(with(&|l| l.control_total = 50_000), "unpacks to more than 50000 bytes");
    has(with(&|l| l.control_entries = 1), "more than 1 entries");
    has(with(&|l| l.data.file_size = 99_999), "data.tar.xz: archive entry 1 (/a)");
    has(with(&|l| l.data.total_size = 100_000), "archive entry 2 (/b)");
    has(with(&|l| l.data.entries = 1), "more than 1 entries");
    has(with(&|l| l.memory = 1 << 10), "control.tar.xz: ");
}

#[test]
fn other_files_are_told_apart() {
    assert!(error(b"<html>").contains("byte 0: not an ar archive"));
    let members = |list: &[(&str, i64, &[u8])]| error(&ar(list));
    assert_eq!(members(&[]), "not a Debian package: there is no debian-binary");
    assert_eq!(
        members(&[("debian-binary", 0, b"3.0\n"), ("control.tar", 0, b""), ("data.tar", 0, b"")]),
        "not a Debian package: format version `3.0` is not 2.0"
    );
    assert_eq!(
        members(&[("debian-binary", 0, b"2.0\n"), ("data.tar.xz", 0, b""), ("control.tar", 0, b"")]),
        "not a Debian package: data.tar.xz where control.tar should be"
    );
    assert_eq!(
        members(&[("debian-binary", 0, b"2.0\n"), ("control.tar.lzma", 0, b""), ("data.tar", 0, b"")]),
        "control.tar.lzma: packed as `.lzma`; only .gz, .xz, .zst and none are known"
    );
    assert_eq!(error(&deb("", &[("./md5sums", "")], &[])), "not a Debian package: there is no control file");
    assert_eq!(
        error(&deb("", &[("./control", "Package: a\n")], &[])),
        "control file, line 1: the field `Version` is missing"
    );
    assert!(error(&deb("", &[("./control", CONTROL), ("control", CONTROL)], &[])).contains("appears twice"));
}
