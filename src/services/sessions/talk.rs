//! A message to a session, and its answer.

use std::fmt;
use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use serde_json::Value;
use uuid::Uuid;

use super::Error;
use super::record::Record;
use super::service::Inner;
use crate::api::openai::chat::Answer;
use crate::api::openai::sessions::Earlier;
use crate::api::openai::sessions::Entry;
use crate::api::openai::sessions::MessageRequest;
use crate::api::openai::sessions::answered;
use crate::api::openai::sessions::message;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::Policy;
use crate::domain::Finish;
use crate::domain::FinishReason;
use crate::domain::TurnEvent;
use crate::domain::unix_now;
use crate::engine::gateway::TurnStream;
use crate::storage::store;
use crate::storage::store::Taken;
use crate::storage::store::Transaction;

/// Maximum size of a session, in bytes: the request size limit of the Anthropic API.
const LARGEST: usize = 32 << 20;

/// Event stream of an answer. The final event is sent only after the answer is stored.
pub type KeptStream = BoxStream<'static, Result<TurnEvent, Error>>;

/// A locked session. Dropping it releases the lock.
pub struct Talk {
    pub(super) inner: Arc<Inner>,
    pub(super) owner: String,
    pub(super) record: Record,
    pub(super) taken: Taken,
}

impl fmt::Debug for Talk {
    /// Omits the messages.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Talk")
            .field("id", &self.record.session.id)
            .finish_non_exhaustive()
    }
}

impl Talk {
    /// Decodes a message to the session.
    ///
    /// # Errors
    /// When the body is invalid, or the session is full.
    pub fn read(&self, body: &[u8], policy: Policy) -> Result<MessageRequest, Error> {
        let Record {
            session,
            entries,
            size,
            ..
        } = &self.record;
        if size + body.len() > LARGEST {
            return Err(Error::Full(session.id.clone()));
        }
        let messages: Vec<&Value> = entries.iter().map(|entry| &entry.message).collect();
        let (model, instructions) = (session.model.as_deref(), session.instructions.as_deref());
        let read: Result<_, InvalidRequest> = message(
            body,
            &Earlier {
                model,
                instructions,
                messages: &messages,
            },
            policy,
        );
        Ok(read?)
    }

    /// Wraps `events`, the answer to the messages `new`, and stores both when the answer is
    /// complete. The session is unlocked once they are stored, before the final event is sent.
    ///
    /// If storing fails, the stream ends with an error: a client that saw a regular end would
    /// continue from messages that the session lacks.
    pub fn keep(self, new: Vec<Value>, events: TurnStream) -> KeptStream {
        let begun = Some((self, new, Answer::default(), events));
        Box::pin(futures::stream::unfold(begun, async |state| {
            let (talk, new, mut answer, mut events) = state?;
            match events.next().await? {
                Ok(TurnEvent::Finished(finish)) => {
                    let kept = talk.append(new, &answer, &finish).await;
                    Some((kept.map(|()| TurnEvent::Finished(finish)), None))
                }
                Ok(event) => {
                    answer.add(event.clone());
                    Some((Ok(event), Some((talk, new, answer, events))))
                }
                Err(error) => Some((Err(error.into()), None)),
            }
        }))
    }

    /// Appends the new messages and the answer. A refused turn is not stored, because Claude would
    /// refuse every later turn too.
    async fn append(self, new: Vec<Value>, answer: &Answer, finish: &Finish) -> Result<(), Error> {
        let Self {
            inner,
            owner,
            mut record,
            taken,
        } = self;
        let now = unix_now();
        let said = (finish.reason != FinishReason::ContentFilter)
            .then(|| new.into_iter().chain([answered(answer)]));
        let entry = |message| Entry {
            id: message_id(),
            created_at: now,
            message,
        };
        let messages = record.add(said.into_iter().flatten().map(entry))?;
        let session = &mut record.session;
        session.message_count = record.entries.len();
        session.usage.add(&finish.usage);
        session.last_active_at = now;
        session.expires_at = now + inner.config.idle.as_secs();
        let id = record.session.id.clone();
        let (shelf, name) = (inner.shelf.clone(), id.clone());
        let bytes = record.to_bytes()?;
        let work = move |transaction: &mut Transaction<'_>| {
            // The lock is held until the write is done, also if the caller is cancelled: the next
            // message must see it.
            transaction.afterwards(move |_| drop(taken));
            shelf.append_in(transaction, &owner, &name, &bytes, &messages)
        };
        let appended: Result<bool, store::Error> = inner.shelf.transaction(work).await;
        if appended.map_err(Error::NotKept)? {
            Ok(())
        } else {
            Err(Error::Gone(id))
        }
    }
}

fn message_id() -> String {
    format!("msg_{}", Uuid::new_v4().simple())
}
