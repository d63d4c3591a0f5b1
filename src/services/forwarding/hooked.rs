//! Hooks around calls of other servers.
//!
//! Before a call they see the texts of its JSON as messages of a turn, and may change them. After a
//! chat or response that is answered as a whole they see its texts. Forms, vectors, ratings, audio and pictures
//! pass no hook on their way back.

use bytes::Bytes;
use serde_json::Value;

use crate::domain::Caller;
use crate::domain::EndUser;
use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::Message;
use crate::domain::ModelName;
use crate::domain::Native;
use crate::domain::Part;
use crate::domain::Role;
use crate::domain::Sampling;
use crate::domain::Tools;
use crate::domain::Turn;
use crate::domain::Usage;
use crate::engine::gateway::Error;
use crate::engine::hooks::HookPoint;
use crate::engine::hooks::Hooks;
use crate::engine::hooks::TurnHooks;
use crate::engine::upstreams::AnswerForm;
use crate::engine::upstreams::JSON_TYPE;
use crate::engine::upstreams::UpstreamEndpoint;
use crate::engine::upstreams::UpstreamRequest;
use crate::engine::upstreams::is_read_as;

/// Members of messages and of their parts that hooks are shown, or that say what they are.
const SHOWN_MEMBERS: [&str; 3] = ["content", "role", "text"];

/// Author of a text in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TextAuthor {
    System,
    User,
    Assistant,
}

/// Calls the hooks before `request` of `caller`, whose texts they may change. Returns them; `None`
/// if there are none.
///
/// # Errors
/// Fails when a hook stops the request, or when one could not see the answer.
pub(super) async fn call_before(
    all: &Hooks,
    caller: &Caller,
    request: &mut UpstreamRequest,
) -> Result<Option<TurnHooks>, Error> {
    let endpoint = request.endpoint;
    // A form has no JSON, and none of its texts is shown.
    let mut body: Option<Value> = serde_json::from_slice(&request.body).ok();
    let mut texts = Vec::new();
    if let Some(body) = &mut body {
        visit_texts(endpoint, body, &mut |author, text| {
            texts.push((author, text.clone()));
        });
    }
    let end_user = caller.end_user.as_ref().or(request.end_user.as_ref());
    let turn = turn_of(&request.model, &texts, end_user);
    let Some(hooks) = all.for_turn(caller, &turn) else {
        return Ok(None);
    };
    let is_json = request.content_type == JSON_TYPE;
    if is_json && body.as_ref().is_none_or(has_ambiguous_member) {
        return Err(invalid(
            "Hooks of this server look at this request, and cannot be sure to read its body as the other server does. Send plain \
             JSON, with the members of messages in lower case.",
        ));
    }
    let is_streamed = endpoint.is_conversation() && request.form == AnswerForm::Events;
    if is_streamed && hooks.are_at(HookPoint::After) {
        return Err(invalid(
            "Hooks of this server look at whole answers of this model. Send `\"stream\": false`.",
        ));
    }
    let mut changed = turn.clone();
    hooks.call_before(&mut changed).await?;
    if changed != turn {
        let new = texts_of(changed, &texts).ok_or_else(other_messages)?;
        let mut new = new.into_iter();
        if let Some(body) = &mut body {
            visit_texts(endpoint, body, &mut |_, text| {
                if let Some(new) = new.next() {
                    *text = new;
                }
            });
        }
    }
    if let Some(body) = body.filter(|_| hooks.are_at(HookPoint::Before)) {
        // Also if nothing has changed: what is there twice is sent as the hooks have seen it.
        request.body = Bytes::from(body.to_string());
    }
    Ok(Some(hooks))
}

/// Passes the texts of the answer to a chat, or of a response, which used `usage`, through the hooks after it.
///
/// # Errors
/// Fails when a hook stops the answer.
pub(super) async fn pass_answer(
    hooks: &TurnHooks,
    usage: Usage,
    body: Bytes,
) -> Result<Bytes, Error> {
    if !hooks.are_at(HookPoint::After) {
        return Ok(body);
    }
    let Ok(mut answer) = serde_json::from_slice::<Value>(&body) else {
        let message = "Hooks of this server cannot read the answer of the other server, so it is not passed on.";
        return Err(Failure::new(FailureKind::Upstream, message).into());
    };
    let before = answer.clone();
    let choices = answer.get_mut("choices").and_then(Value::as_array_mut);
    for choice in choices.into_iter().flatten() {
        if let Some(Value::String(text)) = choice.pointer_mut("/message/content") {
            *text = hooks.pass_result_text(std::mem::take(text), usage).await?;
        }
        let calls = choice.pointer_mut("/message/tool_calls");
        let calls = calls.and_then(Value::as_array_mut);
        for call in calls.into_iter().flatten() {
            if let Some(Value::String(json)) = call.pointer_mut("/function/arguments") {
                *json = hooks.mask_json(std::mem::take(json));
            }
        }
    }
    let items = answer.get_mut("output").and_then(Value::as_array_mut);
    for item in items.into_iter().flatten() {
        let parts = item.get_mut("content").and_then(Value::as_array_mut);
        for part in parts.into_iter().flatten() {
            if let Some(Value::String(text)) = part.get_mut("text") {
                *text = hooks.pass_result_text(std::mem::take(text), usage).await?;
            }
        }
        if let Some(Value::String(json)) = item.get_mut("arguments") {
            *json = hooks.mask_json(std::mem::take(json));
        }
    }
    if answer == before {
        return Ok(body);
    }
    Ok(Bytes::from(answer.to_string()))
}

