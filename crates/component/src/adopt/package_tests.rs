//! Whole packages: a .deb made here, adopted and written.

use super::*;
use crate::schema::{Component, ComponentFile};
use lazuli_debian::deb::Limits;
use lazuli_rpm::{Dependency, PackageFile};
use lazuli_tree::{Accounts, Kind, Node, write_tar};
use std::io::{Cursor, Write as _};

struct Fixture {
    directory: tempfile::TempDir,
    store: Store,
}

const CONTROL: &str = "\
Package: hello
Source: greetings (1:2.0-3)
Version: 1:2.0-3+b1
Architecture: amd64
Pre-Depends: init-system-helpers (>= 1.54~)
Depends: libc6 (>= 2.38), debconf (>= 0.5) | debconf-2.0, greeter | talker (<< 3)
Recommends: hello-doc
Suggests: kmod
Breaks: hello-old (<< 1.9)
Replaces: hello-old (<< 1.9), hallo
Conflicts: hallo
Provides: hallo (= 2.0), speaker
Homepage: https://hello.example/
Description: friendly greeting
 It says hello.
 .
 Twice.
";

const POSTINST: &str = "#!/bin/sh\nset -e\nadduser --system hello\n";

const COPYRIGHT: &str =
    "Format: https://example.org/copyright-format/1.0/\n\nFiles: *\nCopyright: x\nLicense: GPL-3+\n";

const CHANGELOG: &str = "greetings (1:2.0-3) unstable; urgency=low\n\n  * Hello.\n\n -- A <a@example.org>  Sat, 01 Mar 2025 10:00:00 +0000\n";

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        Self { directory, store }
    }

    fn tar(&self, files: &[(&str, &[u8])], change: impl Fn(&mut Tree)) -> Vec<u8> {
        let mut tree = Tree::new();
        for (path, content) in files {
            tree.put_file(&self.store, TreePath::new(path).unwrap(), content).unwrap().mtime = 1_700_000_000;
        }
        change(&mut tree);
        let mut tar = Vec::new();
        write_tar(&tree, &self.store, &Accounts::root_only(), &mut tar).unwrap();
        tar
    }

    fn deb(&self) -> Deb {
        self.deb_with(CONTROL)
    }

    fn deb_with(&self, control: &str) -> Deb {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(CHANGELOG.as_bytes()).unwrap();
        let changelog = gz.finish().unwrap();
        let data: [(&str, &[u8]); 7] = [
            ("usr/bin/hello", b"#!/usr/bin/perl\n"),
            ("usr/bin/own", b"#!/bin/hello\n"),
            ("etc/hello.conf", b"x"),
            ("usr/share/doc/hello/copyright", COPYRIGHT.as_bytes()),
            ("usr/share/doc/hello/changelog.Debian.gz", &changelog),
            ("usr/share/lintian/overrides/hello", b"x"),
            ("bin/hi", b"hi"),
        ];
        let data = self.tar(&data, |tree| {
            for program in ["usr/bin/hello", "usr/bin/own"] {
                tree.get_mut(&TreePath::new(program).unwrap()).unwrap().mode = 0o4755;
            }
            tree.insert(TreePath::new("usr/bin/hey").unwrap(), Node::symlink("hello"));
            let to = TreePath::new("bin/hi").unwrap();
            tree.insert(TreePath::new("bin/hj").unwrap(), Node::new(Kind::HardLink { to }, 0o644));
            tree.ensure_parents();
        });
        let control = self.tar(
            &[
                ("control", control.as_bytes()),
                ("conffiles", b"/etc/hello.conf\n"),
                ("postinst", POSTINST.as_bytes()),
                ("triggers", b"activate-noawait ldconfig\n"),
            ],
            |_| {},
        );
        let mut ar = b"!<arch>\n".to_vec();
        for (name, content) in
            [("debian-binary", &b"2.0\n"[..]), ("control.tar", &control), ("data.tar", &data)]
        {
            let size = content.len();
            writeln!(ar, "{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`", 1_740_000_000, 0, 0, "100644")
                .unwrap();
            ar.extend(content);
            if size % 2 == 1 {
                ar.push(b'\n');
            }
        }
        Deb::read(Cursor::new(ar), &self.store, &Limits::default()).unwrap()
    }

    fn adopt(
        &self,
        deb: &Deb,
        overlay: &PackageOverlay,
        rebuild: u32,
    ) -> Result<(Builder, AdoptReport), Error> {
        let request = Request {
            deb,
            sha256: Digest::of("deb"),
            suite: "stable",
            overlay,
            folder: self.directory.path(),
            license: None,
            rebuild,
            vendor: "Vendor",
            packager: "Packager",
            build_host: "host",
        };
        adopt(&request, &self.store)
    }
}

