//! The items before a request's own input.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use serde_json::Value;

use super::Error;
use super::record::ResponseRecord;
use crate::api::openai::responses::response_of_item;
use crate::api::openai::responses::stored_items;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::code;
use crate::api::request_schema::printable;
use crate::storage::store::TtlTable;

/// Maximum size of earlier items per request, in bytes of JSON: twice the request size limit of the
/// Anthropic API, whose JSON is more compact. References are short, so without a limit a small body
/// could load more items than fit into memory.
const MAX_EARLIER_BYTES: usize = 64 << 20;

/// The latest conversation of a connection, kept in memory so that it can be continued without
/// being stored. Clones share it.
#[derive(Clone, Default)]
pub struct SocketHistory(Arc<Mutex<Option<RememberedConversation>>>);

struct RememberedConversation {
    /// Id of the last response of the conversation.
    id: String,
    items: Vec<Value>,
}

impl fmt::Debug for SocketHistory {
    /// Omits the conversation.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SocketHistory")
            .finish_non_exhaustive()
    }
}

impl SocketHistory {
    /// Replaces the remembered conversation by `items`, which end with the response `id`.
    pub(super) fn remember(&self, id: &str, items: Vec<Value>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(RememberedConversation {
            id: id.to_owned(),
            items,
        });
    }

    fn items(&self, id: &str) -> Option<Vec<Value>> {
        let remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        remembered
            .as_ref()
            .filter(|remembered| remembered.id == id)
            .map(|remembered| remembered.items.clone())
    }
}

/// Loads the items that a caller refers to.
pub(super) struct HistoryLoader<'a> {
    pub(super) records: &'a TtlTable,
    pub(super) owner: &'a str,
    pub(super) memory: Option<&'a SocketHistory>,
}

impl HistoryLoader<'_> {
    /// Returns the items of the conversation that ends with the response `previous`.
    ///
    /// # Errors
    /// Fails when it or a response before it is missing or unfinished, or the items exceed the size
    /// limit.
    pub(super) async fn items_before(&self, previous: Option<&str>) -> Result<Vec<Value>, Error> {
        let mut room = MAX_EARLIER_BYTES;
        let mut links = Vec::new();
        let mut next = previous.map(ToOwned::to_owned);
        while let Some(id) = next {
            let (items, before) = self.load_link(&id).await?;
            for item in &items {
                take_room(&mut room, item).ok_or_else(|| too_large("previous_response_id"))?;
            }
            links.push(items);
            next = before;
        }
        Ok(links.into_iter().rev().flatten().collect())
    }

    /// Returns the items that end with the response `id`, and the id of the response before them.
    async fn load_link(&self, id: &str) -> Result<(Vec<Value>, Option<String>), Error> {
        if let Some(items) = self.memory.and_then(|memory| memory.items(id)) {
            return Ok((items, None));
        }
        let record = ResponseRecord::load(self.records, self.owner, id)
            .await?
            .ok_or_else(|| not_found(id))?;
        let response = record.fields(id)?;
        if !response.status.is_final() {
            return Err(unfinished(id).into());
        }
        if let Some(conversation) = &response.conversation {
            return Err(is_in_conversation(id, &conversation.id).into());
        }
        let items = record.input.into_iter().chain(response.output).collect();
        Ok((items, response.previous_response_id))
    }

    /// Replaces the item references in `input` by the items. `earlier` holds the items before
    /// `input`.
    ///
    /// # Errors
    /// Fails when a reference is unknown, or the items exceed the size limit.
    pub(super) async fn dereference(
        &self,
        earlier: &[Value],
        input: &mut [Value],
    ) -> Result<(), Error> {
        let named = |(index, item)| Some((index, stored_items::reference_id(item)?.to_owned()));
        let wanted: Vec<(usize, String)> = input.iter().enumerate().filter_map(named).collect();
        let near = by_id(earlier.iter().chain(&*input));
        let others = wanted
            .iter()
            .map(|(_, id)| id.as_str())
            .filter(|id| !near.contains_key(id));
        let far = self
            .items_of(others.filter_map(response_of_item).collect())
            .await?;
        let far = by_id(&far);
        let mut room = MAX_EARLIER_BYTES;
        let mut found = Vec::new();
        for (index, id) in wanted {
            let item = near
                .get(&*id)
                .or_else(|| far.get(&*id))
                .ok_or_else(|| no_item(index, &id))?;
            take_room(&mut room, item).ok_or_else(|| too_large("input"))?;
            found.push((index, Value::clone(item)));
        }
        for (index, item) in found {
            input[index] = item;
        }
        Ok(())
    }

    /// Returns all items of `responses`.
    async fn items_of(&self, responses: BTreeSet<String>) -> Result<Vec<Value>, Error> {
        let mut room = MAX_EARLIER_BYTES;
        let mut all = Vec::new();
        for response in responses {
            let record = ResponseRecord::load(self.records, self.owner, &response).await?;
            let items = record.map(|record| record.items(&response)).transpose()?;
            for item in items.unwrap_or_default() {
                take_room(&mut room, &item).ok_or_else(|| too_large("input"))?;
                all.push(item);
            }
        }
        Ok(all)
    }
}

/// Indexes `items` by id, without references. The first of several items with the same id wins.
fn by_id<'a>(items: impl IntoIterator<Item = &'a Value>) -> HashMap<&'a str, &'a Value> {
    let mut known = HashMap::new();
    for item in items {
        if let (None, Some(id)) = (stored_items::reference_id(item), item["id"].as_str()) {
            known.entry(id).or_insert(item);
        }
    }
    known
}

/// Subtracts the size of `item` from `room`. Returns `None` if it does not fit.
fn take_room(room: &mut usize, item: &Value) -> Option<()> {
    let size = serde_json::to_vec(item).map_or(0, |bytes| bytes.len());
    *room = room.checked_sub(size)?;
    Some(())
}

fn too_large(param: &'static str) -> InvalidRequest {
    let message = format!(
        "`{param}` refers to more than {} MiB of earlier items, which is more than Claude can read. Begin a new \
         conversation, or refer to less.",
        MAX_EARLIER_BYTES >> 20
    );
    InvalidRequest::at(param, code::VALUE, message)
}

fn not_found(id: &str) -> InvalidRequest {
    let message = format!(
        "Previous response with id '{}' not found. It was never stored, or deleted, or its time is over. Send its items \
         as `input` instead.",
        printable(id)
    );
    InvalidRequest::at(
        "previous_response_id",
        "previous_response_not_found",
        message,
    )
}

fn unfinished(id: &str) -> InvalidRequest {
    let message = format!(
        "The previous response '{}' is still being made. Wait until it is whole.",
        printable(id)
    );
    InvalidRequest::at(
        "previous_response_id",
        "previous_response_not_finished",
        message,
    )
}

/// The earlier items of such a response are in the conversation, and may have changed since.
fn is_in_conversation(id: &str, conversation: &str) -> InvalidRequest {
    let id = printable(id);
    let conversation = printable(conversation);
    let message = format!(
        "The previous response '{id}' belongs to a conversation. Go on in that: remove `previous_response_id`, and send \
         \"conversation\": \"{conversation}\"."
    );
    InvalidRequest::at("previous_response_id", code::VALUE, message)
}

fn no_item(index: usize, id: &str) -> InvalidRequest {
    let message = format!(
        "Item with id '{}' not found. Send the item itself.",
        printable(id)
    );
    InvalidRequest::at(format!("input[{index}].id"), "item_not_found", message)
}
