//! Reading one section of a PE image: the kernel's release in a unified kernel image.

/// The data of the section `name`; nothing if the image has none or is no image.
pub fn section<'a>(image: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    const HEADER: usize = 40;
    if image.get(..2)? != b"MZ" {
        return None;
    }
    let start = number(image, 0x3c)?;
    if image.get(start..start.checked_add(4)?)? != b"PE\0\0" {
        return None;
    }
    let coff = start + 4;
    let short = |at: usize| Some(usize::from(u16::from_le_bytes([*image.get(at)?, *image.get(at + 1)?])));
    let sections = coff + 20 + short(coff + 16)?;
    for index in 0..short(coff + 2)? {
        let at = sections + index * HEADER;
        let label = image.get(at..at + 8)?;
        let label = label.split(|b| *b == 0).next()?;
        if label == name {
            let (virtual_size, raw_size) = (number(image, at + 8)?, number(image, at + 16)?);
            let from = number(image, at + 20)?;
            return image.get(from..from.checked_add(virtual_size.min(raw_size))?);
        }
    }
    None
}

fn number(image: &[u8], at: usize) -> Option<usize> {
    let bytes: [u8; 4] = image.get(at..at.checked_add(4)?)?.try_into().ok()?;
    Some(u32::from_le_bytes(bytes) as usize)
}
