//! What can be done with conversations.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Map;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::Error;
use super::record::Head;
use super::record::Record;
use super::record::WholeConversation;
use super::record::lines;
use super::taken::TakenConversation;
use crate::accounts::auth::Keys;
use crate::api::openai::Page;
use crate::api::openai::conversations::CreateConversation;
use crate::api::openai::conversations::StoredConversation;
use crate::api::openai::responses::kept;
use crate::domain::Caller;
use crate::domain::unix_now;
use crate::storage::store::Busy;
use crate::storage::store::Limits;
use crate::storage::store::Shelf;
use crate::storage::store::Store;
use crate::storage::store::Table;
use crate::storage::store::Transaction;

/// Where they are kept.
const TABLE: Table = Table::new("conversations");
/// The most bytes of a conversation: as many as Anthropic takes in a request.
const LARGEST: usize = 32 << 20;

/// Keeps conversations. Clones share all.
#[derive(Clone)]
pub struct Conversations(Arc<Inner>);

struct Inner {
    keys: Arc<Keys>,
    shelf: Shelf,
    busy: Busy,
    time_to_live: Duration,
}

impl fmt::Debug for Conversations {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Conversations")
            .finish_non_exhaustive()
    }
}

impl Conversations {
    /// The conversations in `store`, each the key's of `keys` that made it.
    pub fn new(store: &Store, keys: Arc<Keys>, limits: Limits) -> Self {
        let shelf = Shelf::new(store.clone(), TABLE, limits);
        Self(Arc::new(Inner {
            keys,
            shelf,
            busy: Busy::default(),
            time_to_live: limits.time_to_live,
        }))
    }

    /// A few conversations in `store`.
    #[cfg(test)]
    pub(crate) fn temporary(store: &Store, keys: &Arc<Keys>) -> Self {
        let limits = Limits {
            time_to_live: Duration::from_secs(60),
            max_records: 100,
            max_bytes: 1 << 20,
        };
        Self::new(store, Arc::clone(keys), limits)
    }

    /// Takes conversations away whose time is over, until `stop`.
    pub fn keep_tidy(&self, stop: CancellationToken) {
        self.0.shelf.keep_tidy(stop);
    }

