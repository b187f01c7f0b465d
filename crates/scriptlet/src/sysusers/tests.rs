use super::*;
use crate::helper::Helper;
use lazuli_rpm::header::{HeaderBuilder, Value};
use std::os::unix::fs::PermissionsExt as _;

/// A header whose provides carry these lines.
fn header(lines: &[(&str, &str)]) -> Header {
    let mut h = HeaderBuilder::new();
    for (tag, text) in
        [(tag::NAME, "sample"), (tag::VERSION, "1"), (tag::RELEASE, "1"), (tag::ARCH, "noarch")]
    {
        h.string(tag, text);
    }
    let names = lines.iter().map(|(name, _)| (*name).to_owned()).collect();
    let versions = lines.iter().map(|(_, line)| line.to_string()).collect();
    h.set(tag::PROVIDENAME, Value::StringArray(names));
    h.set(tag::PROVIDEVERSION, Value::StringArray(versions));
    h.set(tag::PROVIDEFLAGS, Value::Int32(vec![8; lines.len()]));
    Header::parse(&h.finish(tag::HEADERIMMUTABLE)).unwrap()
}

fn encoded(line: &str) -> String {
    // As RPM: zeros until there is no need to pad.
    let mut bytes = line.as_bytes().to_vec();
    while !bytes.len().is_multiple_of(3) {
        bytes.push(0);
    }
    base64::encode(&bytes)
}

fn parse(line: &str) -> Line {
    line.parse().unwrap()
}

#[test]
fn lines_come_out_of_provides() {
    let line = r#"u sample 77 "A sample, please" /var/lib/sample /bin/sh"#;
    let header = header(&[
        ("sample", "1-1"),
        ("user(other)", ""),
        ("user(sample)", &encoded(line)),
        ("group(extra)", &encoded("g extra -")),
    ]);
    let sources = needed(&header).unwrap();
    assert_eq!(sources.len(), 1);
    assert_eq!(sources[0].lines[0].to_string(), line);
    assert_eq!(sources[0].lines[1], Line::Group { name: "extra".into(), id: Id::Any });
}

#[test]
fn provides_that_are_no_lines_are_refused() {
    for bad in ["%%%", &encoded("x sample"), &encoded("u sam:ple"), &encoded("u a\nu b"), &"A".repeat(9000)] {
        let error = needed(&header(&[("user(sample)", bad)])).unwrap_err().to_string();
        assert!(error.starts_with("sample-1-1.noarch: the provide user(sample)"), "{error}");
    }
    for bad in
        ["u", "u a b", "u a 1:2:3", "u a 65535", "g a:b", "u a - x:y", "m a", "r - 9-1", "u a \"b", "u -x"]
    {
        assert!(bad.parse::<Line>().is_err(), "{bad}");
    }
}

