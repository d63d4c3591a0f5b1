//! Scripts on shared answers, each of which Redis runs as one step.

use std::sync::LazyLock;

use crate::storage::store::RedisScript;

/// Script that reads an answer or claims its flight, with its text.
pub(super) static LOOK_UP: LazyLock<RedisScript> =
    LazyLock::new(|| RedisScript::new(include_str!("scripts/look_up.lua")));
/// Script that extends the lease of a flight, with its text.
pub(super) static RENEW: LazyLock<RedisScript> =
    LazyLock::new(|| RedisScript::new(include_str!("scripts/renew.lua")));
/// Script that ends a flight, with its text.
pub(super) static FINISH: LazyLock<RedisScript> =
    LazyLock::new(|| RedisScript::new(include_str!("scripts/finish.lua")));
/// Script that clears answers, with its text.
pub(super) static CLEAR: LazyLock<RedisScript> =
    LazyLock::new(|| RedisScript::new(include_str!("scripts/clear.lua")));
