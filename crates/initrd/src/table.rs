//! The device to be made, in the words of `dm-mod.create=` (Documentation/admin-guide/device-mapper/dm-init.rst).
//!
//! ```text
//! NAME,UUID,MINOR,FLAGS,START LENGTH verity VERSION DATA HASHES ARGUMENT...
//! root,,0,ro,0 24 verity 1 PARTUUID=... PARTUUID=... 4096 4096 3 1 sha256 HASH SALT 3 panic_on_corruption ...
//! ```
//!
//! The kernel would take several devices, any target and devices that can be written to. Here it is one, with one target,
//! `verity`, read-only, over two partitions: nothing else can be a root.

use crate::gpt::Guid;
use std::fmt;

/// The longest name that the kernel takes, without the byte that ends it.
const LONGEST_NAME: usize = 127;
/// The same for a UUID.
const LONGEST_UUID: usize = 128;
/// Minor numbers have 20 bits.
const MINORS: u32 = 1 << 20;
/// The only target.
const TARGET: &str = "verity";

/// A text that describes no root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A device of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceNumber {
    /// Which driver.
    pub major: u32,
    /// Which device of it.
    pub minor: u32,
}

impl std::str::FromStr for DeviceNumber {
    type Err = ();

    /// As sysfs has it: `253:0`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (major, minor) = text.split_once(':').ok_or(())?;
        let number = |text: &str| text.parse().map_err(drop);
        Ok(Self { major: number(major)?, minor: number(minor)? })
    }
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// A verity device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// Its name.
    pub name: String,
    /// Its UUID; may be empty.
    pub uuid: String,
    /// Its minor number, if it matters.
    pub minor: Option<u32>,
    /// Its length in sectors of 512 bytes.
    pub sectors: u64,
    /// The partition with the data.
    pub data: Guid,
    /// The partition with the hash tree.
    pub hashes: Guid,
    /// The version of the format.
    version: String,
    /// What comes behind the partitions, as it stands.
    arguments: String,
}

impl Mapping {
    /// Reads it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |reason: &str| Error(reason.to_owned());
        if text.contains(';') {
            return Err(wrong("more than one device"));
        }
        if text.contains('\0') {
            return Err(wrong("a byte that is 0"));
        }
        let mut fields = text.splitn(5, ',').map(str::trim);
        let mut field = || fields.next().ok_or_else(|| wrong("fewer than five fields"));
        let (name, uuid, minor, flags, table) = (field()?, field()?, field()?, field()?, field()?);
        if name.is_empty()
            || name.len() > LONGEST_NAME
            || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
        {
            return Err(Error(format!("`{name}` is not a name for a device")));
        }
        if uuid.len() > LONGEST_UUID || !uuid.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Error(format!("`{uuid}` is not a UUID for a device")));
        }
        let minor = match minor {
            "" => None,
            text => match text.parse() {
                Ok(number) if number < MINORS => Some(number),
                _ => return Err(Error(format!("`{text}` is not a minor number"))),
            },
        };
        if flags != "ro" {
            return Err(Error(format!("`{flags}` where `ro` has to be")));
        }
        if table.contains(',') {
            return Err(wrong("more than one target"));
        }
        let mut words = table.split_ascii_whitespace();
        let mut word = |what: &str| words.next().ok_or_else(|| Error(format!("the table has no {what}")));
        if word("start")? != "0" {
            return Err(wrong("the table does not begin at sector 0"));
        }
        let length = word("length")?;
        let sectors = length.parse().ok().filter(|sectors| *sectors > 0);
        let sectors = sectors.ok_or_else(|| Error(format!("`{length}` is not a number of sectors")))?;
        let target = word("target")?;
        if target != TARGET {
            return Err(Error(format!("the target is `{target}` and not `{TARGET}`")));
        }
        let version = word("version")?.to_owned();
        let data = partition(word("data device")?)?;
        let hashes = partition(word("hash device")?)?;
        let arguments = words.collect::<Vec<_>>().join(" ");
        let (name, uuid) = (name.to_owned(), uuid.to_owned());
        Ok(Self { name, uuid, minor, sectors, data, hashes, version, arguments })
    }

    /// The target.
    pub fn target(&self) -> &'static str {
        TARGET
    }

    /// The parameters of the target, with the partitions as the kernel knows them.
    pub fn parameters(&self, data: DeviceNumber, hashes: DeviceNumber) -> String {
        format!("{} {data} {hashes} {}", self.version, self.arguments)
    }
}

