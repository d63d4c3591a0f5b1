//! What comes before a request's own input.

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use serde_json::Value;

use super::Error;
use super::record::Record;
use crate::fields::InvalidRequest;
use crate::fields::printable;
use crate::openai::responses::kept;
use crate::openai::responses::response_of;
use crate::store::Shelf;

/// The last conversation of a client that stays, so that it can be gone on from though it is not stored. Clones share it.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<Option<Remembered>>>);

struct Remembered {
    /// The response that the conversation ends with.
    id: String,
    items: Vec<Value>,
}

impl fmt::Debug for Memory {
    /// Leaves the conversation out.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl Memory {
    /// Remembers the conversation `items`, which ends with the response `id`, instead of what was remembered before.
    pub(super) fn remember(&self, id: &str, items: Vec<Value>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Remembered { id: id.to_owned(), items });
    }

    fn items(&self, id: &str) -> Option<Vec<Value>> {
        let remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        remembered
            .as_ref()
            .filter(|remembered| remembered.id == id)
            .map(|remembered| remembered.items.clone())
    }
}

/// Looks up what a caller refers to.
pub(super) struct History<'a> {
    pub(super) records: &'a Shelf,
    pub(super) owner: &'a str,
    pub(super) memory: Option<&'a Memory>,
}

impl History<'_> {
    /// The items of the conversation that ends with the response `previous`.
    ///
    /// # Errors
    /// When it, or one before it, is not there or not whole.
    pub(super) async fn before(&self, previous: Option<&str>) -> Result<Vec<Value>, Error> {
        let mut links = Vec::new();
        let mut next = previous.map(ToOwned::to_owned);
        while let Some(id) = next {
            if let Some(items) = self.memory.and_then(|memory| memory.items(&id)) {
                links.push(items);
                break;
            }
            let record = Record::load(self.records, self.owner, &id).await?.ok_or_else(|| not_found(&id))?;
            if !record.response.status.is_final() {
                return Err(unfinished(&id).into());
            }
            next = record.response.previous_response_id.clone();
            links.push(record.items());
        }
        Ok(links.into_iter().rev().flatten().collect())
    }

    /// Puts what they refer to in the place of the references of `input`, which follows `earlier`.
    ///
    /// # Errors
    /// When one refers to nothing.
    pub(super) async fn dereference(&self, earlier: &[Value], input: &mut [Value]) -> Result<(), Error> {
        for index in 0..input.len() {
            let Some(id) = kept::reference(&input[index]).map(ToOwned::to_owned) else { continue };
            let is_it = |item: &&Value| kept::reference(item).is_none() && item["id"] == id;
            let found = match earlier.iter().chain(&*input).find(is_it).cloned() {
                Some(item) => Some(item),
                None => self.item(&id).await?,
            };
            input[index] = found.ok_or_else(|| no_item(index, &id))?;
        }
        Ok(())
    }

    async fn item(&self, id: &str) -> Result<Option<Value>, Error> {
        let Some(response) = response_of(id) else { return Ok(None) };
        let record = Record::load(self.records, self.owner, &response).await?;
        Ok(record.and_then(|record| record.items().into_iter().find(|item| item["id"] == id)))
    }
}

fn not_found(id: &str) -> InvalidRequest {
    let message = format!(
        "Previous response with id '{}' not found. It was never stored, or deleted, or its time is over. Send its items \
         as `input` instead.",
        printable(id)
    );
    InvalidRequest::at("previous_response_id", "previous_response_not_found", message)
}

fn unfinished(id: &str) -> InvalidRequest {
    let message =
        format!("The previous response '{}' is still being made. Wait until it is whole.", printable(id));
    InvalidRequest::at("previous_response_id", "previous_response_not_finished", message)
}

fn no_item(index: usize, id: &str) -> InvalidRequest {
    let message = format!("Item with id '{}' not found. Send the item itself.", printable(id));
    InvalidRequest::at(format!("input[{index}].id"), "item_not_found", message)
}
