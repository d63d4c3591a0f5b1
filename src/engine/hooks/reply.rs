//! Answers of hooks, read from their JSON.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::error::HookFailure;
use super::wire::HookOperation;
use super::wire::HookPoint;
use super::wire::MAX_BODY_BYTES;
use super::wire::WireAnswer;
use super::wire::WireMessage;

/// Maximum number of pairs of metadata, and of characters of a name and of a value: as in the APIs.
const MAX_METADATA_PAIRS: usize = 16;
const MAX_METADATA_NAME_LENGTH: usize = 64;
const MAX_METADATA_VALUE_LENGTH: usize = 512;
/// Maximum characters of a message and of a code.
const MAX_MESSAGE_LENGTH: usize = 2000;
const MAX_CODE_LENGTH: usize = 64;
/// Failure of a hook whose answer is too large to be read.
pub(super) const ANSWER_TOO_LARGE: HookFailure =
    HookFailure::InvalidAnswer("it is larger than 8 MiB");
/// Failure of a hook whose action does not fit the point or its grants.
pub(super) const ACTION_NOT_ALLOWED: HookFailure =
    HookFailure::InvalidAnswer("the hook may not do this here");

/// Decision of a hook.
#[derive(Debug, Clone, PartialEq)]
pub enum HookVerdict {
    /// Go on.
    Pass,
    /// Refuse the turn.
    Refuse {
        /// Code that the hook gives the refusal.
        code: Option<String>,
        /// Message for the client.
        message: String,
    },
    /// Go on with these messages.
    Messages(Vec<WireMessage>),
    /// Go on with this answer.
    Answer(WireAnswer),
    /// Replace the message of the error by this one.
    Message(String),
}

/// Answer of a hook.
#[derive(Debug, Clone, PartialEq)]
pub struct HookReply {
    /// Decision of the hook.
    pub verdict: HookVerdict,
    /// Pairs for the access log.
    pub metadata: BTreeMap<String, String>,
}

/// Members of an answer, before they are checked.
#[derive(Deserialize)]
struct ReplyFields {
    action: Action,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    messages: Option<Vec<WireMessage>>,
    #[serde(default)]
    answer: Option<WireAnswer>,
    #[serde(default)]
    error: Option<ErrorFields>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct ErrorFields {
    message: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    Pass,
    Refuse,
    Replace,
    Annotate,
}

impl HookReply {
    /// Creates the answer that lets a turn go on.
    pub fn pass() -> Self {
        Self {
            verdict: HookVerdict::Pass,
            metadata: BTreeMap::new(),
        }
    }

    /// Reads the answer of a hook that was called at `point`. Unknown members are ignored; an empty
    /// answer to a notice is one that lets it pass.
    ///
    /// # Errors
    /// Fails when it is no answer of this format, or one that does not fit the point.
    pub fn read(json: &[u8], point: HookPoint, op: HookOperation) -> Result<Self, HookFailure> {
        if json.len() > MAX_BODY_BYTES {
            return Err(ANSWER_TOO_LARGE);
        }
        if op == HookOperation::Notify && json.trim_ascii().is_empty() {
            return Ok(Self::pass());
        }
        let fields: ReplyFields = serde_json::from_slice(json)
            .map_err(|_| HookFailure::InvalidAnswer("it is no JSON object with a known action"))?;
        check_metadata(&fields.metadata)?;
        let metadata = fields.metadata.clone();
        let verdict = match point {
            // A hook that rewords errors may do so with all of them.
            HookPoint::Error if op == HookOperation::Notify => HookVerdict::Pass,
            HookPoint::Error => fields.into_error_verdict()?,
            _ => fields.into_verdict(point)?,
        };
        let is_allowed = op == HookOperation::Transform
            || verdict == HookVerdict::Pass
            || (op == HookOperation::Decide && matches!(verdict, HookVerdict::Refuse { .. }));
        if is_allowed {
            Ok(Self { verdict, metadata })
        } else {
            Err(ACTION_NOT_ALLOWED)
        }
    }
}

impl ReplyFields {
    fn into_verdict(self, point: HookPoint) -> Result<HookVerdict, HookFailure> {
        let invalid = HookFailure::InvalidAnswer;
        match self.action {
            Action::Pass | Action::Annotate => Ok(HookVerdict::Pass),
            Action::Refuse => {
                let message = checked_message(self.message)?;
                let code = self.code.filter(|code| is_code(code));
                Ok(HookVerdict::Refuse { code, message })
            }
            Action::Replace if point == HookPoint::Before => {
                let messages = self.messages.ok_or(invalid("it has no `messages`"))?;
                Ok(HookVerdict::Messages(messages))
            }
            Action::Replace => {
                let answer = self.answer.ok_or(invalid("it has no `answer`"))?;
                Ok(HookVerdict::Answer(answer))
            }
        }
    }

    /// Reads the answer at the point of errors, whose message alone can be replaced.
    fn into_error_verdict(self) -> Result<HookVerdict, HookFailure> {
        if matches!(self.action, Action::Pass | Action::Annotate) {
            return Ok(HookVerdict::Pass);
        }
        let message = self.message.or(self.error.map(|error| error.message));
        Ok(HookVerdict::Message(checked_message(message)?))
    }
}

fn checked_message(message: Option<String>) -> Result<String, HookFailure> {
    let message = message.filter(|message| {
        !message.trim().is_empty() && message.chars().count() <= MAX_MESSAGE_LENGTH
    });
    message.ok_or(HookFailure::InvalidAnswer(
        "it has no `message` of 1 to 2000 characters",
    ))
}

fn is_code(code: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    (1..=MAX_CODE_LENGTH).contains(&code.len()) && code.bytes().all(is_plain)
}

fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<(), HookFailure> {
    let is_short = |(name, value): (&String, &String)| {
        name.chars().count() <= MAX_METADATA_NAME_LENGTH
            && value.chars().count() <= MAX_METADATA_VALUE_LENGTH
    };
    if metadata.len() <= MAX_METADATA_PAIRS && metadata.iter().all(is_short) {
        return Ok(());
    }
    Err(HookFailure::InvalidAnswer(
        "its `metadata` has more than 16 pairs, or longer ones than allowed",
    ))
}

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;
