//! Cache keys: a hash over everything that makes two turns the same.

use std::fmt;

use sha2::Digest as _;
use sha2::Sha256;

use crate::domain::Effort;
use crate::domain::Format;
use crate::domain::McpServer;
use crate::domain::MediaSource;
use crate::domain::Message;
use crate::domain::Native;
use crate::domain::NativeBlock;
use crate::domain::Part;
use crate::domain::Role;
use crate::domain::Sampling;
use crate::domain::Schema;
use crate::domain::Thinking;
use crate::domain::Tool;
use crate::domain::ToolChoice;
use crate::domain::ToolResult;
use crate::domain::ToolUse;
use crate::domain::Tools;
use crate::domain::Turn;
use crate::domain::WebSearch;

/// Hash over a project and a whole turn. SHA-256, because a collision would return the answer to
/// another question.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CacheKey([u8; 32]);

impl fmt::Debug for CacheKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:02x}{:02x}..", self.0[0], self.0[1])
    }
}

impl CacheKey {
    /// Computes the key of `turn` for callers of `project`.
    #[cfg(test)]
    pub fn new(project: &str, turn: &Turn) -> Self {
        Self::in_version(0, project, turn)
    }

    /// Computes the key of `turn` for callers of `project`, on a server whose hooks have this
    /// version.
    pub fn in_version(version: u64, project: &str, turn: &Turn) -> Self {
        let mut writer = CacheKeyHasher(Sha256::new());
        writer.number(version);
        writer.text(project);
        writer.turn(turn);
        Self(writer.0.finalize().into())
    }

    /// Returns the key in hexadecimal digits, by which other servers know it.
    pub(super) fn to_hex(self) -> String {
        let digits = |byte: &u8| format!("{byte:02x}");
        self.0.iter().map(digits).collect()
    }
}

/// Feeds values into the hash unambiguously: each text and list is preceded by its length, each
/// variant by its number. Every struct is destructured, so that a new field does not compile until
/// it is hashed as well.
struct CacheKeyHasher(Sha256);

impl CacheKeyHasher {
    fn turn(&mut self, turn: &Turn) {
        // The caller's own project is hashed by `Key::new`; the field names the same one, if any.
        let Turn {
            model,
            system,
            tools,
            history,
            prompt,
            sampling,
            project: _,
            native,
        } = turn;
        self.text(model.as_str());
        self.list(system, |this, text| this.text(text));
        self.tools(tools);
        self.list(history, Self::message);
        self.list(prompt, Self::part);
        self.sampling(sampling);
        self.native(native);
    }

    fn native(&mut self, native: &Native) {
        let Native {
            system,
            tools,
            fields,
            has_cache_breakpoints: is_marked,
            has_long_cache_ttl: is_cached_long,
            // Has no effect on the answer.
            end_user: _,
        } = native;
        for blocks in [system, tools] {
            self.option(blocks.as_deref(), |this, blocks| {
                this.list(blocks, |this, block| this.text(block));
            });
        }
        self.list(fields, |this, (name, value)| {
            this.text(name);
            this.text(value);
        });
        self.flag(*is_marked);
        self.flag(*is_cached_long);
    }

    fn tools(&mut self, tools: &Tools) {
        // Optional tools are resolved before the lookup.
        let Tools {
            list,
            choice,
            parallel,
            web_search,
            runs_code,
            mcp_servers,
            optional: _,
        } = tools;
        self.list(list, |this, tool| {
            let Tool {
                name,
                description,
                schema,
                strict,
            } = tool;
            this.text(name);
            this.option(description.as_deref(), Self::text);
            this.text(schema);
            this.flag(*strict);
        });
        match choice {
            ToolChoice::Auto => self.kind(0),
            ToolChoice::None => self.kind(1),
            ToolChoice::Required => self.kind(2),
            ToolChoice::Named(name) => {
                self.kind(3);
                self.text(name);
            }
        }
        self.flag(*parallel);
        self.option(web_search.as_ref(), |this, search| {
            let WebSearch {
                max_uses,
                allowed_domains,
                blocked_domains,
                user_location,
            } = search;
            this.option(max_uses.as_ref(), |this, uses| this.number((*uses).into()));
            this.list(allowed_domains, |this, domain| this.text(domain));
            this.list(blocked_domains, |this, domain| this.text(domain));
            this.option(user_location.as_deref(), Self::text);
        });
        self.flag(*runs_code);
        self.list(mcp_servers, |this, server| {
            let McpServer {
                name,
                url,
                token,
                allowed_tools,
            } = server;
            this.text(name);
            this.text(url);
            this.option(token.as_deref(), Self::text);
            this.option(allowed_tools.as_deref(), |this, names| {
                this.list(names, |this, name| this.text(name));
            });
        });
    }

