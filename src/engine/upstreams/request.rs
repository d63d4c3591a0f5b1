//! Requests as they are passed on: the body of the client, of which a few fields are read.
//!
//! A body is changed in two cases: a model is added to a request that may leave it out, and a
//! streamed chat is asked to report its usage, which is then not shown to the client.

use bytes::Bytes;
use serde::Deserialize;
use serde::Deserializer;
use serde_json::Map;
use serde_json::Value;
use serde_json::value::RawValue;

use super::endpoint::AnswerForm;
use super::endpoint::UpstreamEndpoint;
use super::form::FormHead;
use super::form::invalid;
use super::members::CheckedMembers;
use super::usage::MeteredUsage;
use crate::domain::EndUser;
use crate::domain::Failure;
use crate::runtime::compute::in_place;

/// Bytes of a second of audio, at the lowest usual rate, so that a length is estimated as an upper
/// bound.
const MIN_AUDIO_BYTES_PER_SECOND: u64 = 2000;
/// Milliseconds of audio that a token stands for, in models that ask for tokens.
const AUDIO_MS_PER_TOKEN: u64 = 100;
/// Estimated tokens of a picture: those of a large one.
pub const PICTURE_TOKENS: u64 = 1600;
/// Member of a chat request that asks for its usage.
const INCLUDE_USAGE: &str = "include_usage";
/// Type of an item that stands for a stored one.
const ITEM_REFERENCE: &str = "item_reference";
/// Content type of requests that are no forms.
pub const JSON_TYPE: &str = "application/json";

/// Request to another server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamRequest {
    /// Endpoint of the request.
    pub endpoint: UpstreamEndpoint,
    /// Model as the client names it, or the default one.
    pub model: String,
    /// Content type of the body, with the boundary of a form.
    pub content_type: String,
    /// Body that is sent.
    pub body: Bytes,
    /// Form that the answer is to have.
    pub form: AnswerForm,
    /// Set if the client has not asked for the usage in the stream.
    pub hides_usage: bool,
    /// Maximum tokens of the answer, if the request sets one.
    pub max_output_tokens: Option<u64>,
    /// Number of answers to a chat.
    pub choices: u64,
    /// End user that the request names; `None` for a blank name too.
    pub end_user: Option<EndUser>,
    /// Estimated amounts that are known from the request; of tokens those of files alone.
    pub estimate: MeteredUsage,
}

/// Members of a JSON request that are read. A repeated one is an error, so that two servers cannot
/// read a request in two ways.
#[derive(Debug, Default, Deserialize)]
struct JsonHead<'a> {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    stream_format: Option<String>,
    #[serde(borrow, default, deserialize_with = "raw_value")]
    stream_options: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "raw_value")]
    input: Option<&'a RawValue>,
    #[serde(default)]
    n: Option<u64>,
    #[serde(default)]
    max_tokens: Option<u64>,
    #[serde(default)]
    max_completion_tokens: Option<u64>,
    #[serde(default)]
    max_output_tokens: Option<u64>,
    #[serde(default)]
    background: Option<bool>,
    #[serde(borrow, default)]
    previous_response_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    conversation: Option<&'a RawValue>,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    safety_identifier: Option<String>,
}

/// Members that tell the kind of an item of a conversation.
#[derive(Debug, Deserialize)]
struct ItemHead {
    #[serde(rename = "type", default)]
    kind: Option<Value>,
    #[serde(default)]
    role: Option<Value>,
    #[serde(default)]
    id: Option<Value>,
}

/// Name of the model alone.
#[derive(Debug, Deserialize)]
struct ModelHead {
    #[serde(default)]
    model: Option<String>,
}

impl UpstreamRequest {
    /// Returns the model that a JSON body names; `None` if it names none, or is no JSON object.
    pub fn model_of(body: &[u8]) -> Option<String> {
        if !is_object(body) {
            return None;
        }
        let head = in_place(body.len(), || serde_json::from_slice::<ModelHead>(body));
        head.ok()?.model
    }

