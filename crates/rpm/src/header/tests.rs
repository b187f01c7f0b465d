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
