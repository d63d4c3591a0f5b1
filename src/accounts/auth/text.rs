//! Texts of API keys, and their public prefixes.

use std::fmt;
use std::str::FromStr;

use crate::domain::unix_now_ms;

/// Brand at the start of every generated key, for scanners of leaked secrets.
pub(super) const BRAND: &str = "sk-sb-";
/// Brand of the key of the admin API.
const ADMIN_BRAND: &str = "sk-sb-admin-";
/// Base-32 digits in ASCII order, without letters that are easily confused.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Number of digits of a prefix.
const PREFIX_DIGITS: usize = 12;
/// Number of digits of a secret: 260 random bits.
const SECRET_DIGITS: usize = 52;
/// Number of random bits of a prefix; the other bits are the time of its creation.
const RANDOM_BITS: u32 = 15;

/// Text of a key that was just created. Never stored; `Debug` shows `***`.
pub struct KeyText(String);

/// Public prefix of a key, by which it is found. Ordered by the time of creation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct KeyPrefix(u64);

impl KeyText {
    /// Generates a key with this prefix.
    ///
    /// # Errors
    /// Fails when the system gives no random bytes.
    pub(super) fn new(prefix: KeyPrefix) -> Result<Self, getrandom::Error> {
        Ok(Self(format!("{BRAND}{prefix}-{}", secret()?)))
    }

    /// Generates a key of the admin API.
    ///
    /// # Errors
    /// Fails when the system gives no random bytes.
    pub(super) fn admin() -> Result<Self, getrandom::Error> {
        Ok(Self(format!("{ADMIN_BRAND}{}", secret()?)))
    }

    /// Reveals the text, to be shown once.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl KeyPrefix {
    /// Generates a prefix from the present time. The caller checks that it is not in use.
    ///
    /// # Errors
    /// Fails when the system gives no random bytes.
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        let chance = getrandom::u32()? & ((1 << RANDOM_BITS) - 1);
        let bits = (unix_now_ms() << RANDOM_BITS) | u64::from(chance);
        Ok(Self(bits & ((1 << (5 * PREFIX_DIGITS)) - 1)))
    }

    /// Parses the prefix out of the text of a key; `None` if the text has not the form of a key.
    pub(super) fn of_key(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(BRAND)?;
        let (prefix, rest) = rest.split_at_checked(PREFIX_DIGITS)?;
        rest.starts_with('-').then(|| prefix.parse().ok())?
    }
}

impl fmt::Display for KeyPrefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..PREFIX_DIGITS).rev().try_for_each(|place| {
            let digit = DIGITS[(self.0 >> (5 * place) & 31) as usize];
            write!(formatter, "{}", char::from(digit))
        })
    }
}

impl fmt::Debug for KeyPrefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

impl FromStr for KeyPrefix {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.len() != PREFIX_DIGITS {
            return Err(());
        }
        let value = |digit: u8| DIGITS.iter().position(|known| *known == digit).ok_or(());
        text.bytes()
            .try_fold(0, |bits, digit| Ok(bits << 5 | value(digit)? as u64))
            .map(Self)
    }
}

fn secret() -> Result<String, getrandom::Error> {
    let mut bytes = [0; SECRET_DIGITS];
    getrandom::fill(&mut bytes)?;
    Ok(bytes
        .iter()
        .map(|byte| char::from(DIGITS[usize::from(byte & 31)]))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_is_parsed_from_key_text() {
        let prefix = KeyPrefix::new().unwrap();
        let text = KeyText::new(prefix).unwrap();
        assert_eq!(text.reveal().len(), 6 + 12 + 1 + 52);
        assert_eq!(KeyPrefix::of_key(text.reveal()), Some(prefix));
        assert_eq!(prefix.to_string().parse(), Ok(prefix));
        assert_eq!(format!("{text:?}"), "***");
    }

    #[test]
    fn prefix_of_malformed_text_is_none() {
        let admin = KeyText::admin().unwrap();
        for text in [
            "",
            "sk-sb-",
            "sk-sb-0123456789ab",
            "sk-sb-0123456789abx",
            "sk-sb-0123456789aB-x",
            "sk-sb-01234567ä89-x",
        ] {
            assert_eq!(KeyPrefix::of_key(text), None, "{text}");
        }
        assert_eq!(KeyPrefix::of_key(admin.reveal()), None);
    }

    #[test]
    fn prefixes_and_their_texts_sort_by_time() {
        let early = KeyPrefix(1 << RANDOM_BITS);
        let late = KeyPrefix(2 << RANDOM_BITS);
        assert!(early < late && early.to_string() < late.to_string());
    }

    #[test]
    fn generated_keys_are_unique() {
        let prefix = KeyPrefix::new().unwrap();
        let texts: std::collections::HashSet<String> =
            (0..1000).map(|_| KeyText::new(prefix).unwrap().0).collect();
        assert_eq!(texts.len(), 1000);
    }
}
