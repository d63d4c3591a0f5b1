//! Calls of tools and their results.

use std::collections::BTreeMap;
use std::collections::HashMap;

use super::content;
use crate::domain::NativeBlock;
use crate::domain::NativeRole;
use crate::domain::Part;
use crate::domain::Role;
use crate::domain::ToolResult;
use crate::fields::InvalidRequest;
use crate::fields::Place;
use crate::fields::code;

/// Follows a conversation and holds it to Anthropic's rule: the user's side answers each call at once, before it says
/// anything else, and answers no call that was not made.
#[derive(Debug, Default)]
pub(super) struct Pairing {
    /// The calls without a result yet: the number of each, by its id.
    open: HashMap<String, usize>,
    /// Their paths, by their numbers.
    paths: BTreeMap<usize, String>,
    /// How many calls there were.
    calls: usize,
    /// Whose message was the last.
    last: Option<Role>,
}

impl Pairing {
    /// Follows the message at `place`. Its parts are as many as its blocks.
    pub(super) fn message(
        &mut self,
        role: Role,
        parts: &[Part],
        place: &Place,
    ) -> Result<(), InvalidRequest> {
        for (index, part) in parts.iter().enumerate() {
            let path = || place.field(&format!("content[{index}]"));
            match part {
                Part::ToolResult(ToolResult { id, .. })
                | Part::Native(NativeBlock { role: NativeRole::Result(id), .. }) => self.result(id, path)?,
                part if content::is_blank(part) => continue,
                // Until somebody else speaks, an answer may go on calling.
                part if role == Role::User || self.last != Some(Role::Assistant) => {
                    self.all_have_results(path)?;
                    self.call(part, path)?;
                }
                part => self.call(part, path)?,
            }
            self.last = Some(role);
        }
        Ok(())
    }

    /// The conversation is over.
    pub(super) fn finish(self) -> Result<(), InvalidRequest> {
        self.all_have_results(|| "messages".to_owned())
    }

    fn call(&mut self, part: &Part, path: impl Fn() -> String) -> Result<(), InvalidRequest> {
        let id = match part {
            Part::ToolUse(call) => &call.id,
            Part::Native(NativeBlock { role: NativeRole::Call(id), .. }) => id,
            _ => return Ok(()),
        };
        if self.open.contains_key(id) {
            let path = path() + ".id";
            let message = format!("`{path}`: two calls have this id. Give each its own.");
            return Err(InvalidRequest::at(path, code::VALUE, message));
        }
        self.open.insert(id.clone(), self.calls);
        self.paths.insert(self.calls, path());
        self.calls += 1;
        Ok(())
    }

    fn result(&mut self, id: &str, path: impl Fn() -> String) -> Result<(), InvalidRequest> {
        let Some(number) = self.open.remove(id) else {
            let path = path() + ".tool_use_id";
            let message = format!(
                "`{path}`: no call in the assistant's message before waits for this result. \
                 Results stand at the start of the user's next message after the `tool_use`, each once."
            );
            return Err(InvalidRequest::at(path, code::VALUE, message));
        };
        self.paths.remove(&number);
        Ok(())
    }

    fn all_have_results(&self, path: impl Fn() -> String) -> Result<(), InvalidRequest> {
        let Some((_, call)) = self.paths.first_key_value() else { return Ok(()) };
        let path = path();
        let message = format!(
            "`{path}`: the call `{call}` has no result before this. The user's message after a call begins with \
             a `tool_result` block for each `tool_use` block. Add it, or move it to the front."
        );
        Err(InvalidRequest::at(path, code::VALUE, message))
    }
}