    /// Creates a streamed chat with the JSON `body`, which names `model` and asks for the usage.
    pub fn of_chat(body: String, model: &str) -> Self {
        Self {
            endpoint: UpstreamEndpoint::Chat,
            model: model.to_owned(),
            content_type: JSON_TYPE.to_owned(),
            body: body.into(),
            form: AnswerForm::Events,
            hides_usage: true,
            max_output_tokens: None,
            choices: 1,
            end_user: None,
            estimate: MeteredUsage::default(),
        }
    }

    /// Reads a request with the body `body`. One that names no model gets `default_model`.
    ///
    /// # Errors
    /// Fails when it is no JSON object or no form, as its endpoint needs, or names no model.
    pub async fn read(
        endpoint: UpstreamEndpoint,
        content_type: Option<&str>,
        body: Bytes,
        default_model: Option<&str>,
    ) -> Result<Self, Failure> {
        match endpoint {
            UpstreamEndpoint::Transcriptions
            | UpstreamEndpoint::Translations
            | UpstreamEndpoint::ImageEdits
            | UpstreamEndpoint::ImageVariations => {
                Self::read_form(endpoint, content_type.unwrap_or_default(), body).await
            }
            UpstreamEndpoint::Embeddings
            | UpstreamEndpoint::Moderations
            | UpstreamEndpoint::Speech
            | UpstreamEndpoint::ImageGenerations
            | UpstreamEndpoint::Chat
            | UpstreamEndpoint::Responses => in_place(body.len(), || {
                Self::read_json(endpoint, body, default_model)
            }),
        }
    }

    fn read_json(
        endpoint: UpstreamEndpoint,
        body: Bytes,
        default_model: Option<&str>,
    ) -> Result<Self, Failure> {
        if !is_object(&body) {
            return Err(invalid("The body must be a JSON object with a `model`."));
        }
        let refused = |error: serde_json::Error| {
            invalid(&format!("The body is not a valid request: {error}."))
        };
        let head: JsonHead<'_> = serde_json::from_slice(&body).map_err(refused)?;
        let _: CheckedMembers = serde_json::from_slice(&body).map_err(refused)?;
        if endpoint == UpstreamEndpoint::Responses {
            head.check_names_nothing_stored()?;
        }
        let end_user = end_user_of(head.safety_identifier, head.user)?;
        let is_streamed = head.stream == Some(true);
        let form = match endpoint {
            UpstreamEndpoint::Speech if head.stream_format.as_deref() == Some("sse") => {
                AnswerForm::Events
            }
            UpstreamEndpoint::Speech => AnswerForm::Bytes,
            UpstreamEndpoint::Chat
            | UpstreamEndpoint::Responses
            | UpstreamEndpoint::ImageGenerations
                if is_streamed =>
            {
                AnswerForm::Events
            }
            _ => AnswerForm::Json,
        };
        let n = head.n.unwrap_or(1);
        let (images, characters) = match endpoint {
            UpstreamEndpoint::ImageGenerations => (n, 0),
            UpstreamEndpoint::Speech => (0, head.input.map_or(0, count_characters)),
            _ => (0, 0),
        };
        let with_usage = if endpoint == UpstreamEndpoint::Chat && is_streamed {
            with_usage_asked(&body, head.stream_options)
        } else {
            None
        };
        // Servers differ in which of them counts.
        let max_output_tokens = match endpoint {
            UpstreamEndpoint::Responses => head.max_output_tokens,
            _ => head.max_completion_tokens.max(head.max_tokens),
        };
        let named = head.model;
        let hides_usage = with_usage.is_some();
        let body = with_usage.unwrap_or(body);
        let (model, body) = match (named, default_model) {
            (Some(model), _) => (model, body),
            (None, Some(default)) => {
                let member = format!("\"model\":{}", Value::from(default));
                let body = without_null_model(&body).unwrap_or(body);
                (default.to_owned(), insert_member(&body, &member))
            }
            (None, None) => return Err(no_model()),
        };
        Ok(Self {
            endpoint,
            model,
            content_type: JSON_TYPE.to_owned(),
            body,
            form,
            hides_usage,
            max_output_tokens,
            choices: n.max(1),
            end_user,
            estimate: MeteredUsage {
                images,
                characters,
                ..MeteredUsage::default()
            },
        })
    }

