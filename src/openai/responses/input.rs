//! From items to a conversation.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::HashSet;

use serde_json::Value;

use super::client_items;
use super::content;
use super::content::Speaker;
use super::content::only;
use super::item_fields;
use super::parameters::unexpected;
use super::sealed::Sealed;
use crate::domain::Message;
use crate::domain::Part;
use crate::domain::Role;
use crate::domain::ToolResult;
use crate::domain::ToolUse;
use crate::fields::Ignored;
use crate::fields::InvalidRequest;
use crate::fields::Object;
use crate::fields::Place;
use crate::fields::Policy;
use crate::fields::code;
use crate::fields::printable;

/// Items, sorted into what a turn is made of.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Conversation {
    pub(super) system: Vec<String>,
    pub(super) history: Vec<Message>,
    pub(super) prompt: Vec<Part>,
}

/// The fields that make an item, of which each type has its own.
const MATTER: [&str; 21] = [
    "role",
    "content",
    "arguments",
    "output",
    "encrypted_content",
    "summary",
    "call_id",
    "action",
    "code",
    "container_id",
    "outputs",
    "server_label",
    "error",
    "approval_request_id",
    "tools",
    "input",
    "operation",
    "environment",
    "max_output_length",
    "namespace",
    "execution",
];
/// The types of items of tools that Anthropic runs, each with its matter. They are skipped: what came of them stands in the
/// answer.
const SKIPPED: [(&str, &[&str]); 4] = [
    ("web_search_call", &["action"]),
    ("code_interpreter_call", &["code", "container_id", "outputs"]),
    ("mcp_call", &["server_label", "arguments", "output", "error", "approval_request_id"]),
    ("mcp_list_tools", &["server_label", "tools", "error"]),
];
/// The types of items of tools that nobody here runs.
const LEFT_OUT: [&str; 10] = [
    "image_generation_call",
    "file_search_call",
    "computer_call",
    "computer_call_output",
    "mcp_approval_request",
    "mcp_approval_response",
    "tool_search_call",
    "tool_search_output",
    "program",
    "program_output",
];
/// What a call must be named by to be told to Claude.
const LONGEST_CALL_ID: usize = 64;

/// Reads the items `earlier`, which were read before, and those of the `input`.
pub(super) fn conversation(
    earlier: &[Value],
    input: &[Value],
    ignored: &mut Ignored,
) -> Result<Conversation, InvalidRequest> {
    read(earlier, input, ignored)?.finish()
}

/// As [`conversation`], but it may end anywhere.
pub(super) fn check(earlier: &[Value], input: &[Value], ignored: &mut Ignored) -> Result<(), InvalidRequest> {
    read(earlier, input, ignored).map(drop)
}

fn read(earlier: &[Value], input: &[Value], ignored: &mut Ignored) -> Result<Reader, InvalidRequest> {
    let mut reader = Reader::default();
    let mut known = Ignored::new(Policy::Lenient);
    for item in earlier {
        reader.item(item.clone(), Place::at("previous_response_id", &item_fields::ITEM), &mut known)?;
    }
    for (index, item) in input.iter().enumerate() {
        reader.item(item.clone(), Place::at(format!("input[{index}]"), &item_fields::ITEM), ignored)?;
    }
    Ok(reader)
}

/// A conversation as far as it was read.
#[derive(Default)]
struct Reader {
    system: Vec<String>,
    messages: Vec<Message>,
    /// The number of each call so far, by its id.
    calls: HashMap<String, usize>,
    /// The ids of those that have no output yet, in their order.
    open: BTreeMap<usize, String>,
    /// The calls that are passed over, and their outputs with them.
    skipped: HashSet<String>,
}

