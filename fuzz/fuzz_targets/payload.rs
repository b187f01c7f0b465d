//! Payloads: members of the archive in both forms, as they stand or compressed in several frames, read at once
//! and member by member, which must say the same.
//!
//! The header is a fixed one, because nothing of a payload is read before the header is known; the first byte
//! of the input says what the rest is.
#![no_main]

use lazuli_rpm::header::{Header, HeaderBuilder, Value};
use lazuli_rpm::payload::Members;
use lazuli_rpm::{payload_tree, tag};
use lazuli_store::{Digest, Store};
use lazuli_tree::{Kind, TreePath};
use libfuzzer_sys::fuzz_target;
use std::io::Read as _;
use std::sync::OnceLock;

/// Name, mode, size, inode number, flags, and target of a link.
const FILES: [(&str, u32, u32, u32, u32, &str); 8] = [
    ("a", 0o100_644, 4, 1, 0, ""),
    ("b", 0o100_755, 3, 2, 0, ""),
    ("c", 0o100_755, 3, 2, 0, ""),
    ("d", 0o040_755, 0, 3, 0, ""),
    ("e", 0o100_600, 0, 4, 1, ""),
    ("f", 0o010_600, 0, 5, 0, ""),
    ("g", 0o100_644, 9, 6, 1 << 6, ""),
    ("l", 0o120_777, 1, 7, 0, "a"),
];

fn header(compressor: &str) -> Header {
    let strings = |of: fn(&(&str, u32, u32, u32, u32, &str)) -> String| {
        Value::StringArray(FILES.iter().map(of).collect())
    };
    let numbers =
        |of: fn(&(&str, u32, u32, u32, u32, &str)) -> u32| Value::Int32(FILES.iter().map(of).collect());
    let mut h = HeaderBuilder::new();
    h.string(tag::NAME, "fuzz")
        .string(tag::VERSION, "1")
        .string(tag::RELEASE, "1")
        .string(tag::ARCH, "noarch");
    h.string(tag::PAYLOADCOMPRESSOR, compressor);
    h.set(tag::DIRNAMES, Value::StringArray(vec!["/usr/".into()]));
    h.set(tag::BASENAMES, strings(|file| file.0.into()));
    h.set(tag::DIRINDEXES, numbers(|_| 0));
    h.set(tag::FILEMODES, Value::Int16(FILES.iter().map(|file| file.1 as u16).collect()));
    h.set(tag::FILESIZES, numbers(|file| file.2));
    h.set(tag::FILEINODES, numbers(|file| file.3));
    h.set(tag::FILEDEVICES, numbers(|_| 1));
    h.set(tag::FILEFLAGS, numbers(|file| file.4));
    h.set(tag::FILEMTIMES, numbers(|_| 1));
    h.set(tag::FILELINKTOS, strings(|file| file.5.into()));
    h.set(tag::FILEUSERNAME, strings(|_| "root".into()));
    h.set(tag::FILEGROUPNAME, strings(|_| "root".into()));
    Header::parse(&h.finish(tag::HEADERIMMUTABLE)).expect("a header")
}

/// A directory in memory: a disk is too slow for this.
fn store() -> &'static (tempfile::TempDir, Store) {
    static STORE: OnceLock<(tempfile::TempDir, Store)> = OnceLock::new();
    STORE.get_or_init(|| {
        let dir = tempfile::tempdir_in("/dev/shm").expect("a temporary directory");
        let store = Store::open(dir.path()).expect("a store");
        (dir, store)
    })
}

fn walk(mut members: Members<'_>) -> Result<Vec<(usize, u64, Digest)>, String> {
    let mut found = Vec::new();
    while let Some(entry) = members.next_member().map_err(|e| e.to_string())? {
        let mut content = Vec::new();
        (&mut members).read_to_end(&mut content).map_err(|e| e.to_string())?;
        assert_eq!(content.len() as u64, entry.size);
        found.push((entry.file, entry.size, Digest::of(&content)));
    }
    Ok(found)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&how, bytes)) = bytes.split_first() else { return };
    let frames = |parts: &[&[u8]]| -> Vec<u8> {
        parts.iter().flat_map(|part| zstd::bulk::compress(part, 1).expect("zstd")).collect()
    };
    let (compressor, payload) = match how % 6 {
        0 => ("none", bytes.to_vec()),
        1 => ("zstd", frames(&[bytes])),
        2 => {
            let (one, other) = bytes.split_at(bytes.len() / 2);
            ("zstd", frames(&[one, b"", other]))
        }
        3 => ("zstd", bytes.to_vec()),
        4 => ("gzip", bytes.to_vec()),
        _ => ("xz", bytes.to_vec()),
    };
    let header = header(compressor);
    let tree = payload_tree(&header, &payload, &store().1);
    let memory = Members::in_memory(&header, &payload).map_err(|e| e.to_string()).and_then(walk);
    let stream = Members::stream(&header, &payload[..]).map_err(|e| e.to_string()).and_then(walk);
    if memory.is_ok() || stream.is_ok() {
        assert_eq!(memory, stream);
    }
    let Ok(tree) = tree else { return };
    let members = memory.expect("a whole archive can be read by its members");
    for (file, size, digest) in members {
        let path = TreePath::new(&format!("/usr/{}", FILES[file].0)).expect("a path");
        match &tree.get(&path).expect("what is in the archive is in the tree").kind {
            Kind::File { digest: expected, size: length } => assert_eq!((expected, *length), (&digest, size)),
            Kind::HardLink { .. } => assert_eq!(size, 0),
            _ => {}
        }
    }
});
