//! Choice of the sign-in that a conversation begins with.
//!
//! Weighted rendezvous hashing of the beginning of the conversation: each turn of a conversation
//! goes to the same sign-in, whose prompt cache has its prefix, on each server and after each
//! restart, and nothing is stored for it. While one cannot serve, only its conversations move.

use std::collections::HashMap;
use std::hash::DefaultHasher;
use std::hash::Hash as _;
use std::hash::Hasher as _;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use crate::domain::Part;
use crate::domain::Turn;
use crate::engine::pool::Launcher;

use super::SignInOrder;
use super::SignInPool;

/// Bytes of a text that tell conversations apart.
const MAX_HASHED_BYTES: usize = 4096;
/// Maximum number of conversations that are remembered for the sign-in which they began with.
const MAX_PLACED: usize = 10_000;
/// Number of the highest bits of a hash that a floating-point number takes exactly.
const EXACT_BITS: u32 = 52;

/// Choice of sign-ins, with the conversations that began with another one than their hash names,
/// because that was busy.
#[derive(Debug, Default)]
pub(super) struct SignInChoice {
    placed: Mutex<HashMap<u64, String>>,
}

impl SignInChoice {
    /// Orders `pools` for a turn of `tenant`, the one to begin with first.
    pub(super) fn order<L: Launcher>(
        &self,
        mut pools: SignInOrder<L>,
        tenant: &str,
        turn: &Turn,
    ) -> SignInOrder<L> {
        if pools.len() < 2 {
            return pools;
        }
        let conversation = conversation_hash(tenant, turn);
        sort_by_score(&mut pools, conversation);
        if turn.history.is_empty() {
            self.begin(&mut pools, conversation);
        } else {
            let placed = self.placed();
            if let Some(name) = placed.get(&conversation) {
                // Stable: the others keep their order.
                pools.sort_by_key(|pool| pool.facts.name != *name);
            }
        }
        pools
    }

    /// Puts sign-ins without a free worker behind the others of their place, for a conversation that
    /// begins.
    fn begin<L: Launcher>(&self, pools: &mut [Arc<SignInPool<L>>], conversation: u64) {
        let first = pools[0].facts.name.clone();
        pools.sort_by_cached_key(|pool| (pool.usage.order, !pool.has_room_now()));
        let mut placed = self.placed();
        if pools[0].facts.name == first {
            placed.remove(&conversation);
            return;
        }
        if placed.len() >= MAX_PLACED {
            // Their next turns go where the hash says, without their prefix in the prompt cache.
            placed.clear();
        }
        placed.insert(conversation, pools[0].facts.name.clone());
    }

    fn placed(&self) -> MutexGuard<'_, HashMap<u64, String>> {
        self.placed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sort_by_score<L: Launcher>(pools: &mut [Arc<SignInPool<L>>], conversation: u64) {
    let score =
        |pool: &Arc<SignInPool<L>>| score(conversation, &pool.facts.name, pool.usage.weight);
    pools.sort_by(|one, other| {
        let by_order = one.usage.order.cmp(&other.usage.order);
        by_order.then_with(|| score(other).total_cmp(&score(one)))
    });
}

/// Returns the score of a sign-in for a conversation. The highest one wins, in a share of all
/// conversations that is proportional to the weight.
fn score(conversation: u64, name: &str, weight: u32) -> f64 {
    let mut hasher = DefaultHasher::new();
    conversation.hash(&mut hasher);
    name.hash(&mut hasher);
    let bits = hasher.finish() >> (u64::BITS - EXACT_BITS);
    // Between 0 and 1, and neither of them.
    let unit = (bits as f64 + 0.5) / (1_u64 << EXACT_BITS) as f64;
    f64::from(weight) / -unit.ln()
}

/// Returns a hash of what all turns of a conversation have in common: its tenant and first message.
fn conversation_hash(tenant: &str, turn: &Turn) -> u64 {
    let mut hasher = DefaultHasher::new();
    tenant.hash(&mut hasher);
    let first = turn.history.first().map(|message| &message.parts);
    for part in first.unwrap_or(&turn.prompt) {
        match part {
            Part::Text(text) => {
                let bytes = text.as_bytes();
                bytes[..bytes.len().min(MAX_HASHED_BYTES)].hash(&mut hasher);
            }
            // Breakpoints move with the conversation.
            Part::CacheBreakpoint(_) => {}
            part => std::mem::discriminant(part).hash(&mut hasher),
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Message;
    use crate::domain::Role;
    use crate::engine::gateway::testing::turn;

    #[test]
    fn conversation_has_one_hash_in_all_its_turns() {
        let first = turn("m-1");
        let mut later = turn("m-1");
        later.history = vec![Message {
            role: Role::User,
            parts: first.prompt.clone(),
        }];
        later.prompt = vec![Part::text("and then?")];
        let hash = conversation_hash("key-1", &first);
        assert_eq!(conversation_hash("key-1", &later), hash);
        assert_ne!(conversation_hash("key-2", &first), hash);
        assert_ne!(conversation_hash("key-1", &turn_of("other")), hash);
    }

    fn turn_of(text: &str) -> Turn {
        Turn {
            prompt: vec![Part::text(text)],
            ..turn("m-1")
        }
    }

    #[test]
    fn sign_ins_get_conversations_by_their_weights() {
        let conversations = (0..4000).map(|number| {
            let hash = conversation_hash("key-1", &turn_of(&number.to_string()));
            score(hash, "large", 3) > score(hash, "small", 1)
        });
        let large = conversations.filter(|is_large| *is_large).count();
        assert!((2850..3150).contains(&large), "{large} of 4000");
    }
}