impl Reader {
    fn item(&mut self, item: Value, place: Place, ignored: &mut Ignored) -> Result<(), InvalidRequest> {
        let mut item = Object::new(client_items::as_function(item, &place)?, place)?;
        let kind = item.take_text("type")?.unwrap_or_else(|| "message".to_owned());
        item.take("id")?;
        let status = item.take_text("status")?;
        let name = item.take_text("name")?;
        match kind.as_str() {
            "message" => self.message(&mut item, ignored)?,
            "function_call" => self.call(&mut item, name, status.as_deref())?,
            "function_call_output" => self.output(&mut item, ignored)?,
            "reasoning" => {
                item.take("content")?;
                item.take("summary")?;
                self.reasoning(&mut item, ignored)?;
            }
            "compaction" => self.compaction(&mut item)?,
            // Those with an id have been replaced by what they refer to.
            "item_reference" => return Err(item.missing("id")),
            // Its tools were read with the others.
            "additional_tools" => ["role", "tools"].iter().try_for_each(|name| item.take(name).map(drop))?,
            other if LEFT_OUT.contains(&other) => {
                return ignored.leave_out(format!("input[] ({other})"), foreign(&item, other));
            }
            other => {
                let known = SKIPPED.iter().find(|(known, _)| *known == other);
                let (_, matter) = known.ok_or_else(|| foreign(&item, other))?;
                matter.iter().try_for_each(|name| item.take(name).map(drop))?;
                ignored.note(&format!("input[] ({other})"));
            }
        }
        only(&mut item, &MATTER, &kind)?;
        item.finish(ignored)
    }

    fn message(&mut self, item: &mut Object, ignored: &mut Ignored) -> Result<(), InvalidRequest> {
        let role = item.take_text("role")?.ok_or_else(|| item.missing("role"))?;
        let speaker = match role.as_str() {
            "system" | "developer" => Speaker::Instructions,
            "user" => Speaker::User,
            "assistant" => Speaker::Assistant,
            other => {
                let expected = "`user`, `assistant`, `system` or `developer`";
                return Err(unexpected(item, "role", expected, other));
            }
        };
        let content = item.take("content")?.ok_or_else(|| item.missing("content"))?;
        let parts = content::parts(content, speaker, &item.place, "content", ignored)?;
        match speaker {
            Speaker::Instructions => self.system.extend(parts.into_iter().filter_map(words)),
            // Part of an answer that said nothing.
            Speaker::Assistant if parts.is_empty() => {}
            _ if parts.is_empty() => {
                let words =
                    "is blank, and Claude takes no message without text. Write some, or remove the message.";
                return Err(item.refuse("content", code::VALUE, words));
            }
            Speaker::Assistant => self.say(parts)?,
            Speaker::User | Speaker::Tool => {
                self.check_answered()?;
                self.messages.push(Message { role: Role::User, parts });
            }
        }
        Ok(())
    }

    fn call(
        &mut self,
        item: &mut Object,
        name: Option<String>,
        status: Option<&str>,
    ) -> Result<(), InvalidRequest> {
        let id = call_id(item)?;
        let name = name.ok_or_else(|| item.missing("name"))?;
        let input = item.take_text("arguments")?.ok_or_else(|| item.missing("arguments"))?;
        if status == Some("incomplete") {
            self.skipped.insert(id);
            return Ok(());
        }
        let call = ToolUse { id, name, input: if input.trim().is_empty() { "{}".to_owned() } else { input } };
        if !call.is_sound() {
            let words =
                "expected the arguments as a string that is a JSON object, such as `{\"city\": \"Paris\"}`.";
            return Err(item.refuse("arguments", code::VALUE, words));
        }
        if self.calls.contains_key(&call.id) {
            let words = format!("another call is `{}` too. Give each call its own.", call.id);
            return Err(item.refuse("call_id", code::VALUE, &words));
        }
        let id = call.id.clone();
        self.say(vec![Part::ToolUse(call)])?;
        let number = self.calls.len();
        self.calls.insert(id.clone(), number);
        self.open.insert(number, id);
        Ok(())
    }

    fn output(&mut self, item: &mut Object, ignored: &mut Ignored) -> Result<(), InvalidRequest> {
        let id = call_id(item)?;
        let output = item.take("output")?.ok_or_else(|| item.missing("output"))?;
        let parts = content::parts(output, Speaker::Tool, &item.place, "output", ignored)?;
        if self.skipped.contains(&id) {
            return Ok(());
        }
        if self.calls.get(&id).and_then(|number| self.open.remove(number)).is_none() {
            let words = format!(
                "No tool call found for function call output with call_id {}. Send the `function_call` before it, or \
                 the `previous_response_id` of the response that made it; and send its output once.",
                printable(&id)
            );
            return Err(InvalidRequest::at(item.place.field("call_id"), code::VALUE, words));
        }
        let result = Part::ToolResult(ToolResult { id, parts, is_error: false });
        match self.messages.last_mut() {
            Some(last) if matches!(last.parts.last(), Some(Part::ToolResult(_))) => last.parts.push(result),
            _ => self.messages.push(Message { role: Role::User, parts: vec![result] }),
        }
        Ok(())
    }

