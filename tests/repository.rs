//! A published repository, judged by tools that are not ours: dnf and createrepo_c of the `check` tool root
//! read its signed metadata, advisories included, at the pointer and at a snapshot.

#[path = "support/user.rs"]
mod user;

use lazuli_fs as fs;
use lazuli_repo::publish::{Publication, publish};
use lazuli_repo::{Advisory, AdvisoryKind, AdvisoryPackage, Href, Package, Reference, Severity};
use lazuli_rpm::{Builder, Evr, FileEntry, FileFlags, Nevra, Signer};
use lazuli_sandbox::{Access, Sandbox};
use lazuli_store::{Digest, Store};
use lazuli_tree::{Node, TreePath};
use std::path::{Path, PathBuf};
use user::lazuli;

const NOW: i64 = 1_795_300_000;

/// A signed package with one file, and what repodata says about it.
fn package(dir: &Path, store: &Store, signer: &Signer, name: &str, version: &str) -> (Package, PathBuf) {
    let content = format!("{name} {version}\n");
    let node = Node::file(store.put(content.as_bytes()).expect("stores"), content.len() as u64);
    let builder = Builder {
        nevra: Nevra { name: name.into(), evr: Evr::new(None, version, "1"), arch: "noarch".into() },
        summary: format!("The {name} package"),
        license: "MIT".into(),
        build_host: "lazuli".into(),
        build_time: 1_790_000_000,
        files: vec![FileEntry {
            path: TreePath::new(&format!("usr/share/{name}")).expect("a path"),
            node,
            flags: FileFlags::NONE,
            capabilities: None,
        }],
        ..Builder::default()
    };
    let mut bytes = Vec::new();
    builder.write(store, Some(signer), &mut bytes).expect("writes");
    let file = dir.join(builder.nevra.file_name());
    fs::write(&file, &bytes).expect("writes");
    let package = Package::from_file(&file, Href::new("unused").expect("href"), None).expect("describes");
    assert_eq!(package.checksum, Digest::of(&bytes));
    (package, file)
}

fn advisory(package: &Package) -> Advisory {
    Advisory {
        severity: Some(Severity::Critical),
        title: "a: update".into(),
        issued: Some(NOW),
        updated: Some(NOW),
        references: vec![Reference {
            kind: "cve".into(),
            id: "CVE-2026-4711".into(),
            href: "https://example.org/CVE-2026-4711".into(),
            title: "CVE-2026-4711".into(),
        }],
        packages: vec![AdvisoryPackage {
            nevra: package.nevra.clone(),
            source: package.source_rpm.clone(),
            filename: package.nevra.file_name(),
            checksum: Some(package.checksum),
            reboot: false,
            restart: false,
            relogin: false,
        }],
        ..Advisory::new("LAZ-a-2", AdvisoryKind::Security)
    }
}

#[test]
fn other_programs_read_what_is_published_at_the_pointer_and_at_a_snapshot() {
    let root = lazuli(&["tool-root", "check"]);
    let work = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(work.path().join("store")).expect("a store");
    let new = Signer::generate("Test <test@example.org>", 1_700_000_000).expect("a key");
    let signer = Signer::from_armored(&new.secret).expect("a key");
    fs::write(work.path().join("key.asc"), &new.public).expect("writes");
    let web = work.path().join("web");
    let mut ids = Vec::new();
    for version in ["1", "2"] {
        let packages: Vec<_> = [("a", version), ("b", "1")]
            .map(|(name, version)| package(work.path(), &store, &signer, name, version))
            .into();
        let advisories = if version == "2" { vec![advisory(&packages[0].0)] } else { Vec::new() };
        let publication = Publication {
            packages,
            advisories,
            content_tags: vec!["binary-x86_64".into()],
            distro_tags: vec![(None, "Test".into())],
            now: NOW,
            lifetime: 1000,
            lock: None,
        };
        ids.push(publish(&web, publication, &signer).expect("publishes").snapshot);
    }

    let sandbox = Sandbox::new(root.trim())
        .bind(&web, "/web", Access::ReadOnly)
        .bind(work.path(), "/build", Access::ReadWrite)
        .workdir("/build");
    let run = |script: &str| {
        let (status, out, err) =
            sandbox.command("/bin/sh").args(["-c", script]).capture(|_| ()).expect("runs");
        assert!(status.success(), "{script}: {}", err.join("\n"));
        String::from_utf8(out).expect("text")
    };
    for (place, version) in [("web".to_owned(), "2"), (format!("web/snapshots/{}", ids[0]), "1")] {
        let repos = work.path().join("repos");
        fs::create_dir_all(&repos).expect("creates");
        let text = format!(
            "[lazuli]\nname=x\nbaseurl=file:///{place}\ngpgcheck=1\nrepo_gpgcheck=1\ngpgkey=file:///build/key.asc\n"
        );
        fs::write(repos.join("x.repo"), text).expect("writes");
        let dnf = "LC_ALL=C dnf -q -y --disableplugin='*' --installroot=/build/root --releasever=1 \
                   --setopt=reposdir=/build/repos --setopt=cachedir=/build/cache --setopt=logdir=/build \
                   --setopt=pluginpath=/none";
        run(&format!("rm -rf /build/cache /build/root; {dnf} makecache"));
        let listed = run(&format!("{dnf} -C repoquery --qf '%{{name}}-%{{version}}\\n'"));
        let listed: Vec<_> = listed.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(listed, [format!("a-{version}"), "b-1".to_owned()], "{place}");
        let revision = run(&format!("{dnf} -C repolist -v"));
        assert!(ids.iter().any(|id| revision.contains(&id.to_string())), "{revision}");
        // Signatures of metadata and packages hold for dnf, and the advisory is about what is installed.
        run(&format!("{dnf} -C install a"));
        let info = run(&format!("{dnf} -C updateinfo info --all"));
        assert_eq!(info.contains("LAZ-a-2"), version == "2", "{place}: {info}");
        if version == "2" {
            assert!(info.contains("CVE-2026-4711") && info.contains("Critical"), "{info}");
        }
    }
    let merged = run("mergerepo_c --repo /web --outputdir /build/merged --omit-baseurl 2>&1");
    let merged = merged.to_lowercase();
    assert!(!merged.contains("warning") && !merged.contains("critical"), "{merged}");
}
