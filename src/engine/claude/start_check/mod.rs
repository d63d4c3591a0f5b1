//! Start check of a new process, before it gets a caller's request.
//!
//! The first calls of the process go to a local listener instead of upstream. The body that arrives
//! must contain every requested field, byte for byte, and a prompt must lead to exactly one call,
//! however its answer ends. A CLI that works differently, because of its version or a policy of the
//! organisation, is thus rejected before it gets any caller's text. The calls also warm up the
//! process: work that the CLI does only once would otherwise delay the first caller.

mod endpoint;
mod sample;

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use uuid::Uuid;

use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::Model;

use super::body;
use super::cli_settings;
use super::failure::classify;
use super::protocol::CallFailed;
use super::reset_error::ResetError;
use super::session::CliSession;
use super::setup::CliSetup;
use super::sign_in::SignIn;
use endpoint::{CheckCalls, CheckEndpoint, CheckReply};

/// Reason for rejecting a process.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartCheckError {
    /// The process sends other bodies than it is given.
    #[error(
        "the Claude CLI does not send requests as they are given to it: {0}. Either a policy of your organisation has it \
         ignore CLAUDE_CODE_EXTRA_BODY, or this version works differently: use the one that the server was tested with"
    )]
    OtherBody(BodyMismatch),
    /// The process calls the model again by itself, or not at all.
    #[error(
        "the Claude CLI made {count} calls instead of one for a prompt whose answer {ending}, and each would be billed. This \
         version works differently: use the one that the server was tested with"
    )]
    OtherCalls {
        /// Number of calls.
        count: usize,
        /// End of the answer, as a verb phrase.
        ending: &'static str,
    },
    /// The call of the process went to another address.
    #[error(
        "no call of the Claude CLI has reached the start check. If the managed settings of your organisation set \
         ANTHROPIC_BASE_URL, the CLI calls that address whatever the server asks of it: take the variable out of them, and set \
         it for the server instead"
    )]
    NotReached,
    /// The check did not end in time.
    #[error(
        "the start check of the Claude CLI did not end within {0} s (claude.start_timeout_seconds)"
    )]
    TimedOut(u64),
    /// No port is free for the calls of the process.
    #[error("no port is free")]
    NoPort(#[source] io::Error),
    /// The calls of the process could not be accepted.
    #[error("its calls could not be accepted")]
    NotAccepted(#[source] io::Error),
    /// The process knows no models.
    #[error("it has no models")]
    NoModels,
    /// The process did not remove the prompt of the check.
    #[error("its rewind left an answer behind")]
    AnswerLeft,
    /// The process did not remove the prompt of the check, and says why.
    #[error(transparent)]
    Reset(#[from] ResetError),
    /// The process failed during the check.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// Difference between the body that a process is given and the one that it sends.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyMismatch {
    /// The sent body is not a JSON object.
    #[error("its body is no JSON object")]
    NoObject,
    /// These fields differ; the names are quoted.
    #[error("{} came changed or not at all", .0.join(", "))]
    Fields(Vec<String>),
}

impl StartCheckError {
    /// True if the next process of the same CLI would fail in the same way.
    pub(super) fn is_permanent(&self) -> bool {
        matches!(
            self,
            Self::OtherBody(_) | Self::OtherCalls { .. } | Self::NotReached
        )
    }
}

/// Checks the process of `session`, which knows `models`, until `deadline`, and leaves its
/// transcript empty.
///
/// # Errors
/// Fails if the process must not be used.
pub(super) async fn check<R, W>(
    session: &mut CliSession<R, W>,
    models: &[Model],
    setup: &CliSetup,
    deadline: Instant,
) -> Result<(), StartCheckError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let endpoint = CheckEndpoint::bind()
        .await
        .map_err(StartCheckError::NoPort)?;
    let address = endpoint.base_url();
    let (calls, served) = endpoint.serve();
    let checked = run_checks(session, models, setup, &address, calls);
    tokio::select! {
        result = checked => result,
        () = tokio::time::sleep_until(deadline) => Err(StartCheckError::TimedOut(setup.config.start_timeout.as_secs())),
        error = served => Err(StartCheckError::NotAccepted(error)),
    }
}

async fn run_checks<R, W>(
    session: &mut CliSession<R, W>,
    models: &[Model],
    setup: &CliSetup,
    address: &str,
    calls: CheckCalls,
) -> Result<(), StartCheckError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let requested = models
        .first()
        .and_then(|model| body::request_body(&sample::turn(model), setup.sign_in));
    let requested = requested.ok_or(StartCheckError::NoModels)?;
    session
        .configure(cli_settings::start_check_settings(address, &requested))
        .await?;
    calls.answer_with(CheckReply::Whole);
    let uuid = send_prompt(session);
    let report = wait_and_rewind(session, &uuid).await?;
    let bodies = calls.take_bodies();
    let sent = bodies.first().ok_or_else(|| not_reached(report))?;
    compare_fields(&requested, sent).map_err(StartCheckError::OtherBody)?;
    for (reply, ending) in ENDINGS {
        let count = count_calls(session, setup.sign_in, &calls, reply).await?;
        if count != 1 {
            return Err(StartCheckError::OtherCalls { count, ending });
        }
    }
    session
        .configure(cli_settings::upstream_settings(
            setup.base_url(),
            setup.config.max_retries,
        ))
        .await?;
    Ok(())
}