fn invalid(message: &str) -> Error {
    Failure::new(FailureKind::InvalidRequest, message).into()
}

/// True if a message of a chat, or a part of one, has a member that some servers read as one that
/// hooks are shown.
fn has_ambiguous_member(body: &Value) -> bool {
    let is_ambiguous = |name: &str| {
        let mut shown = SHOWN_MEMBERS.iter();
        shown.any(|shown| name != *shown && is_read_as(name, shown))
    };
    let lists = ["messages", "input"].map(|name| body.get(name).and_then(Value::as_array));
    let messages = lists.into_iter().flatten().flatten();
    let messages = messages.filter_map(Value::as_object);
    let mut all = messages.flat_map(|message| {
        let parts = message.get("content").and_then(Value::as_array);
        let parts = parts.into_iter().flatten().filter_map(Value::as_object);
        std::iter::once(message).chain(parts)
    });
    all.any(|object| object.keys().any(|name| is_ambiguous(name)))
}

/// Error: a hook has changed more than texts.
fn other_messages() -> Error {
    let message = "A hook of this server has added or removed messages, which a request to another server cannot take over. \
                   Operator: let it change texts only.";
    Failure::new(FailureKind::Upstream, message).into()
}

/// Calls `visit` with each text of a request, in its order.
fn visit_texts(
    endpoint: UpstreamEndpoint,
    body: &mut Value,
    visit: &mut dyn FnMut(TextAuthor, &mut String),
) {
    let fields: &[&str] = match endpoint {
        UpstreamEndpoint::Chat => {
            visit_messages(body.get_mut("messages"), visit);
            return;
        }
        UpstreamEndpoint::Responses => {
            if let Some(text) = body.get_mut("instructions") {
                visit_content(text, TextAuthor::System, visit);
            }
            match body.get_mut("input") {
                Some(Value::String(text)) => visit(TextAuthor::User, text),
                items => visit_messages(items, visit),
            }
            return;
        }
        UpstreamEndpoint::Embeddings | UpstreamEndpoint::Moderations => &["input"],
        UpstreamEndpoint::Speech => &["input", "instructions"],
        UpstreamEndpoint::ImageGenerations => &["prompt"],
        UpstreamEndpoint::Transcriptions
        | UpstreamEndpoint::Translations
        | UpstreamEndpoint::ImageEdits
        | UpstreamEndpoint::ImageVariations => &[],
    };
    for field in fields {
        if let Some(content) = body.get_mut(*field) {
            visit_content(content, TextAuthor::User, visit);
        }
    }
}

/// Visits the texts of a list of messages, and of results of calls among them.
fn visit_messages(messages: Option<&mut Value>, visit: &mut dyn FnMut(TextAuthor, &mut String)) {
    let messages = messages.and_then(Value::as_array_mut);
    for message in messages.into_iter().flatten() {
        let author = match message.get("role").and_then(Value::as_str) {
            Some("system" | "developer") => TextAuthor::System,
            Some("assistant") => TextAuthor::Assistant,
            _ => TextAuthor::User,
        };
        for name in ["content", "output"] {
            if let Some(content) = message.get_mut(name) {
                visit_content(content, author, visit);
            }
        }
    }
}

/// Visits a text, or each text in a list of texts and of parts.
fn visit_content(
    content: &mut Value,
    author: TextAuthor,
    visit: &mut dyn FnMut(TextAuthor, &mut String),
) {
    match content {
        Value::String(text) => visit(author, text),
        Value::Array(parts) => {
            for part in parts {
                match part {
                    Value::String(text) => visit(author, text),
                    part => {
                        if let Some(Value::String(text)) = part.get_mut("text") {
                            visit(author, text);
                        }
                    }
                }
            }
        }
        _ => {}
    }
}

