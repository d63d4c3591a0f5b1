//! A message to a session, and its answer.

use std::fmt;
use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use serde_json::Value;
use uuid::Uuid;

use super::Error;
use super::record::SessionRecord;
use super::service::SessionsInner;
use crate::accounts::ledger::SharedLock;
use crate::api::openai::chat::ChatAnswer;
use crate::api::openai::sessions::MessageRequest;
use crate::api::openai::sessions::SessionContext;
use crate::api::openai::sessions::SessionEntry;
use crate::api::openai::sessions::assistant_message;
use crate::api::openai::sessions::decode_session_message;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::Policy;
use crate::domain::Finish;
use crate::domain::FinishReason;
use crate::domain::TurnEvent;
use crate::domain::unix_now;
use crate::engine::gateway::TurnStream;
use crate::runtime::run_registry::RunGuard;
use crate::storage::store;
use crate::storage::store::Transaction;

/// Maximum size of a session, in bytes: the request size limit of the Anthropic API.
const MAX_SESSION_BYTES: usize = 32 << 20;

/// Event stream of an answer. The final event is sent only after the answer is stored.
pub type StoredAnswerStream = BoxStream<'static, Result<TurnEvent, Error>>;

/// A locked session. Dropping it releases the lock.
pub struct SessionTurn {
    pub(super) inner: Arc<SessionsInner>,
    pub(super) owner: String,
    pub(super) record: SessionRecord,
    /// Lock over all servers, released before that of this one.
    pub(super) shared: SharedLock,
    pub(super) lock: RunGuard,
}

impl fmt::Debug for SessionTurn {
    /// Omits the messages.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SessionTurn")
            .field("id", &self.record.session.id)
            .finish_non_exhaustive()
    }
}

impl SessionTurn {
    /// Decodes a message to the session.
    ///
    /// # Errors
    /// Fails when the body is invalid, or the session is full.
    pub fn decode_message(&self, body: &[u8], policy: Policy) -> Result<MessageRequest, Error> {
        let SessionRecord {
            session,
            entries,
            size,
            ..
        } = &self.record;
        if size + body.len() > MAX_SESSION_BYTES {
            return Err(Error::Full(session.id.clone()));
        }
        let messages: Vec<&Value> = entries.iter().map(|entry| &entry.message).collect();
        let model = session.model.as_deref();
        let instructions = session.instructions.as_deref();
        let read: Result<_, InvalidRequest> = decode_session_message(
            body,
            &SessionContext {
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
    pub fn store_answer(self, new: Vec<Value>, events: TurnStream) -> StoredAnswerStream {
        let initial = Some((self, new, ChatAnswer::default(), events));
        Box::pin(futures::stream::unfold(initial, async |state| {
            let (turn, new, mut answer, mut events) = state?;
            match events.next().await? {
                Ok(TurnEvent::Finished(finish)) => {
                    let stored = turn.append(new, &answer, &finish).await;
                    Some((stored.map(|()| TurnEvent::Finished(finish)), None))
                }
                Ok(event) => {
                    answer.apply_event(event.clone());
                    Some((Ok(event), Some((turn, new, answer, events))))
                }
                Err(error) => Some((Err(error.into()), None)),
            }
        }))
    }

    /// Appends the new messages and the answer. A refused turn is not stored, because Claude would
    /// refuse every later turn too.
    async fn append(
        self,
        new: Vec<Value>,
        answer: &ChatAnswer,
        finish: &Finish,
    ) -> Result<(), Error> {
        let Self {
            inner,
            owner,
            mut record,
            shared,
            lock: guard,
        } = self;
        let now = unix_now();
        let turn_messages = (finish.reason != FinishReason::ContentFilter)
            .then(|| new.into_iter().chain([assistant_message(answer)]));
        let entry = |message| SessionEntry {
            id: new_message_id(),
            created_at: now,
            message,
        };
        let messages = record.add_entries(turn_messages.into_iter().flatten().map(entry))?;
        let session = &mut record.session;
        session.message_count = record.entries.len();
        session.usage.add(&finish.usage);
        session.last_active_at = now;
        session.expires_at = now + inner.config.idle.as_secs();
        let id = record.session.id.clone();
        let table = inner.table.clone();
        let name = id.clone();
        let bytes = record.to_bytes()?;
        let work = move |transaction: &mut Transaction<'_>| {
            // The closure lives until the write is done, also if the caller is cancelled, and holds
            // the lock: the next message must see it.
            let _ = &guard;
            shared.release_in(transaction)?;
            table.append_in(transaction, &owner, &name, &bytes, &messages)
        };
        let appended: Result<bool, store::Error> = inner.table.transaction(work).await;
        if appended.map_err(Error::NotStored)? {
            Ok(())
        } else {
            Err(Error::Gone(id))
        }
    }
}

fn new_message_id() -> String {
    format!("msg_{}", Uuid::new_v4().simple())
}
