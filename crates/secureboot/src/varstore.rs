//! The variable store of edk2's firmware: enrolling keys before a virtual machine starts for the first time.
//!
//! `OVMF_VARS_4M.fd` is a firmware volume with one store of authenticated variables (edk2: MdePkg
//! `Pi/PiFirmwareVolume.h`, MdeModulePkg `Guid/VariableFormat.h`):
//!
//! ```text
//! firmware volume   16 zeroes, GUID of the file system, u64 length, "_FVH", u32, u16 header length, ...
//! variable store    GUID, u32 size, 0x5a (formatted), 0xfe (healthy), 6 reserved bytes
//! variables         each at a multiple of 4:
//!    0 u16 0x55aa   2 u8 state (0x3f: in use)   3 u8   4 u32 attributes   8 u64 count   16 EFI_TIME
//!   32 u32 index of a public key   36 u32 length of the name   40 u32 length of the value   44 GUID of the vendor
//!   60 name in UTF-16 with its end, value
//! then              0xff: erased flash
//! ```
//!
//! Little-endian. The store of the template must be empty or hold other variables; names that are set here and
//! are there already are an error.

use crate::variable::{ATTRIBUTES, GLOBAL, SECURITY_DATABASE, Time};
use crate::{Error, KeySet, Result, Role};
use lazuli_layout::Guid;

/// gEfiAuthenticatedVariableGuid.
const STORE: Guid = Guid::from_u128(0xaaf32c78_947b_439a_a180_2e144ec37792);
/// gEfiSecureBootEnableDisableGuid: whether the owner wants Secure Boot.
const SECURE_BOOT_ENABLE: Guid = Guid::from_u128(0xf0a30bc7_af08_4556_99c4_001009c93a44);
/// gEfiCustomModeEnableGuid: whether keys can be changed without signatures.
const CUSTOM_MODE: Guid = Guid::from_u128(0xc076ec0c_7028_4399_a072_71ee5c448b9f);
/// NON_VOLATILE | BOOTSERVICE_ACCESS.
const BOOT_ONLY: u32 = 0x3;
const VOLUME_SIGNATURE: &[u8] = b"_FVH";
const STORE_HEADER: usize = 28;
const VARIABLE_HEADER: usize = 60;
const ALIGNMENT: usize = 4;
const IN_USE: u8 = 0x3f;
const ERASED: u8 = 0xff;

/// A variable in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stored {
    name: String,
    vendor: Guid,
    attributes: u32,
    time: [u8; 16],
    value: Vec<u8>,
}

/// The template with the certificates of `keys` enrolled and Secure Boot on.
pub fn enrol(template: &[u8], keys: &KeySet) -> Result<Vec<u8>> {
    let time = KeySet::TIME;
    let list = |role: Role, vendor| Stored {
        name: role.to_string(),
        vendor,
        attributes: ATTRIBUTES,
        time: Time::to_bytes(time),
        value: keys.signature_list(role),
    };
    let flag = |name: &str, vendor, value| Stored {
        name: name.to_owned(),
        vendor,
        attributes: BOOT_ONLY,
        time: [0; 16],
        value: vec![value],
    };
    append(
        template,
        &[
            list(Role::Pk, GLOBAL),
            list(Role::Kek, GLOBAL),
            list(Role::Db, SECURITY_DATABASE),
            flag("SecureBootEnable", SECURE_BOOT_ENABLE, 1),
            flag("CustomMode", CUSTOM_MODE, 0),
        ],
    )
}

/// Where the variables are: the first one, and the end of the store.
fn store(bytes: &[u8]) -> Result<(usize, usize)> {
    let fail = |reason: &str| Error::Store(reason.to_owned());
    if bytes.get(40..44) != Some(VOLUME_SIGNATURE) {
        return Err(fail("it is no firmware volume"));
    }
    let length = bytes.get(48..50).ok_or_else(|| fail("it ends in its header"))?;
    let start = usize::from(u16::from_le_bytes([length[0], length[1]]));
    let header =
        bytes.get(start..start + STORE_HEADER).ok_or_else(|| fail("it ends before the store begins"))?;
    if header[..16] != STORE.to_disk() || header[20..22] != [0x5a, 0xfe] {
        return Err(fail("the store is not one of authenticated variables, or not a healthy one"));
    }
    let end = start.saturating_add(number(header, 16));
    if end > bytes.len() {
        return Err(fail("the store is longer than the file"));
    }
    Ok((start + STORE_HEADER, end))
}

