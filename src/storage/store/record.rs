//! The encoding of stored values: a version byte, then JSON.
//!
//! A value that cannot be read is an error that names it, never an absent one: callers must not sweep, forget or overwrite what
//! belongs to it.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Error;

/// Versions are below every byte that JSON can begin with, so values of the time before versions are told from the others.
const MAX_VERSION: u8 = b'\t' - 1;

/// A value that is stored.
pub trait Stored: Serialize + DeserializeOwned {
    /// The kind of value in the words of an error, such as `batch`.
    const KIND: &'static str;
    /// The version that is written: raised when an earlier program could not read the value, or would read it wrongly.
    const VERSION: u8 = 1;

    /// Reads JSON that was written as `version`; 0 is JSON of the time before versions.
    ///
    /// # Errors
    /// Fails for JSON that is no such value.
    fn from_version(version: u8, json: &[u8]) -> Result<Self, serde_json::Error> {
        let _ = version;
        serde_json::from_slice(json)
    }
}

/// Encodes `value` for the store.
///
/// # Errors
/// Fails for values that JSON cannot hold, such as a path that is not UTF-8.
pub fn encode_record<T: Stored>(value: &T) -> Result<Vec<u8>, Error> {
    const { assert!(T::VERSION > 0 && T::VERSION <= MAX_VERSION) };
    let mut bytes = vec![T::VERSION];
    serde_json::to_writer(&mut bytes, value).map_err(|error| Error::Unwritable {
        kind: T::KIND,
        reason: error.to_string(),
    })?;
    Ok(bytes)
}

/// Decodes the stored value called `name`.
///
/// # Errors
/// Fails with [`Error::Unreadable`] for a value of a later version, and for damaged ones.
pub fn decode_record<T: Stored>(name: &str, bytes: &[u8]) -> Result<T, Error> {
    let (version, json) = match bytes {
        [version @ 1..=MAX_VERSION, json @ ..] => (*version, json),
        json => (0, json),
    };
    let unreadable = |reason: String| Error::Unreadable {
        kind: T::KIND,
        name: name.to_owned(),
        reason,
    };
    if version > T::VERSION {
        return Err(unreadable(format!(
            "its version is {version}, and this program reads versions up to {}",
            T::VERSION
        )));
    }
    // The words of serde quote the value, which is a client's: the category and the place have to do.
    T::from_version(version, json).map_err(|error| {
        unreadable(format!(
            "{:?} error at column {}",
            error.classify(),
            error.column()
        ))
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Sample {
        name: String,
    }

    impl Stored for Sample {
        const KIND: &'static str = "sample";
        const VERSION: u8 = 2;

        fn from_version(version: u8, json: &[u8]) -> Result<Self, serde_json::Error> {
            if version > 1 {
                return serde_json::from_slice(json);
            }
            serde_json::from_slice(json).map(|name| Self { name })
        }
    }

    fn sample() -> Sample {
        Sample {
            name: "a".to_owned(),
        }
    }

    #[test]
    fn record_reads_back_what_was_encoded() {
        let bytes = encode_record(&sample()).unwrap();
        assert_eq!(bytes, b"\x02{\"name\":\"a\"}");
        assert_eq!(decode_record::<Sample>("s", &bytes).unwrap(), sample());
    }

    #[test]
    fn record_of_an_earlier_version_is_read() {
        for earlier in [b"\"a\"".as_slice(), b"\x01\"a\""] {
            assert_eq!(decode_record::<Sample>("s", earlier).unwrap(), sample());
        }
    }

    #[test]
    fn record_that_cannot_be_read_is_an_error_that_names_it_and_quotes_nothing() {
        let told = |bytes: &[u8]| {
            decode_record::<Sample>("s-1", bytes)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            told(b"\x03{\"name\":\"a\"}"),
            "the stored sample s-1 cannot be read: its version is 3, and this program reads versions up to 2"
        );
        assert_eq!(
            told(b"\x02{\"name\":{\"secret\":1}}"),
            "the stored sample s-1 cannot be read: Data error at column 8"
        );
        assert_eq!(
            told(b""),
            "the stored sample s-1 cannot be read: Eof error at column 0"
        );
    }
}
