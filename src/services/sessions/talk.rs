//! One message to a session, and its answer.

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

/// The most bytes of a conversation: as many as Anthropic takes in a request.
const LARGEST: usize = 32 << 20;

/// An answer that is kept, or else fails.
pub type KeptStream = BoxStream<'static, Result<TurnEvent, Error>>;

/// A session that is taken, for as long as this is there.
pub struct Talk {
    pub(super) inner: Arc<Inner>,
    pub(super) owner: String,
    pub(super) record: Record,
    pub(super) taken: Taken,
}

impl fmt::Debug for Talk {
    /// Leaves out what was said.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Talk")
            .field("id", &self.record.session.id)
            .finish_non_exhaustive()
    }
}

impl Talk {
    /// Reads a message to the session.
    ///
    /// # Errors
    /// When the body is none, or no more can be said.
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

    /// `events`, the answer to the messages `new`. It is kept before its end is told, and the session is free then. Where it
    /// cannot be kept, its end is an error: who has seen another one would go on from what the session does not have.
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

    /// What Claude refused to answer is not kept: it would refuse all that follows too.
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
            // Taken until it is written, also when nobody waits for that any more: the next message goes on from it.
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
