use super::*;
use proptest::prelude::*;
use std::fmt::Write as _;

#[test]
fn fields_continuations_and_paragraphs() {
    let text = b"\n\nPackage: a\nDepends: b,\n c (>= 1)\nEmpty:\nX: 1\n\n \t\nPackage: d\r\nY:  z  \r\n";
    let all = parse(text).unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(all[0].get("package"), Some("a"));
    assert_eq!(all[0].get("Depends"), Some("b,\n c (>= 1)"));
    assert_eq!(all[0].get("Empty"), Some(""));
    assert_eq!((all[0].line("X"), all[1].line("Package")), (Some(7), Some(10)));
    assert_eq!((all[1].get("Y"), all[1].get("Z")), (Some("z"), None));
}

#[test]
fn a_value_may_begin_on_the_next_line() {
    let all = parse(b"SHA256:\n aa 1 x\n bb 2 y\nZ: 1\n").unwrap();
    assert_eq!(
        all[0].get("SHA256").unwrap().lines().map(str::trim).collect::<Vec<_>>(),
        ["aa 1 x", "bb 2 y"]
    );
}

#[test]
fn descriptions_come_apart() {
    let one = parse_one(b"Description: short\n Long text\n  verbatim\n .\n end\n").unwrap();
    assert_eq!(one.description(), Some(("short", "Long text\n verbatim\n\nend".to_owned())));
}

#[test]
fn damage_is_named_with_its_line() {
    let reason = |text: &[u8]| {
        let error = parse(text).expect_err("must fail");
        (error.line, error.reason)
    };
    assert_eq!(reason(b"A: 1\nnonsense\n"), (2, Reason::NotAField("nonsense".into())));
    assert_eq!(reason(b" x\n"), (1, Reason::Dangling));
    assert_eq!(reason(b"A: 1\n\n x\n"), (3, Reason::Dangling));
    assert_eq!(reason(b"A: 1\nB: 2\na: 3\n"), (3, Reason::Duplicate("a".into())));
    assert_eq!(reason(b"A: 1\nB: \xff\n"), (2, Reason::Encoding));
    assert_eq!(reason(b"A: 1\nB: \0\n"), (2, Reason::Nul));
    assert_eq!(reason(b"A b: 1\n"), (1, Reason::Name("A b".into())));
    assert_eq!(reason(b": 1\n"), (1, Reason::Name(String::new())));
    let many: Vec<String> = (0..=MAX_FIELDS).map(|i| format!("F{i}: 1")).collect();
    assert_eq!(reason(many.join("\n").as_bytes()).1, Reason::Fields);
    assert_eq!(parse_one(b"").unwrap_err().reason, Reason::Count { expected: 1, found: 0 });
    assert_eq!(parse_one(b"A: 1\n\nA: 2\n").unwrap_err().reason, Reason::Count { expected: 1, found: 2 });
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn what_is_written_is_read(
        fields in proptest::collection::btree_map("[A-Z][a-z-]{0,8}", "[!-~]([ -~]{0,20}[!-~])?", 1..6),
        gap in "\n{1,3}",
    ) {
        let mut text = String::new();
        for (name, value) in &fields {
            writeln!(text, "{name}: {value}").unwrap();
        }
        let doubled = format!("{text}{gap}{text}");
        let all = parse(doubled.as_bytes()).unwrap();
        prop_assert_eq!(all.len(), 2);
        for paragraph in &all {
            let read: std::collections::BTreeMap<_, _> =
                paragraph.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            prop_assert_eq!(&read, &fields);
        }
    }
}