    async fn read_form(
        endpoint: UpstreamEndpoint,
        content_type: &str,
        body: Bytes,
    ) -> Result<Self, Failure> {
        let head = FormHead::read(content_type, body.clone()).await?;
        let end_user = end_user_of(head.safety_identifier, head.user)?;
        let is_image = matches!(
            endpoint,
            UpstreamEndpoint::ImageEdits | UpstreamEndpoint::ImageVariations
        );
        let is_text = matches!(
            head.response_format.as_deref(),
            Some("text" | "srt" | "vtt")
        );
        let form = match head.stream.as_deref() {
            Some("true" | "True" | "1") => AnswerForm::Events,
            _ if is_text && !is_image => AnswerForm::Text,
            _ => AnswerForm::Json,
        };
        let n = head.n.and_then(|n| n.trim().parse().ok()).unwrap_or(1);
        let estimate = if is_image {
            MeteredUsage {
                images: n,
                input_tokens: head.files.saturating_mul(PICTURE_TOKENS),
                ..MeteredUsage::default()
            }
        } else {
            let seconds = head.file_bytes.div_ceil(MIN_AUDIO_BYTES_PER_SECOND);
            let milliseconds = seconds.saturating_mul(1000);
            MeteredUsage {
                milliseconds,
                input_tokens: milliseconds / AUDIO_MS_PER_TOKEN,
                ..MeteredUsage::default()
            }
        };
        Ok(Self {
            endpoint,
            model: head.model.ok_or_else(no_model)?,
            content_type: content_type.to_owned(),
            body,
            form,
            hides_usage: false,
            max_output_tokens: None,
            choices: 1,
            end_user,
            estimate,
        })
    }

    /// True if the answer is a text that the model writes, or has one.
    pub fn asks_for_text(&self) -> bool {
        matches!(
            self.endpoint,
            UpstreamEndpoint::Chat
                | UpstreamEndpoint::Responses
                | UpstreamEndpoint::Transcriptions
                | UpstreamEndpoint::Translations
        )
    }

    /// True if the answer has pictures, each of which has a price.
    pub fn asks_for_images(&self) -> bool {
        matches!(
            self.endpoint,
            UpstreamEndpoint::ImageGenerations
                | UpstreamEndpoint::ImageEdits
                | UpstreamEndpoint::ImageVariations
        )
    }
}

impl JsonHead<'_> {
    /// Refuses a request for a response that is to be kept for later, or names what was. All callers
    /// share the upstream's account, so one could read the conversation of another.
    fn check_names_nothing_stored(&self) -> Result<(), Failure> {
        let is_set = |value: Option<&RawValue>| value.is_some_and(|value| value.get() != "null");
        let named = if self.background == Some(true) {
            "background"
        } else if is_set(self.previous_response_id) {
            "previous_response_id"
        } else if is_set(self.conversation) {
            "conversation"
        } else if self.input.is_some_and(may_have_item_reference) {
            "input"
        } else {
            return Ok(());
        };
        Err(invalid(&format!(
            "`{named}` is not taken with a model of another server, whose stored responses belong to no key. Send the whole \
             conversation as `input`, each item as an object without repeated members."
        )))
    }
}

