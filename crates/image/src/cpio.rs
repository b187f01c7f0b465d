//! Archives that the kernel unpacks as its first file system (Documentation/driver-api/early-userspace/buffer-format.rst):
//! cpio, "new ASCII" without checksums.
//!
//! ```text
//! entry    070701, then thirteen numbers of eight hexadecimal digits:
//!          inode mode uid gid links mtime size  major minor of the file system  major minor of a device  name-length 0
//!          name and a 0 byte, filled up to a multiple of 4; content, filled up to a multiple of 4
//! ...      the last one has the name TRAILER!!!
//! ```
//!
//! The same entries give the same bytes: they come in the order of their names, inode numbers count from 1, and there is no
//! time. All belong to user 0.

use std::collections::BTreeMap;

/// What is in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A directory. Those of all other entries have to be there, too: the kernel makes none by itself.
    Directory,
    /// A file with permission bits.
    File(u32, Vec<u8>),
    /// A character device with permission bits, major and minor number.
    Device(u32, u32, u32),
}

/// Entries by path, without a slash in front.
pub(crate) type Entries = BTreeMap<String, Entry>;

/// S_IFDIR, S_IFREG, S_IFCHR.
const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const CHARACTER_DEVICE: u32 = 0o020_000;
/// Archives are filled up to a multiple of this, as cpio itself does.
const BLOCK: usize = 512;
/// Sizes are 32 bits wide.
const LARGEST: usize = u32::MAX as usize;

/// Puts a file where it belongs, with its directories.
pub(crate) fn put(entries: &mut Entries, path: &str, entry: Entry) {
    for (at, _) in path.match_indices('/') {
        entries.entry(path[..at].to_owned()).or_insert(Entry::Directory);
    }
    entries.insert(path.to_owned(), entry);
}

/// The archive. The error is a message.
pub(crate) fn archive(entries: &Entries) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    for (inode, (path, entry)) in (1..).zip(entries) {
        let (mode, content, device): (u32, &[u8], (u32, u32)) = match entry {
            Entry::Directory => (DIRECTORY | 0o755, &[], (0, 0)),
            Entry::File(mode, content) => (FILE | mode, content, (0, 0)),
            Entry::Device(mode, major, minor) => (CHARACTER_DEVICE | mode, &[], (*major, *minor)),
        };
        if content.len() > LARGEST || path.is_empty() || path.contains('\0') {
            return Err(format!("`{path}` cannot be in an archive"));
        }
        let links = if matches!(entry, Entry::Directory) { 2 } else { 1 };
        write(&mut out, path, [inode, mode, links], content, device);
    }
    write(&mut out, "TRAILER!!!", [0, 0, 1], &[], (0, 0));
    out.resize(out.len().next_multiple_of(BLOCK), 0);
    Ok(out)
}

fn write(out: &mut Vec<u8>, name: &str, [inode, mode, links]: [u32; 3], content: &[u8], device: (u32, u32)) {
    let (size, length) = (content.len() as u32, name.len() as u32 + 1);
    let numbers = [inode, mode, 0, 0, links, 0, size, 0, 0, device.0, device.1, length, 0];
    out.extend_from_slice(b"070701");
    for number in numbers {
        out.extend_from_slice(format!("{number:08x}").as_bytes());
    }
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend_from_slice(content);
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    /// Reads an archive by the description above.
    pub(crate) fn read(archive: &[u8]) -> Entries {
        let mut entries = Entries::new();
        let mut rest = archive;
        loop {
            let number = |index: usize| {
                let digits = std::str::from_utf8(&rest[6 + 8 * index..14 + 8 * index]).unwrap();
                u32::from_str_radix(digits, 16).unwrap()
            };
            assert_eq!(&rest[..6], b"070701");
            assert_eq!((number(2), number(3), number(5), number(12)), (0, 0, 0, 0), "owner, time, checksum");
            let (mode, size, length) = (number(1), number(6) as usize, number(11) as usize);
            let name = std::str::from_utf8(&rest[110..110 + length - 1]).unwrap().to_owned();
            assert_eq!(rest[110 + length - 1], 0);
            if name == "TRAILER!!!" {
                return entries;
            }
            let start = (110 + length).next_multiple_of(4);
            let content = rest[start..start + size].to_vec();
            let entry = match mode & 0o170_000 {
                DIRECTORY => Entry::Directory,
                FILE => Entry::File(mode & 0o7777, content),
                _ => Entry::Device(mode & 0o7777, number(9), number(10)),
            };
            entries.insert(name, entry);
            rest = &rest[(start + size).next_multiple_of(4)..];
        }
    }

    fn example() -> Entries {
        let mut entries = Entries::new();
        put(&mut entries, "lib/modules/6.12/a.ko", Entry::File(0o644, b"module".to_vec()));
        put(&mut entries, "init", Entry::File(0o755, b"program".to_vec()));
        put(&mut entries, "dev/null", Entry::Device(0o666, 1, 3));
        entries
    }

    #[test]
    fn directories_come_before_what_is_in_them_and_nothing_has_a_time() {
        let archive = archive(&example()).unwrap();
        assert_eq!(read(&archive), example());
        assert!(archive.len().is_multiple_of(BLOCK));
        let names: Vec<String> = read(&archive).into_keys().collect();
        assert_eq!(
            names,
            ["dev", "dev/null", "init", "lib", "lib/modules", "lib/modules/6.12", "lib/modules/6.12/a.ko"]
        );
    }

    #[test]
    fn cpio_itself_lists_it() {
        let started = Command::new("cpio")
            .args(["-itv", "--quiet"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        // Not every machine has it.
        let Ok(mut child) = started else { return };
        child.stdin.take().unwrap().write_all(&archive(&example()).unwrap()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 7, "{text}");
        assert!(lines[1].starts_with("crw-rw-rw-") && lines[1].contains("1,   3"), "{text}");
        assert!(lines[2].starts_with("-rwxr-xr-x") && lines[2].ends_with(" init"), "{text}");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            files in prop::collection::btree_map("[a-z]{1,3}(/[a-z]{1,3}){0,2}", prop::collection::vec(any::<u8>(), 0..9), 0..9)
        ) {
            let mut entries = Entries::new();
            for (path, content) in files {
                // A file cannot have something below it.
                let above = entries.keys().any(|other| other.starts_with(&format!("{path}/")));
                let below = path.match_indices('/').any(|(at, _)| matches!(entries.get(&path[..at]), Some(Entry::File(..))));
                if !above && !below {
                    put(&mut entries, &path, Entry::File(0o644, content));
                }
            }
            prop_assert_eq!(read(&archive(&entries).unwrap()), entries);
        }
    }
}
