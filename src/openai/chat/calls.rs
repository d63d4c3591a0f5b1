//! Calls and their results, matched as the messages of a request are read.

use std::collections::HashMap;
use std::collections::HashSet;

use serde_json::Value;

use super::custom_tools::CUSTOM;
use super::fields;
use crate::domain::Message;
use crate::domain::Part;
use crate::domain::Role;
use crate::domain::ToolResult;
use crate::domain::ToolUse;
use crate::fields::Ignored;
use crate::fields::InvalidRequest;
use crate::fields::Object;
use crate::fields::Place;
use crate::fields::code;
use crate::fields::printable;
use crate::openai::custom;
use crate::openai::functions;

/// The calls of the answer read last, and the ids of all before it.
#[derive(Debug, Default)]
pub(super) struct Calls {
    list: Vec<Call>,
    /// Where in the list a call stands, by its id as the client knows it.
    numbers: HashMap<String, usize>,
    /// The path of the message that made them.
    path: String,
    /// The ids that upstream gets, of all answers so far: no two calls may have the same.
    taken: HashSet<String>,
    /// How many ids were made up.
    made: usize,
}

#[derive(Debug)]
struct Call {
    /// Its id as the client knows it; a call in the old form has none.
    id: Option<String>,
    name: String,
    /// Its id as upstream gets it.
    upstream_id: String,
    is_answered: bool,
}

impl Calls {
    /// Takes the calls out of `message`, an assistant's, which stands at `path`. Those before it are done with.
    pub(super) fn begin(
        &mut self,
        message: &mut Object,
        path: String,
        ignored: &mut Ignored,
    ) -> Result<Vec<Part>, InvalidRequest> {
        self.list.clear();
        self.numbers.clear();
        self.path = path;
        let mut parts = Vec::new();
        if let Some(Value::Array(list)) = message.take("tool_calls")? {
            for (number, call) in list.into_iter().enumerate() {
                let call = Object::new(call, message.place.item("tool_calls", number, &fields::TOOL_CALL))?;
                parts.push(self.add(call, ignored)?);
            }
        }
        if let Some(call) = message.take("function_call")? {
            let mut call = Object::new(call, message.place.inner("function_call", &fields::CALLED_FUNCTION))?;
            let (name, input) = called(&mut call)?;
            call.finish(ignored)?;
            parts.push(self.push(None, name, input));
        }
        Ok(parts)
    }

    fn add(&mut self, mut call: Object, ignored: &mut Ignored) -> Result<Part, InvalidRequest> {
        let id = call.take_text("id")?.ok_or_else(|| call.missing("id"))?;
        if self.numbers.contains_key(&id) {
            let path = call.place.field("id");
            let message = format!("`{path}`: a call before it has the same id `{}`.", printable(&id));
            return Err(InvalidRequest::at(path, code::VALUE, message));
        }
        let kind = call.take_text("type")?.unwrap_or_else(|| "function".to_owned());
        let (field, table, read): (_, _, fn(&mut Object) -> _) = match kind.as_str() {
            "function" => ("function", &fields::CALLED_FUNCTION, called),
            CUSTOM => (CUSTOM, &fields::CALLED_CUSTOM, called_custom),
            other => {
                let path = call.place.field("type");
                let kind = printable(other);
                let message = format!(
                    "`{path}`: only calls of the types `function` and `custom` are supported, got `{kind}`."
                );
                return Err(InvalidRequest::at(path, code::UNSUPPORTED, message));
            }
        };
        let inner = call.take(field)?.ok_or_else(|| call.missing(field))?;
        let mut inner = Object::new(inner, call.place.inner(field, table))?;
        let (name, input) = read(&mut inner)?;
        inner.finish(ignored)?;
        call.finish(ignored)?;
        self.numbers.insert(id.clone(), self.list.len());
        Ok(self.push(Some(id), name, input))
    }

    fn push(&mut self, id: Option<String>, name: String, input: String) -> Part {
        let upstream_id = self.upstream_id(id.as_deref());
        let part = ToolUse { id: upstream_id.clone(), name: name.clone(), input };
        self.list.push(Call { id, name, upstream_id, is_answered: false });
        Part::ToolUse(part)
    }

    /// The id under which upstream gets a call: the client's own, unless upstream refuses its characters or an earlier
    /// call has it, for some clients count anew in every answer.
    fn upstream_id(&mut self, id: Option<&str>) -> String {
        let is_fit = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if let Some(id) = id.filter(|id| !id.is_empty() && id.chars().all(is_fit))
            && self.taken.insert(id.to_owned())
        {
            return id.to_owned();
        }
        loop {
            self.made += 1;
            let made = format!("call-{}", self.made);
            if self.taken.insert(made.clone()) {
                return made;
            }
        }
    }