/// Endings of answers after which the CLI by itself would call again.
const ENDINGS: [(CheckReply, &str); 2] = [
    (CheckReply::CutByLimit, "met its limit"),
    (CheckReply::Refused, "was a refusal"),
];

/// Counts the calls for a prompt whose answer ends with `reply`, under the same settings that a
/// turn uses.
async fn count_calls<R, W>(
    session: &mut CliSession<R, W>,
    sign_in: SignIn,
    calls: &CheckCalls,
    reply: CheckReply,
) -> Result<usize, StartCheckError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    session
        .configure(cli_settings::call_limit_settings(sign_in))
        .await?;
    calls.hold();
    let uuid = send_prompt(session);
    if let Some(settings) = cli_settings::no_further_call_settings(sign_in) {
        if !session.wait_for_call(&uuid).await? {
            return Ok(0);
        }
        session.configure(settings).await?;
    }
    calls.answer_with(reply);
    wait_and_rewind(session, &uuid).await?;
    Ok(calls.take_bodies().len())
}

/// Sends a prompt and returns its `uuid`.
fn send_prompt<R, W>(session: &mut CliSession<R, W>) -> String
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let uuid = Uuid::new_v4().to_string();
    session.queue_prompt(&uuid);
    uuid
}

/// Returns the failure if no call arrived. The CLI makes no call with a sign-in that it knows to be
/// invalid, and says so in its report.
fn not_reached(report: Option<CallFailed>) -> StartCheckError {
    let failure = report.map(|call| classify(Some(&call), None, "", None));
    match failure.filter(|failure| failure.kind == FailureKind::SignIn) {
        Some(failure) => failure.into(),
        None => StartCheckError::NotReached,
    }
}

/// Waits until the prompt `uuid` is answered, and removes it from the transcript. Returns the
/// report of a failed call.
async fn wait_and_rewind<R, W>(
    session: &mut CliSession<R, W>,
    uuid: &str,
) -> Result<Option<CallFailed>, StartCheckError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let report = session.wait_until_done(uuid).await?;
    match session.rewind(uuid).await? {
        None => Ok(report),
        Some(_) => Err(StartCheckError::AnswerLeft),
    }
}

/// Compares the fields that were requested with those that were sent.
///
/// # Errors
/// Fails if one of the former is missing or differs.
fn compare_fields(requested: &str, sent: &Bytes) -> Result<(), BodyMismatch> {
    type Fields<'a> = BTreeMap<String, &'a RawValue>;
    let unreadable = |_| BodyMismatch::NoObject;
    let requested: Fields<'_> = serde_json::from_str(requested).map_err(unreadable)?;
    let sent: Fields<'_> = serde_json::from_slice(sent).map_err(unreadable)?;
    let differs = |(name, value): &(&String, &&RawValue)| {
        sent.get(*name).is_none_or(|sent| sent.get() != value.get())
    };
    let names: Vec<String> = requested
        .iter()
        .filter(differs)
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    if names.is_empty() {
        Ok(())
    } else {
        Err(BodyMismatch::Fields(names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_check_compares_requested_fields_byte_for_byte() {
        let compare = |requested: &str, sent: &'static str| {
            compare_fields(requested, &Bytes::from_static(sent.as_bytes()))
        };
        let requested = r#"{"messages":[{"a":1,"b":"ü"}],"tools":[]}"#;
        assert_eq!(
            compare(
                requested,
                r#"{"stream":true,"tools":[], "messages":[{"a":1,"b":"ü"}]}"#
            ),
            Ok(()),
            "further fields are the CLI's own"
        );
        let changed = r#"{"messages":[{"b":"ü","a":1}]}"#;
        assert_eq!(
            compare(requested, changed).unwrap_err().to_string(),
            "`messages`, `tools` came changed or not at all"
        );
        assert_eq!(compare(requested, "no"), Err(BodyMismatch::NoObject));
    }
}
