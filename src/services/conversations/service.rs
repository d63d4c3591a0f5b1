//! Operations on conversations.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Map;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::Error;
use super::locked::LockedConversation;
use super::record::ConversationHead;
use super::record::ConversationRecord;
use super::record::WholeConversation;
use super::record::lines;
use crate::accounts::auth::Keys;
use crate::accounts::ledger::LockKind;
use crate::accounts::ledger::SharedLocks;
use crate::api::openai::PageRequest;
use crate::api::openai::conversations::Conversation;
use crate::api::openai::conversations::CreateConversation;
use crate::api::openai::responses::stored_items;
use crate::domain::Caller;
use crate::domain::unix_now;
use crate::runtime::run_registry::RunRegistry;
use crate::storage::store::Store;
use crate::storage::store::StoreTable;
use crate::storage::store::Transaction;
use crate::storage::store::TtlLimits;
use crate::storage::store::TtlTable;

/// Table of conversation records.
const TABLE: StoreTable = StoreTable::new("conversations");
/// Maximum size of a conversation, in bytes: the request size limit of the Anthropic API.
const MAX_CONVERSATION_BYTES: usize = 32 << 20;

/// The conversation service. Clones share the state.
#[derive(Clone)]
pub struct Conversations(Arc<ConversationsInner>);

struct ConversationsInner {
    keys: Arc<Keys>,
    table: TtlTable,
    /// Registry of the conversations that are being continued or changed.
    changes: RunRegistry,
    /// Locks of the same over all servers.
    locks: SharedLocks,
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
    /// Creates the service on the conversations in `store`. Each belongs to the key in `keys` that
    /// created it.
    pub fn new(store: &Store, keys: Arc<Keys>, limits: TtlLimits) -> Self {
        Self::with_locks(store, keys, limits, SharedLocks::default())
    }

    /// Creates the service as [`new`](Self::new) does, for several servers that share `store`: each locks
    /// a conversation in `locks`, too.
    pub fn with_locks(
        store: &Store,
        keys: Arc<Keys>,
        limits: TtlLimits,
        locks: SharedLocks,
    ) -> Self {
        let table = TtlTable::new(store.clone(), TABLE, limits);
        Self(Arc::new(ConversationsInner {
            keys,
            table,
            changes: RunRegistry::default(),
            locks,
            time_to_live: limits.time_to_live,
        }))
    }

    /// Creates the service with small limits.
    #[cfg(test)]
    pub(crate) fn temporary(store: &Store, keys: &Arc<Keys>) -> Self {
        let limits = TtlLimits {
            time_to_live: Duration::from_secs(60),
            max_records: 100,
            max_bytes: 1 << 20,
        };
        Self::new(store, Arc::clone(keys), limits)
    }

    /// Starts a task that removes expired conversations, until `stop` is cancelled.
    pub fn spawn_cleanup(&self, stop: CancellationToken) {
        self.0.table.spawn_cleanup(stop);
    }

    /// Creates a conversation.
    ///
    /// # Errors
    /// Fails when it cannot be written.
    pub async fn create(
        &self,
        caller: &Caller,
        request: CreateConversation,
    ) -> Result<Conversation, Error> {
        let now = unix_now();
        let conversation = Conversation::new(request.metadata, now);
        let items = stored_items::with_unique_ids([], request.new_items.items);
        let head = ConversationHead {
            conversation: conversation.clone(),
            changed_at: now,
        };
        let record = ConversationRecord {
            head,
            lines: lines(&items),
        };
        self.0
            .table
            .put(&self.owner(caller), &conversation.id, record.to_bytes()?)
            .await?;
        Ok(conversation)
    }

    /// Returns a conversation without its items.
    ///
    /// # Errors
    /// Fails when the caller has no conversation with this id.
    pub async fn get(&self, caller: &Caller, id: &str) -> Result<Conversation, Error> {
        Ok(self.head(&self.owner(caller), id).await?.conversation)
    }

