//! Hooks around calls of other servers.
//!
//! Before a call they see the texts of its JSON as messages of a turn, and may change them. After a
//! chat that is answered as a whole they see its texts. Forms, vectors, ratings, audio and pictures
//! pass no hook on their way back.

use bytes::Bytes;
use serde_json::Value;

use crate::domain::Caller;
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
use crate::engine::upstreams::UpstreamEndpoint;
use crate::engine::upstreams::UpstreamRequest;

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
    let turn = turn_of(&request.model, &texts);
    let Some(hooks) = all.for_turn(caller, &turn) else {
        return Ok(None);
    };
    let is_streamed_chat = endpoint == UpstreamEndpoint::Chat && request.form == AnswerForm::Events;
    if is_streamed_chat && hooks.are_at(HookPoint::After) {
        let message =
            "Hooks of this server look at whole answers of this model. Send `\"stream\": false`.";
        return Err(Failure::new(FailureKind::InvalidRequest, message).into());
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
            request.body = Bytes::from(body.to_string());
        }
    }
    Ok(Some(hooks))
}

/// Passes the texts of a chat's answer, which used `usage`, through the hooks after it.
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
        return Ok(body);
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
    if answer == before {
        return Ok(body);
    }
    Ok(Bytes::from(answer.to_string()))
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
            let messages = body.get_mut("messages").and_then(Value::as_array_mut);
            for message in messages.into_iter().flatten() {
                let author = match message.get("role").and_then(Value::as_str) {
                    Some("system" | "developer") => TextAuthor::System,
                    Some("assistant") => TextAuthor::Assistant,
                    _ => TextAuthor::User,
                };
                if let Some(content) = message.get_mut("content") {
                    visit_content(content, author, visit);
                }
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
fn turn_of(model: &str, texts: &[(TextAuthor, String)]) -> Turn {
    let mut turn = Turn {
        model: ModelName::new(model),
        system: Vec::new(),
        tools: Tools::default(),
        history: Vec::new(),
        prompt: Vec::new(),
        sampling: Sampling::default(),
        project: None,
        native: Native::default(),
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
        for (endpoint, mut body, count) in [
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
    fn changed_texts_go_back_to_their_places() {
        let all = [
            (TextAuthor::User, "a".to_owned()),
            (TextAuthor::System, "b".to_owned()),
            (TextAuthor::Assistant, "c".to_owned()),
            (TextAuthor::User, "d".to_owned()),
        ];
        let turn = turn_of("m", &all);
        assert_eq!((turn.history.len(), turn.prompt.len()), (2, 1));
        assert_eq!(texts_of(turn.clone(), &all).unwrap(), ["a", "b", "c", "d"]);
        let mut more = turn;
        more.prompt.push(Part::text("e"));
        assert_eq!(texts_of(more, &all), None);
    }
}
