//! Names of the keys in Redis.

/// Names of the keys of one set of records. The prefix is in braces, so that a cluster has all keys
/// in one slot, and a script may use them together.
#[derive(Debug, Clone)]
pub(super) struct KeyNames {
    prefix: String,
}

impl KeyNames {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: format!("{{{prefix}}}"),
        }
    }

    fn named(&self, name: &str) -> Vec<u8> {
        format!("{}:{name}", self.prefix).into_bytes()
    }

    /// Version of the layout of the keys.
    pub(super) fn layout(&self) -> Vec<u8> {
        self.named("layout")
    }

    /// Random name of these records, by which a server knows them again.
    pub(super) fn identity(&self) -> Vec<u8> {
        self.named("identity")
    }

    /// Number of the commits of all writers.
    pub(super) fn sequence(&self) -> Vec<u8> {
        self.named("sequence")
    }

    /// Name of the last commit.
    pub(super) fn head(&self) -> Vec<u8> {
        self.named("head")
    }

    /// Writer that commits alone, if there is one.
    pub(super) fn seat(&self) -> Vec<u8> {
        self.named("seat")
    }

    /// Sorted set of the keys of all records.
    pub(super) fn index(&self) -> Vec<u8> {
        self.named("index")
    }

    /// Mark because of which no server may start on the records.
    pub(super) fn mark(&self) -> Vec<u8> {
        self.named("mark")
    }

    /// Old values of the records that change while a snapshot is read.
    pub(super) fn snapshot(&self) -> Vec<u8> {
        self.named("snapshot")
    }

    /// Number of the last commit of the writer `name`, which ends with its lease.
    pub(super) fn writer(&self, name: &str) -> Vec<u8> {
        self.named(&format!("writer:{name}"))
    }

    /// Key of the state `name`, which is no record.
    pub(super) fn state(&self, name: &str) -> Vec<u8> {
        self.named(name)
    }

    /// Start of the keys of all records.
    pub(super) fn record_prefix(&self) -> Vec<u8> {
        self.named("record:")
    }

    /// Key of the record `key`.
    pub(super) fn record(&self, key: &[u8]) -> Vec<u8> {
        [self.record_prefix().as_slice(), key].concat()
    }
}

/// Returns the bounds of the keys that start with `prefix`, and come after the key `after` if there is
/// one, as `ZRANGEBYLEX` takes them.
pub(super) fn range_bounds(prefix: &[u8], after: Option<&[u8]>) -> (Vec<u8>, Vec<u8>) {
    let first = match after {
        Some(after) if after >= prefix => [b"(".as_slice(), after].concat(),
        _ => [b"[".as_slice(), prefix].concat(),
    };
    let ending = prefix.iter().rposition(|byte| *byte != u8::MAX);
    let last = match ending {
        Some(place) => {
            let mut last = [b"(".as_slice(), &prefix[..=place]].concat();
            // Never overflows, because the byte is not the largest one.
            if let Some(byte) = last.last_mut() {
                *byte += 1;
            }
            last
        }
        None => b"+".to_vec(),
    };
    (first, last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_prefix_as_their_hash_tag() {
        let names = KeyNames::new("team");
        assert_eq!(names.record(b"t\0a"), b"{team}:record:t\0a");
        assert_eq!(names.writer("w"), b"{team}:writer:w");
    }

    #[test]
    fn range_bounds_enclose_the_keys_with_a_prefix() {
        let bounds = |prefix: &[u8], after: Option<&[u8]>| range_bounds(prefix, after);
        assert_eq!(bounds(b"t\0", None), (b"[t\0".to_vec(), b"(t\x01".to_vec()));
        assert_eq!(
            bounds(b"t\0", Some(b"t\0a")),
            (b"(t\0a".to_vec(), b"(t\x01".to_vec())
        );
        assert_eq!(bounds(b"", None), (b"[".to_vec(), b"+".to_vec()));
        assert_eq!(bounds(b"a\xff", None), (b"[a\xff".to_vec(), b"(b".to_vec()));
        assert_eq!(bounds(b"\xff", None), (b"[\xff".to_vec(), b"+".to_vec()));
        assert_eq!(bounds(b"b", Some(b"a")).0, b"[b");
    }
}
