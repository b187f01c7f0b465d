//! The `ar` container of .deb files (deb(5)), the common variant with 16-byte names.
//!
//! `!<arch>\n`, then members: a header of 60 bytes of text (name 16, modification time 12, owner 6, group 6,
//! mode 8, size 10, all decimal but the octal mode, padded with blanks, ended by `` `\n ``), the content, and
//! a filler byte if the size is odd.

use std::io::{self, Read, Seek, SeekFrom};

const MAGIC: &[u8; 8] = b"!<arch>\n";
const HEADER: u64 = 60;
/// The most members. A .deb has three, a signed one a few more.
const MAX_MEMBERS: usize = 64;

/// An archive that is damaged, and where.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The container's structure.
    #[error("byte {offset}: {reason}")]
    Damaged {
        /// Offset in bytes.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Where a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// Modification time in seconds since 1970.
    pub(crate) mtime: i64,
    /// Offset of the content in bytes.
    pub(crate) offset: u64,
    /// Size of the content in bytes.
    pub(crate) size: u64,
}

/// The members in order. Contents stay where they are.
pub(crate) fn members<R: Read + Seek>(input: &mut R) -> Result<Vec<Member>, Error> {
    let len = input.seek(SeekFrom::End(0))?;
    input.seek(SeekFrom::Start(0))?;
    let damaged = |offset, reason| Error::Damaged { offset, reason };
    let mut magic = [0; MAGIC.len()];
    if len < MAGIC.len() as u64 {
        return Err(damaged(0, "not an ar archive: too short"));
    }
    input.read_exact(&mut magic)?;
    if magic != *MAGIC {
        return Err(damaged(0, "not an ar archive: it does not begin with `!<arch>`"));
    }
    let mut at = MAGIC.len() as u64;
    let mut all = Vec::new();
    while at < len {
        if len - at < HEADER {
            return Err(damaged(at, "it ends inside a member header"));
        }
        if all.len() == MAX_MEMBERS {
            return Err(damaged(at, "too many members"));
        }
        input.seek(SeekFrom::Start(at))?;
        let mut header = [0; HEADER as usize];
        input.read_exact(&mut header)?;
        if &header[58..] != b"`\n" {
            return Err(damaged(at, "a member header without its end mark"));
        }
        let name = text(&header[..16]).trim_end_matches('/');
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic() && b != b'/') {
            return Err(damaged(at, "a member name that is not one"));
        }
        let number = |field: &[u8], reason| text(field).parse::<u64>().map_err(|_| damaged(at, reason));
        let mtime = match text(&header[16..28]) {
            "" => 0,
            digits => digits.parse().map_err(|_| damaged(at, "a modification time that is no number"))?,
        };
        let size = number(&header[48..58], "a member size that is no number")?;
        let offset = at + HEADER;
        if size > len - offset {
            return Err(damaged(at, "it ends inside this member"));
        }
        all.push(Member { name: name.to_owned(), mtime, offset, size });
        at = offset + size + size % 2;
    }
    Ok(all)
}

/// A field without its padding; what is not text is empty.
fn text(field: &[u8]) -> &str {
    std::str::from_utf8(field).unwrap_or("").trim_end_matches(' ')
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    /// Writes an archive.
    pub(crate) fn write(members: &[(&str, i64, &[u8])]) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        for (name, mtime, content) in members {
            let header =
                format!("{name:<16}{mtime:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 100_644, content.len());
            out.extend_from_slice(header.as_bytes());
            out.extend_from_slice(content);
            if content.len() % 2 == 1 {
                out.push(b'\n');
            }
        }
        out
    }

    #[test]
    fn damage_is_named_with_its_offset() {
        let good = write(&[("debian-binary", 5, b"2.0\n"), ("odd/", 6, b"x"), ("last", 7, b"")]);
        let all = members(&mut Cursor::new(&good)).unwrap();
        assert_eq!(
            all.iter().map(|m| (m.name.as_str(), m.mtime, m.size)).collect::<Vec<_>>(),
            [("debian-binary", 5, 4), ("odd", 6, 1), ("last", 7, 0)]
        );
        let error = |bytes: &[u8]| members(&mut Cursor::new(bytes)).expect_err("must fail").to_string();
        assert!(error(b"").starts_with("byte 0: not an ar archive"));
        assert!(error(b"PK\x03\x04....").starts_with("byte 0: not an ar archive"));
        assert_eq!(error(&good[..70]), "byte 8: it ends inside this member");
        assert_eq!(error(&good[..100]), "byte 72: it ends inside a member header");
        let mut bad = good.clone();
        bad[8 + 48] = b'-';
        assert_eq!(error(&bad), "byte 8: a member size that is no number");
        let mut bad = good;
        bad[8 + 59] = b' ';
        assert_eq!(error(&bad), "byte 8: a member header without its end mark");
    }

    proptest! {
        #[test]
        fn what_is_written_is_found(contents in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..6)) {
            let named: Vec<(String, &[u8])> =
                contents.iter().enumerate().map(|(i, c)| (format!("m{i}"), c.as_slice())).collect();
            let list: Vec<(&str, i64, &[u8])> = named.iter().map(|(n, c)| (n.as_str(), 1, *c)).collect();
            let bytes = write(&list);
            let found = members(&mut Cursor::new(&bytes)).unwrap();
            prop_assert_eq!(found.len(), list.len());
            for (member, (name, _, content)) in found.iter().zip(&list) {
                let start = usize::try_from(member.offset).unwrap();
                prop_assert_eq!(&member.name, name);
                prop_assert_eq!(&bytes[start..start + content.len()], *content);
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut framed = MAGIC.to_vec();
            framed.extend_from_slice(&bytes);
            let _ = members(&mut Cursor::new(framed));
        }
    }
}