#[test]
fn accounts_get_free_numbers_and_keep_what_is_there() {
    let passwd = "root:x:0:0:Super User:/root:/bin/bash\ntaken:x:77:77::/:/bin/sh\n+:::\n";
    let group = "root:x:0:\ntaken:x:77:\nalone:x:500:\n";
    let mut accounts = Accounts::from_texts(passwd, group, 19_000);
    for line in [
        "u root 0 x /elsewhere /bin/sh",
        "u fixed 60 \"Fixed one\" /srv",
        "u second 77",
        "u alone -",
        "u ingroup -:alone",
        "g free -",
        "m fixed free",
        "m fixed free",
        "m new wheel",
        "u! gone 61:60",
    ] {
        accounts.apply(&parse(line)).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    assert_eq!(
        accounts.lines("passwd"),
        [
            "root:x:0:0:Super User:/root:/bin/bash",
            "taken:x:77:77::/:/bin/sh",
            "fixed:x:60:60:Fixed one:/srv:/usr/sbin/nologin",
            "second:x:999:999::/:/usr/sbin/nologin",
            "alone:x:500:500::/:/usr/sbin/nologin",
            "ingroup:x:998:500::/:/usr/sbin/nologin",
            "new:x:995:995::/:/usr/sbin/nologin",
            "gone:x:61:60::/:/usr/sbin/nologin",
            "+:::",
        ]
    );
    assert_eq!(
        accounts.lines("group"),
        [
            "root:x:0:",
            "taken:x:77:",
            "alone:x:500:",
            "fixed:x:60:",
            "second:x:999:",
            "free:x:997:fixed",
            "wheel:x:996:new",
            "new:x:995:",
        ]
    );
    assert!(accounts.lines("shadow").contains(&"fixed:!*:19000::::::".to_owned()));
    assert!(accounts.lines("shadow").contains(&"gone:!*:19000:::::1:".to_owned()));
    assert!(accounts.apply(&parse("u x -:nowhere")).is_err());
}

#[test]
fn an_empty_root_gets_its_users() {
    let dir = tempfile::tempdir().unwrap();
    let Ok(runner) = Runner::new(dir.path()) else { return println!("skipped: no root directory") };
    let runner = runner.with_helper(Helper::test("run::tests::helper"));
    let header =
        header(&[("user(sample)", &encoded("u sample 77 - /srv")), ("group(g)", &encoded("g g 90"))]);
    let Created::Here(changes) = create(&runner, &header, 0, &mut |_, _| ()).unwrap() else { panic!() };
    assert_eq!(changes.len(), 3);
    let text = |name: &str| lazuli_fs::read_to_string(dir.path().join("etc").join(name)).unwrap();
    assert_eq!(text("passwd"), "sample:x:77:77::/srv:/usr/sbin/nologin\n");
    assert_eq!(text("group"), "sample:x:77:\ng:x:90:\n");
    assert_eq!(lazuli_fs::metadata(dir.path().join("etc/shadow")).unwrap().permissions().mode() & 0o777, 0);
    // The second time there is nothing to do, and nothing is written.
    lazuli_fs::set_mode(dir.path().join("etc/passwd"), 0o640).unwrap();
    assert_eq!(create(&runner, &header, 0, &mut |_, _| ()).unwrap(), Created::Here(Vec::new()));
    assert_eq!(
        lazuli_fs::metadata(dir.path().join("etc/passwd")).unwrap().permissions().mode() & 0o777,
        0o640
    );
}

#[test]
fn members_come_out_of_provides() {
    let header = header(&[("groupmember(sample/wheel)", &encoded("m sample wheel"))]);
    let line = needed(&header).unwrap().remove(0).lines.remove(0);
    assert_eq!(line, Line::Member { user: "sample".into(), group: "wheel".into() });
}

#[test]
fn a_range_has_no_name() {
    assert_eq!("r - 500-900".parse(), Ok(Line::Range { from: 500, to: 900 }));
    assert!("u -".parse::<Line>().is_err());
}

proptest::proptest! {
    #[test]
    fn any_text_is_a_line_or_an_error_and_a_line_survives(text in "[ugmr!]{0,2} ?[a-z:/\"\\\\ -]{0,12} ?[0-9:a-z/-]{0,8} ?[ -~]{0,20}") {
        if let Ok(line) = text.parse::<Line>() {
            proptest::prop_assert_eq!(line.to_string().parse::<Line>(), Ok(line));
        }
    }

    #[test]
    fn nothing_that_a_line_says_makes_another_field(text in "[ugm] [ -~]{1,40}") {
        let mut accounts = Accounts::from_texts("", "", 1);
        if let Ok(line) = text.parse::<Line>() && accounts.apply(&line).is_ok() {
            for line in accounts.lines("passwd") {
                proptest::prop_assert_eq!(line.matches(':').count(), 6);
            }
            for line in accounts.lines("group") {
                proptest::prop_assert_eq!(line.matches(':').count(), 3);
            }
        }
    }
}