    fn reasoning(&mut self, item: &mut Object, ignored: &mut Ignored) -> Result<(), InvalidRequest> {
        let Some(text) = item.take_text("encrypted_content")? else { return Ok(()) };
        match Sealed::from_text(&text).and_then(Sealed::into_thinking) {
            Some(thinking) => self.say(vec![Part::Thinking(thinking)]),
            // Thoughts of another maker.
            None => ignored.leave_out("input[].encrypted_content".to_owned(), broken(item)),
        }
    }

    fn compaction(&mut self, item: &mut Object) -> Result<(), InvalidRequest> {
        let text = item.take_text("encrypted_content")?.ok_or_else(|| item.missing("encrypted_content"))?;
        let Some(Sealed::Conversation(items)) = Sealed::from_text(&text) else { return Err(broken(item)) };
        // They were read when the conversation was compacted.
        let mut known = Ignored::new(Policy::Lenient);
        items.into_iter().try_for_each(|inner| self.item(inner, item.place.clone(), &mut known))
    }

    /// Adds to the answer that is the last message, or begins one.
    fn say(&mut self, parts: Vec<Part>) -> Result<(), InvalidRequest> {
        match self.messages.last_mut() {
            Some(Message { role: Role::Assistant, parts: said }) => said.extend(parts),
            _ => {
                self.check_answered()?;
                self.messages.push(Message { role: Role::Assistant, parts });
            }
        }
        Ok(())
    }

    fn check_answered(&self) -> Result<(), InvalidRequest> {
        let Some((_, id)) = self.open.first_key_value() else { return Ok(()) };
        let message = format!(
            "No tool output found for function call {id}. Add an item of type `function_call_output` with this `call_id` \
             after the call."
        );
        Err(InvalidRequest::at("input", code::VALUE, message))
    }

    fn finish(self) -> Result<Conversation, InvalidRequest> {
        self.check_answered()?;
        let Self { system, messages: mut history, .. } = self;
        match history.pop() {
            Some(Message { role: Role::User, parts: prompt }) => Ok(Conversation { system, history, prompt }),
            Some(Message { role: Role::Assistant, .. }) => Err(no_prompt(
                "`input` ends with what the assistant said, which Claude cannot continue. Add a message with the role \
                 `user` after it, or remove it.",
            )),
            None => {
                Err(no_prompt("`input` has no message for Claude to answer. Add one with the role `user`."))
            }
        }
    }
}

fn no_prompt(message: &str) -> InvalidRequest {
    InvalidRequest::at("input", code::VALUE, message)
}

fn call_id(item: &mut Object) -> Result<String, InvalidRequest> {
    let id = item.take_text("call_id")?.ok_or_else(|| item.missing("call_id"))?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if (1..=LONGEST_CALL_ID).contains(&id.len()) && id.bytes().all(fits) {
        return Ok(id);
    }
    Err(item.refuse("call_id", code::VALUE, "expected 1 to 64 letters, digits, `_` and `-`."))
}

fn broken(item: &Object) -> InvalidRequest {
    let words = "this is nothing that this server gave. Send it as it came, or remove the item.";
    item.refuse("encrypted_content", code::VALUE, words)
}

fn foreign(item: &Object, kind: &str) -> InvalidRequest {
    let kind = printable(kind);
    let words = format!("nobody here knows what to do with items of type `{kind}`. Remove the item.");
    item.refuse("type", code::UNSUPPORTED, &words)
}

fn words(part: Part) -> Option<String> {
    if let Part::Text(text) = part { Some(text) } else { None }
}

#[cfg(test)]
#[path = "input_tests.rs"]
mod tests;