/// The variables in use, and where the next one goes.
fn variables(bytes: &[u8]) -> Result<(Vec<Stored>, usize)> {
    let (mut at, end) = store(bytes)?;
    let mut found = Vec::new();
    while let Some(header) = bytes[..end].get(at..at + VARIABLE_HEADER) {
        if header[..2] != [0xaa, 0x55] {
            break;
        }
        let (name_len, value_len) = (number(header, 36), number(header, 40));
        let name_at = at + VARIABLE_HEADER;
        let value_at = name_at.saturating_add(name_len);
        let next = value_at.saturating_add(value_len);
        if next > end {
            return Err(Error::Store("a variable is longer than the store".into()));
        }
        if header[2] == IN_USE {
            let units: Vec<u16> =
                bytes[name_at..value_at].chunks_exact(2).map(|c| u16::from_le_bytes([c[0], c[1]])).collect();
            let mut vendor = [0; 16];
            vendor.copy_from_slice(&header[44..60]);
            let mut time = [0; 16];
            time.copy_from_slice(&header[16..32]);
            found.push(Stored {
                name: String::from_utf16_lossy(&units).trim_end_matches('\0').to_owned(),
                vendor: Guid::from_disk(vendor),
                attributes: number(header, 4) as u32,
                time,
                value: bytes[value_at..next].to_vec(),
            });
        }
        at = next.next_multiple_of(ALIGNMENT);
    }
    Ok((found, at))
}

fn append(template: &[u8], new: &[Stored]) -> Result<Vec<u8>> {
    let (present, mut at) = variables(template)?;
    let (_, end) = store(template)?;
    if let Some(there) =
        present.iter().find(|v| new.iter().any(|n| (&n.name, n.vendor) == (&v.name, v.vendor)))
    {
        return Err(Error::Store(format!("it has a variable {} already", there.name)));
    }
    let mut bytes = template.to_vec();
    for variable in new {
        let encoded = variable.encode();
        let place = bytes[..end]
            .get_mut(at..at + encoded.len())
            .filter(|place| place.iter().all(|b| *b == ERASED))
            .ok_or_else(|| Error::Store("it is full".into()))?;
        place.copy_from_slice(&encoded);
        at = (at + encoded.len()).next_multiple_of(ALIGNMENT);
    }
    Ok(bytes)
}

impl Stored {
    fn encode(&self) -> Vec<u8> {
        let name: Vec<u8> = self.name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
        let mut bytes = vec![0xaa, 0x55, IN_USE, 0];
        bytes.extend_from_slice(&self.attributes.to_le_bytes());
        bytes.extend_from_slice(&0_u64.to_le_bytes());
        bytes.extend_from_slice(&self.time);
        for number in [0, name.len(), self.value.len()] {
            bytes.extend_from_slice(&(number as u32).to_le_bytes());
        }
        bytes.extend_from_slice(&self.vendor.to_disk());
        bytes.extend_from_slice(&name);
        bytes.extend_from_slice(&self.value);
        bytes
    }
}

fn number(bytes: &[u8], at: usize) -> usize {
    bytes[at..at + 4].iter().rev().fold(0, |n, b| n << 8 | usize::from(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A volume with an empty store of 16 KiB.
    fn template() -> Vec<u8> {
        let mut bytes = vec![0; 0x48];
        bytes[40..44].copy_from_slice(VOLUME_SIGNATURE);
        bytes[48] = 0x48;
        bytes.extend_from_slice(&STORE.to_disk());
        bytes.extend_from_slice(&(16_384_u32).to_le_bytes());
        bytes.extend_from_slice(&[0x5a, 0xfe, 0, 0, 0, 0, 0, 0]);
        bytes.resize(0x48 + 16_384 + 4096, ERASED);
        bytes
    }

    #[test]
    fn what_is_enrolled_is_found_again_and_cannot_be_enrolled_twice() {
        let keys = KeySet::generate("test").unwrap();
        let bytes = enrol(&template(), &keys).unwrap();
        assert_eq!(bytes.len(), template().len());
        let (found, _) = variables(&bytes).unwrap();
        let names: Vec<&str> = found.iter().map(|v| v.name.as_str()).collect();
        assert_eq!(names, ["PK", "KEK", "db", "SecureBootEnable", "CustomMode"]);
        let db = crate::esl::decode(&found[2].value).unwrap();
        assert_eq!(db[0].1, *keys.key(Role::Db).certificate());
        assert!(enrol(&bytes, &keys).unwrap_err().to_string().contains("already"));
    }

    #[test]
    fn a_store_that_is_too_small_or_none_is_an_error() {
        let keys = KeySet::generate("test").unwrap();
        let mut small = template();
        small[0x48 + 16..0x48 + 20].copy_from_slice(&2000_u32.to_le_bytes());
        assert!(enrol(&small, &keys).unwrap_err().to_string().contains("full"));
        for len in [0, 47, 0x48, 0x60] {
            assert!(enrol(&template()[..len], &keys).is_err(), "{len}");
        }
        let mut foreign = template();
        foreign[0x48] ^= 1;
        assert!(enrol(&foreign, &keys).is_err());
    }
}