    /// Takes the result that `message`, of the role `tool`, brings; its content is `parts`.
    pub(super) fn result(&mut self, message: &mut Object, parts: Vec<Part>) -> Result<Part, InvalidRequest> {
        let id = message.take_text("tool_call_id")?.ok_or_else(|| message.missing("tool_call_id"))?;
        let path = message.place.field("tool_call_id");
        self.answer(self.numbers.get(&id).copied(), parts, path, &format!("the id `{}`", printable(&id)))
    }

    /// Takes the result that `message`, of the role `function`, brings.
    pub(super) fn old_result(
        &mut self,
        message: &mut Object,
        parts: Vec<Part>,
    ) -> Result<Part, InvalidRequest> {
        let name = message.take_text("name")?.ok_or_else(|| message.missing("name"))?;
        let path = message.place.field("name");
        let number = self.list.iter().position(|call| call.id.is_none() && call.name == name);
        self.answer(number, parts, path, &format!("the name `{}`", printable(&name)))
    }

    fn answer(
        &mut self,
        number: Option<usize>,
        parts: Vec<Part>,
        path: String,
        words: &str,
    ) -> Result<Part, InvalidRequest> {
        match number.and_then(|number| self.list.get_mut(number)) {
            Some(call) if !call.is_answered => {
                call.is_answered = true;
                Ok(Part::ToolResult(ToolResult { id: call.upstream_id.clone(), parts, is_error: false }))
            }
            Some(_) => {
                let message = format!("`{path}`: the call with {words} has a result already. Remove one.");
                Err(InvalidRequest::at(path, code::VALUE, message))
            }
            None => {
                let message = format!(
                    "`{path}`: the assistant message before it has no call with {words}. A result must follow the \
                     message that made its call."
                );
                Err(InvalidRequest::at(path, code::VALUE, message))
            }
        }
    }

    /// Refuses calls that have no result when a message comes that is none.
    pub(super) fn check_answered(&self) -> Result<(), InvalidRequest> {
        let open: Vec<&Call> = self.list.iter().filter(|call| !call.is_answered).collect();
        let Some(first) = open.first() else { return Ok(()) };
        let (field, role) =
            if first.id.is_some() { ("tool_calls", "tool") } else { ("function_call", "function") };
        let names: Vec<_> = open
            .iter()
            .map(|call| format!("`{}`", printable(call.id.as_ref().unwrap_or(&call.name))))
            .collect();
        let path = format!("{}.{field}", self.path);
        let message = format!(
            "`{path}`: every call needs its result in a message of the role `{role}` after it. There is none for {}.",
            names.join(", ")
        );
        Err(InvalidRequest::at(path, code::VALUE, message))
    }
}

/// Adds the result of a call to `history`: all results of one answer are one message.
pub(super) fn push_result(history: &mut Vec<Message>, result: Part) {
    match history.last_mut() {
        Some(Message { role: Role::User, parts }) if matches!(parts.last(), Some(Part::ToolResult(_))) => {
            parts.push(result);
        }
        _ => history.push(Message { role: Role::User, parts: vec![result] }),
    }
}

/// Takes the name and the arguments of a call.
fn called(function: &mut Object) -> Result<(String, String), InvalidRequest> {
    let name = functions::name(function)?;
    let arguments = function.take_text("arguments")?.unwrap_or_default();
    let input = if arguments.trim().is_empty() { "{}".to_owned() } else { arguments };
    let call = ToolUse { id: String::new(), name, input };
    if call.is_sound() {
        return Ok((call.name, call.input));
    }
    let path: String = function.place.field("arguments");
    let message = format!("`{path}`: expected a JSON object, written as a string.");
    Err(InvalidRequest::at(path, code::VALUE, message))
}

/// Takes the name and the text of a call of a custom tool.
fn called_custom(custom: &mut Object) -> Result<(String, String), InvalidRequest> {
    let name = functions::name(custom)?;
    let input = custom.take_text("input")?.ok_or_else(|| custom.missing("input"))?;
    Ok((name, custom::arguments(&input)))
}

/// The place of the `index`th message.
pub(super) fn place(index: usize) -> Place {
    Place::at(format!("messages[{index}]"), &fields::MESSAGE)
}
