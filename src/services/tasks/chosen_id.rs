//! Task ids chosen by callers, which make the creation of a task idempotent.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use sha2::Digest as _;
use sha2::Sha256;
use uuid::Uuid;

use super::error::Error;
use super::service::Tasks;
use super::spec::TaskSpec;
use super::task::Task;
use crate::accounts::ledger::LockKind;
use crate::domain::Caller;
use crate::telemetry::metrics::RequestExemplar;

/// Prefix of generated task ids; 32 hexadecimal digits follow.
const GENERATED_PREFIX: &str = "task_";
const GENERATED_DIGITS: usize = 32;
/// Maximum wait for another server that creates a task with the same chosen id.
const MAX_LOCK_WAIT: Duration = Duration::from_secs(10);

/// Task id chosen by a caller: an idempotency key, unique among the tasks of an API key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChosenId {
    /// Id as the caller wrote it.
    pub id: String,
    /// Hash of the request, by which a retry of the same request is recognized.
    request: String,
}

impl ChosenId {
    /// Creates the chosen id of `request`. The order of the request's fields does not change the
    /// hash.
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

    /// True if `id` has the form of a generated id, which callers cannot choose.
    pub fn is_generated(id: &str) -> bool {
        id.strip_prefix(GENERATED_PREFIX).is_some_and(|digits| {
            digits.len() == GENERATED_DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    }
}

/// Generates the id of a new task of `caller`: that of the claim on its idempotency key, or a random
/// one.
pub(super) fn generate_id(caller: &Caller) -> String {
    match caller.claim.object_id() {
        Some(digits) => format!("{GENERATED_PREFIX}{digits}"),
        None => format!("{GENERATED_PREFIX}{}", Uuid::new_v4().simple()),
    }
}

impl Tasks {
    /// Creates a task idempotently: if the caller already has a task with the chosen id of `spec`,
    /// created by the same request, returns that task and `false`. Otherwise like
    /// [`create`](Self::create), with `true`.
    ///
    /// # Errors
    /// Fails when the task may not or cannot be created, or another request has created a task with
    /// this id.
    pub async fn create_once(
        &self,
        caller: &Caller,
        spec: TaskSpec,
    ) -> Result<(Task, bool), Error> {
        let Some(chosen) = spec.chosen.clone() else {
            return Ok((self.create(caller, spec).await?, true));
        };
        self.admit_request(caller).await?;
        let owner = self.0.deps.keys.owner_id(caller);
        // Owned by the spawned task until the new task is on disk, even if the client disconnects:
        // two concurrent requests never create a task with the same id.
        let lock = self.0.chosen_ids.register(&owner, &chosen.id, ()).await;
        let locks = &self.0.deps.store.locks;
        let shared = locks
            .take_within(MAX_LOCK_WAIT, LockKind::TaskId, &owner, &chosen.id)
            .await?
            .ok_or(Error::IdInUse)?;
        let this = self.clone();
        let caller = caller.clone();
        let making = async move {
            let made = this.find_or_start(&caller, spec, &chosen).await;
            drop((shared, lock));
            made
        };
        let making = RequestExemplar::keep_current(making);
        let made = self.0.deps.tracker.spawn(making);
        made.await.unwrap_or(Err(Error::ShuttingDown))
    }

    /// Returns the task that an earlier request with the idempotency key of `caller` has created,
    /// if that request got no answer.
    pub(super) async fn find_resumed(&self, caller: &Caller) -> Result<Option<Task>, Error> {
        if caller.claim.resumed_id().is_none() {
            return Ok(None);
        }
        match self.get(caller, &generate_id(caller)).await {
            Ok(task) => Ok(Some(task)),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn find_or_start(
        &self,
        caller: &Caller,
        spec: TaskSpec,
        chosen: &ChosenId,
    ) -> Result<(Task, bool), Error> {
        match self.get(caller, &chosen.id).await {
            Ok(task) if task.chosen.as_ref() == Some(chosen) => Ok((task, false)),
            Ok(task) => Err(Error::TaskExists(Box::new(task))),
            Err(Error::NotFound(_)) => Ok((self.create_admitted(caller, spec).await?, true)),
            Err(error) => Err(error),
        }
    }

    /// Returns the generated id of the task that `owner` names `id`, or `id` itself if no task has
    /// it as its chosen id.
    pub(super) async fn generated_id<'id>(
        &self,
        owner: &str,
        id: &'id str,
    ) -> Result<Cow<'id, str>, Error> {
        if ChosenId::is_generated(id) {
            return Ok(Cow::Borrowed(id));
        }
        let made = self.0.deps.store.id_of_chosen(owner, id).await?;
        Ok(made.map_or(Cow::Borrowed(id), Cow::Owned))
    }
}
