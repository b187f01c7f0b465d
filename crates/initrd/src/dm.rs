//! Making the verity device: three requests to the device mapper (include/uapi/linux/dm-ioctl.h).
//!
//! ```text
//! struct dm_ioctl, 312 bytes
//!   0 version[3]   12 length of all   16 where the data begins   20 targets   28 flags   40 device   48 name   176 UUID
//! struct dm_target_spec, 40 bytes, then the parameters with a 0 byte, filled up to a multiple of 8
//!   0 first sector   8 sectors   16 status   20 length of this entry   24 type
//! ```
//!
//! Create a device, load its table, resume it. Until the last one it has no content.

use crate::table::{DeviceNumber, Mapping};
use crate::{Error, Result};
use std::fs::File;
use std::path::Path;

/// The node of the device mapper, in devtmpfs.
const CONTROL: &str = "/dev/mapper/control";
/// The interface that is spoken: its first version with all that is used here.
const VERSION: [u32; 3] = [4, 0, 0];
/// The length of `struct dm_ioctl`.
const HEADER: usize = 312;
/// The length of `struct dm_target_spec`.
const TARGET: usize = 40;
/// Bytes for the type of a target, with the one that ends it.
const TARGET_TYPE: usize = 16;

/// DM_READONLY_FLAG.
const READ_ONLY: u32 = 1;
/// DM_PERSISTENT_DEV_FLAG: the minor number is chosen by us.
const FIXED_MINOR: u32 = 1 << 3;

/// What is asked for, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Request {
    /// DM_DEV_CREATE
    Create = 3,
    /// DM_DEV_SUSPEND, which without its flag resumes.
    Resume = 6,
    /// DM_TABLE_LOAD
    Load = 9,
}

impl Request {
    /// For an error: "cannot ... root".
    fn words(self) -> &'static str {
        match self {
            Self::Create => "create the mapped device",
            Self::Load => "load the table of the mapped device (the kernel's log has the reason)",
            Self::Resume => "resume the mapped device",
        }
    }
}

/// A request as bytes.
fn header(mapping: &Mapping, flags: u32, device: u64, data: &[u8], targets: u32) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    for (index, number) in VERSION.iter().enumerate() {
        put(4 * index, &number.to_le_bytes());
    }
    put(12, &((HEADER + data.len()) as u32).to_le_bytes());
    put(16, &(HEADER as u32).to_le_bytes());
    put(20, &targets.to_le_bytes());
    put(28, &flags.to_le_bytes());
    put(40, &device.to_le_bytes());
    // `Mapping` has limits that leave room for the byte that ends both. The kernel finds a device by name or UUID, and
    // takes no UUID but for creating one.
    put(48, mapping.name.as_bytes());
    bytes.extend_from_slice(data);
    bytes
}

/// The request that makes a device.
fn create(mapping: &Mapping) -> Vec<u8> {
    let (flags, device) = match mapping.minor {
        None => (0, 0),
        Some(minor) => (FIXED_MINOR, encode(DeviceNumber { major: 0, minor })),
    };
    let mut bytes = header(mapping, flags, device, &[], 0);
    bytes[176..176 + mapping.uuid.len()].copy_from_slice(mapping.uuid.as_bytes());
    bytes
}

/// The request that loads its table.
fn load(mapping: &Mapping, data: DeviceNumber, hashes: DeviceNumber) -> Vec<u8> {
    let parameters = mapping.parameters(data, hashes);
    let length = (TARGET + parameters.len() + 1).next_multiple_of(8);
    let mut target = vec![0; length];
    target[8..16].copy_from_slice(&mapping.sectors.to_le_bytes());
    target[20..24].copy_from_slice(&(length as u32).to_le_bytes());
    let kind = mapping.target().as_bytes();
    debug_assert!(kind.len() < TARGET_TYPE);
    target[24..24 + kind.len()].copy_from_slice(kind);
    target[TARGET..TARGET + parameters.len()].copy_from_slice(parameters.as_bytes());
    header(mapping, READ_ONLY, 0, &target, 1)
}

/// A device number as the kernel hands it to user space in 64 bits.
fn encode(device: DeviceNumber) -> u64 {
    let (major, minor) = (u64::from(device.major), u64::from(device.minor));
    minor & 0xff | major << 8 | (minor & !0xff) << 12
}

/// The device of an answer.
fn device_of(answer: &[u8]) -> DeviceNumber {
    let mut number = [0; 8];
    number.copy_from_slice(&answer[40..48]);
    let number = u64::from_le_bytes(number);
    let (major, minor) = (number >> 8 & 0xfff, number & 0xff | number >> 12 & 0xf_ff00);
    DeviceNumber { major: major as u32, minor: minor as u32 }
}

