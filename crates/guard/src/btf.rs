//! The few of the kernel's types that the guard's programs are relocated by.
//!
//! The kernel describes all its types and functions. aya makes an object of each and looks for each name among all of
//! them, which took most of the guard's start, and the state partition waits for the guard. What is not needed is
//! replaced by the shortest type there is, a nameless forward declaration, before aya sees it. Every type keeps its
//! number, because it is by number that a program says to the kernel which hook it is for.
//!
//! The format is BTF, Documentation/bpf/btf.rst of the kernel: a header, types of 12 bytes and what their kind adds, and
//! names that end with a zero; numbers are in the order of this machine. References between types are numbers of types,
//! the first of which is 1; 0 is `void`.

use std::collections::BTreeSet;

/// A nameless forward declaration.
const NOTHING: [u8; HEAD] = {
    let [a, b, c, d] = (FWD << 24).to_ne_bytes();
    [0, 0, 0, 0, a, b, c, d, 0, 0, 0, 0]
};
/// Bytes that every type has: name, kind and number of members, and a size or another type.
const HEAD: usize = 12;
const MAGIC: u16 = 0xeb9f;

// Kinds, as include/uapi/linux/btf.h numbers them.
const INT: u32 = 1;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const FWD: u32 = 7;
const TYPEDEF: u32 = 8;
const VOLATILE: u32 = 9;
const CONST: u32 = 10;
const RESTRICT: u32 = 11;
const FUNC: u32 = 12;
const FUNC_PROTO: u32 = 13;
const VAR: u32 = 14;
const DATASEC: u32 = 15;
const DECL_TAG: u32 = 17;
const TYPE_TAG: u32 = 18;
const ENUM64: u32 = 19;
/// The first number that is not a kind.
const NO_KIND: u32 = 20;

/// Type information that cannot be followed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    #[error("no type information in this machine's byte order")]
    Magic,
    #[error("type information ends in its header, or before what that announces")]
    Header,
    #[error("type {number} at byte {at} of the types: {what}")]
    Type { number: usize, at: usize, what: &'static str },
}

/// Type information and where each type in it begins.
pub struct Types<'a> {
    all: &'a [u8],
    records: &'a [u8],
    names: &'a [u8],
    starts: Vec<u32>,
}

impl<'a> Types<'a> {
    /// Finds where every type begins.
    pub fn new(all: &'a [u8]) -> Result<Self, Error> {
        if all.get(..2) != Some(&MAGIC.to_ne_bytes()) {
            return Err(Error::Magic);
        }
        let field = |at| number(all, at).map(|value| value as usize).ok_or(Error::Header);
        let header = field(4)?;
        let part = |offset: usize, length: usize| {
            let from = header.checked_add(offset)?;
            all.get(from..from.checked_add(length)?)
        };
        let types = part(field(8)?, field(12)?).ok_or(Error::Header)?;
        let names = part(field(16)?, field(20)?).ok_or(Error::Header)?;
        let mut starts = Vec::with_capacity(types.len() / 20);
        let mut at = 0;
        while at < types.len() {
            let short = |what| Error::Type { number: starts.len() + 1, at, what };
            let info = number(types, at + 4).ok_or(short("it ends after its name"))?;
            let members = (info & 0xffff) as usize;
            let more = match kind(info) {
                INT | VAR | DECL_TAG => 4,
                ARRAY => 12,
                STRUCT | UNION | DATASEC | ENUM64 => members * 12,
                ENUM | FUNC_PROTO => members * 8,
                0 | NO_KIND.. => return Err(short("a kind that is not known")),
                _ => 0,
            };
            if types.len() - at < HEAD + more {
                return Err(short("the types end within it"));
            }
            starts.push(at as u32);
            at += HEAD + more;
        }
        Ok(Self { all, records: types, names, starts })
    }

