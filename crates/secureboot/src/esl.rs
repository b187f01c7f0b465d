//! EFI_SIGNATURE_LIST: the certificates in PK, KEK and db (UEFI 2.10, 32.4.1).
//!
//! ```text
//!  0  GUID   type of what is in it
//! 16  u32    length of the list with this header
//! 20  u32    length of a header that no type in use has: 0
//! 24  u32    length of one entry
//! 28  entries: GUID of the owner, certificate
//! ```
//!
//! Little-endian, GUIDs mixed-endian. All entries of a list have one length, so each certificate gets a list of its own.

use crate::{Certificate, Error, Result};
use lazuli_layout::Guid;

/// EFI_CERT_X509_GUID.
const X509: Guid = Guid::from_u128(0xa5c059a1_94e4_4aa7_87b5_ab155c2bf072);
const HEADER: usize = 28;

/// Lists with these certificates, owned by `owner` (who put them there; firmware only shows it).
pub fn encode(owner: Guid, certificates: &[&Certificate]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for certificate in certificates {
        let entry = 16 + certificate.der().len();
        bytes.extend_from_slice(&X509.to_disk());
        for number in [HEADER + entry, 0, entry] {
            // Certificates have a few kilobytes.
            bytes.extend_from_slice(&(number as u32).to_le_bytes());
        }
        bytes.extend_from_slice(&owner.to_disk());
        bytes.extend_from_slice(certificate.der());
    }
    bytes
}

/// The X.509 certificates of signature lists, with their owners; entries of other types are passed over.
pub fn decode(mut bytes: &[u8]) -> Result<Vec<(Guid, Certificate)>> {
    let broken = || Error::Format("a signature list is cut off".into());
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let header = bytes.get(..HEADER).ok_or_else(broken)?;
        let number = |at: usize| header[at..at + 4].iter().rev().fold(0, |n, b| n << 8 | usize::from(*b));
        let (len, extra, entry) = (number(16), number(20), number(24));
        let list = bytes.get(HEADER.checked_add(extra).ok_or_else(broken)?..len).ok_or_else(broken)?;
        if entry <= 16 || !list.len().is_multiple_of(entry) {
            return Err(broken());
        }
        if guid(header) == X509 {
            for entry in list.chunks_exact(entry) {
                found.push((guid(entry), Certificate::from_der(&entry[16..])?));
            }
        }
        bytes = &bytes[len..];
    }
    Ok(found)
}

fn guid(bytes: &[u8]) -> Guid {
    let mut guid = [0; 16];
    guid.copy_from_slice(&bytes[..16]);
    Guid::from_disk(guid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::tests::KEYS;
    use proptest::prelude::*;

    #[test]
    fn certificates_and_owners_come_back() {
        let owner = Guid::from_u128(7);
        let both = KEYS.each_ref().map(crate::Key::certificate);
        let bytes = encode(owner, &both);
        let read: Vec<_> = decode(&bytes).unwrap();
        assert_eq!(read, both.map(|c| (owner, c.clone())));
        assert!(decode(&bytes[..bytes.len() - 1]).is_err());
        assert_eq!(decode(&[]).unwrap(), []);
    }

    proptest! {
        #[test]
        fn anything_else_is_an_error_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 1..100)) {
            let _ = decode(&bytes);
        }
    }
}
