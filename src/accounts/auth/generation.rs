//! Generation of keys and projects: tells servers on one store when another one has changed them.
//!
//! Each change raises the generation in its own transaction and notes what it changed. A store that
//! is not shared has neither: its one server knows all changes.

use uuid::Uuid;

use super::Error;
use super::text::KeyPrefix;
use crate::storage::store::StoreTable;
use crate::storage::store::Transaction;

/// Number of noted changes. A server that has missed more of them reads everything.
const MAX_NOTED_CHANGES: u64 = 1024;
/// Size of a number in a record, in bytes.
const NUMBER_BYTES: usize = 8;

/// Present generation.
const GENERATION: StoreTable = StoreTable::new("registry-generation");
/// Changed items: number of the generation to its tag and the item.
const CHANGES: StoreTable = StoreTable::new("registry-changes");

/// State of keys and projects between two changes; the default one is that before the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct RegistryGeneration {
    number: u64,
    /// Random part. Tells another change of the same number apart, after a store has lost changes.
    tag: u64,
}

/// Key or project that was changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum ChangedItem {
    /// Key with this prefix.
    Key(KeyPrefix),
    /// Project with this id, which may be deleted.
    Project(String),
}

impl RegistryGeneration {
    /// Key of the record of the present generation.
    pub(super) fn key() -> Vec<u8> {
        GENERATION.key("")
    }

    /// Reads the generation from its record, if there is one.
    ///
    /// # Errors
    /// Fails when the record is unreadable.
    pub(super) fn decode(record: Option<&[u8]>) -> Result<Self, Error> {
        let Some(record) = record else {
            return Ok(Self::default());
        };
        let unreadable = || Error::Unreadable("the generation of keys".to_owned());
        let (number, tag) = record
            .split_at_checked(NUMBER_BYTES)
            .ok_or_else(unreadable)?;
        match (read_number(number), read_number(tag)) {
            (Some(number), Some(tag)) => Ok(Self { number, tag }),
            _ => Err(unreadable()),
        }
    }

    /// Returns the present generation.
    ///
    /// # Errors
    /// Fails when it cannot be read.
    pub(super) fn load(transaction: &Transaction<'_>) -> Result<Self, Error> {
        Self::decode(transaction.get(&Self::key())?.as_deref())
    }

    fn encode(self) -> Vec<u8> {
        [self.number.to_be_bytes(), self.tag.to_be_bytes()].concat()
    }

    /// Returns what was changed after this generation and up to `present`; `None` if that is not
    /// noted any more.
    ///
    /// # Errors
    /// Fails when the store cannot be read.
    pub(super) fn changes_until(
        self,
        present: Self,
        transaction: &Transaction<'_>,
    ) -> Result<Option<Vec<ChangedItem>>, Error> {
        let Some(missed) = present.number.checked_sub(self.number) else {
            return Ok(None);
        };
        if missed > MAX_NOTED_CHANGES {
            return Ok(None);
        }
        let mut tags = Vec::new();
        let mut items = Vec::new();
        for number in self.number.max(1)..=present.number {
            let Some(noted) = transaction.get(&change_key(number))? else {
                return Ok(None);
            };
            let Some((tag, item)) = noted.split_at_checked(NUMBER_BYTES) else {
                return Ok(None);
            };
            tags.push(read_number(tag));
            if number > self.number {
                items.push(ChangedItem::decode(item));
            }
        }
        // Another tag shows that the store has lost the changes that this generation came from.
        if self.number > 0 && tags.first() != Some(&Some(self.tag)) {
            return Ok(None);
        }
        Ok(items.into_iter().collect())
    }
}

/// Raises the generation for a change of `item`, in the transaction that changes it.
///
/// # Errors
/// Fails when the generation cannot be read.
pub(super) fn note_change(
    transaction: &mut Transaction<'_>,
    item: &ChangedItem,
) -> Result<(), Error> {
    if !transaction.is_shared() {
        return Ok(());
    }
    let next = RegistryGeneration {
        number: RegistryGeneration::load(transaction)?.number + 1,
        tag: Uuid::new_v4().as_u64_pair().0,
    };
    transaction.put(RegistryGeneration::key(), next.encode());
    let noted = [next.tag.to_be_bytes().as_slice(), &item.encode()].concat();
    transaction.put(change_key(next.number), noted);
    // One more than can be missed: the first one is read for its tag.
    if let Some(forgotten) = next.number.checked_sub(MAX_NOTED_CHANGES + 1) {
        transaction.remove(change_key(forgotten));
    }
    Ok(())
}

fn change_key(number: u64) -> Vec<u8> {
    CHANGES.key(number.to_be_bytes())
}

fn read_number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

impl ChangedItem {
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Key(prefix) => format!("key:{prefix}").into_bytes(),
            Self::Project(id) => format!("project:{id}").into_bytes(),
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, name) = std::str::from_utf8(bytes).ok()?.split_once(':')?;
        match kind {
            "key" => name.parse().ok().map(Self::Key),
            "project" => Some(Self::Project(name.to_owned())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_items_and_generations_are_read_as_written() {
        let prefix = KeyPrefix::new().unwrap();
        for item in [
            ChangedItem::Key(prefix),
            ChangedItem::Project("proj:1".to_owned()),
        ] {
            assert_eq!(ChangedItem::decode(&item.encode()), Some(item));
        }
        assert_eq!(ChangedItem::decode(b"other:1"), None);
        let generation = RegistryGeneration { number: 7, tag: 9 };
        let read = |record: Option<&[u8]>| RegistryGeneration::decode(record).ok();
        assert_eq!(read(Some(&generation.encode())), Some(generation));
        assert_eq!(read(None), Some(RegistryGeneration::default()));
        assert_eq!(read(Some(b"short")), None);
    }
}
