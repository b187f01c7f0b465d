//! Unified kernel images (UAPI.5): systemd's UEFI stub with the kernel and what belongs to it appended as
//! PE sections.
//!
//! PE rules kept here (PE/COFF specification, `systemd-stub(7)`):
//!
//! - a section's address is the end of the one before it, rounded up to SectionAlignment;
//! - its place and length in the file are multiples of FileAlignment;
//! - its VirtualSize is the exact length of the data, because that is what the stub measures;
//! - `.linux` is code, everything else initialised data;
//! - SizeOfImage and SizeOfInitializedData grow; CheckSum is computed anew;
//! - the stub's NX_COMPAT bit falls when the kernel does not have it.
//!
//! All numbers are little-endian. `.sbat` is not a new section: our lines go into the stub's own.
//!
//! # Profiles
//!
//! An image can be started in several ways. Each `.profile` section begins one, and the sections behind it are its own;
//! those in front of the first `.profile` are common to all, unless a profile has its own of the same name. The boot
//! loader shows an entry for each profile and starts the first one by default:
//!
//! ```text
//! .osrel .cmdline .uname .linux   .profile   .profile .osrel .cmdline .initrd
//! └─ common ──────────────────┘   └─ 0 ──┘   └─ 1 ─────────────────────────┘
//! ```
//!
//! This module takes bytes and gives bytes.

/// What goes into a unified kernel image.
#[derive(Debug, Clone)]
pub struct Uki<'a> {
    /// systemd's stub, `linuxx64.efi.stub`.
    pub stub: &'a [u8],
    /// The kernel, a bzImage with its EFI stub.
    pub linux: &'a [u8],
    /// The text of os-release.
    pub osrel: &'a str,
    /// The kernel's command line.
    pub cmdline: &'a str,
    /// The kernel's release, as `uname -r` says it.
    pub uname: &'a str,
    /// Lines for `.sbat`: component name, generation, vendor, package, version, URL.
    pub sbat: &'a str,
    /// The ways in which it can be started, the default first; none if there is only one.
    pub profiles: &'a [Profile<'a>],
}

/// A way to start a unified kernel image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile<'a> {
    /// What the boot loader puts behind `@` in the name of the entry.
    pub id: &'a str,
    /// What it shows in parentheses behind the system's name.
    pub title: Option<&'a str>,
    /// An os-release instead of the common one. The boot loader sorts entries by its IMAGE_ID.
    pub osrel: Option<&'a str>,
    /// A command line instead of the common one.
    pub cmdline: Option<&'a str>,
    /// An initrd, as the kernel takes it.
    pub initrd: Option<&'a [u8]>,
}

impl Profile<'_> {
    /// The text of its `.profile` section, which has the form of os-release.
    fn text(&self) -> String {
        let title = self.title.map(|title| format!("TITLE={title}\n")).unwrap_or_default();
        format!("ID={}\n{title}", self.id)
    }
}

/// Why no image could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UkiError {
    /// A file is not what it should be.
    #[error("the {file} is not a PE32+ image for UEFI: {reason}")]
    Pe {
        /// `stub` or `kernel`.
        file: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// There is no place for another entry in the stub's section table.
    #[error("the stub has no room for more than {room} sections; use a newer systemd-boot-efi")]
    Headers {
        /// How many sections fit.
        room: usize,
    },
    /// The lines for `.sbat` do not fit.
    #[error("the .sbat section holds {room} bytes and needs {needed}; shorten the lines")]
    Sbat {
        /// Bytes there are.
        room: usize,
        /// Bytes needed.
        needed: usize,
    },
    /// The image would be larger than a PE image can be.
    #[error("the image would be larger than 4 GiB")]
    Large,
}

/// IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ.
const DATA: u32 = 0x4000_0040;
/// IMAGE_SCN_CNT_CODE | IMAGE_SCN_MEM_EXECUTE | IMAGE_SCN_MEM_READ.
const CODE: u32 = 0x6000_0020;
const NX_COMPAT: u16 = 0x0100;
const SUBSYSTEM_EFI_APPLICATION: u16 = 10;
const SECTION_HEADER: usize = 40;
/// The name of the section that begins a profile.
const PROFILE: &[u8; 8] = b".profile";

/// Name, data and characteristics of a section to be added.
type NewSection<'a> = (&'a [u8; 8], &'a [u8], u32);

/// Offsets in the PE header of an image, from its beginning.
struct Pe {
    /// The COFF header, behind the signature.
    coff: usize,
    /// The optional header.
    optional: usize,
    /// The section table.
    sections: usize,
    count: usize,
}

