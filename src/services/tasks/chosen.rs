//! Ids that callers choose for their tasks.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use sha2::Digest as _;
use sha2::Sha256;
use uuid::Uuid;

use super::error::Error;
use super::service::Tasks;
use super::spec::Spec;
use super::task::Task;
use crate::domain::Caller;

/// What the ids begin with that tasks are given here; 32 hexadecimal digits follow.
const MADE: &str = "task_";
const DIGITS: usize = 32;

/// An id that a caller has chosen for a task. It is unique among the tasks of its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChosenId {
    /// It.
    pub id: String,
    /// The digest of the request, by which it is known when it comes again.
    request: String,
}

impl ChosenId {
    /// The id that `request` chooses; how its fields are ordered makes no difference.
    pub fn new(id: String, request: &Value) -> Self {
        let mut digest = String::new();
        for byte in Sha256::digest(request.to_string().as_bytes()) {
            let _ = write!(digest, "{byte:02x}");
        }
        Self {
            id,
            request: digest,
        }
    }

    /// Whether `id` looks like one that tasks are given here, and so cannot be chosen.
    pub fn is_made_here(id: &str) -> bool {
        id.strip_prefix(MADE).is_some_and(|digits| {
            digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    }
}

/// An id that no task has.
pub(super) fn make_id() -> String {
    format!("{MADE}{}", Uuid::new_v4().simple())
}

impl Tasks {
    /// As [`create`](Self::create); but where the caller has a task by the id that `spec` chooses, and asked for it by the same
    /// request, that task as it is now, and `false`.
    ///
    /// # Errors
    /// When it may not be run, or cannot be, or a task that was asked for otherwise has its id.
    pub async fn create_once(&self, caller: &Caller, spec: Spec) -> Result<(Task, bool), Error> {
        let Some(chosen) = spec.chosen.clone() else {
            return Ok((self.create(caller, spec).await?, true));
        };
        self.admit(caller)?;
        // Held until the task is on disk, though whoever asks leaves, so that two of the same id are never made at once.
        let names = self.0.names.clone().lock_owned().await;
        let (this, caller) = (self.clone(), caller.clone());
        let made = self.0.parts.tracker.spawn(async move {
            let made = this.find_or_begin(&caller, spec, &chosen).await;
            drop(names);
            made
        });
        made.await.unwrap_or(Err(Error::ShuttingDown))
    }

    async fn find_or_begin(
        &self,
        caller: &Caller,
        spec: Spec,
        chosen: &ChosenId,
    ) -> Result<(Task, bool), Error> {
        match self.get(caller, &chosen.id).await {
            Ok(task) if task.chosen.as_ref() == Some(chosen) => Ok((task, false)),
            Ok(task) => Err(Error::TaskExists(Box::new(task))),
            Err(Error::NotFound(_)) => Ok((self.begin(caller, spec).await?, true)),
            Err(error) => Err(error),
        }
    }

    /// The id that was made for the task that `owner` calls `id`; if there is none, `id`.
    pub(super) async fn made_id<'id>(
        &self,
        owner: &str,
        id: &'id str,
    ) -> Result<Cow<'id, str>, Error> {
        if ChosenId::is_made_here(id) {
            return Ok(Cow::Borrowed(id));
        }
        let made = self.0.parts.shelves.chosen(owner, id).await?;
        Ok(made.map_or(Cow::Borrowed(id), Cow::Owned))
    }
}
