use super::*;
use proptest::prelude::*;

/// Headers of 512 bytes, and two sections whose headers are not in the order of their content.
pub fn sample(trailing: usize) -> Vec<u8> {
    let mut image = vec![0; 512];
    image[..2].copy_from_slice(b"MZ");
    image[0x3c] = 0x40;
    image[0x40..0x44].copy_from_slice(b"PE\0\0");
    let (coff, optional) = (0x44, 0x58);
    image[coff + 2] = 2;
    image[coff + 16] = 240;
    image[optional..optional + 2].copy_from_slice(&0x20b_u16.to_le_bytes());
    image[optional + 60..optional + 64].copy_from_slice(&512_u32.to_le_bytes());
    image[optional + 108] = 16;
    for (i, (offset, len)) in [(1024_u32, 1024_u32), (512, 512)].into_iter().enumerate() {
        let at = optional + 240 + i * SECTION_HEADER;
        image[at + 16..at + 20].copy_from_slice(&len.to_le_bytes());
        image[at + 20..at + 24].copy_from_slice(&offset.to_le_bytes());
    }
    image.extend((0..1536 + trailing).map(|i| i as u8));
    image
}

#[test]
fn signing_changes_neither_the_digest_nor_what_is_left_without_the_signature() {
    for trailing in [0, 1, 8, 13] {
        let bytes = sample(trailing);
        let image = Image::parse(&bytes).unwrap();
        assert_eq!(image.signatures().unwrap(), Vec::<&[u8]>::new());
        let signed = image.with_signature(b"a message").unwrap();
        let again = Image::parse(&signed).unwrap();
        assert_eq!(again.digest(), image.digest());
        assert_eq!(again.signatures().unwrap(), [b"a message"]);
        assert_eq!(again.unsigned(), image.unsigned());
        assert_eq!(
            again.with_signature(b"a message").unwrap(),
            signed,
            "a second signature replaces the first"
        );
    }
}

#[test]
fn what_nobody_signs_is_refused() {
    let gap = |at: usize, value: u32| {
        let mut bytes = sample(0);
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        Image::parse(&bytes).unwrap_err().to_string()
    };
    let sections = 0x58 + 240;
    // The second section in the file begins later, or overlaps the first.
    assert!(gap(sections + 20, 1032).contains("gaps"));
    assert!(gap(sections + 20, 1016).contains("gaps"));
    assert!(gap(sections + 16, 4096).contains("ends"));
    // The certificate table in the middle of the file.
    let mut bytes = sample(0);
    bytes[0x58 + CERTIFICATE_ENTRY..][..8].copy_from_slice(&[0, 4, 0, 0, 16, 0, 0, 0]);
    assert!(Image::parse(&bytes).unwrap_err().to_string().contains("certificate table"));
}

proptest! {
    #[test]
    fn each_byte_outside_of_two_fields_is_in_the_digest(at in 0_usize..2048) {
        let bytes = sample(0);
        let image = Image::parse(&bytes).unwrap();
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let excluded = [image.checksum..image.checksum + 4, image.entry..image.entry + 8];
        if let Ok(other) = Image::parse(&changed) {
            let same = other.digest() == image.digest();
            prop_assert_eq!(same, excluded.iter().any(|field| field.contains(&at)));
        }
    }

    #[test]
    fn anything_else_is_an_error_and_no_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..700)) {
        let _ = Image::parse(&bytes);
        for (byte, good) in bytes.iter_mut().zip(&sample(0)[..0x5a]) {
            *byte = *good;
        }
        if let Ok(image) = Image::parse(&bytes) {
            let _ = image.signatures();
            image.digest();
        }
    }
}