impl Pe {
    fn parse(file: &'static str, bytes: &[u8]) -> Result<Self, UkiError> {
        let fail = |reason| UkiError::Pe { file, reason };
        let short = || fail("it ends in the middle of a header");
        if bytes.get(..2) != Some(b"MZ") {
            return Err(fail("no MZ signature"));
        }
        let start = read_u32(bytes, 0x3c).ok_or_else(short)? as usize;
        if bytes.get(start..start.saturating_add(4)) != Some(b"PE\0\0") {
            return Err(fail("no PE signature"));
        }
        let coff = start + 4;
        let optional = coff + 20;
        let count = read_u16(bytes, coff + 2).ok_or_else(short)? as usize;
        let sections = optional + read_u16(bytes, coff + 16).ok_or_else(short)? as usize;
        if read_u16(bytes, optional) != Some(0x20b) {
            return Err(fail("it is not PE32+"));
        }
        if sections < optional + 112 || bytes.len() < sections + count * SECTION_HEADER {
            return Err(short());
        }
        let pe = Self { coff, optional, sections, count };
        if field_u16(bytes, pe.optional + 68) != SUBSYSTEM_EFI_APPLICATION {
            return Err(fail("its subsystem is not EFI application"));
        }
        for alignment in [pe.section_alignment(bytes), pe.file_alignment(bytes)] {
            if !alignment.is_power_of_two() || !(512..=1 << 21).contains(&alignment) {
                return Err(fail("an alignment is not a power of two"));
            }
        }
        Ok(pe)
    }

    fn section_alignment(&self, bytes: &[u8]) -> u32 {
        field_u32(bytes, self.optional + 32)
    }

    fn file_alignment(&self, bytes: &[u8]) -> u32 {
        field_u32(bytes, self.optional + 36)
    }

    fn characteristics(&self, bytes: &[u8]) -> u16 {
        field_u16(bytes, self.optional + 70)
    }

    /// The header of the section `index`: offset of it, name, virtual size and address, file size and offset.
    fn section(&self, bytes: &[u8], index: usize) -> Section {
        let at = self.sections + index * SECTION_HEADER;
        let mut name = [0; 8];
        name.copy_from_slice(&bytes[at..at + 8]);
        Section {
            at,
            name,
            virtual_size: field_u32(bytes, at + 8),
            address: field_u32(bytes, at + 12),
            raw_size: field_u32(bytes, at + 16),
            raw_offset: field_u32(bytes, at + 20),
        }
    }

    fn sections(&self, bytes: &[u8]) -> Vec<Section> {
        (0..self.count).map(|i| self.section(bytes, i)).collect()
    }
}

#[derive(Debug, Clone, Copy)]
struct Section {
    at: usize,
    name: [u8; 8],
    virtual_size: u32,
    address: u32,
    raw_size: u32,
    raw_offset: u32,
}

impl Section {
    fn is(&self, name: &str) -> bool {
        self.name.iter().take_while(|b| **b != 0).eq(name.as_bytes())
    }
}

