use super::*;
use proptest::prelude::*;

fn arb_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::collection::vec(any::<u16>(), 1..4).prop_map(Value::Int16),
        prop::collection::vec(any::<u32>(), 1..4).prop_map(Value::Int32),
        prop::collection::vec(any::<u64>(), 1..4).prop_map(Value::Int64),
        prop::collection::vec(any::<u8>(), 1..9).prop_map(Value::Bin),
        "[a-zé]{0,9}".prop_map(Value::String),
        prop::collection::vec("[a-z]{0,9}", 1..4).prop_map(Value::StringArray),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(values in prop::collection::btree_map(1000_u32..1200, arb_value(), 1..12)) {
        let mut builder = HeaderBuilder::new();
        for (tag, value) in &values {
            builder.set(*tag, value.clone());
        }
        let header = Header::parse(&builder.finish(tag::HEADERIMMUTABLE)).unwrap();
        header.check_region(tag::HEADERIMMUTABLE).unwrap();
        prop_assert_eq!(header.entries().len(), values.len() + 1);
        for (tag, value) in &values {
            match value {
                Value::Int16(v) => prop_assert_eq!(header.numbers(*tag), v.iter().map(|n| u64::from(*n)).collect::<Vec<_>>()),
                Value::Int32(v) => prop_assert_eq!(header.numbers(*tag), v.iter().map(|n| u64::from(*n)).collect::<Vec<_>>()),
                Value::Int64(v) => prop_assert_eq!(&header.numbers(*tag), v),
                Value::Bin(v) => prop_assert_eq!(header.binary(*tag), Some(v.as_slice())),
                Value::String(s) => prop_assert_eq!(header.string(*tag), Some(s.clone())),
                Value::StringArray(v) => prop_assert_eq!(&header.strings(*tag), v),
                _ => {}
            }
        }
    }

    #[test]
    fn damage_never_panics(at in 0_usize..200, byte in any::<u8>(), cut in 0_usize..200) {
        let mut builder = HeaderBuilder::new();
        builder.string(tag::NAME, "bash").set(tag::FILEMODES, Value::Int16(vec![1, 2])).number(tag::EPOCH, 1);
        let mut bytes = builder.finish(tag::HEADERIMMUTABLE);
        let len = bytes.len();
        bytes[at % len] = byte;
        bytes.truncate(len - cut % len);
        if let Ok(header) = Header::parse(&bytes) {
            for entry in header.entries() {
                let _ = (header.data(entry).len(), header.strings(entry.tag), header.numbers(entry.tag));
            }
        }
    }
}

/// The index entry `number` of a header with its four words replaced.
fn with_entry(bytes: &[u8], number: usize, words: [u32; 4]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (i, word) in words.into_iter().enumerate() {
        let at = 16 + ENTRY * number + 4 * i;
        bytes[at..at + 4].copy_from_slice(&word.to_be_bytes());
    }
    bytes
}

#[test]
fn hostile_indexes_are_refused_with_their_place() {
    let mut builder = HeaderBuilder::new();
    builder.string(tag::NAME, "bash").string(tag::VERSION, "5").number(tag::EPOCH, 1);
    let good = builder.finish(tag::HEADERIMMUTABLE);
    Header::parse(&good).unwrap().check_region(tag::HEADERIMMUTABLE).unwrap();
    let string = Type::String as u32;
    for (words, reason) in [
        ([tag::VERSION, string, 0, 1], "byte 56: the data of tag 1001 overlaps others"),
        (
            [tag::VERSION, string, 5, 2],
            "byte 56: the data of tag 1001 is not aligned or runs out of the store",
        ),
        ([tag::VERSION, string, u32::MAX, 1], "byte 56: the data of tag 1001 is not aligned"),
        ([tag::VERSION, Type::Int32 as u32, 5, 1], "byte 56: the data of tag 1001 is not aligned"),
        ([tag::VERSION, Type::Bin as u32, 5, u32::MAX], "byte 56: the data of tag 1001 is not aligned"),
        ([tag::VERSION, 10, 5, 1], "byte 52: tag 1001 has the unknown type 10"),
        ([tag::VERSION, string, 5, 0], "byte 60: tag 1001 has no value"),
        ([tag::NAME, string, 5, 1], "byte 48: tag 1000 is there twice"),
    ] {
        // Entry 0 is the region, 1 the name, 2 the version.
        let error = Header::parse(&with_entry(&good, 2, words)).unwrap_err().to_string();
        assert!(error.starts_with(&format!("RPM header, {reason}")), "{error} instead of {reason}");
    }
    let mut many = good.clone();
    many[8..12].copy_from_slice(&0x1_0000_u32.to_be_bytes());
    assert!(Header::parse(&many).unwrap_err().to_string().contains("there must be 1 to 65535"));
    let mut large = good.clone();
    large[12..16].copy_from_slice(&0x1000_0000_u32.to_be_bytes());
    assert!(Header::parse(&large).unwrap_err().to_string().contains("beyond the limit"));
    assert!(Header::parse(&good[..good.len() - 1]).is_err());
}

#[test]
fn nothing_may_stand_outside_of_the_region() {
    let mut builder = HeaderBuilder::new();
    builder.string(tag::NAME, "bash");
    let header = Header::parse(&builder.finish(tag::HEADERIMMUTABLE)).unwrap();
    assert!(header.check_region(tag::HEADERSIGNATURES).is_err());
    let mut added = HeaderBuilder::new();
    added.number(tag::INSTALLTIME, 7);
    let both = Header::parse(&added.append_to(&header)).unwrap();
    assert_eq!(both.number(tag::INSTALLTIME), Some(7));
    let error = both.check_region(tag::HEADERIMMUTABLE).unwrap_err();
    assert!(error.to_string().ends_with("HEADERIMMUTABLE does not end where the header ends"), "{error}");
}

fn with_files(dirs: Vec<String>, indexes: Vec<u32>) -> Header {
    let mut builder = HeaderBuilder::new();
    builder.set(tag::BASENAMES, Value::StringArray(vec!["x".into(); indexes.len()]));
    builder.set(tag::DIRNAMES, Value::StringArray(dirs));
    builder.set(tag::DIRINDEXES, Value::Int32(indexes));
    Header::parse(&builder.finish(tag::HEADERIMMUTABLE)).unwrap()
}

#[test]
fn a_small_header_does_not_unfold_to_enormous_paths() {
    with_files(vec!["/usr/".into(); 2], vec![0, 1]).check_paths().unwrap();
    let long = "a".repeat(4000);
    let error = with_files(vec![long.clone()], vec![0; 20_000]).check_paths().unwrap_err();
    assert!(error.reason.contains("beyond the limit"), "{error}");
    let error = with_files(vec![long + &"b".repeat(100)], vec![0]).check_paths().unwrap_err();
    assert!(error.reason.contains("a path of 4101 bytes"), "{error}");
}

#[test]
fn every_file_is_in_a_directory() {
    let error = with_files(vec!["/usr/".into()], vec![0, 1]).check_paths().unwrap_err();
    assert!(error.reason.contains("directory 1 of 1"), "{error}");
    let mut builder = HeaderBuilder::new();
    builder.set(tag::BASENAMES, Value::StringArray(vec!["x".into(); 2]));
    builder.set(tag::DIRNAMES, Value::StringArray(vec!["/".into()]));
    builder.set(tag::DIRINDEXES, Value::Int32(vec![0]));
    let header = Header::parse(&builder.finish(tag::HEADERIMMUTABLE)).unwrap();
    assert!(header.check_paths().unwrap_err().reason.contains("2 files"));
}