fn overlay(more: &str) -> PackageOverlay {
    let sha256 = Digest::of(POSTINST);
    let text =
        format!("{more}\n[[script]]\nname = \"postinst\"\nsha256 = \"{sha256}\"\nreason = \"sysusers.d\"\n");
    toml::from_str(&text).unwrap()
}

fn shown(dependencies: &[Dependency]) -> Vec<String> {
    dependencies.iter().map(ToString::to_string).collect()
}

#[test]
fn a_package_becomes_an_rpm() {
    let fixture = Fixture::new();
    let (builder, report) = fixture
        .adopt(
            &fixture.deb(),
            &overlay(
                "drop-requires = [{ name = \"debconf-2.0\", reason = \"no debconf\" }, \
                 { name = \"init-system-helpers\", reason = \"no scripts\" }]\nadd-requires = [\"filesystem >= 1\"]",
            ),
            1,
        )
        .unwrap();
    assert_eq!(builder.nevra.to_string(), "hello-1:2.0-3+b1.x86_64");
    assert_eq!(builder.source_rpm, "greetings-2.0-3.src.rpm");
    assert_eq!(
        (builder.summary.as_str(), builder.description.as_str()),
        ("friendly greeting", "It says hello.\n\nTwice.")
    );
    assert_eq!(builder.license, "GPL-3.0-or-later");
    assert_eq!(builder.build_time, 1_740_000_000);
    assert_eq!(builder.changelog[0].author, "A <a@example.org> - 1:2.0-3");
    assert_eq!(
        shown(&builder.requires),
        ["(greeter or talker < 3-0)", "/usr/bin/perl", "filesystem >= 1", "libc6 >= 2.38-0"]
    );
    assert_eq!(shown(&builder.recommends), ["hello-doc"]);
    assert_eq!(shown(&builder.suggests), ["kmod"]);
    assert_eq!(shown(&builder.conflicts), ["hallo", "hello-old < 1.9-0"]);
    assert_eq!(shown(&builder.obsoletes), ["hallo < 2.0-0"]);
    assert_eq!(shown(&builder.provides), ["hallo = 2.0-0", "speaker = 1:2.0-3+b1"]);

    let paths: Vec<&str> = builder.files.iter().map(|f| f.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "etc/hello.conf",
            "usr/bin/hello",
            "usr/bin/hey",
            "usr/bin/hi",
            "usr/bin/hj",
            "usr/bin/own",
            "usr/share/doc/hello",
            "usr/share/doc/hello/changelog.Debian.gz",
            "usr/share/licenses/hello/copyright"
        ]
    );
    assert_eq!(builder.files[0].flags, FileFlags::CONFIG | FileFlags::NOREPLACE);
    assert_eq!(builder.files[1].node.mode, 0o4755);
    assert_eq!(builder.files[8].flags, FileFlags::LICENSE);
    assert_eq!(report.scripts.len(), 2);
    assert_eq!(report.dropped.len(), 2);
}

