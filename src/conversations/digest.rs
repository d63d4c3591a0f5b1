//! A digest of messages, one after the other.

use std::fmt;

use sha2::Digest as _;
use sha2::Sha256;

use crate::domain::Caller;
use crate::domain::Message;
use crate::domain::ModelName;
use crate::domain::Part;
use crate::domain::Role;
use crate::domain::Source;
use crate::domain::ToolUse;

/// Stands for a caller, a model, and all messages so far, in their order. SHA-256, because a collision would show one
/// conversation to another.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:02x}{:02x}..", self.0[0], self.0[1])
    }
}

impl Digest {
    /// The beginning of every conversation of `caller` with `model`.
    ///
    /// Instructions, tools and sampling are no part of it: they are sent with every call and may change from turn to
    /// turn in one conversation.
    pub fn root(caller: &Caller, model: &ModelName) -> Self {
        let mut writer = Writer::new();
        writer.field(b'c', caller.name.as_bytes());
        writer.field(b'm', model.as_str().as_bytes());
        writer.finish()
    }

    /// The digest after `message`.
    #[must_use]
    pub fn then(&self, message: &Message) -> Self {
        let mut writer = Writer::new();
        writer.field(b'.', &self.0);
        match message.role {
            Role::User => {
                writer.field(b'U', &[]);
                message.parts.iter().for_each(|part| writer.part(part));
            }
            Role::Assistant => writer.answer(&message.parts),
        }
        writer.finish()
    }
}

/// Fields with their kinds and lengths, so that no two lists of fields give the same bytes.
struct Writer(Sha256);

impl Writer {
    fn new() -> Self {
        Self(Sha256::new())
    }

    fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }

    fn field(&mut self, kind: u8, bytes: &[u8]) {
        self.0.update([kind]);
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    /// An answer, as both its worker and the client that sends it back know it: the words as one text, and the calls.
    /// How the words were cut into parts gets lost on the way, and so do thoughts.
    fn answer(&mut self, parts: &[Part]) {
        let text: String = parts.iter().filter_map(text).collect();
        self.field(b'A', text.as_bytes());
        parts.iter().filter(|part| matches!(part, Part::ToolUse(_))).for_each(|part| self.part(part));
    }

    fn part(&mut self, part: &Part) {
        match part {
            Part::Text(text) => self.field(b't', text.as_bytes()),
            Part::Image(image) => {
                self.field(b'i', &[]);
                self.source(image);
            }
            Part::Document { source, title } => {
                self.field(b'd', title.as_deref().unwrap_or_default().as_bytes());
                self.source(source);
            }
            Part::Thinking(_) => {}
            Part::ToolUse(call) => self.call(call),
            Part::ToolResult(result) => {
                self.field(b'r', result.id.as_bytes());
                self.field(b'e', &[u8::from(result.is_error)]);
                self.field(b'#', &(result.parts.len() as u64).to_le_bytes());
                result.parts.iter().for_each(|part| self.part(part));
            }
        }
    }

    /// Clients read the input and write it anew, with other spaces or another order of fields.
    fn call(&mut self, call: &ToolUse) {
        self.field(b'u', call.id.as_bytes());
        self.field(b'n', call.name.as_bytes());
        let input = serde_json::from_str::<serde_json::Value>(&call.input).map(|value| value.to_string());
        self.field(b'j', input.as_ref().unwrap_or(&call.input).as_bytes());
    }

    fn source(&mut self, source: &Source) {
        match source {
            Source::Base64 { media_type, data } => {
                self.field(b'y', media_type.as_bytes());
                self.field(b'b', data.as_bytes());
            }
            Source::Url(url) => self.field(b'l', url.as_bytes()),
            Source::Upload { id, .. } => self.field(b'f', id.as_bytes()),
        }
    }
}

fn text(part: &Part) -> Option<&str> {
    match part {
        Part::Text(text) => Some(text),
        Part::Image(_)
        | Part::Document { .. }
        | Part::Thinking(_)
        | Part::ToolUse(_)
        | Part::ToolResult(_) => None,
    }
}