/// `PARTUUID=...`
fn partition(word: &str) -> Result<Guid, Error> {
    let guid = word.strip_prefix("PARTUUID=").and_then(|guid| guid.parse().ok());
    guid.ok_or_else(|| Error(format!("`{word}` does not name a partition by its GUID")))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) const TABLE_TEXT: &str = "root,,0,ro,0 24 verity 1 PARTUUID=abababab-abab-abab-abab-abababababab \
        PARTUUID=01020304-0506-0708-090a-0b0c0d0e0f10 4096 4096 3 1 sha256 abcd 0102 3 panic_on_corruption \
        root_hash_sig_base64 BwcH==";

    #[test]
    fn the_text_of_the_default_profile_is_understood() {
        let mapping = Mapping::parse(TABLE_TEXT).unwrap();
        assert_eq!((mapping.name.as_str(), mapping.uuid.as_str()), ("root", ""));
        assert_eq!((mapping.minor, mapping.sectors), (Some(0), 24));
        assert_eq!(mapping.hashes.to_string(), "01020304-0506-0708-090a-0b0c0d0e0f10");
        let number = |text: &str| text.parse::<DeviceNumber>().unwrap();
        assert_eq!(
            mapping.parameters(number("254:2"), number("259:3")),
            "1 254:2 259:3 4096 4096 3 1 sha256 abcd 0102 3 panic_on_corruption root_hash_sig_base64 BwcH=="
        );
    }

    #[test]
    fn nothing_but_a_verified_root_that_is_only_read_is_taken() {
        for (from, to, reason) in [
            ("verity 1", "linear 1", "the target is `linear`"),
            (",ro,", ",rw,", "`rw` where `ro`"),
            (",ro,", ",,", "`` where `ro`"),
            ("root,,0,ro,", "root,,0,ro;", "more than one device"),
            ("BwcH==", "BwcH==,24 8 zero", "more than one target"),
            ("BwcH==", "BwcH==;x,,,ro,0 8 zero", "more than one device"),
            ("0 24 ", "8 24 ", "does not begin at sector 0"),
            ("0 24 ", "0 0 ", "not a number of sectors"),
            ("0 24 ", "0 99999999999999999999 ", "not a number of sectors"),
            ("BwcH==", "Bw\0H==", "a byte that is 0"),
            ("root,", ",", "is not a name"),
            ("root,", "../root,", "is not a name"),
            (",0,ro", ",1048576,ro", "not a minor number"),
            (",0,ro", ",-1,ro", "not a minor number"),
            ("PARTUUID=01020304-", "/dev/vda", "does not name a partition"),
            ("PARTUUID=01020304-", "PARTUUID=01020304", "does not name a partition"),
        ] {
            let text = TABLE_TEXT.replacen(from, to, 1);
            let error = Mapping::parse(&text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}\n{error}");
        }
        for short in ["", "root", "root,,0,ro", "root,,0,ro,", "root,,0,ro,0 24 verity 1"] {
            assert!(Mapping::parse(short).is_err(), "{short}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_gives_parameters_without_a_comma(
            flips in prop::collection::vec((0_usize..250, "[ -~]"), 0..4)
        ) {
            let mut text = TABLE_TEXT.as_bytes().to_vec();
            for (at, with) in flips {
                let at = at % text.len();
                text[at] = with.as_bytes()[0];
            }
            let text = String::from_utf8(text).unwrap();
            if let Ok(mapping) = Mapping::parse(&text) {
                let one = DeviceNumber { major: 1, minor: 2 };
                prop_assert!(!mapping.parameters(one, one).contains([',', ';']));
            }
        }
    }
}