#[test]
fn the_same_package_gives_the_same_bytes_that_read_back() {
    let build = || {
        let fixture = Fixture::new();
        let (builder, _) = fixture.adopt(&fixture.deb(), &overlay(""), 1).unwrap();
        let mut rpm = Vec::new();
        builder.write(&fixture.store, None, &mut rpm).unwrap();
        rpm
    };
    let rpm = build();
    assert!(rpm == build());
    let file = PackageFile::parse(&rpm).unwrap();
    file.verify_digests().unwrap();
    let fixture = Fixture::new();
    let tree = lazuli_rpm::payload_tree(&file.header, file.payload(), &fixture.store).unwrap();
    let read = |path: &str| tree.read(&fixture.store, &TreePath::new(path).unwrap()).unwrap().unwrap();
    assert_eq!(read("usr/bin/hj"), b"hi");
    assert_eq!(read("usr/bin/hey"), b"#!/usr/bin/perl\n");
}

#[test]
fn a_rebuild_still_answers_to_the_version_it_rebuilds() {
    let fixture = Fixture::new();
    let (builder, _) = fixture.adopt(&fixture.deb(), &overlay(""), 3).unwrap();
    assert_eq!(builder.nevra.evr.to_string(), "1:2.0-3+b1^lz3");
    assert!(shown(&builder.provides).contains(&"hello = 1:2.0-3+b1".to_owned()));
}

#[test]
fn an_unacknowledged_script_stops_the_adoption() {
    let fixture = Fixture::new();
    let error = fixture.adopt(&fixture.deb(), &PackageOverlay::default(), 1).unwrap_err().to_string();
    assert!(error.contains("hello: the maintainer script postinst is not acknowledged"), "{error}");
    assert!(error.contains("adduser --system hello"), "{error}");
}

#[test]
fn an_overlay_that_drops_nothing_is_an_error() {
    let fixture = Fixture::new();
    let overlay = overlay(
        "drop-requires = [{ name = \"libc7\", reason = \"x\" }]\nadd-provides = [\"a >= \"]\n\
         drop-recommends = [{ name = \"hello-docs\", reason = \"x\" }]",
    );
    let error = fixture.adopt(&fixture.deb(), &overlay, 1).unwrap_err().to_string();
    for part in
        ["drop-requires `libc7`", "did you mean `libc6`?", "did you mean `hello-doc`?", "add-provides"]
    {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_control_file_that_lies_is_an_error_with_its_field() {
    let fixture = Fixture::new();
    for (from, to, part) in [
        ("Architecture: amd64", "Architecture: riscv64", "control field Architecture"),
        ("Package: hello\n", "Package: ../x\n", "control field Package"),
        ("libc6 (>= 2.38)", "libc6 (>= 2.38", "control field Depends"),
        ("Version: 1:2.0-3+b1", "Version: x_y", "control field Version"),
    ] {
        let deb = fixture.deb_with(&CONTROL.replace(from, to));
        let error = fixture.adopt(&deb, &overlay(""), 1).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn the_report_tells_people_and_programs_the_same() {
    let fixture = Fixture::new();
    let (_, report) = fixture.adopt(&fixture.deb(), &overlay(""), 1).unwrap();
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<AdoptReport>(&json).unwrap(), report);
    insta::assert_snapshot!(report.to_string());
}

#[test]
fn a_suggested_component_lacks_only_the_reasons() {
    let fixture = Fixture::new();
    let deb = fixture.deb();
    let text = super::super::suggest::component(&[&deb], &fixture.store);
    insta::assert_snapshot!(text);
    let read = |text: &str| toml::from_str::<ComponentFile>(text).unwrap().validate();
    assert!(read(&text).unwrap_err().contains("`reason` is empty"));
    let Ok(Component::Adopted(adopted)) = read(&text.replace("reason = \"\"", "reason = \"done\"")) else {
        panic!()
    };
    assert!(fixture.adopt(&deb, &adopted.overlays["hello"], 1).is_ok());
}