/// Returns the turn that hooks see: instructions, messages, and a last one of the user as the
/// prompt.
fn turn_of(model: &str, texts: &[(TextAuthor, String)], end_user: Option<&EndUser>) -> Turn {
    let mut turn = Turn {
        model: ModelName::new(model),
        system: Vec::new(),
        tools: Tools::default(),
        history: Vec::new(),
        prompt: Vec::new(),
        sampling: Sampling::default(),
        project: None,
        native: Native {
            end_user: end_user.map(|user| user.as_str().to_owned()),
            ..Native::default()
        },
    };
    for (author, text) in texts {
        let role = match author {
            TextAuthor::System => {
                turn.system.push(text.clone());
                continue;
            }
            TextAuthor::User => Role::User,
            TextAuthor::Assistant => Role::Assistant,
        };
        turn.history.push(Message {
            role,
            parts: vec![Part::text(text)],
        });
    }
    let last = turn.history.pop_if(|last| last.role == Role::User);
    turn.prompt = last.map(|last| last.parts).unwrap_or_default();
    turn
}

/// Returns the texts of a changed turn in the order of `texts`; `None` if it has others.
fn texts_of(turn: Turn, texts: &[(TextAuthor, String)]) -> Option<Vec<String>> {
    let mut system = turn.system.into_iter();
    let history = turn.history.into_iter().flat_map(|message| message.parts);
    let mut others = history.chain(turn.prompt).map(|part| match part {
        Part::Text(text) => Some(text),
        _ => None,
    });
    let mut new = Vec::new();
    for (author, _) in texts {
        new.push(match author {
            TextAuthor::System => system.next()?,
            TextAuthor::User | TextAuthor::Assistant => others.next()??,
        });
    }
    (system.next().is_none() && others.next().is_none()).then_some(new)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts(endpoint: UpstreamEndpoint, body: &mut Value) -> Vec<(TextAuthor, String)> {
        let mut texts = Vec::new();
        visit_texts(endpoint, body, &mut |author, text| {
            texts.push((author, text.clone()));
        });
        texts
    }

    #[test]
    fn texts_of_each_endpoint_are_found() {
        let mut chat = json!({"messages": [
            {"role": "user", "content": "a"},
            {"role": "system", "content": [{"type": "text", "text": "b"}, {"type": "image_url"}]},
            {"role": "assistant", "content": null},
            {"role": "assistant", "content": "c"},
        ]});
        let found = texts(UpstreamEndpoint::Chat, &mut chat);
        let authors: Vec<_> = found.iter().map(|(author, _)| *author).collect();
        assert_eq!(
            authors,
            [TextAuthor::User, TextAuthor::System, TextAuthor::Assistant]
        );
        let mut response = json!({"instructions": "a", "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "b"}]},
            {"type": "function_call", "arguments": "{}"},
            {"type": "function_call_output", "output": "c"},
        ]});
        let found = texts(UpstreamEndpoint::Responses, &mut response);
        let authors: Vec<_> = found.iter().map(|(author, _)| *author).collect();
        assert_eq!(
            authors,
            [TextAuthor::System, TextAuthor::User, TextAuthor::User]
        );
        for (endpoint, mut body, count) in [
            (UpstreamEndpoint::Responses, json!({"input": "a"}), 1),
            (
                UpstreamEndpoint::Embeddings,
                json!({"input": ["a", "b"]}),
                2,
            ),
            (UpstreamEndpoint::Embeddings, json!({"input": [[1, 2]]}), 0),
            (UpstreamEndpoint::Moderations, json!({"input": "a"}), 1),
            (
                UpstreamEndpoint::Speech,
                json!({"input": "a", "instructions": "b"}),
                2,
            ),
            (
                UpstreamEndpoint::ImageGenerations,
                json!({"prompt": "a"}),
                1,
            ),
        ] {
            assert_eq!(texts(endpoint, &mut body).len(), count, "{body}");
        }
    }

    #[test]
    fn member_that_hooks_may_miss_is_found() {
        for (message, is_ambiguous) in [
            (json!({"role": "user", "content": "a", "name": "b"}), false),
            (
                json!({"role": "user", "content": "a", "Content": "b"}),
                true,
            ),
            (
                json!({"role": "user", "content": [{"type": "text", "Text": "b"}]}),
                true,
            ),
            (
                json!({"role": "user", "content": [{"type": "text", "text": "b"}, "c"]}),
                false,
            ),
        ] {
            let body = json!({"messages": [message]});
            assert_eq!(has_ambiguous_member(&body), is_ambiguous, "{body}");
        }
    }

    #[test]
    fn changed_texts_go_back_to_their_places() {
        let all = [
            (TextAuthor::User, "a".to_owned()),
            (TextAuthor::System, "b".to_owned()),
            (TextAuthor::Assistant, "c".to_owned()),
            (TextAuthor::User, "d".to_owned()),
        ];
        let turn = turn_of("m", &all, None);
        assert_eq!((turn.history.len(), turn.prompt.len()), (2, 1));
        assert_eq!(texts_of(turn.clone(), &all).unwrap(), ["a", "b", "c", "d"]);
        let mut more = turn;
        more.prompt.push(Part::text("e"));
        assert_eq!(texts_of(more, &all), None);
    }
}
