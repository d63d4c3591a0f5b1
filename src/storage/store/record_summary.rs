//! Number, size and digest of the records of each table, by which two places are compared.

use std::collections::BTreeMap;

use sha2::Digest as _;
use sha2::Sha256;

/// Size of a digest, in bytes.
const DIGEST_BYTES: usize = 32;

/// Number, size and digest of the records of one table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableSummary {
    /// Number of records in the table.
    pub records: u64,
    /// Size of their keys and values, in bytes.
    pub bytes: u64,
    /// Exclusive or of the SHA-256 of each record, so that their order does not matter.
    digest: [u8; DIGEST_BYTES],
}

/// Summaries of all tables of a store, by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordSummary {
    tables: BTreeMap<String, TableSummary>,
}

impl RecordSummary {
    /// Adds a record.
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        let name = key.split(|byte| *byte == 0).next().unwrap_or_default();
        let name = String::from_utf8_lossy(name);
        let digest = Sha256::new()
            .chain_update((key.len() as u64).to_be_bytes())
            .chain_update(key)
            .chain_update(value)
            .finalize();
        // Most records follow others of their table.
        if !self.tables.contains_key(&*name) {
            let name = name.clone().into_owned();
            self.tables.insert(name, TableSummary::default());
        }
        if let Some(table) = self.tables.get_mut(&*name) {
            table.records += 1;
            table.bytes += (key.len() + value.len()) as u64;
            for (sum, byte) in table.digest.iter_mut().zip(digest) {
                *sum ^= byte;
            }
        }
    }

    /// Returns the tables with their names, in the order of these.
    pub fn tables(&self) -> impl Iterator<Item = (&str, &TableSummary)> {
        self.tables
            .iter()
            .map(|(name, table)| (name.as_str(), table))
    }

    /// Number of the records of all tables.
    pub fn records(&self) -> u64 {
        self.tables.values().map(|table| table.records).sum()
    }

    /// Size of the records of all tables, in bytes.
    pub fn bytes(&self) -> u64 {
        self.tables.values().map(|table| table.bytes).sum()
    }

    /// Returns the name of the first table that differs from that of `other`.
    pub(super) fn find_difference<'a>(&'a self, other: &'a Self) -> Option<&'a str> {
        let names = self.tables.keys().chain(other.tables.keys());
        let mut differing = names.filter(|name| self.tables.get(*name) != other.tables.get(*name));
        differing.next().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(records: &[(&str, &str)]) -> RecordSummary {
        let mut summary = RecordSummary::default();
        for (key, value) in records {
            summary.add(key.as_bytes(), value.as_bytes());
        }
        summary
    }

    #[test]
    fn summary_depends_on_records_and_not_on_their_order() {
        let one = summary(&[("a\0x", "1"), ("a\0y", "2"), ("b\0x", "3")]);
        let same = summary(&[("b\0x", "3"), ("a\0y", "2"), ("a\0x", "1")]);
        assert_eq!(one, same);
        assert_eq!(one.find_difference(&same), None);
        assert_eq!((one.records(), one.bytes()), (3, 12));
        let names: Vec<_> = one
            .tables()
            .map(|(name, table)| (name, table.records))
            .collect();
        assert_eq!(names, [("a", 2), ("b", 1)]);
    }

    #[test]
    fn difference_names_its_table() {
        let one = summary(&[("a\0x", "1"), ("b\0x", "3")]);
        for (other, table) in [
            (summary(&[("a\0x", "1"), ("b\0x", "4")]), "b"),
            (summary(&[("a\0x", "1"), ("b\0x3", "")]), "b"),
            (summary(&[("a\0x", "1")]), "b"),
            (summary(&[("a\0x", "1"), ("b\0x", "3"), ("c\0", "")]), "c"),
            (summary(&[("b\0x", "3")]), "a"),
        ] {
            assert_eq!(one.find_difference(&other), Some(table));
        }
    }
}