impl Uki<'_> {
    /// The image as bytes.
    pub fn build(&self) -> Result<Vec<u8>, UkiError> {
        let pe = Pe::parse("stub", self.stub)?;
        let kernel = Pe::parse("kernel", self.linux)?;
        let mut image = self.stub.to_vec();
        let existing = pe.sections(&image);
        self.extend_sbat(&pe, &mut image, &existing)?;

        // Order: what the stub reads for the menu first, the large one last.
        let mut new: Vec<NewSection<'_>> = vec![
            (b".osrel\0\0", self.osrel.as_bytes(), DATA),
            (b".cmdline", self.cmdline.as_bytes(), DATA),
            (b".uname\0\0", self.uname.as_bytes(), DATA),
            (b".linux\0\0", self.linux, CODE),
        ];
        let texts: Vec<String> = self.profiles.iter().map(Profile::text).collect();
        for (profile, text) in self.profiles.iter().zip(&texts) {
            new.push((PROFILE, text.as_bytes(), DATA));
            new.extend(profile.osrel.map(|osrel| (b".osrel\0\0", osrel.as_bytes(), DATA)));
            new.extend(profile.cmdline.map(|line| (b".cmdline", line.as_bytes(), DATA)));
            new.extend(profile.initrd.map(|initrd| (b".initrd\0", initrd, DATA)));
        }
        let headers = field_u32(&image, pe.optional + 60) as usize;
        let first_data = existing.iter().filter(|s| s.raw_size > 0).map(|s| s.raw_offset as usize).min();
        let header_end = headers.min(first_data.unwrap_or(headers)).min(image.len());
        let room = header_end.saturating_sub(pe.sections) / SECTION_HEADER;
        if pe.count + new.len() > room {
            return Err(UkiError::Headers { room });
        }
        let alignment = pe.section_alignment(&image);
        let file_alignment = pe.file_alignment(&image) as usize;
        let up = |n: u32| n.checked_next_multiple_of(alignment).ok_or(UkiError::Large);
        let mut address =
            up(existing.iter().map(|s| s.address.saturating_add(s.virtual_size)).max().unwrap_or(0))?;
        let mut added = 0_u32;
        image.resize(image.len().next_multiple_of(file_alignment), 0);
        for (index, (name, data, characteristics)) in new.iter().enumerate() {
            let offset = u32::try_from(image.len()).map_err(|_| UkiError::Large)?;
            image.extend_from_slice(data);
            image.resize(image.len().next_multiple_of(file_alignment), 0);
            let raw_size = u32::try_from(image.len()).map_err(|_| UkiError::Large)? - offset;
            let size = u32::try_from(data.len()).map_err(|_| UkiError::Large)?;
            let at = pe.sections + (pe.count + index) * SECTION_HEADER;
            image[at..at + SECTION_HEADER].fill(0);
            image[at..at + 8].copy_from_slice(*name);
            write_u32(&mut image, at + 8, size);
            write_u32(&mut image, at + 12, address);
            write_u32(&mut image, at + 16, raw_size);
            write_u32(&mut image, at + 20, offset);
            write_u32(&mut image, at + 36, *characteristics);
            address = up(address.checked_add(size).ok_or(UkiError::Large)?)?;
            added = added.checked_add(raw_size).ok_or(UkiError::Large)?;
        }
        let count = u16::try_from(pe.count + new.len()).map_err(|_| UkiError::Headers { room })?;
        image[pe.coff + 2..pe.coff + 4].copy_from_slice(&count.to_le_bytes());
        let initialised = field_u32(&image, pe.optional + 8).checked_add(added).ok_or(UkiError::Large)?;
        write_u32(&mut image, pe.optional + 8, initialised);
        write_u32(&mut image, pe.optional + 56, address);
        if kernel.characteristics(self.linux) & NX_COMPAT == 0 {
            // A kernel that writes to its own code would fault under firmware that enforces the bit.
            let bits = pe.characteristics(&image) & !NX_COMPAT;
            image[pe.optional + 70..pe.optional + 72].copy_from_slice(&bits.to_le_bytes());
        }
        write_u32(&mut image, pe.optional + 64, 0);
        let checksum = checksum(&image);
        write_u32(&mut image, pe.optional + 64, checksum);
        Ok(image)
    }

    /// Puts our lines behind those of the stub, in its own section.
    fn extend_sbat(&self, pe: &Pe, image: &mut [u8], sections: &[Section]) -> Result<(), UkiError> {
        let short = UkiError::Pe { file: "stub", reason: "it has no .sbat section" };
        let sbat = sections.iter().find(|s| s.name == *b".sbat\0\0\0").ok_or(short)?;
        let start = sbat.raw_offset as usize;
        let old = sbat.virtual_size.min(sbat.raw_size) as usize;
        let room = sbat.raw_size as usize;
        if image.len() < start.saturating_add(room) {
            return Err(UkiError::Pe { file: "stub", reason: "its .sbat section lies outside of it" });
        }
        let text_len = image[start..start + old].iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
        let needed = text_len + self.sbat.len();
        if needed > room || needed > pe.section_alignment(image) as usize {
            return Err(UkiError::Sbat { room, needed });
        }
        image[start + text_len..start + needed].copy_from_slice(self.sbat.as_bytes());
        write_u32(image, sbat.at + 8, needed as u32);
        Ok(())
    }
}

/// The PE checksum: ones' complement sum of all 16-bit words, plus the length. The field itself must be 0.
fn checksum(image: &[u8]) -> u32 {
    let mut sum = 0_u32;
    for word in image.chunks(2) {
        sum += u32::from(word[0]) | u32::from(word.get(1).copied().unwrap_or(0)) << 8;
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum + image.len() as u32
}

/// The data of a section that is common to all profiles, without padding.
pub fn section<'a>(image: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let sections = Pe::parse("image", image).ok()?.sections(image);
    let common = sections.split(|s| s.name == *PROFILE).next()?;
    data(image, common.iter().find(|s| s.is(name))?)
}

/// The data of a section as the profile with this number has it, the default one being 0: its own, or the common one.
/// `None` as well if there is no such profile.
pub fn profile_section<'a>(image: &'a [u8], profile: usize, name: &str) -> Option<&'a [u8]> {
    let sections = Pe::parse("image", image).ok()?.sections(image);
    let begins = sections.iter().enumerate().filter(|(_, s)| s.name == *PROFILE).nth(profile)?.0;
    let behind = &sections[begins + 1..];
    let end = behind.iter().position(|s| s.name == *PROFILE).unwrap_or(behind.len());
    let own = sections[begins..=begins + end].iter().find(|s| s.is(name));
    own.map_or_else(|| section(image, name), |own| data(image, own))
}

fn data<'a>(image: &'a [u8], section: &Section) -> Option<&'a [u8]> {
    let start = section.raw_offset as usize;
    image.get(start..start.checked_add(section.virtual_size.min(section.raw_size) as usize)?)
}

fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes([*bytes.get(at)?, *bytes.get(at.checked_add(1)?)?]))
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from(read_u16(bytes, at)?) | u32::from(read_u16(bytes, at.checked_add(2)?)?) << 16)
}

/// A field of a header whose length [`Pe::parse`] has checked.
fn field_u16(bytes: &[u8], at: usize) -> u16 {
    read_u16(bytes, at).unwrap_or_default()
}

/// As [`field_u16`].
fn field_u32(bytes: &[u8], at: usize) -> u32 {
    read_u32(bytes, at).unwrap_or_default()
}

fn write_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
#[path = "uki_tests.rs"]
pub(crate) mod tests;
