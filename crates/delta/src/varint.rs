//! Numbers as LEB128: seven bits a byte, lowest first, the top bit set on all but the last. Signed numbers are
//! folded first (zigzag), so that small ones of either sign are short.

use crate::{Error, Result};

/// Appends a number.
pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed number.
pub(crate) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Reads numbers and bytes off the front of a slice.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    what: &'static str,
}

impl<'a> Cursor<'a> {
    /// Reads `bytes`; errors say that they are of `what`.
    pub(crate) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { bytes, what }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn error(&self, reason: impl Into<String>) -> Error {
        Error::format(self.what, reason)
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        if count > self.bytes.len() {
            return Err(self.error("it ends early"));
        }
        let (front, rest) = self.bytes.split_at(count);
        self.bytes = rest;
        Ok(front)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// A number of at most `limit`. A number has one spelling: superfluous bytes are refused.
    pub(crate) fn number(&mut self, limit: u64) -> Result<u64> {
        let mut value = 0_u64;
        for (index, byte) in self.bytes.iter().enumerate() {
            let bits = u64::from(byte & 0x7f);
            if index > 9 || (index == 9 && bits > 1) {
                return Err(self.error("a number does not fit in 64 bits"));
            }
            value |= bits << (7 * index);
            if byte & 0x80 == 0 {
                if index > 0 && *byte == 0 {
                    return Err(self.error("a number with superfluous bytes"));
                }
                if value > limit {
                    return Err(self.error(format!("the number {value} is above its limit {limit}")));
                }
                self.bytes = &self.bytes[index + 1..];
                return Ok(value);
            }
        }
        Err(self.error("it ends within a number"))
    }

    pub(crate) fn signed(&mut self) -> Result<i64> {
        let folded = self.number(u64::MAX)?;
        Ok((folded >> 1) as i64 ^ -((folded & 1) as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(a: u64, b: i64) {
            let mut bytes = Vec::new();
            put(&mut bytes, a);
            put_signed(&mut bytes, b);
            let mut cursor = Cursor::new(&bytes, "test");
            prop_assert_eq!(cursor.number(u64::MAX).unwrap(), a);
            prop_assert_eq!(cursor.signed().unwrap(), b);
            prop_assert!(cursor.is_empty());
        }

        #[test]
        fn whatever_is_read_has_one_spelling(bytes: Vec<u8>) {
            let mut cursor = Cursor::new(&bytes, "test");
            if let Ok(value) = cursor.number(u64::MAX) {
                let mut again = Vec::new();
                put(&mut again, value);
                prop_assert!(bytes.starts_with(&again));
            }
        }
    }

    #[test]
    fn limits_and_ends() {
        assert!(Cursor::new(&[0x80], "test").number(9).is_err());
        assert!(Cursor::new(&[10], "test").number(9).is_err());
        assert!(Cursor::new(&[0x80, 0], "test").number(9).is_err());
        assert!(Cursor::new(&[0xff; 11], "test").number(u64::MAX).is_err());
    }
}