/// Makes the device and lets it be used.
pub fn make(mapping: &Mapping, data: DeviceNumber, hashes: DeviceNumber) -> Result<DeviceNumber> {
    let control = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(Path::new(CONTROL))
        .map_err(Error::system("open", CONTROL))?;
    let ask = |request: Request, mut bytes: Vec<u8>| {
        call::ask(&control, request, &mut bytes).map_err(Error::system(request.words(), &mapping.name))?;
        Ok::<_, Error>(bytes)
    };
    ask(Request::Create, create(mapping))?;
    ask(Request::Load, load(mapping, data, hashes))?;
    let answer = ask(Request::Resume, header(mapping, 0, 0, &[], 0))?;
    Ok(device_of(&answer))
}

/// The system call.
mod call {
    #![expect(unsafe_code, reason = "an ioctl is a pointer that only its driver understands")]

    use super::{File, HEADER, Request};
    use rustix::ioctl::{Direction, Ioctl, IoctlOutput, Opcode, ioctl, opcode};
    use std::ffi::c_void;

    /// Bytes that begin with a `struct dm_ioctl` which says how many they are.
    struct Call<'a> {
        request: Request,
        bytes: &'a mut [u8],
    }

    // SAFETY: each of these requests takes a pointer to a `struct dm_ioctl`, and reads and writes at most as many bytes
    // from there as the structure says at offset 12. `ask` checks that this is the length of the slice, which is borrowed
    // as long as the call takes. Any bytes are valid for the slice afterwards, and nothing is made of the pointer.
    unsafe impl Ioctl for Call<'_> {
        type Output = ();

        const IS_MUTATING: bool = true;

        fn opcode(&self) -> Opcode {
            opcode::from_components(Direction::ReadWrite, 0xfd, self.request as u8, HEADER)
        }

        fn as_ptr(&mut self) -> *mut c_void {
            self.bytes.as_mut_ptr().cast()
        }

        unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
            Ok(())
        }
    }

    /// Sends a request; the answer stands where the request was.
    pub(super) fn ask(control: &File, request: Request, bytes: &mut [u8]) -> rustix::io::Result<()> {
        let said =
            bytes.get(12..16).map(|length| u32::from_le_bytes([length[0], length[1], length[2], length[3]]));
        if bytes.len() < HEADER || said.map(|length| length as usize) != Some(bytes.len()) {
            return Err(rustix::io::Errno::INVAL);
        }
        // SAFETY: `control` is the node of the device mapper, which takes these requests in the form that the
        // implementation of `Ioctl` above gives them; another file would refuse the number.
        unsafe { ioctl(control, Call { request, bytes }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::TABLE_TEXT;
    use proptest::prelude::*;

    fn mapping() -> Mapping {
        Mapping::parse(TABLE_TEXT).unwrap()
    }

    const ONE: DeviceNumber = DeviceNumber { major: 254, minor: 2 };
    const TWO: DeviceNumber = DeviceNumber { major: 254, minor: 3 };

    fn number(bytes: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    #[test]
    fn a_request_says_its_length_its_device_and_its_table() {
        let bytes = load(&mapping(), ONE, TWO);
        assert_eq!(number(&bytes, 12) as usize, bytes.len());
        assert_eq!((number(&bytes, 16), number(&bytes, 20), number(&bytes, 28)), (312, 1, READ_ONLY));
        assert_eq!(&bytes[48..53], b"root\0");
        let target = &bytes[HEADER..];
        assert_eq!((number(target, 0), number(target, 8)), (0, 24));
        assert_eq!(number(target, 20) as usize, target.len());
        assert!(target.len().is_multiple_of(8) && target[target.len() - 1] == 0);
        assert_eq!(&target[24..31], b"verity\0");
        assert!(target[TARGET..].starts_with(b"1 254:2 254:3 4096 4096 3 1 sha256 abcd"));
    }

    #[test]
    fn a_fixed_minor_number_is_asked_for() {
        let bytes = create(&mapping());
        assert_eq!((number(&bytes, 28), number(&bytes, 40), bytes.len()), (FIXED_MINOR, 0, HEADER));
        let mut free = mapping();
        free.minor = None;
        assert_eq!(number(&create(&free), 28), 0);
        free.uuid = "u".repeat(128);
        free.name = "n".repeat(127);
        let bytes = create(&free);
        assert_eq!((bytes[174], bytes[175], bytes[176 + 127], bytes[176 + 128]), (b'n', 0, b'u', 0));
    }

    #[test]
    fn a_file_that_is_no_device_mapper_and_a_wrong_length_are_errors() {
        let file = tempfile::tempfile().unwrap();
        assert!(call::ask(&file, Request::Resume, &mut header(&mapping(), 0, 0, &[], 0)).is_err());
        assert!(call::ask(&file, Request::Resume, &mut [0; HEADER]).is_err());
        assert!(call::ask(&file, Request::Resume, &mut []).is_err());
    }

    proptest! {
        #[test]
        fn a_device_number_is_read_back(major in 0_u32..1 << 12, minor in 0_u32..1 << 20) {
            let device = DeviceNumber { major, minor };
            let mut answer = vec![0; HEADER];
            answer[40..48].copy_from_slice(&encode(device).to_le_bytes());
            prop_assert_eq!(device_of(&answer), device);
        }
    }
}
