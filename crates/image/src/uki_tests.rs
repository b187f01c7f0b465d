use super::*;
use proptest::prelude::*;

/// A small PE32+ image with a `.text` and a `.sbat` section.
pub(crate) fn pe(nx: bool) -> Vec<u8> {
    let mut image = vec![0; 0x600];
    image[..2].copy_from_slice(b"MZ");
    write_u32(&mut image, 0x3c, 0x40);
    image[0x40..0x44].copy_from_slice(b"PE\0\0");
    let (coff, optional) = (0x44, 0x58);
    image[coff..coff + 2].copy_from_slice(&0x8664_u16.to_le_bytes());
    image[coff + 2] = 2;
    image[coff + 16] = 240;
    image[optional..optional + 2].copy_from_slice(&0x20b_u16.to_le_bytes());
    write_u32(&mut image, optional + 32, 0x1000);
    write_u32(&mut image, optional + 36, 0x200);
    write_u32(&mut image, optional + 56, 0x3000);
    write_u32(&mut image, optional + 60, 0x200 + 0x200);
    image[optional + 68] = 10;
    image[optional + 71] = u8::from(nx);
    let sections = optional + 240;
    for (n, (name, size)) in [(b".text\0\0\0", 16_u32), (b".sbat\0\0\0", 5)].into_iter().enumerate() {
        let at = sections + n * SECTION_HEADER;
        image[at..at + 8].copy_from_slice(name);
        write_u32(&mut image, at + 8, size);
        write_u32(&mut image, at + 12, 0x1000 * (n as u32 + 1));
        write_u32(&mut image, at + 16, 0x100);
        write_u32(&mut image, at + 20, 0x400 + 0x100 * n as u32);
    }
    image[0x500..0x505].copy_from_slice(b"a,1\n\0");
    image
}

fn uki<'a>(stub: &'a [u8], linux: &'a [u8]) -> Uki<'a> {
    Uki {
        stub,
        linux,
        osrel: "ID=lazuli\n",
        cmdline: "root=PARTUUID=x ro",
        uname: "6.12.0-1.x86_64",
        sbat: "lazuli,1,Lazuli Linux,lazuli,1.0,https://lazuli.example\n",
        profiles: &[],
    }
}

#[test]
fn every_section_is_found_with_its_exact_length() {
    let (stub, linux) = (pe(true), pe(true));
    let image = uki(&stub, &linux).build().unwrap();
    assert_eq!(section(&image, ".osrel"), Some(&b"ID=lazuli\n"[..]));
    assert_eq!(section(&image, ".cmdline"), Some(&b"root=PARTUUID=x ro"[..]));
    assert_eq!(section(&image, ".uname"), Some(&b"6.12.0-1.x86_64"[..]));
    assert_eq!(section(&image, ".linux"), Some(&linux[..]));
    let sbat = std::str::from_utf8(section(&image, ".sbat").unwrap()).unwrap();
    assert!(sbat.starts_with("a,1\nlazuli,1,"), "{sbat:?}");
    assert_eq!(section(&image, ".initrd"), None);
}

const PROFILES: [Profile<'_>; 2] = [
    Profile { id: "main", title: None, osrel: None, cmdline: None, initrd: None },
    Profile {
        id: "recovery",
        title: Some("Recovery"),
        osrel: Some("ID=r\n"),
        cmdline: Some("recover"),
        initrd: Some(b"cpio"),
    },
];

