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
pub(super) struct RecordReader<'a>(pub(super) &'a [u8]);

impl RecordReader<'_> {
    /// Decodes the next number; `None` if the bytes end or the number does not fit into `T`.
    pub(super) fn number<T: TryFrom<u128>>(&mut self) -> Option<T> {
        let mut number = 0_u128;
        for group in 0..MAX_NUMBER_BYTES {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
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

    pub(super) fn text(&mut self) -> Option<String> {
        let length = self.number::<usize>()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).ok()
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_and_texts_round_trip(numbers in proptest::collection::vec(any::<u128>(), 0..4), text in ".{0,200}") {
            let mut writer = RecordWriter::new(1);
            numbers.iter().for_each(|number| writer.number(*number));
            writer.text(&text);
            let bytes = writer.into_bytes();
            let mut reader = RecordReader(&bytes[1..]);
            for number in numbers {
                prop_assert_eq!(reader.number(), Some(number));
            }
            prop_assert_eq!(reader.text(), Some(text));
            prop_assert!(reader.is_at_end());
        }
    }

    #[test]
    fn numbers_that_overflow_or_are_cut_off_are_refused() {
        let mut writer = RecordWriter::new(1);
        writer.number(300_u128);
        let bytes = writer.into_bytes();
        assert_eq!(RecordReader(&bytes[1..]).number::<u8>(), None);
        assert_eq!(RecordReader(&bytes[1..]).number::<u16>(), Some(300));
        assert_eq!(
            RecordReader(&[0xff; 18]).number::<u128>(),
            None,
            "longer than any number"
        );
        assert_eq!(
            RecordReader(&[0xff; 40]).number::<u128>(),
            None,
            "without an end"
        );
        assert_eq!(RecordReader(&bytes[1..2]).number::<u128>(), None, "cut off");
        assert_eq!(
            RecordReader(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]).text(),
            None
        );
    }
}
