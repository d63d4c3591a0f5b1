//! Prompt cache, as the real API keeps it: beginnings of prompts, up to their breakpoints.
//!
//! A request reads the longest beginning that an earlier one has stored, looking back some blocks from
//! each of its own breakpoints, and stores its prompt up to each of them.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::time::Instant;

use crate::conversation::{Conversation, count_characters};

/// Minimum tokens of a stored beginning; those of small models have to be longer.
const MIN_TOKENS: u64 = 1024;
const MIN_TOKENS_SMALL_MODEL: u64 = 4096;
/// Number of blocks before a breakpoint at which a stored beginning is looked for.
const LOOKBACK_BLOCKS: usize = 20;
/// Time to live of a stored beginning, and that of a breakpoint with the `ttl` of an hour. Each read begins it
/// anew.
const SHORT_TTL: Duration = Duration::from_secs(300);
const LONG_TTL: Duration = Duration::from_secs(3600);
/// Maximum number of stored beginnings; when it is reached, all are removed.
const MAX_STORED: usize = 100_000;

/// Tokens of a prompt: outside of the cache, read from it, and written to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PromptTokens {
    pub input: u64,
    pub read: u64,
    pub write: u64,
}

/// Stored beginnings of prompts, by their hashes.
#[derive(Default)]
pub(crate) struct PromptCache(Mutex<HashMap<u64, StoredBeginning>>);

struct StoredBeginning {
    ends_at: Instant,
    time_to_live: Duration,
}

/// Beginning of a prompt, up to the end of a block.
struct Beginning {
    hash: u64,
    tokens: u64,
    /// Time to live, if its last block is a breakpoint.
    breakpoint: Option<Duration>,
}

impl PromptCache {
    /// Counts the tokens of a prompt, and stores its beginnings. One that is `cold` reads nothing, as
    /// after a long pause.
    pub fn count(&self, conversation: &Conversation<'_>, is_cold: bool) -> PromptTokens {
        let total = conversation.estimated_tokens();
        let beginnings = beginnings(conversation.body());
        let min_tokens = if conversation.model().contains("haiku") {
            MIN_TOKENS_SMALL_MODEL
        } else {
            MIN_TOKENS
        };
        let breakpoints: Vec<usize> = (0..beginnings.len())
            .filter(|index| beginnings[*index].breakpoint.is_some())
            .filter(|index| beginnings[*index].tokens >= min_tokens)
            .collect();
        let mut stored = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        stored.retain(|_, beginning| beginning.ends_at > now);
        let mut read = 0;
        for breakpoint in breakpoints.iter().filter(|_| !is_cold) {
            let first = breakpoint.saturating_sub(LOOKBACK_BLOCKS);
            let known = beginnings[first..=*breakpoint].iter().rev();
            for beginning in known {
                if let Some(found) = stored.get_mut(&beginning.hash) {
                    found.ends_at = now + found.time_to_live;
                    read = beginning.tokens.max(read);
                    break;
                }
            }
        }
        if stored.len() >= MAX_STORED {
            stored.clear();
        }
        let marked = breakpoints.iter().map(|index| &beginnings[*index]);
        let mut kept = 0;
        for beginning in marked {
            let time_to_live = beginning.breakpoint.unwrap_or(SHORT_TTL);
            let entry = StoredBeginning {
                ends_at: now + time_to_live,
                time_to_live,
            };
            stored.insert(beginning.hash, entry);
            kept = beginning.tokens;
        }
        PromptTokens {
            input: total.saturating_sub(kept),
            read,
            write: kept.saturating_sub(read),
        }
    }

    /// Removes all that is stored.
    pub fn clear(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

/// Returns the beginnings of a request after each block, in the order in which the API reads them:
/// tools, instructions, messages.
fn beginnings(body: &Value) -> Vec<Beginning> {
    let mut hasher = DefaultHasher::new();
    body["model"].as_str().hash(&mut hasher);
    let mut characters = 0;
    let mut beginnings = Vec::new();
    let mut add = |role: &str, block: &Value| {
        let mut block = block.clone();
        let mark = block
            .as_object_mut()
            .and_then(|fields| fields.remove("cache_control"))
            .unwrap_or_default();
        characters += role.len() + count_characters(&block);
        (role, block.to_string()).hash(&mut hasher);
        beginnings.push(Beginning {
            hash: hasher.finish(),
            tokens: u64::try_from(characters / 4).unwrap_or(u64::MAX),
            breakpoint: time_to_live(&mark),
        });
    };
    for block in blocks_of(&body["tools"]) {
        add("", block);
    }
    for block in blocks_of(&body["system"]) {
        add("", block);
    }
    for message in body["messages"].as_array().into_iter().flatten() {
        let mut role = message["role"].as_str().unwrap_or_default();
        for block in blocks_of(&message["content"]) {
            add(std::mem::take(&mut role), block);
        }
    }
    // A mark of the whole request is one of its last block.
    if let (Some(last), Some(ttl)) = (beginnings.last_mut(), time_to_live(&body["cache_control"])) {
        last.breakpoint.get_or_insert(ttl);
    }
    beginnings
}

/// Returns the blocks of a list, or a plain text as one block.
fn blocks_of(content: &Value) -> &[Value] {
    match content {
        Value::Array(blocks) => blocks,
        Value::Null => &[],
        text => std::slice::from_ref(text),
    }
}

fn time_to_live(mark: &Value) -> Option<Duration> {
    let is_long = mark["ttl"] == "1h";
    mark.is_object()
        .then_some(if is_long { LONG_TTL } else { SHORT_TTL })
}
