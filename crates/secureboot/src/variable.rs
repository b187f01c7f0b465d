//! Authenticated variables: how PK, KEK and db are set (UEFI 2.10, 8.2.2).
//!
//! The data that is handed to SetVariable():
//!
//! ```text
//!  0  EFI_TIME                 16 bytes; a variable is replaced by a later one only
//! 16  u32, u16, u16            length from here to the end of the signature, 0x0200, 0x0EF1
//! 24  EFI_CERT_TYPE_PKCS7_GUID
//! 40  signedData               bare, detached, with the signer's certificate, without attributes
//!     the new value            signature lists
//! ```
//!
//! Signed is: name in UTF-16 without an end, vendor GUID, attributes (u32), EFI_TIME, value. Files of this form have the
//! ending `.auth`; `systemd-boot` enrols them from `loader/keys/NAME/`, and so do the menus of most firmware.

use crate::{Key, Result, pkcs7};
use lazuli_layout::Guid;

/// EFI_CERT_TYPE_PKCS7_GUID.
const PKCS7: Guid = Guid::from_u128(0x4aafd29d_68df_49ee_8aa9_347d375665a7);
/// EFI_GLOBAL_VARIABLE: PK and KEK.
pub const GLOBAL: Guid = Guid::from_u128(0x8be4df61_93ca_11d2_aa0d_00e098032b8c);
/// EFI_IMAGE_SECURITY_DATABASE_GUID: db and dbx.
pub const SECURITY_DATABASE: Guid = Guid::from_u128(0xd719b2cb_3d3a_4596_a3bc_dad00e67656f);
/// NON_VOLATILE | BOOTSERVICE_ACCESS | RUNTIME_ACCESS | TIME_BASED_AUTHENTICATED_WRITE_ACCESS.
pub const ATTRIBUTES: u32 = 0x27;
const REVISION: u16 = 0x0200;
const TYPE_EFI_GUID: u16 = 0x0ef1;

/// A time as UEFI has it, to the second, in UTC (UEFI 2.10, 8.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// The year, 1900 to 9999.
    pub year: u16,
    /// The month, 1 to 12.
    pub month: u8,
    /// The day, 1 to 31.
    pub day: u8,
}

impl Time {
    /// EFI_TIME: midnight; nanoseconds, time zone and daylight must be 0 in an authenticated variable.
    pub fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&self.year.to_le_bytes());
        (bytes[2], bytes[3]) = (self.month, self.day);
        bytes
    }
}

/// A variable that is to be set.
#[derive(Debug, Clone, Copy)]
pub struct Variable<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its vendor GUID.
    pub vendor: Guid,
    /// Since when the value holds.
    pub time: Time,
    /// The value.
    pub value: &'a [u8],
}

impl Variable<'_> {
    /// What has to be signed.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        bytes.extend_from_slice(&self.vendor.to_disk());
        bytes.extend_from_slice(&ATTRIBUTES.to_le_bytes());
        bytes.extend_from_slice(&self.time.to_bytes());
        bytes.extend_from_slice(self.value);
        bytes
    }

    /// The content of a `.auth` file, signed by `key`: PK and KEK by PK's owner, db by KEK's.
    pub fn authenticated(&self, key: &Key) -> Result<Vec<u8>> {
        let signature = pkcs7::sign_detached_with_certificate(key, &self.signed_bytes())?;
        let mut bytes = self.time.to_bytes().to_vec();
        // Length, revision and type take 8 bytes, the GUID 16.
        bytes.extend_from_slice(&(24 + signature.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&REVISION.to_le_bytes());
        bytes.extend_from_slice(&TYPE_EFI_GUID.to_le_bytes());
        bytes.extend_from_slice(&PKCS7.to_disk());
        bytes.extend_from_slice(&signature);
        bytes.extend_from_slice(self.value);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::tests::KEYS;

    #[test]
    fn the_parts_lie_where_firmware_looks_for_them() {
        let time = Time { year: 2025, month: 1, day: 2 };
        let variable = Variable { name: "KEK", vendor: GLOBAL, time, value: b"value" };
        let bytes = variable.authenticated(&KEYS[0]).unwrap();
        assert_eq!(bytes[..16], [0xe9, 7, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let len = u32::from_le_bytes(bytes[16..20].try_into().unwrap()) as usize;
        assert_eq!(bytes[20..24], [0, 2, 0xf1, 0x0e]);
        let (signature, value) = (&bytes[40..16 + len], &bytes[16 + len..]);
        assert_eq!(value, b"value");
        let mut signed = b"K\0E\0K\0".to_vec();
        signed.extend_from_slice(&GLOBAL.to_disk());
        signed.extend_from_slice(&[0x27, 0, 0, 0]);
        signed.extend_from_slice(&bytes[..16]);
        signed.extend_from_slice(b"value");
        pkcs7::verify_detached(signature, &signed, &[KEYS[0].certificate().clone()]).unwrap();
    }
}