/// True if an item of `input` stands for one that is stored, or may, because the list is none of objects
/// that all servers read alike: one with a repeated member is read in two ways.
fn may_have_item_reference(input: &RawValue) -> bool {
    if !input.get().starts_with('[') {
        return false;
    }
    let items = serde_json::from_str::<Vec<ItemHead>>(input.get());
    let is_reference = |item: &ItemHead| {
        let kind = item.kind.as_ref().and_then(Value::as_str);
        kind == Some(ITEM_REFERENCE) || (kind.is_none() && item.role.is_none() && item.id.is_some())
    };
    match items {
        Ok(items) => items.iter().any(is_reference),
        Err(_) => true,
    }
}

fn no_model() -> Failure {
    invalid("The request names no `model`. GET /v1/models lists the names.")
}

/// Returns the end user that a request names: by `safety_identifier`, else by `user`.
fn end_user_of(
    safety_identifier: Option<String>,
    user: Option<String>,
) -> Result<Option<EndUser>, Failure> {
    let named = [("safety_identifier", safety_identifier), ("user", user)];
    let is_long = |name: &Option<String>| {
        name.as_ref()
            .is_some_and(|id| id.len() > EndUser::MAX_BYTES)
    };
    if let Some((field, _)) = named.iter().find(|(_, name)| is_long(name)) {
        let max = EndUser::MAX_BYTES;
        return Err(invalid(&format!(
            "`{field}` has more than {max} bytes. Shorten it."
        )));
    }
    let mut named = named.into_iter().filter_map(|(_, name)| name);
    Ok(named.find_map(|name| EndUser::new(&name)))
}

/// Reads a value as it is written, `null` too.
fn raw_value<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&'a RawValue>::deserialize(deserializer).map(Some)
}

/// True if a JSON text begins as an object does: serde would read an array as a struct too.
fn is_object(json: &[u8]) -> bool {
    json.trim_ascii_start().first() == Some(&b'{')
}

/// Returns the characters of a JSON string; 0 for other JSON.
fn count_characters(json: &RawValue) -> u64 {
    let text = serde_json::from_str::<String>(json.get());
    text.map_or(0, |text| text.chars().count() as u64)
}

/// Returns `body` with the usage asked for; `None` if it is asked for already, or `options` are none
/// that the upstream would accept.
fn with_usage_asked(body: &[u8], options: Option<&RawValue>) -> Option<Bytes> {
    let Some(options) = options else {
        let member = format!("\"stream_options\":{{\"{INCLUDE_USAGE}\":true}}");
        return Some(insert_member(body, &member));
    };
    let mut members = match serde_json::from_str(options.get()).ok()? {
        Value::Null => Map::new(),
        Value::Object(members) => members,
        _ => return None,
    };
    if members.insert(INCLUDE_USAGE.to_owned(), Value::Bool(true)) == Some(Value::Bool(true)) {
        return None;
    }
    replace_part(body, options.get(), &Value::Object(members).to_string())
}

/// Returns `body` without a member `"model": null`, if it has one.
fn without_null_model(body: &[u8]) -> Option<Bytes> {
    let mut members: Map<String, Value> = serde_json::from_slice(body).ok()?;
    members.remove("model")?;
    Some(Bytes::from(Value::Object(members).to_string()))
}

/// Returns the JSON object `body` with `member` before its other members.
fn insert_member(body: &[u8], member: &str) -> Bytes {
    let open = body.iter().position(|byte| *byte == b'{').unwrap_or(0);
    let (before, rest) = body.split_at(open + 1);
    let is_empty = rest.trim_ascii_start().first() == Some(&b'}');
    let comma = if is_empty { "" } else { "," };
    Bytes::from([before, member.as_bytes(), comma.as_bytes(), rest].concat())
}

/// Returns `body` with `text` in place of `part`, which is a slice of it.
fn replace_part(body: &[u8], part: &str, text: &str) -> Option<Bytes> {
    let start = part.as_ptr().addr().checked_sub(body.as_ptr().addr())?;
    let before = body.get(..start)?;
    let after = body.get(start + part.len()..)?;
    Some(Bytes::from([before, text.as_bytes(), after].concat()))
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
