//! Binary encoding of records: numbers as variable-length integers (LEB128: seven bits a byte,
//! lowest first), texts with their length in front.

/// Maximum number of bytes of an encoded number.
const MAX_NUMBER_BYTES: u32 = u128::BITS.div_ceil(7);

/// Encoder of one record.
#[derive(Debug)]
pub(super) struct RecordWriter(Vec<u8>);

impl RecordWriter {
    pub(super) fn new(version: u8) -> Self {
        Self(vec![version])
    }

    pub(super) fn number(&mut self, number: impl Into<u128>) {
        let mut rest = number.into();
        while rest >= 0x80 {
            self.0.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        self.0.push(rest as u8);
    }

    /// Encodes a number with its sign in the lowest bit (zigzag), so that small ones stay short.
    pub(super) fn signed(&mut self, number: i128) {
        let folded = (number << 1) ^ (number >> (i128::BITS - 1));
        self.number(folded.cast_unsigned());
    }

    pub(super) fn text(&mut self, text: &str) {
        self.number(text.len() as u128);
        self.0.extend_from_slice(text.as_bytes());
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Decoder of one record, after its version byte.
#[derive(Debug)]
pub(super) struct RecordReader<'a> {
    version: u8,
    bytes: &'a [u8],
}

impl<'a> RecordReader<'a> {
    /// Creates the decoder of `bytes`, which follow the `version` of a record.
    pub(super) fn new(version: u8, bytes: &'a [u8]) -> Self {
        Self { version, bytes }
    }

    /// Returns the version of the record.
    pub(super) fn version(&self) -> u8 {
        self.version
    }

    /// Decodes the next number; `None` if the bytes end or the number does not fit into `T`.
    pub(super) fn number<T: TryFrom<u128>>(&mut self) -> Option<T> {
        let mut number = 0_u128;
        for group in 0..MAX_NUMBER_BYTES {
            let (byte, rest) = self.bytes.split_first()?;
            self.bytes = rest;
            let bits = u128::from(byte & 0x7f);
            // Overflow: bits shifted out of a `u128` make the number invalid.
            let shifted = bits << (7 * group);
            if shifted >> (7 * group) != bits {
                return None;
            }
            number |= shifted;
            if byte & 0x80 == 0 {
                return T::try_from(number).ok();
            }
        }
        None
    }

    /// Decodes a number with a sign.
    pub(super) fn signed(&mut self) -> Option<i128> {
        let folded: u128 = self.number()?;
        let number = (folded >> 1).cast_signed();
        Some(if folded & 1 == 0 { number } else { !number })
    }

    /// Decodes `true` or `false`.
    pub(super) fn flag(&mut self) -> Option<bool> {
        match self.number()? {
            0_u8 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    pub(super) fn text(&mut self) -> Option<String> {
        let length = self.number::<usize>()?;
        let (text, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        String::from_utf8(text.to_vec()).ok()
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.bytes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reader(bytes: &[u8]) -> RecordReader<'_> {
        RecordReader::new(1, bytes)
    }

    proptest! {
        #[test]
        fn numbers_and_texts_round_trip(
            numbers in proptest::collection::vec(any::<u128>(), 0..4), signed: i128, text in ".{0,200}",
        ) {
            let mut writer = RecordWriter::new(1);
            numbers.iter().for_each(|number| writer.number(*number));
            writer.signed(signed);
            writer.text(&text);
            let bytes = writer.into_bytes();
            let mut reader = reader(&bytes[1..]);
            for number in numbers {
                prop_assert_eq!(reader.number(), Some(number));
            }
            prop_assert_eq!(reader.signed(), Some(signed));
            prop_assert_eq!(reader.text(), Some(text));
            prop_assert!(reader.is_at_end());
        }
    }

    #[test]
    fn small_signed_numbers_take_one_byte() {
        for (number, byte) in [(0, 0), (-1, 1), (1, 2), (-64, 127)] {
            let mut writer = RecordWriter::new(1);
            writer.signed(number);
            assert_eq!(writer.into_bytes(), [1_u8, byte]);
        }
    }

    #[test]
    fn numbers_that_overflow_or_are_cut_off_are_refused() {
        let mut writer = RecordWriter::new(1);
        writer.number(300_u128);
        let bytes = writer.into_bytes();
        assert_eq!(reader(&bytes[1..]).number::<u8>(), None);
        assert_eq!(reader(&bytes[1..]).number::<u16>(), Some(300));
        assert_eq!(
            reader(&[0xff; 18]).number::<u128>(),
            None,
            "longer than any number"
        );
        assert_eq!(reader(&[0xff; 40]).number::<u128>(), None, "without an end");
        assert_eq!(reader(&bytes[1..2]).number::<u128>(), None, "cut off");
        assert_eq!(
            reader(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]).text(),
            None
        );
    }
}
