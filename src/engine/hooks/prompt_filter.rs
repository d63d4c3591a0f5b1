//! Filter over the texts of a prompt.

use super::filter::Filter;
use super::filter::FilterRefusal;
use super::filter::TextRole;
use super::filter::block_form;
use super::json_text::JsonForm;
use super::json_text::count_characters;
use crate::domain::NativeRole;
use crate::domain::Part;
use crate::domain::Role;
use crate::domain::Turn;

/// Pass of a filter over a prompt, with its results so far.
struct PromptPass<'a> {
    filter: &'a Filter,
    characters: usize,
    has_changed: bool,
}

impl Filter {
    /// Applies the filter to the texts of `turn`: instructions, messages, tool calls and results.
    /// Returns true if it has changed something.
    ///
    /// The model's thinking is signed, and not changed. Definitions of tools, and files other than
    /// plain text, are not looked into.
    ///
    /// # Errors
    /// Fails if the filter refuses the turn, which is then changed in part.
    pub(super) fn apply_to_prompt(&self, turn: &mut Turn) -> Result<bool, FilterRefusal> {
        let mut pass = PromptPass {
            filter: self,
            characters: 0,
            has_changed: false,
        };
        for text in &mut turn.system {
            pass.filter_text(TextRole::System, text)?;
        }
        if turn.native.system.is_some() {
            // Blocks stand for the same instructions, which count once.
            pass.characters = 0;
        }
        for block in turn.native.system.iter_mut().flatten() {
            pass.filter_block(TextRole::System, block)?;
        }
        for message in &mut turn.history {
            let role = match message.role {
                Role::User => TextRole::User,
                Role::Assistant => TextRole::Assistant,
            };
            pass.filter_parts(role, &mut message.parts)?;
        }
        pass.filter_parts(TextRole::User, &mut turn.prompt)?;
        match self.max_characters {
            Some(max) if pass.characters > max => Err(FilterRefusal::TooLong(max)),
            _ => Ok(pass.has_changed),
        }
    }
}

impl PromptPass<'_> {
    fn filter_parts(&mut self, role: TextRole, parts: &mut [Part]) -> Result<(), FilterRefusal> {
        for part in parts {
            self.filter_part(role, part)?;
        }
        Ok(())
    }

    fn filter_part(&mut self, role: TextRole, part: &mut Part) -> Result<(), FilterRefusal> {
        match part {
            Part::Text(text) => self.filter_text(role, text),
            Part::Instruction(text) => self.filter_text(TextRole::System, text),
            Part::ToolUse(call) => {
                self.filter_json(TextRole::Assistant, &mut call.input, JsonForm::Free)
            }
            Part::ToolResult(result) => self.filter_parts(TextRole::Tool, &mut result.parts),
            Part::Document {
                title: Some(title), ..
            } => self.filter_text(role, title),
            Part::Native(block) => {
                let role = match block.role {
                    NativeRole::Call(_) => TextRole::Assistant,
                    NativeRole::Result(_) => TextRole::Tool,
                    NativeRole::Other => role,
                };
                self.filter_block(role, &mut block.json)
            }
            Part::Image(_)
            | Part::Document { .. }
            | Part::Thinking(_)
            | Part::Continue
            | Part::CacheBreakpoint(_) => Ok(()),
        }
    }

    fn filter_text(&mut self, role: TextRole, text: &mut String) -> Result<(), FilterRefusal> {
        if self.filter.looks_at(role) {
            self.characters += text.chars().count();
            self.has_changed |= self.filter.apply_to_text(text)?;
        }
        Ok(())
    }

    fn filter_block(&mut self, role: TextRole, json: &mut String) -> Result<(), FilterRefusal> {
        let form = block_form(json);
        self.filter_json(role, json, form)
    }

    fn filter_json(
        &mut self,
        role: TextRole,
        json: &mut String,
        form: JsonForm,
    ) -> Result<(), FilterRefusal> {
        if self.filter.looks_at(role) {
            if self.filter.max_characters.is_some() {
                self.characters += count_characters(json, form);
            }
            self.has_changed |= self.filter.apply_to_json(json, form)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "prompt_filter_tests.rs"]
mod tests;
