//! Reading and writing the small numbers of the row format: little-endian words, LEB128, zigzag.
//!
//! Owns no meaning. Promises that any input gives a value or [`Malformed`], never a panic or a large allocation.

/// The bytes end too early, or a number is longer than its type. Says where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed at byte {at}: {what}")]
pub struct Malformed {
    /// The offset in the row.
    pub at: usize,
    /// What was expected.
    pub what: &'static str,
}

/// Appends a LEB128 number: seven bits a byte, least significant first.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(low_byte(value) | 0x80);
        value >>= 7;
    }
    out.push(low_byte(value));
}

/// Appends a signed number: zigzag, then LEB128.
#[inline]
pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(
        out,
        value.wrapping_shl(1).cast_unsigned() ^ (value >> 63).cast_unsigned(),
    );
}

/// Appends bytes with their length before them.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[inline]
fn low_byte(value: u64) -> u8 {
    (value & 0xff) as u8
}

/// Reads what the functions above wrote.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// From the first byte on.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The offset of the next byte.
    #[must_use]
    pub fn position(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    /// The error for this place.
    #[must_use]
    pub fn malformed(&self, what: &'static str) -> Malformed {
        Malformed { at: self.at, what }
    }

    /// One byte.
    ///
    /// # Errors
    /// At the end.
    #[inline]
    pub fn byte(&mut self) -> Result<u8, Malformed> {
        let byte = *self.bytes.get(self.at).ok_or_else(|| self.malformed("a byte"))?;
        self.at += 1;
        Ok(byte)
    }

    /// That many bytes.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let end = self
            .at
            .checked_add(count)
            .ok_or_else(|| self.malformed("a length"))?;
        let slice = self
            .bytes
            .get(self.at..end)
            .ok_or_else(|| self.malformed("more bytes"))?;
        self.at = end;
        Ok(slice)
    }

    /// As many bytes as an array has.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let at = self.malformed("a word");
        self.take(N)?.try_into().map_err(|_| at)
    }

    /// A LEB128 number.
    ///
    /// # Errors
    /// At the end, or when it has more than 64 bits.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.malformed("a number of at most 64 bits"))
    }

    /// A LEB128 number that fits a smaller type.
    ///
    /// # Errors
    /// As [`Reader::varint`], or when it does not fit.
    pub fn small<T: TryFrom<u64>>(&mut self) -> Result<T, Malformed> {
        let value = self.varint()?;
        T::try_from(value).map_err(|_| self.malformed("a smaller number"))
    }

    /// A count of things that take at least `least` bytes each: so a lie about it cannot ask for much memory.
    ///
    /// # Errors
    /// As [`Reader::varint`], or when the rest cannot hold that many.
    pub fn count(&mut self, least: usize) -> Result<usize, Malformed> {
        let count: usize = self.small()?;
        if count.saturating_mul(least) > self.left() {
            return Err(self.malformed("a count that the row can hold"));
        }
        Ok(count)
    }

    /// A zigzag number.
    ///
    /// # Errors
    /// As [`Reader::varint`].
    #[inline]
    pub fn signed(&mut self) -> Result<i64, Malformed> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// Bytes with their length before them.
    ///
    /// # Errors
    /// When the length is not there or fewer bytes are left.
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let count = self.small()?;
        self.take(count)
    }

    /// Text with its length before it.
    ///
    /// # Errors
    /// As [`Reader::bytes`], or when it is not UTF-8.
    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        let at = self.malformed("UTF-8 text");
        std::str::from_utf8(self.bytes()?).map_err(|_| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(unsigned: u64, signed: i64, shift in 0_u32..64) {
            let (unsigned, signed) = (unsigned >> shift, signed >> shift);
            let mut out = Vec::new();
            put_varint(&mut out, unsigned);
            put_signed(&mut out, signed);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.varint(), Ok(unsigned));
            prop_assert_eq!(reader.signed(), Ok(signed));
            prop_assert_eq!(reader.left(), 0);
        }
    }

    #[test]
    fn nonsense_is_an_error() {
        for bytes in [
            &[][..],
            &[0x80],
            &[0xff; 10],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
        ] {
            assert!(Reader::new(bytes).varint().is_err(), "{bytes:?}");
        }
        assert_eq!(
            Reader::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]).varint(),
            Ok(u64::MAX)
        );
        assert!(Reader::new(&[200, 1, 0]).count(1).is_err());
        assert!(Reader::new(&[2, 0xff, 0xfe]).text().is_err());
    }
}
