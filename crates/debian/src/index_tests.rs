use super::*;

const DIGEST: &str = "00000000000000000000000000000000000000000000000000000000000000aa";

fn package(extra: &str) -> String {
    format!(
        "Package: b\nSource: a (1.0-1)\nVersion: 1.0-1+b2\nArchitecture: amd64\nFilename: pool/main/a/a/b_1.0-1+b2_amd64.deb\n\
         Size: 12\nSHA256: {DIGEST}\n{extra}"
    )
}

#[test]
fn a_package_comes_with_its_source_and_relations() {
    let text = package(
        "Multi-Arch: same\nEssential: yes\nPriority: required\nInstalled-Size: 7\nDepends: c (>= 2) | d\n\
         Provides: v (= 1)\nDescription: short\nX-Unknown: ignored\n",
    );
    let all =
        parse_packages(format!("{text}\n{}", text.replace("Package: b", "Package: c")).as_bytes()).unwrap();
    assert_eq!(all.len(), 2);
    let b = &all[0];
    assert_eq!((b.package.as_str(), b.source.as_str(), b.source_version.as_str()), ("b", "a", "1.0-1"));
    assert_eq!(b.version.to_string(), "1.0-1+b2");
    assert_eq!((b.multi_arch, b.essential, b.priority), (MultiArch::Same, true, Priority::Required));
    assert_eq!((b.size, b.installed_size, b.sha256.to_string().as_str()), (12, 7, DIGEST));
    assert_eq!(b.depends.parse().unwrap()[0].alternatives.len(), 2);
    assert!(b.recommends.is_empty());
}

#[test]
fn damage_names_package_line_and_field() {
    let message = |text: String| parse_packages(text.as_bytes()).expect_err("must fail").to_string();
    let bad = package("").replace("Size: 12", "Size: twelve");
    assert_eq!(message(bad), "package b, line 6: field `Size`: `twelve` is not a number");
    for (from, to, part) in [
        (format!("SHA256: {DIGEST}\n"), String::new(), "`SHA256` is missing"),
        (DIGEST.to_owned(), "00".to_owned(), "not a SHA-256 digest"),
        ("pool/main".to_owned(), "../main".to_owned(), "leads out of the archive"),
        ("pool/main".to_owned(), "/main".to_owned(), "leads out of the archive"),
        ("pool/main".to_owned(), "pool?main".to_owned(), "leads out of the archive"),
        ("Package: b".to_owned(), "Package: b/c".to_owned(), "is not a name"),
        ("1.0-1+b2\n".to_owned(), "1 0\n".to_owned(), "not a Debian version"),
    ] {
        let message = message(package("").replacen(&from, &to, 1));
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_source_lists_its_files_once_and_consistently() {
    let text = format!(
        "Package: a\nBinary: b, c,\n d\nVersion: 1.0-1\nDirectory: pool/main/a/a\n\
         Files:\n 0 5 a_1.0-1.dsc\n 0 9 a_1.0.orig.tar.xz\n\
         Checksums-Sha256:\n {DIGEST} 5 a_1.0-1.dsc\n {DIGEST} 9 a_1.0.orig.tar.xz\n"
    );
    let all = parse_sources(text.as_bytes()).unwrap();
    assert_eq!(all[0].binaries, ["b", "c", "d"]);
    let files: Vec<_> = all[0].files.iter().map(|f| (f.name.as_str(), f.size)).collect();
    assert_eq!(files, [("a_1.0-1.dsc", 5), ("a_1.0.orig.tar.xz", 9)]);
    for (from, to, part) in [
        (" 0 9 a", " 0 8 a", "is not the same"),
        ("9 a_1.0.orig.tar.xz\n", "9 a_1.0-1.dsc\n", ""),
        ("9 a_1.0.orig", "9 ../a_1.0.orig", ""),
    ] {
        let error = parse_sources(text.replace(from, to).as_bytes()).expect_err(from).to_string();
        assert!(error.starts_with("package a, line ") && error.contains(part), "{error}");
    }
}
