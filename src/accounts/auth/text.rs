//! The texts of keys, and their public prefixes.

use std::fmt;
use std::str::FromStr;

use crate::domain::unix_now_ms;

/// With this begins every key that is made here, so that scanners for leaked secrets can know it.
pub(super) const BRAND: &str = "sk-sb-";
/// The brand of the key of the admin API.
const ADMIN: &str = "sk-sb-admin-";
/// Digits of five bits, in the order of ASCII and without those that are easily taken for others.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Digits of a prefix.
const PREFIX: usize = 12;
/// Digits of a secret: 260 random bits.
const SECRET: usize = 52;
/// Random bits of a prefix; the others are the time it was made.
const CHANCE: u32 = 15;

/// The text of a key that was just made: the only time it is seen. Shows as `***` wherever it is printed.
pub struct KeyText(String);

/// The public part of a key: names it, finds it, and says nothing of its secret. Later ones are greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Prefix(u64);

impl KeyText {
    /// A new key with this prefix.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub(super) fn new(prefix: Prefix) -> Result<Self, getrandom::Error> {
        Ok(Self(format!("{BRAND}{prefix}-{}", secret()?)))
    }

    /// A new key of the admin API.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub(super) fn admin() -> Result<Self, getrandom::Error> {
        Ok(Self(format!("{ADMIN}{}", secret()?)))
    }

    /// The text itself, to be shown once.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl Prefix {
    /// One that was made now; whoever takes it sees to it that nobody has it yet.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        let chance = getrandom::u32()? & ((1 << CHANCE) - 1);
        let bits = (unix_now_ms() << CHANCE) | u64::from(chance);
        Ok(Self(bits & ((1 << (5 * PREFIX)) - 1)))
    }

    /// The prefix that the key `text` would have.
    pub(super) fn of_key(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(BRAND)?;
        let (prefix, rest) = rest.split_at_checked(PREFIX)?;
        rest.starts_with('-').then(|| prefix.parse().ok())?
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..PREFIX).rev().try_for_each(|place| {
            let digit = DIGITS[(self.0 >> (5 * place) & 31) as usize];
            write!(formatter, "{}", char::from(digit))
        })
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

impl FromStr for Prefix {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.len() != PREFIX {
            return Err(());
        }
        let value = |digit: u8| DIGITS.iter().position(|known| *known == digit).ok_or(());
        text.bytes()
            .try_fold(0, |bits, digit| Ok(bits << 5 | value(digit)? as u64))
            .map(Self)
    }
}

fn secret() -> Result<String, getrandom::Error> {
    let mut bytes = [0; SECRET];
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
    fn a_key_tells_its_prefix() {
        let prefix = Prefix::new().unwrap();
        let text = KeyText::new(prefix).unwrap();
        assert_eq!(text.reveal().len(), 6 + 12 + 1 + 52);
        assert_eq!(Prefix::of_key(text.reveal()), Some(prefix));
        assert_eq!(prefix.to_string().parse(), Ok(prefix));
        assert_eq!(format!("{text:?}"), "***");
    }

    #[test]
    fn what_is_no_key_has_no_prefix() {
        let admin = KeyText::admin().unwrap();
        for text in [
            "",
            "sk-sb-",
            "sk-sb-0123456789ab",
            "sk-sb-0123456789abx",
            "sk-sb-0123456789aB-x",
            "sk-sb-01234567ä89-x",
        ] {
            assert_eq!(Prefix::of_key(text), None, "{text}");
        }
        assert_eq!(Prefix::of_key(admin.reveal()), None);
    }

    #[test]
    fn later_prefixes_are_greater_and_their_texts_too() {
        let (early, late) = (Prefix(1 << CHANCE), Prefix(2 << CHANCE));
        assert!(early < late && early.to_string() < late.to_string());
    }

    #[test]
    fn no_two_keys_are_the_same() {
        let prefix = Prefix::new().unwrap();
        let texts: std::collections::HashSet<String> =
            (0..1000).map(|_| KeyText::new(prefix).unwrap().0).collect();
        assert_eq!(texts.len(), 1000);
    }
}