    /// The names of all structures and unions.
    pub fn structures(&self) -> BTreeSet<&'a [u8]> {
        let named = |&start: &u32| {
            let info = number(self.records, start as usize + 4)?;
            let name = number(self.records, start as usize)? as usize;
            let text = self.names.get(name..)?.split(|byte| *byte == 0).next()?;
            (matches!(kind(info), STRUCT | UNION) && !text.is_empty()).then_some(text)
        };
        self.starts.iter().filter_map(named).collect()
    }

    /// The same type information with nothing in it but these structures and unions, what their members are made of up to
    /// the next pointer, and these functions. It ends with the last of them.
    pub fn reduced_to(
        &self,
        structures: &BTreeSet<&[u8]>,
        functions: &BTreeSet<&[u8]>,
    ) -> Result<Vec<u8>, Error> {
        let (structures, functions) = (self.offsets_of(structures), self.offsets_of(functions));
        let mut kept = vec![false; self.starts.len()];
        let mut next = Vec::new();
        for (index, &start) in self.starts.iter().enumerate() {
            let start = start as usize;
            let (Some(name), Some(info)) = (number(self.records, start), number(self.records, start + 4))
            else {
                continue;
            };
            let wanted = match kind(info) {
                STRUCT | UNION => structures.binary_search(&name).is_ok(),
                FUNC => functions.binary_search(&name).is_ok(),
                _ => false,
            };
            if wanted {
                kept[index] = true;
                next.push(index);
            }
        }
        while let Some(index) = next.pop() {
            for reference in self.contained(index) {
                let Some(to) = (reference as usize).checked_sub(1) else { continue };
                let known = kept.get_mut(to).ok_or(Error::Type {
                    number: index + 1,
                    at: self.starts[index] as usize,
                    what: "it refers to a type that does not exist",
                })?;
                if !std::mem::replace(known, true) {
                    next.push(to);
                }
            }
        }

        // Nothing is numbered behind the last one. Functions are the last and by far the most, in alphabetical order.
        let count = kept.iter().rposition(|keep| *keep).map_or(0, |last| last + 1);
        let mut types = Vec::with_capacity(count * HEAD + 65536);
        let ends = self.starts.iter().skip(1).map(|start| *start as usize).chain([self.records.len()]);
        for ((&start, end), keep) in self.starts.iter().zip(ends).zip(kept).take(count) {
            types.extend_from_slice(if keep { &self.records[start as usize..end] } else { &NOTHING });
        }
        // A header of 24 bytes: magic number, version and flags as they were, its length, where types and names are behind it.
        let length = |bytes: &[u8]| (bytes.len() as u32).to_ne_bytes();
        let mut made = self.all[..4].to_vec();
        for field in [24_u32.to_ne_bytes(), [0; 4], length(&types), length(&types), length(self.names)] {
            made.extend_from_slice(&field);
        }
        made.extend_from_slice(&types);
        made.extend_from_slice(self.names);
        Ok(made)
    }

    /// Where names begin, in order. Those who write type information write each name once and whole: one that is only the end
    /// of another is not found, and then its program is refused.
    fn offsets_of(&self, wanted: &BTreeSet<&[u8]>) -> Vec<u32> {
        // Nearly every name is told from all that are wanted by its length and two of its bytes.
        let mark = |name: &[u8]| match name {
            [first, .., last] => {
                first.wrapping_mul(31).wrapping_add(last.wrapping_mul(7)).wrapping_add(name.len() as u8)
            }
            _ => 0,
        };
        let mut marked = [false; 256];
        for name in wanted {
            marked[mark(name) as usize] = true;
        }
        let mut at = 0;
        let mut found = Vec::new();
        for name in self.names.split(|byte| *byte == 0) {
            if marked[mark(name) as usize] && wanted.contains(name) {
                found.push(at);
            }
            at += name.len() as u32 + 1;
        }
        found
    }

    /// The types that are within a type, and not behind a pointer.
    fn contained(&self, index: usize) -> Vec<u32> {
        let start = self.starts[index] as usize;
        let at = |offset: usize| number(self.records, start + offset).unwrap_or(0);
        let info = at(4);
        match kind(info) {
            STRUCT | UNION => {
                (0..(info & 0xffff) as usize).map(|member| at(HEAD + 12 * member + 4)).collect()
            }
            ARRAY => vec![at(HEAD), at(HEAD + 4)],
            TYPEDEF | VOLATILE | CONST | RESTRICT | TYPE_TAG => vec![at(8)],
            _ => Vec::new(),
        }
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn kind(info: u32) -> u32 {
    info >> 24 & 0x1f
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Type information from types as words, and names.
    fn made(types: &[&[u32]], names: &[u8]) -> Vec<u8> {
        let types: Vec<u8> =
            types.iter().flat_map(|words| words.iter().flat_map(|word| word.to_ne_bytes())).collect();
        let mut all = MAGIC.to_ne_bytes().to_vec();
        all.extend([1, 0]);
        for word in [24, 0, types.len() as u32, types.len() as u32, names.len() as u32] {
            all.extend(word.to_ne_bytes());
        }
        [all, types, names.to_vec()].concat()
    }

    const NAMES: &[u8] = b"\0file\0inode\0bpf_lsm_mmap_file\0other\0";
    const FILE: u32 = 1;
    const INODE: u32 = 6;
    const HOOK: u32 = 12;
    const OTHER: u32 = 30;

    /// `struct file { alias number; struct inode *inode; }`, where `inode` has a member, and what belongs to it.
    fn example() -> Vec<Vec<u32>> {
        vec![
            vec![OTHER, INT << 24, 4, 32],                               // 1: an integer
            vec![INODE, STRUCT << 24 | 1, 4, 0, 1, 0],                   // 2: struct inode
            vec![0, 2 << 24, 2],                                         // 3: a pointer to it
            vec![OTHER, TYPEDEF << 24, 1],                               // 4: an alias for the integer
            vec![FILE, STRUCT << 24 | 2, 16, OTHER, 4, 0, INODE, 3, 64], // 5: struct file
            vec![0, FUNC_PROTO << 24 | 1, 1, 0, 3],                      // 6: the type of a function
            vec![HOOK, FUNC << 24, 6],                                   // 7: a function of that type
            vec![OTHER, ENUM << 24 | 1, 4, OTHER, 0],                    // 8: an enumeration
        ]
    }

    fn blob() -> Vec<u8> {
        let types = example();
        made(&types.iter().map(Vec::as_slice).collect::<Vec<_>>(), NAMES)
    }

    fn set<'a>(names: &[&'a str]) -> BTreeSet<&'a [u8]> {
        names.iter().map(|name| name.as_bytes()).collect()
    }

    fn only(structures: &[&str], functions: &[&str]) -> Vec<u8> {
        Types::new(&blob()).unwrap().reduced_to(&set(structures), &set(functions)).unwrap()
    }

    /// What is left of the example: the types with these numbers, in ascending order.
    fn left(numbers: &[usize]) -> Vec<u8> {
        let mut types = example();
        types.truncate(numbers.last().copied().unwrap_or(0));
        for (index, words) in types.iter_mut().enumerate() {
            if !numbers.contains(&(index + 1)) {
                *words = vec![0, FWD << 24, 0];
            }
        }
        made(&types.iter().map(Vec::as_slice).collect::<Vec<_>>(), NAMES)
    }

    #[test]
    fn types_keep_their_numbers_and_nothing_behind_a_pointer_is_kept() {
        assert_eq!(only(&["file"], &["bpf_lsm_mmap_file"]), left(&[1, 3, 4, 5, 7]));
    }

    #[test]
    fn a_name_is_of_a_kind() {
        assert_eq!(only(&["bpf_lsm_mmap_file", "other"], &["file"]), left(&[]));
    }

    #[test]
    fn structures_are_listed() {
        assert_eq!(Types::new(&blob()).unwrap().structures(), set(&["file", "inode"]));
    }

    #[test]
    fn aya_reads_what_is_left() {
        aya::Btf::parse(&only(&["file"], &["bpf_lsm_mmap_file"]), aya::Endianness::default()).unwrap();
    }

    #[test]
    fn types_that_cannot_be_followed_are_named() {
        let unknown = made(&[&[0, INT << 24, 4, 32], &[0, 21 << 24, 0]], b"\0");
        let error = Types::new(&unknown).err();
        assert_eq!(error, Some(Error::Type { number: 2, at: 16, what: "a kind that is not known" }));
        let hollow = made(&[&[0, TYPEDEF << 24, 9], &[1, STRUCT << 24 | 1, 4, 0, 1, 0]], b"\0file\0");
        let error = Types::new(&hollow).unwrap().reduced_to(&set(&["file"]), &set(&[])).err();
        assert_eq!(
            error.unwrap().to_string(),
            "type 1 at byte 0 of the types: it refers to a type that does not exist"
        );
    }

    #[test]
    fn every_kind_has_its_length_and_what_it_is_made_of() {
        let types: [&[u32]; 16] = [
            &[0, INT << 24, 4, 32],                                            // 1
            &[0, ARRAY << 24, 0, 1, 1, 8],                                     // 2
            &[0, UNION << 24 | 1, 32, 0, 2, 0],                                // 3
            &[0, CONST << 24, 3],                                              // 4
            &[FILE, STRUCT << 24 | 4, 64, 0, 4, 0, 0, 6, 0, 0, 7, 0, 0, 9, 0], // 5
            &[0, 16 << 24, 8],                                                 // 6: a floating point number
            &[0, ENUM64 << 24 | 1, 8, OTHER, 1, 0],                            // 7
            &[0, VOLATILE << 24, 1],                                           // 8
            &[0, TYPE_TAG << 24, 10],                                          // 9
            &[0, RESTRICT << 24, 1],                                           // 10
            &[OTHER, VAR << 24, 1, 0],                                         // 11
            &[OTHER, DATASEC << 24 | 1, 4, 11, 0, 4],                          // 12
            &[OTHER, DECL_TAG << 24, 5, 0],                                    // 13
            &[OTHER, FWD << 24, 0],                                            // 14
            &[0, FUNC_PROTO << 24 | 2, 0, 0, 1, 0, 0],                         // 15
            &[HOOK, FUNC << 24, 15],                                           // 16
        ];
        let kept = [1, 2, 3, 4, 5, 6, 7, 9, 10, 16];
        let nothing = [0, FWD << 24, 0];
        let left: Vec<&[u32]> = (1..=16)
            .map(|number| if kept.contains(&number) { types[number - 1] } else { &nothing[..] })
            .collect();
        let reduced = Types::new(&made(&types, NAMES))
            .unwrap()
            .reduced_to(&set(&["file"]), &set(&["bpf_lsm_mmap_file"]));
        assert_eq!(reduced.unwrap(), made(&left, NAMES));
    }

    #[test]
    fn a_longer_header_and_another_order_are_understood() {
        let blob = blob();
        let types = blob.len() - 24 - NAMES.len();
        let mut other = blob[..4].to_vec();
        // A header of 32 bytes, the names, four bytes of nothing, the types.
        for word in [32, NAMES.len() as u32 + 4, types as u32, 0, NAMES.len() as u32, 7, 7] {
            other.extend(word.to_ne_bytes());
        }
        other.extend([NAMES, &[9; 4], &blob[24..24 + types]].concat());
        let reduced = Types::new(&other).unwrap().reduced_to(&set(&["file"]), &set(&["bpf_lsm_mmap_file"]));
        assert_eq!(reduced.unwrap(), only(&["file"], &["bpf_lsm_mmap_file"]));
    }

    proptest! {
        #[test]
        fn cut_or_changed_information_is_an_error_or_is_read(cut: bool, at: prop::sample::Index, byte: u8) {
            let mut blob = blob();
            let at = at.index(blob.len());
            if cut {
                blob.truncate(at);
            } else {
                blob[at] = byte;
            }
            if let Ok(types) = Types::new(&blob) {
                let _ = types.structures();
                if let Ok(left) = types.reduced_to(&set(&["file", "inode"]), &set(&["bpf_lsm_mmap_file"])) {
                    prop_assert!(Types::new(&left).is_ok());
                }
            }
        }
    }
}
