//! Charges of keys with budgets, compared with their answers and with the upstream calls.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use messages_stand_in::StandIn;
use serde_json::Value;

use crate::endpoints::{Client, Endpoint, TOKENS_PER_CALL};
use crate::journal::{Event, Outcome};
use crate::server::Server;

/// Number of requests of a key at the end, when no fault is active.
const FAULT_FREE_REQUESTS: u64 = 10;

/// Upstream calls, counted by the key whose marker they contain.
#[derive(Debug, Default)]
pub(crate) struct UpstreamCalls {
    seen: BTreeSet<u64>,
    by_key: BTreeMap<String, u64>,
}

impl UpstreamCalls {
    /// Counts the recorded calls not counted before; the stand-in keeps only the latest calls.
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

    fn count_for(&self, key: &str) -> u64 {
        self.by_key.get(key).copied().unwrap_or_default()
    }
}

fn key_in(message: &Value) -> Option<String> {
    let text = message.to_string();
    let (_, rest) = text.split_once("mk-")?;
    Some(rest.split_once('-')?.0.to_owned())
}

/// Charges of one key, in tokens.
#[derive(Debug)]
pub(crate) struct KeyCharges {
    pub(crate) key: &'static str,
    pub(crate) answered: u64,
    pub(crate) charged: u64,
    /// Part of the charges that is estimated, because upstream counted nothing: the client left, or
    /// the worker or the server was killed during the request.
    pub(crate) estimated: u64,
    pub(crate) upstream: u64,
    /// Charges for the requests at the end, without faults.
    pub(crate) fault_free: u64,
}

impl KeyCharges {
    /// True if every answer is charged, and nothing is charged without an upstream call.
    pub(crate) fn is_right(&self) -> bool {
        let known = self.charged.saturating_sub(self.estimated);
        self.answered <= known
            && known <= self.upstream
            && self.fault_free == FAULT_FREE_REQUESTS * TOKENS_PER_CALL
    }
}

/// Makes fault-free requests and collects the charges of the key with this id.
pub(crate) async fn collect_charges(
    client: &Client,
    id: &str,
    server: &Server,
    events: &[Event],
    (calls, upstream): (&mut UpstreamCalls, &StandIn),
) -> anyhow::Result<KeyCharges> {
    let before = tokens(server, id).await?;
    calls.count(upstream);
    let answered = events
        .iter()
        .filter(|event| event.key == client.name && event.endpoint.is_one_call());
    let answered = answered
        .filter(|event| matches!(event.outcome, Outcome::Answered))
        .count();
    let calls_made = calls.count_for(client.name);
    for _ in 0..FAULT_FREE_REQUESTS {
        // A failed request is in the journal, and its charge is missing below.
        client.chat(Endpoint::Chat).await;
    }
    let after = tokens(server, id).await?;
    Ok(KeyCharges {
        key: client.name,
        answered: u64::try_from(answered)? * TOKENS_PER_CALL,
        charged: before.0,
        estimated: before.1,
        upstream: calls_made * TOKENS_PER_CALL,
        fault_free: after.0.saturating_sub(before.0),
    })
}

/// Returns all tokens charged to a key, and those of them that are estimated.
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
