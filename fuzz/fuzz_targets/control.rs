//! Control data and everything made of it: paragraphs, indices, relations, versions, .dsc, signed text.
#![no_main]

use lazuli_debian::{control, dsc, index, relation, version::Version};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(paragraphs) = control::parse(bytes) {
        for paragraph in &paragraphs {
            let _ = paragraph.description();
            for (_, value) in paragraph.iter() {
                if let Ok(relations) = relation::parse(value) {
                    let shown: Vec<String> = relations.iter().map(ToString::to_string).collect();
                    assert_eq!(relation::parse(&shown.join(", ")).as_ref(), Ok(&relations));
                }
                if let Some((one, other)) = value.split_once(' ')
                    && let (Ok(one), Ok(other)) = (one.parse::<Version>(), other.parse::<Version>())
                {
                    assert_eq!(one.cmp(&other), other.cmp(&one).reverse());
                }
            }
        }
    }
    let _ = index::parse_packages(bytes);
    let _ = index::parse_sources(bytes);
    let _ = dsc::parse(bytes);
});
