//! What readers of advisories may rely on.

use super::*;
use proptest::prelude::*;

/// As several distributions write it: both kinds of dates, their own severities, fields that nobody reads.
const FOREIGN: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<updates>
  <update from="security@example.org" status="final" type="security" version="2">
    <id>EX-2026:0001</id><title>Important: a &amp; b</title>
    <issued date="2026-11-23 04:05:06"/><updated date="1795406707"/>
    <rights>Theirs</rights><release>Example 1</release><pushcount>1</pushcount>
    <severity>high</severity><summary>S</summary><description>Two
lines</description><solution/>
    <references>
      <reference href="https://example.org/1" id="CVE-2026-1111" title="CVE-2026-1111" type="cve"/>
      <reference href="https://example.org/2" id="1234" type="bugzilla"/>
    </references>
    <pkglist><collection short="EX"><name>Example</name><module name="m"/>
      <package name="a" version="1.0" release="2" epoch="1" arch="x86_64" src="a-1.0-2.src.rpm">
        <filename>a-1.0-2.x86_64.rpm</filename>
        <sum type="md5">00</sum>
        <sum type="sha256">e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855</sum>
        <reboot_suggested>True</reboot_suggested><relogin_suggested>0</relogin_suggested>
      </package>
      <package name="b" version="1" release="1" arch="noarch"/>
    </collection></pkglist>
  </update>
  <update type="recommended"><id>EX-2</id><issued date="some day"/></update>
</updates>
"#;

#[test]
fn what_distributions_write_is_understood() {
    let all = parse(FOREIGN.as_bytes()).expect("reads");
    let [first, second] = all.as_slice() else { panic!("two advisories") };
    assert_eq!((first.id.as_str(), first.title.as_str()), ("EX-2026:0001", "Important: a & b"));
    assert_eq!((&first.kind, first.severity), (&AdvisoryKind::Security, Some(Severity::Important)));
    assert_eq!((first.issued, first.updated), (Some(1_795_406_706), Some(1_795_406_707)));
    assert_eq!(first.cves().collect::<Vec<_>>(), ["CVE-2026-1111"]);
    let [a, b] = first.packages.as_slice() else { panic!("two packages") };
    assert_eq!(a.nevra.to_string(), "a-1:1.0-2.x86_64");
    assert_eq!(a.checksum, Some(Digest::of("")));
    assert!(a.reboot && !a.relogin && !a.restart);
    assert_eq!((b.nevra.evr.epoch, b.source.as_str()), (None, ""));
    assert_eq!((&second.kind, second.severity, second.issued), (&AdvisoryKind::Bugfix, None, None));
}

#[test]
fn a_broken_file_says_where_and_ends() {
    for (inner, why) in [
        ("<update type='security'><title>x</title></update>", "without `id`"),
        (
            "<update><id>x</id><pkglist><collection><package name='a'/></collection></pkglist></update>",
            "`version`",
        ),
        (
            "<update><id>x</id><pkglist><collection>\
             <package name='a' version='1' release='1' arch='x' epoch='-1'/></collection></pkglist></update>",
            "`epoch` is `-1`",
        ),
        ("<update><id>x</id>", "ends in the middle"),
    ] {
        let xml = format!("<updates>\n{inner}");
        let mut advisories = Advisories::new(xml.as_bytes()).expect("opens");
        let error = advisories.next().expect("an item").expect_err(why).to_string();
        assert!(error.contains(why) && error.contains("updateinfo.xml, line 2"), "{error}");
        assert!(advisories.next().is_none(), "nothing comes after an error");
    }
}

#[test]
fn severities_are_ordered_from_low_to_critical() {
    let order =
        ["low", "Moderate", "IMPORTANT", "critical"].map(|text| Severity::from_text(text).expect(text));
    assert!(order.is_sorted_by(|a, b| a < b));
    assert_eq!(Severity::from_text("None"), None);
}

fn advisory() -> impl Strategy<Value = Advisory> {
    let text = "[ -~äß\n]{0,20}";
    let package = ("[a-z]{1,5}", "[0-9.]{1,4}", proptest::option::of(1_u32..9), any::<[bool; 4]>()).prop_map(
        |(name, version, epoch, [reboot, restart, relogin, sum])| AdvisoryPackage {
            nevra: Nevra {
                name: name.clone(),
                evr: Evr { epoch, version, release: "1".to_owned() },
                arch: "noarch".to_owned(),
            },
            source: format!("{name}.src.rpm"),
            filename: format!("{name}.rpm"),
            checksum: sum.then(|| Digest::of(&name)),
            reboot,
            restart,
            relogin,
        },
    );
    let reference = ("[A-Z0-9-]{0,9}", "[a-z:/.&]{0,9}").prop_map(|(id, href)| Reference {
        kind: "cve".to_owned(),
        title: id.clone(),
        id,
        href,
    });
    (
        ("[!-~]{1,12}", text, text, text),
        proptest::option::of(0_i64..253_402_300_800),
        proptest::option::of(prop_oneof![Just(Severity::Low), Just(Severity::Critical)]),
        prop_oneof![Just(AdvisoryKind::Security), Just(AdvisoryKind::Other("odd".to_owned()))],
        proptest::collection::vec(package, 0..4),
        proptest::collection::vec(reference, 0..4),
    )
        .prop_map(|((id, title, release, description), issued, severity, kind, packages, references)| {
            Advisory {
                severity,
                title,
                release,
                description,
                issued,
                updated: issued,
                packages,
                references,
                ..Advisory::new(id, kind)
            }
        })
}

proptest! {
    #[test]
    fn what_is_written_is_read(all in proptest::collection::vec(advisory(), 0..4)) {
        let xml = to_xml(&all).expect("writes");
        prop_assert_eq!(parse(&xml).expect("reads"), all);
    }

    #[test]
    fn no_text_panics(text in "[<>/a-z='\" 0-9&;]{0,80}") {
        let _ = parse(text.as_bytes());
        let _ = parse(format!("<updates><update><id>x</id><pkglist><collection>{text}").as_bytes());
    }
}