    /// Replaces the metadata of a conversation.
    ///
    /// # Errors
    /// Fails when the caller has no conversation with this id.
    pub async fn update(
        &self,
        caller: &Caller,
        id: &str,
        metadata: Map<String, Value>,
    ) -> Result<Conversation, Error> {
        let change = move |head: &mut ConversationHead| {
            head.conversation.metadata.clone_from(&metadata);
        };
        self.update_head(&self.owner(caller), id, change)
            .await?
            .ok_or_else(|| Error::NotFound(id.to_owned()))
    }

    /// Deletes a conversation with its items. Responses generated in it stay; one in progress
    /// fails.
    ///
    /// # Errors
    /// Fails when the caller has no conversation with this id.
    pub async fn delete(&self, caller: &Caller, id: &str) -> Result<(), Error> {
        if self.0.table.remove(&self.owner(caller), id).await? {
            return Ok(());
        }
        Err(Error::NotFound(id.to_owned()))
    }

    /// Returns all items, oldest first.
    ///
    /// # Errors
    /// Fails when the caller has no conversation with this id.
    pub async fn items(&self, caller: &Caller, id: &str) -> Result<Vec<Value>, Error> {
        Ok(self.load(&self.owner(caller), id).await?.items()?)
    }

    /// Returns a page of the items as the JSON body of a list.
    ///
    /// # Errors
    /// Fails when the caller has no conversation with this id, or the page begins after an unknown
    /// item.
    pub async fn list_items(
        &self,
        caller: &Caller,
        id: &str,
        page: &PageRequest,
    ) -> Result<String, Error> {
        let items = self.items(caller, id).await?;
        let (items, has_more) =
            page.select(items.iter().collect(), |item: &&Value| item["id"].as_str())?;
        Ok(stored_items::list_body(&items, has_more))
    }

    /// Returns a single item.
    ///
    /// # Errors
    /// Fails when the caller has no conversation with this id, or it has no such item.
    pub async fn item(&self, caller: &Caller, id: &str, item: &str) -> Result<Value, Error> {
        let items = self.items(caller, id).await?;
        let found = items.into_iter().find(|one| one["id"] == item);
        found.ok_or_else(|| Error::NoItem(item.to_owned()))
    }

    /// Appends items and returns them with their final ids.
    ///
    /// # Errors
    /// Fails when the caller has no conversation with this id, or it is locked or full.
    pub async fn add_items(
        &self,
        caller: &Caller,
        id: &str,
        items: Vec<Value>,
    ) -> Result<Vec<Value>, Error> {
        self.lock(caller, id).await?.append(items, None).await
    }

