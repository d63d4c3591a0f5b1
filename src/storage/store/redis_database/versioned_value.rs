//! Records as they are in Redis: a version, then the value.

use super::super::Error;

/// Size of the version in front of a value, in bytes. The script of a commit has the same number.
const VERSION_BYTES: usize = 17;
/// First byte of a version, for later encodings.
const FORMAT: u8 = 1;

/// A record with its version. The version names the commit that has written the record, so it is
/// never used again, not even after a fail-over that has lost commits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct VersionedValue {
    /// Empty if there is no record.
    pub(super) version: Vec<u8>,
    pub(super) value: Option<Vec<u8>>,
}

impl VersionedValue {
    /// Reads what Redis keeps under `key`. Redis has an empty text where there is no record.
    ///
    /// # Errors
    /// [`Error::Unreadable`] if another program has written it.
    pub(super) fn decode(key: &[u8], mut stored: Vec<u8>) -> Result<Self, Error> {
        if stored.is_empty() {
            return Ok(Self::default());
        }
        if stored.len() < VERSION_BYTES || stored[0] != FORMAT {
            let table = key.split(|byte| *byte == 0).next().unwrap_or_default();
            return Err(Error::Unreadable {
                kind: "record of the table",
                name: String::from_utf8_lossy(table).escape_debug().to_string(),
                reason: "it has no version that this program knows".to_owned(),
            });
        }
        let value = stored.split_off(VERSION_BYTES);
        Ok(Self {
            version: stored,
            value: Some(value),
        })
    }

    /// Returns the record that a commit with `version` leaves with `value`.
    pub(super) fn written(version: &[u8], value: Option<&Vec<u8>>) -> Self {
        Self {
            version: value.map(|_| version.to_vec()).unwrap_or_default(),
            value: value.cloned(),
        }
    }
}

/// Returns the version of the records that a writer with the random `tag` writes by its commit
/// `number`.
pub(super) fn version_of_commit(tag: u64, number: u64) -> Vec<u8> {
    let mut version = Vec::with_capacity(VERSION_BYTES);
    version.push(FORMAT);
    version.extend(tag.to_be_bytes());
    version.extend(number.to_be_bytes());
    version
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_record_is_read_with_its_version() {
        let version = version_of_commit(7, 3);
        assert_eq!(version.len(), VERSION_BYTES);
        for value in [&b""[..], b"value"] {
            let stored = [version.as_slice(), value].concat();
            let written = VersionedValue::written(&version, Some(&value.to_vec()));
            assert_eq!(VersionedValue::decode(b"t\0a", stored).unwrap(), written);
        }
        let absent = VersionedValue::decode(b"t\0a", Vec::new()).unwrap();
        assert_eq!(absent, VersionedValue::written(&version, None));
    }

    #[test]
    fn record_of_another_program_is_unreadable_and_its_key_is_not_told() {
        for stored in [&b"short"[..], &[2; 30]] {
            let error = VersionedValue::decode(b"keys\0secret", stored.to_vec()).unwrap_err();
            assert_eq!(
                error.to_string(),
                "the stored record of the table keys cannot be read: it has no version that this program knows"
            );
        }
    }
}
