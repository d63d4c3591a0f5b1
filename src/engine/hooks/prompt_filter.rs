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

/// One pass over a prompt.
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
            pass.text(TextRole::System, text)?;
        }
        if turn.native.system.is_some() {
            // Blocks stand for the same instructions, which count once.
            pass.characters = 0;
        }
        for block in turn.native.system.iter_mut().flatten() {
            pass.block(TextRole::System, block)?;
        }
        for message in &mut turn.history {
            let role = match message.role {
                Role::User => TextRole::User,
                Role::Assistant => TextRole::Assistant,
            };
            pass.parts(role, &mut message.parts)?;
        }
        pass.parts(TextRole::User, &mut turn.prompt)?;
        match self.max_characters {
            Some(most) if pass.characters > most => Err(FilterRefusal::TooLong(most)),
            _ => Ok(pass.has_changed),
        }
    }
}

impl PromptPass<'_> {
    fn parts(&mut self, role: TextRole, parts: &mut [Part]) -> Result<(), FilterRefusal> {
        for part in parts {
            self.part(role, part)?;
        }
        Ok(())
    }

    fn part(&mut self, role: TextRole, part: &mut Part) -> Result<(), FilterRefusal> {
        match part {
            Part::Text(text) => self.text(role, text),
            Part::Instruction(text) => self.text(TextRole::System, text),
            Part::ToolUse(call) => self.json(TextRole::Assistant, &mut call.input, JsonForm::Free),
            Part::ToolResult(result) => self.parts(TextRole::Tool, &mut result.parts),
            Part::Document {
                title: Some(title), ..
            } => self.text(role, title),
            Part::Native(block) => {
                let role = match block.role {
                    NativeRole::Call(_) => TextRole::Assistant,
                    NativeRole::Result(_) => TextRole::Tool,
                    NativeRole::Other => role,
                };
                self.block(role, &mut block.json)
            }
            Part::Image(_)
            | Part::Document { .. }
            | Part::Thinking(_)
            | Part::Continue
            | Part::CacheBreakpoint(_) => Ok(()),
        }
    }

    fn text(&mut self, role: TextRole, text: &mut String) -> Result<(), FilterRefusal> {
        if self.filter.looks_at(role) {
            self.characters += text.chars().count();
            self.has_changed |= self.filter.apply_to_text(text)?;
        }
        Ok(())
    }

    fn block(&mut self, role: TextRole, json: &mut String) -> Result<(), FilterRefusal> {
        let form = block_form(json);
        self.json(role, json, form)
    }

    fn json(
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