    fn message(&mut self, message: &Message) {
        let Message { role, parts } = message;
        self.kind(match role {
            Role::User => 0,
            Role::Assistant => 1,
        });
        self.list(parts, Self::part);
    }

    fn part(&mut self, part: &Part) {
        match part {
            Part::Text(text) => {
                self.kind(0);
                self.text(text);
            }
            Part::Image(source) => {
                self.kind(1);
                self.source(source);
            }
            Part::Document { source, title } => {
                self.kind(2);
                self.source(source);
                self.option(title.as_deref(), Self::text);
            }
            Part::Thinking(Thinking::Open { text, signature }) => {
                self.kind(3);
                self.text(text);
                self.text(signature);
            }
            Part::Thinking(Thinking::Redacted(data)) => {
                self.kind(4);
                self.text(data);
            }
            Part::ToolUse(ToolUse { id, name, input }) => {
                self.kind(5);
                self.text(id);
                self.text(name);
                self.text(input);
            }
            Part::ToolResult(ToolResult {
                id,
                parts,
                is_error,
            }) => {
                self.kind(6);
                self.text(id);
                self.list(parts, Self::part);
                self.flag(*is_error);
            }
            Part::Continue => self.kind(10),
            Part::Instruction(text) => {
                self.kind(9);
                self.text(text);
            }
            Part::CacheBreakpoint(json) => {
                self.kind(8);
                self.text(json);
            }
            // Not hashed: the JSON contains the role.
            Part::Native(NativeBlock { json, role: _ }) => {
                self.kind(7);
                self.text(json);
            }
        }
    }

    fn source(&mut self, source: &MediaSource) {
        match source {
            MediaSource::Base64 { media_type, data } => {
                self.kind(0);
                self.text(media_type);
                self.text(data);
            }
            MediaSource::Url(url) => {
                self.kind(1);
                self.text(url);
            }
            MediaSource::Upload { id, .. } => {
                self.kind(2);
                self.text(id);
            }
        }
    }

    fn sampling(&mut self, sampling: &Sampling) {
        let Sampling {
            max_output_tokens,
            temperature,
            top_p,
            top_k,
            stop,
            effort,
            thinking_budget,
            format,
            seed,
            choice_index: choice,
        } = sampling;
        self.option(max_output_tokens.as_ref(), |this, tokens| {
            this.number((*tokens).into());
        });
        self.option(temperature.as_ref(), Self::fraction);
        self.option(top_p.as_ref(), Self::fraction);
        self.option(top_k.as_ref(), |this, count| this.number((*count).into()));
        self.list(stop, |this, text| this.text(text));
        self.option(effort.as_ref(), Self::effort);
        self.option(thinking_budget.as_ref(), |this, tokens| {
            this.number((*tokens).into());
        });
        match format {
            Format::Text => self.kind(0),
            Format::JsonObject => self.kind(1),
            Format::Schema(schema) => {
                self.kind(2);
                let Schema {
                    json,
                    is_strict,
                    is_native,
                } = schema;
                self.text(json);
                self.kind((*is_strict).into());
                self.kind((*is_native).into());
            }
        }
        self.option(seed.as_ref(), |this, seed| {
            this.number(seed.cast_unsigned());
        });
        self.number(*choice as u64);
    }

    fn effort(&mut self, effort: &Effort) {
        self.kind(match effort {
            Effort::None => 0,
            Effort::Low => 1,
            Effort::Medium => 2,
            Effort::High => 3,
            Effort::XHigh => 4,
            Effort::NotRequested => 5,
        });
    }

    fn list<T>(&mut self, list: &[T], write: impl Fn(&mut Self, &T)) {
        self.number(list.len() as u64);
        for item in list {
            write(self, item);
        }
    }

    fn option<T: ?Sized>(&mut self, value: Option<&T>, write: impl Fn(&mut Self, &T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.update(text);
    }

    fn fraction(&mut self, fraction: &f64) {
        // Normalizes -0.0 to 0.0, which compares equal.
        self.number((fraction + 0.0).to_bits());
    }

    fn number(&mut self, number: u64) {
        self.0.update(number.to_le_bytes());
    }

    fn flag(&mut self, flag: bool) {
        self.kind(u8::from(flag));
    }

    fn kind(&mut self, kind: u8) {
        self.0.update([kind]);
    }
}

#[cfg(test)]
#[path = "key_tests.rs"]
mod tests;
