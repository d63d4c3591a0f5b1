//! Charges of keys with budgets, compared with their answers and with the calls upstream.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use messages_stand_in::StandIn;
use serde_json::Value;

use crate::doors::{Client, Door, TOKENS_PER_CALL};
use crate::journal::{Event, Outcome};
use crate::server::Server;

/// Answers that a key asks for at the end, when no fault can be to blame.
const CALM_ANSWERS: u64 = 10;

/// Calls upstream by the key whose mark they carry.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    seen: BTreeSet<u64>,
    by_key: BTreeMap<String, u64>,
}

impl Calls {
    /// Counts what the stand-in has on record and was not counted before; the record holds the latest only.
    pub(crate) fn count(&mut self, upstream: &StandIn) {
        for recorded in upstream.requests() {
            if recorded.path != "/v1/messages" || !self.seen.insert(recorded.sequence) {
                continue;
            }
            let last = recorded.body["messages"]
                .as_array()
                .and_then(|messages| messages.last());
            if let Some(key) = last.and_then(key_in) {
                *self.by_key.entry(key).or_default() += 1;
            }
        }
    }

    fn of(&self, key: &str) -> u64 {
        self.by_key.get(key).copied().unwrap_or_default()
    }
}

fn key_in(message: &Value) -> Option<String> {
    let text = message.to_string();
    let (_, rest) = text.split_once("mk-")?;
    Some(rest.split_once('-')?.0.to_owned())
}

/// The books of one key.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) key: &'static str,
    pub(crate) answered: u64,
    pub(crate) charged: u64,
    /// Charges for requests whose usage is unknown because the server was killed.
    pub(crate) estimated: u64,
    pub(crate) upstream: u64,
    /// What was charged for the answers of the calm at the end.
    pub(crate) calm: u64,
}

impl Account {
    /// Nothing is given for free, and nothing is charged that upstream was not asked for.
    pub(crate) fn is_right(&self) -> bool {
        let known = self.charged.saturating_sub(self.estimated);
        self.answered <= known
            && known <= self.upstream
            && self.calm == CALM_ANSWERS * TOKENS_PER_CALL
    }
}

/// Asks for some answers in the calm, and adds up all of the key whose id is `id`.
pub(crate) async fn account(
    client: &Client,
    id: &str,
    server: &Server,
    events: &[Event],
    (calls, upstream): (&mut Calls, &StandIn),
) -> anyhow::Result<Account> {
    let before = tokens(server, id).await?;
    calls.count(upstream);
    let answered = events
        .iter()
        .filter(|event| event.key == client.name && event.door.is_one_call());
    let answered = answered
        .filter(|event| matches!(event.outcome, Outcome::Answered))
        .count();
    let made = calls.of(client.name);
    for _ in 0..CALM_ANSWERS {
        // One that is not answered is on record, and what it was charged is missing below.
        client.chat(Door::Chat).await;
    }
    let after = tokens(server, id).await?;
    Ok(Account {
        key: client.name,
        answered: u64::try_from(answered)? * TOKENS_PER_CALL,
        charged: before.0,
        estimated: before.1,
        upstream: made * TOKENS_PER_CALL,
        calm: after.0.saturating_sub(before.0),
    })
}

/// All tokens that a key was charged, and those of them that are estimated.
async fn tokens(server: &Server, id: &str) -> anyhow::Result<(u64, u64)> {
    let usage = server
        .admin(&format!("/admin/usage?period=all&key_id={id}"), None)
        .await?;
    let of = |name: &str| {
        usage["totals"][name]
            .as_u64()
            .context("/admin/usage has another form")
    };
    Ok((of("total_tokens")?, of("estimated_tokens")?))
}