    /// Makes a conversation.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn create(
        &self,
        caller: &Caller,
        request: CreateConversation,
    ) -> Result<StoredConversation, Error> {
        let now = unix_now();
        let conversation = StoredConversation::new(request.metadata, now);
        let items = kept::told_apart([], request.new.items);
        let head = Head {
            conversation: conversation.clone(),
            changed_at: now,
        };
        let record = Record {
            head,
            lines: lines(&items),
        };
        self.0
            .shelf
            .put(&self.owner(caller), &conversation.id, record.to_bytes()?)
            .await?;
        Ok(conversation)
    }

    /// A conversation without its items.
    ///
    /// # Errors
    /// When the caller has none of this name.
    pub async fn get(&self, caller: &Caller, id: &str) -> Result<StoredConversation, Error> {
        Ok(self.head(&self.owner(caller), id).await?.conversation)
    }

    /// Puts `metadata` in the place of a conversation's own.
    ///
    /// # Errors
    /// When the caller has none of this name.
    pub async fn update(
        &self,
        caller: &Caller,
        id: &str,
        metadata: Map<String, Value>,
    ) -> Result<StoredConversation, Error> {
        let change = move |head: &mut Head| head.conversation.metadata = metadata;
        self.change(&self.owner(caller), id, change)
            .await?
            .ok_or_else(|| Error::NotFound(id.to_owned()))
    }

    /// Takes a conversation away with its items. Responses that were made in it stay; one that is being made fails.
    ///
    /// # Errors
    /// When the caller has none of this name.
    pub async fn delete(&self, caller: &Caller, id: &str) -> Result<(), Error> {
        if self.0.shelf.remove(&self.owner(caller), id).await? {
            return Ok(());
        }
        Err(Error::NotFound(id.to_owned()))
    }

    /// All items, the oldest first.
    ///
    /// # Errors
    /// When the caller has no conversation of this name.
    pub async fn items(&self, caller: &Caller, id: &str) -> Result<Vec<Value>, Error> {
        Ok(self.load(&self.owner(caller), id).await?.items()?)
    }

    /// A page of the items, as the body of a list.
    ///
    /// # Errors
    /// When the caller has no conversation of this name, or the page begins after an item that is not there.
    pub async fn page(&self, caller: &Caller, id: &str, page: &Page) -> Result<String, Error> {
        let items = self.items(caller, id).await?;
        let (items, has_more) =
            page.of(items.iter().collect(), |item: &&Value| item["id"].as_str())?;
        Ok(kept::list(&items, has_more))
    }

    /// One item.
    ///
    /// # Errors
    /// When the caller has no conversation of this name, or it has no such item.
    pub async fn item(&self, caller: &Caller, id: &str, item: &str) -> Result<Value, Error> {
        let items = self.items(caller, id).await?;
        let found = items.into_iter().find(|one| one["id"] == item);
        found.ok_or_else(|| Error::NoItem(item.to_owned()))
    }

    /// Adds items, and gives them with the ids that they have there.
    ///
    /// # Errors
    /// When the caller has no conversation of this name, or it is taken or full.
    pub async fn add(
        &self,
        caller: &Caller,
        id: &str,
        items: Vec<Value>,
    ) -> Result<Vec<Value>, Error> {
        self.take(caller, id).await?.append(items, None).await
    }

    /// Takes an item away, and gives the conversation.
    ///
    /// # Errors
    /// When the caller has no conversation of this name, it has no such item, or it is taken.
    pub async fn delete_item(
        &self,
        caller: &Caller,
        id: &str,
        item: &str,
    ) -> Result<StoredConversation, Error> {
        let (conversation, _) = self.take_whole(caller, id).await?;
        let TakenConversation {
            shelf,
            owner,
            id,
            mut items,
            taken,
        } = conversation;
        let all = items.len();
        items.retain(|one| one["id"] != item);
        if items.len() == all {
            return Err(Error::NoItem(item.to_owned()));
        }
        // Nobody adds to a conversation that is taken, so these are all items when it is written.
        let left = lines(&items);
        let work = move |transaction: &mut Transaction<'_>| {
            // Taken until it is written, so that nobody goes on from what is no longer there.
            transaction.afterwards(move |_| drop(taken));
            let Some(bytes) = shelf.get_in(transaction, &owner, &id)? else {
                return Err(Error::Gone(id));
            };
            let Record { head, .. } = Record::read(&id, &bytes)?;
            let record = Record {
                head: Head {
                    changed_at: unix_now(),
                    ..head
                },
                lines: left,
            };
            shelf.renew_in(transaction, &owner, &id, &record.to_bytes()?)?;
            Ok(record.head.conversation)
        };
        self.0.shelf.transaction(work).await
    }

    /// Takes a conversation, to add to it: nobody else can until that is dropped.
    ///
    /// # Errors
    /// When the caller has none of this name, or somebody else has it, or it is full.
    pub async fn take(&self, caller: &Caller, id: &str) -> Result<TakenConversation, Error> {
        let (taken, size) = self.take_whole(caller, id).await?;
        if size > LARGEST {
            return Err(Error::Full(id.to_owned()));
        }
        Ok(taken)
    }

    /// Takes a conversation, full or not, and tells how many bytes its items have.
    async fn take_whole(
        &self,
        caller: &Caller,
        id: &str,
    ) -> Result<(TakenConversation, usize), Error> {
        let owner = self.owner(caller);
        // Whose it is comes first: nobody learns of another's.
        self.head(&owner, id).await?;
        let taken = self
            .0
            .busy
            .take(&owner, id)
            .ok_or_else(|| Error::Locked(id.to_owned()))?;
        // Read after it was taken: something may have been added in between.
        let whole = self.load(&owner, id).await?;
        self.keep(&owner, id, &whole.head).await?;
        let (items, shelf) = (whole.items()?, self.0.shelf.clone());
        Ok((
            TakenConversation {
                shelf,
                owner,
                id: id.to_owned(),
                items,
                taken,
            },
            whole.lines.len(),
        ))
    }

    /// Sees to it that a conversation does not end while something is added: where half of its time is over, it begins anew.
    async fn keep(&self, owner: &str, id: &str, head: &Head) -> Result<(), Error> {
        let age = unix_now().saturating_sub(head.changed_at);
        if age <= self.0.time_to_live.as_secs() / 2 {
            return Ok(());
        }
        let kept = self.change(owner, id, |_| {}).await?;
        kept.map(drop).ok_or_else(|| Error::NotFound(id.to_owned()))
    }

    /// Has `change` change a conversation, whose time begins anew; none where there is none.
    async fn change(
        &self,
        owner: &str,
        id: &str,
        change: impl FnOnce(&mut Head) + Send + 'static,
    ) -> Result<Option<StoredConversation>, Error> {
        let (shelf, owner, id) = (self.0.shelf.clone(), owner.to_owned(), id.to_owned());
        let work = move |transaction: &mut Transaction<'_>| {
            let Some(bytes) = shelf.get_in(transaction, &owner, &id)? else {
                return Ok(None);
            };
            let mut record = Record::read(&id, &bytes)?;
            change(&mut record.head);
            record.head.changed_at = unix_now();
            shelf.append_in(transaction, &owner, &id, &record.to_bytes()?, &[])?;
            Ok(Some(record.head.conversation))
        };
        self.0.shelf.transaction(work).await
    }

    /// A conversation without the items that were added to it.
    async fn head(&self, owner: &str, id: &str) -> Result<Head, Error> {
        let stored = self.0.shelf.get(owner, id).await?;
        let stored = stored.ok_or_else(|| Error::NotFound(id.to_owned()))?;
        Ok(Record::read(id, &stored)?.head)
    }

    async fn load(&self, owner: &str, id: &str) -> Result<WholeConversation, Error> {
        let stored = self.0.shelf.whole(owner, id).await?;
        let stored = stored.ok_or_else(|| Error::NotFound(id.to_owned()))?;
        Ok(WholeConversation::read(id, &stored)?)
    }

    fn owner(&self, caller: &Caller) -> String {
        self.0.keys.owner(caller)
    }
}