#[test]
fn what_is_in_front_of_the_first_profile_is_common_and_an_initrd_is_not() {
    let (stub, linux) = (pe(true), pe(true));
    let plain = uki(&stub, &linux);
    let image = Uki { profiles: &PROFILES, ..plain.clone() }.build().unwrap();
    for common in [".uname", ".linux"] {
        assert!(section(&image, common).is_some(), "{common}");
        for profile in 0..2 {
            assert_eq!(profile_section(&image, profile, common), section(&image, common), "{common}");
        }
    }
    assert_eq!(section(&image, ".initrd"), None);
    assert_eq!(profile_section(&image, 0, ".initrd"), None);
    assert_eq!(profile_section(&image, 0, ".cmdline"), Some(&b"root=PARTUUID=x ro"[..]));
    assert_eq!(profile_section(&image, 0, ".profile"), Some(&b"ID=main\n"[..]));
    assert_eq!(profile_section(&image, 0, ".osrel"), section(&image, ".osrel"));
    assert_eq!(profile_section(&image, 1, ".osrel"), Some(&b"ID=r\n"[..]));
    assert_eq!(profile_section(&image, 1, ".initrd"), Some(&b"cpio"[..]));
    assert_eq!(profile_section(&image, 1, ".cmdline"), Some(&b"recover"[..]));
    assert_eq!(profile_section(&image, 1, ".profile"), Some(&b"ID=recovery\nTITLE=Recovery\n"[..]));
    assert_eq!(profile_section(&image, 2, ".linux"), None);
    // Without profiles nothing is there of them.
    assert_eq!(profile_section(&plain.build().unwrap(), 0, ".linux"), None);
}

#[test]
fn a_stub_without_room_for_profiles_is_refused() {
    let (mut stub, linux) = (pe(true), pe(true));
    // Room for the two that are there and six more.
    write_u32(&mut stub, 0x58 + 60, (0x148 + 8 * SECTION_HEADER) as u32);
    assert!(uki(&stub, &linux).build().is_ok());
    let crowded = Uki { profiles: &PROFILES, ..uki(&stub, &linux) }.build();
    assert!(matches!(crowded, Err(UkiError::Headers { .. })), "{crowded:?}");
}

#[test]
fn sections_do_not_overlap_and_the_image_covers_them() {
    let (stub, linux) = (pe(true), pe(true));
    let image = Uki { profiles: &PROFILES, ..uki(&stub, &linux) }.build().unwrap();
    let pe = Pe::parse("image", &image).unwrap();
    let sections = pe.sections(&image);
    for pair in sections.windows(2) {
        assert!(pair[0].address + pair[0].virtual_size <= pair[1].address);
        assert!(pair[0].raw_offset + pair[0].raw_size <= pair[1].raw_offset);
    }
    let last = sections.last().unwrap();
    assert!(field_u32(&image, pe.optional + 56) >= last.address + last.virtual_size);
    assert_eq!(image.len(), (last.raw_offset + last.raw_size) as usize);
    // A stored checksum makes the sum over everything else come out the same again.
    let stored = field_u32(&image, pe.optional + 64);
    let mut cleared = image.clone();
    write_u32(&mut cleared, pe.optional + 64, 0);
    assert_eq!(checksum(&cleared), stored);
}

#[test]
fn a_kernel_that_is_not_nx_compatible_makes_the_image_not_so_either() {
    for (stub_nx, kernel_nx, expected) in [(true, true, true), (true, false, false), (false, true, false)] {
        let (stub, linux) = (pe(stub_nx), pe(kernel_nx));
        let image = uki(&stub, &linux).build().unwrap();
        let bits = Pe::parse("image", &image).unwrap().characteristics(&image);
        assert_eq!(bits & NX_COMPAT != 0, expected);
    }
}

#[test]
fn what_is_no_pe_or_does_not_fit_is_refused() {
    let good = pe(true);
    assert!(matches!(uki(b"\x7fELF", &good).build(), Err(UkiError::Pe { file: "stub", .. })));
    assert!(matches!(uki(&good, b"MZ").build(), Err(UkiError::Pe { file: "kernel", .. })));
    let long = "x".repeat(300);
    let mut big = uki(&good, &good);
    big.sbat = &long;
    assert!(matches!(big.build(), Err(UkiError::Sbat { room: 256, .. })));
}

proptest! {
    #[test]
    fn no_damaged_file_makes_it_panic(flips in prop::collection::vec((0_usize..0x200, any::<u8>()), 0..20), cut in 0_usize..0x600) {
        let mut stub = pe(true);
        for (at, value) in flips {
            stub[at] = value;
        }
        let linux = pe(true);
        let _ = uki(&stub, &linux).build();
        let _ = uki(&stub[..cut], &linux).build();
        let _ = section(&stub, ".linux");
    }
}