    /// Deletes an item and returns the conversation.
    ///
    /// # Errors
    /// Fails when the caller has no conversation with this id, it has no such item, or it is
    /// locked.
    pub async fn delete_item(
        &self,
        caller: &Caller,
        id: &str,
        item: &str,
    ) -> Result<Conversation, Error> {
        let (conversation, _) = self.lock_any_size(caller, id).await?;
        let LockedConversation {
            table,
            owner,
            id,
            mut items,
            shared,
            lock: locked,
        } = conversation;
        let all = items.len();
        items.retain(|one| one["id"] != item);
        if items.len() == all {
            return Err(Error::NoItem(item.to_owned()));
        }
        // The lock keeps others from adding items, so these are all items when the write happens.
        let left = lines(&items);
        let work = move |transaction: &mut Transaction<'_>| {
            // The closure lives until the write is done and holds the lock, so that no one continues
            // from the deleted item.
            let _ = &locked;
            shared.release_in(transaction)?;
            let Some(bytes) = table.get_in(transaction, &owner, &id)? else {
                return Err(Error::Gone(id.clone()));
            };
            let ConversationRecord { head, .. } = ConversationRecord::read(&id, &bytes)?;
            let record = ConversationRecord {
                head: ConversationHead {
                    changed_at: unix_now(),
                    ..head
                },
                lines: left.clone(),
            };
            table.replace_and_extend_in(transaction, &owner, &id, &record.to_bytes()?)?;
            Ok(record.head.conversation)
        };
        self.0.table.transaction(work).await
    }

    /// Locks a conversation for appending.
    ///
    /// # Errors
    /// Fails when the caller has no conversation with this id, or it is locked or full.
    pub async fn lock(&self, caller: &Caller, id: &str) -> Result<LockedConversation, Error> {
        let (locked, size) = self.lock_any_size(caller, id).await?;
        if size > MAX_CONVERSATION_BYTES {
            return Err(Error::Full(id.to_owned()));
        }
        Ok(locked)
    }

    /// Locks a conversation, full or not, and returns it with the size of its items in bytes.
    async fn lock_any_size(
        &self,
        caller: &Caller,
        id: &str,
    ) -> Result<(LockedConversation, usize), Error> {
        let owner = self.owner(caller);
        // Ownership is checked before the lock, so that the existence of other owners'
        // conversations does not leak.
        self.head(&owner, id).await?;
        // Registered as a lock alone, without state to follow.
        let lock = self
            .0
            .changes
            .try_register(&owner, id, ())
            .ok_or_else(|| Error::Locked(id.to_owned()))?;
        let shared = self
            .0
            .locks
            .try_take(LockKind::Conversation, &owner, id)
            .await?
            .ok_or_else(|| Error::Locked(id.to_owned()))?;
        // Read under the lock: items may have been added in between.
        let whole = self.load(&owner, id).await?;
        self.extend_for_change(&owner, id, &whole.head).await?;
        let items = whole.items()?;
        let table = self.0.table.clone();
        Ok((
            LockedConversation {
                table,
                owner,
                id: id.to_owned(),
                items,
                shared,
                lock,
            },
            whole.lines.len(),
        ))
    }

    /// Extends a conversation whose time to live is half over, so that it does not expire while it
    /// is locked.
    async fn extend_for_change(
        &self,
        owner: &str,
        id: &str,
        head: &ConversationHead,
    ) -> Result<(), Error> {
        let age = unix_now().saturating_sub(head.changed_at);
        if age <= self.0.time_to_live.as_secs() / 2 {
            return Ok(());
        }
        let updated = self.update_head(owner, id, |_| {}).await?;
        updated
            .map(drop)
            .ok_or_else(|| Error::NotFound(id.to_owned()))
    }

    /// Applies `change` to a conversation and restarts its time to live. Returns `None` if there is
    /// no such conversation.
    async fn update_head(
        &self,
        owner: &str,
        id: &str,
        change: impl Fn(&mut ConversationHead) + Send + 'static,
    ) -> Result<Option<Conversation>, Error> {
        let table = self.0.table.clone();
        let owner = owner.to_owned();
        let id = id.to_owned();
        let work = move |transaction: &mut Transaction<'_>| {
            let Some(bytes) = table.get_in(transaction, &owner, &id)? else {
                return Ok(None);
            };
            let mut record = ConversationRecord::read(&id, &bytes)?;
            change(&mut record.head);
            record.head.changed_at = unix_now();
            table.append_in(transaction, &owner, &id, &record.to_bytes()?, &[])?;
            Ok(Some(record.head.conversation))
        };
        self.0.table.transaction(work).await
    }

    /// Loads a conversation without its items.
    async fn head(&self, owner: &str, id: &str) -> Result<ConversationHead, Error> {
        let stored = self.0.table.get(owner, id).await?;
        let stored = stored.ok_or_else(|| Error::NotFound(id.to_owned()))?;
        Ok(ConversationRecord::read(id, &stored)?.head)
    }

    async fn load(&self, owner: &str, id: &str) -> Result<WholeConversation, Error> {
        let stored = self.0.table.get_with_parts(owner, id).await?;
        let stored = stored.ok_or_else(|| Error::NotFound(id.to_owned()))?;
        Ok(WholeConversation::read(id, &stored)?)
    }

    fn owner(&self, caller: &Caller) -> String {
        self.0.keys.owner_id(caller)
    }
}
