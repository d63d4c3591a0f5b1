//! Encoding of stored values: a version byte, then JSON.
//!
//! A value that cannot be read is an error that names it, and never counts as absent: nothing that
//! belongs to it may be swept or overwritten.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::telemetry::logs::ErrorChain;

use super::Error;

/// Maximum version. JSON begins with none of the bytes up to it, so JSON without a version byte is
/// recognised.
const MAX_VERSION: u8 = b'\t' - 1;

/// A value that is stored.
pub trait Stored: Serialize + DeserializeOwned {
    /// Kind of value in error messages, such as `batch`.
    const KIND: &'static str;
    /// Version of new records. Raised when earlier programs could not read them, or would read them
    /// wrongly.
    const VERSION: u8 = 1;
    /// Oldest version that is read; 0 is JSON without a version byte.
    const MIN_VERSION: u8 = 0;

    /// Parses the JSON of a record of `version`.
    ///
    /// # Errors
    /// Fails if the JSON is not such a value.
    fn from_version(version: u8, json: &[u8]) -> Result<Self, serde_json::Error> {
        let _ = version;
        serde_json::from_slice(json)
    }
}

impl Error {
    /// Creates the error of the stored value `name`. The message of serde quotes the value, which
    /// belongs to a client, so it is left out.
    pub fn unreadable<T: Stored>(name: &str, error: &serde_json::Error) -> Self {
        let reason = format!("{:?} error at column {}", error.classify(), error.column());
        Self::Unreadable {
            kind: T::KIND,
            name: name.to_owned(),
            reason,
        }
    }

    /// Creates the error of the stored value `name`, which a later program has written.
    pub fn unsupported_version(kind: &'static str, name: &str, version: u8, newest: u8) -> Self {
        Self::Unreadable {
            kind,
            name: name.to_owned(),
            reason: format!(
                "its version is {version}, and this program can read versions up to {newest}"
            ),
        }
    }

    /// Creates the error of a value that JSON cannot hold.
    pub fn unwritable<T: Stored>(error: &serde_json::Error) -> Self {
        Self::Unwritable {
            kind: T::KIND,
            reason: error.to_string(),
        }
    }
}

/// Encodes `value` for the store.
///
/// # Errors
/// Fails for values that JSON cannot hold, such as a path that is not UTF-8.
pub fn encode_record<T: Stored>(value: &T) -> Result<Vec<u8>, Error> {
    const { assert!(T::VERSION > 0 && T::VERSION <= MAX_VERSION) };
    let mut bytes = vec![T::VERSION];
    serde_json::to_writer(&mut bytes, value).map_err(|error| Error::unwritable::<T>(&error))?;
    Ok(bytes)
}

/// Decodes the stored value called `name`.
///
/// # Errors
/// [`Error::Unreadable`] if its version is not supported, or it is damaged.
pub fn decode_record<T: Stored>(name: &str, bytes: &[u8]) -> Result<T, Error> {
    let (version, json) = match bytes {
        [version @ 1..=MAX_VERSION, json @ ..] => (*version, json),
        json => (0, json),
    };
    if !(T::MIN_VERSION..=T::VERSION).contains(&version) {
        return Err(Error::unsupported_version(
            T::KIND,
            name,
            version,
            T::VERSION,
        ));
    }
    T::from_version(version, json).map_err(|error| Error::unreadable::<T>(name, &error))
}

/// Logs an unreadable record and returns `None` for it, so that the others are still processed.
///
/// # Errors
/// Returns every other error.
pub fn skip_unreadable<T>(read: Result<T, Error>) -> Result<Option<T>, Error> {
    match read {
        Err(error @ Error::Unreadable { .. }) => {
            tracing::error!(
                error = %ErrorChain(&error),
                "stored record unreadable"
            );
            Ok(None)
        }
        read => read.map(Some),
    }
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
        let error_text = |bytes: &[u8]| {
            decode_record::<Sample>("s-1", bytes)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            error_text(b"\x03{\"name\":\"a\"}"),
            "the stored sample s-1 cannot be read: its version is 3, and this program can read versions up to 2"
        );
        assert_eq!(
            error_text(b"\x02{\"name\":{\"secret\":1}}"),
            "the stored sample s-1 cannot be read: Data error at column 8"
        );
        assert_eq!(
            error_text(b""),
            "the stored sample s-1 cannot be read: Eof error at column 0"
        );
    }
}
