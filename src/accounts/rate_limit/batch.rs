//! Batches of requests to shared limits: arguments of the script `limits.lua`, and its answer.

use std::sync::Arc;
use std::sync::LazyLock;
use std::time::Duration;

use crate::domain::Rates;
use crate::storage::store::RedisScript;

use super::rate_limited::LimitKind;
use super::rate_limited::RateLimited;
use super::scope::LimitScope;
use super::state::LimitLevel;
use super::state::RateLimitState;

/// Time without a batch after which a server loses its share of concurrent requests.
const SERVER_LEASE: Duration = Duration::from_secs(30);
/// Number of keys in front of those of the scopes.
const FIXED_KEYS: usize = 2;

static SCRIPT: LazyLock<RedisScript> =
    LazyLock::new(|| RedisScript::new(include_str!("scripts/limits.lua")));

/// Script that batches are calls of.
pub(super) fn script() -> &'static RedisScript {
    &SCRIPT
}

/// Key, project or end user with its limits.
#[derive(Debug, Clone)]
pub(super) struct LimitedScope {
    whose: LimitScope,
    /// Name of its state in the store.
    name: String,
    rates: Rates,
}

/// Request of a server to the shared limits. Ids are unique in the server.
#[derive(Debug)]
pub(super) enum LimitRequest {
    /// Admits a request.
    Admit {
        scopes: Arc<[LimitedScope]>,
        id: u64,
        tokens: u64,
    },
    /// Admits a request that has been counted before: it takes none from the limits of requests.
    AdmitCounted {
        scopes: Arc<[LimitedScope]>,
        id: u64,
    },
    /// Takes tokens in place of the estimate.
    Take {
        scopes: Arc<[LimitedScope]>,
        id: u64,
        tokens: u64,
    },
    /// Settles the tokens; `None` for those that were taken.
    Settle {
        scopes: Arc<[LimitedScope]>,
        id: u64,
        tokens: Option<u64>,
    },
    /// Ends a request.
    End {
        scopes: Arc<[LimitedScope]>,
        id: u64,
    },
}

/// Outcome of a request that may be refused.
pub(super) type ScopeOutcome = Result<RateLimitState, RateLimited>;

/// Call of the script.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) keys: Vec<String>,
    pub(super) arguments: Vec<Vec<u8>>,
}

impl LimitedScope {
    pub(super) fn new(whose: LimitScope, name: &str, rates: Rates) -> Self {
        let kind = match whose {
            LimitScope::Key => "key",
            LimitScope::Project => "project",
            LimitScope::EndUser => "end_user",
        };
        Self {
            whose,
            name: format!("limits:{kind}:{name}"),
            rates,
        }
    }
}

impl LimitRequest {
    fn scopes(&self) -> &[LimitedScope] {
        match self {
            Self::Admit { scopes, .. }
            | Self::AdmitCounted { scopes, .. }
            | Self::Take { scopes, .. }
            | Self::Settle { scopes, .. }
            | Self::End { scopes, .. } => scopes,
        }
    }
}

impl Batch {
    /// Encodes `requests` of `server` as the batch `number`.
    pub(super) fn new(server: &str, number: u64, requests: &[LimitRequest]) -> Self {
        let mut this = Self {
            keys: vec![
                "limits:servers".to_owned(),
                format!("limits:server:{server}"),
            ],
            arguments: Vec::new(),
        };
        this.push(server);
        this.push(&number.to_string());
        this.push(&SERVER_LEASE.as_millis().to_string());
        for request in requests {
            this.push_request(request);
        }
        this
    }

    fn push(&mut self, argument: &str) {
        self.arguments.push(argument.as_bytes().to_vec());
    }

    fn push_optional(&mut self, number: Option<impl ToString>) {
        self.push(&number.map(|number| number.to_string()).unwrap_or_default());
    }

    fn push_request(&mut self, request: &LimitRequest) {
        let (kind, id, has_limits) = match request {
            LimitRequest::Admit { id, .. } => ("a", id, true),
            LimitRequest::AdmitCounted { id, .. } => ("c", id, true),
            LimitRequest::Take { id, .. } => ("t", id, true),
            LimitRequest::Settle { id, .. } => ("s", id, false),
            LimitRequest::End { id, .. } => ("e", id, false),
        };
        self.push(kind);
        self.push(&id.to_string());
        match request {
            LimitRequest::Admit { tokens, .. } | LimitRequest::Take { tokens, .. } => {
                self.push(&tokens.to_string());
            }
            LimitRequest::AdmitCounted { .. } => self.push("0"),
            LimitRequest::Settle { tokens, .. } => self.push_optional(*tokens),
            LimitRequest::End { .. } => {}
        }
        let scopes = request.scopes();
        self.push(&scopes.len().to_string());
        for scope in scopes {
            let place = self.place_of(&scope.name);
            self.push(&place.to_string());
            if has_limits {
                self.push_optional(scope.rates.requests_per_minute);
                self.push_optional(scope.rates.tokens_per_minute);
                self.push_optional(scope.rates.concurrent_requests);
            }
        }
    }

    /// Returns the place of the key `name`, counted from 1, which it gets if it has none.
    fn place_of(&mut self, name: &str) -> usize {
        let mut scopes = self.keys.iter().skip(FIXED_KEYS);
        match scopes.position(|key| key == name) {
            Some(place) => FIXED_KEYS + place + 1,
            None => {
                self.keys.push(name.to_owned());
                self.keys.len()
            }
        }
    }
}

/// Returns the outcomes of `requests` from the answer of the script; `None` for those without one.
pub(super) fn decode_outcomes(
    requests: &[LimitRequest],
    answer: &[i64],
) -> Vec<Option<ScopeOutcome>> {
    let mut numbers = answer.iter().copied();
    let decoded = requests.iter().map(|request| match request {
        LimitRequest::Admit { scopes, tokens, .. } | LimitRequest::Take { scopes, tokens, .. } => {
            decode_outcome(&mut numbers, scopes, *tokens)
        }
        LimitRequest::AdmitCounted { scopes, .. } => decode_outcome(&mut numbers, scopes, 0),
        LimitRequest::Settle { .. } | LimitRequest::End { .. } => None,
    });
    decoded.collect()
}

fn decode_outcome(
    numbers: &mut impl Iterator<Item = i64>,
    scopes: &[LimitedScope],
    tokens: u64,
) -> Option<ScopeOutcome> {
    let refusal = match numbers.next()? {
        1 => None,
        _ => Some([
            numbers.next()?,
            numbers.next()?,
            numbers.next()?,
            numbers.next()?,
        ]),
    };
    let mut states = Vec::new();
    for _ in scopes {
        states.push(RateLimitState {
            requests: level_of(next_three(numbers)?),
            tokens: level_of(next_three(numbers)?),
        });
    }
    let state = RateLimitState::tightest(states.into_iter());
    let Some([scope, kind, limit, wait]) = refusal else {
        return Some(Ok(state));
    };
    let place = usize::try_from(scope).ok()?.checked_sub(1)?;
    Some(Err(RateLimited {
        kind: match kind {
            0 => LimitKind::Requests,
            1 => LimitKind::Tokens(tokens),
            _ => LimitKind::ConcurrentRequests,
        },
        scope: scopes.get(place)?.whose,
        limit: u32::try_from(limit).ok()?,
        // A wait for ever is negative.
        retry_after: u64::try_from(wait).ok().map(Duration::from_nanos),
        state,
    }))
}

fn next_three(numbers: &mut impl Iterator<Item = i64>) -> Option<[i64; 3]> {
    Some([numbers.next()?, numbers.next()?, numbers.next()?])
}

/// Returns a level; `None` for a limit that is not set, which is negative.
fn level_of([limit, remaining, reset]: [i64; 3]) -> Option<LimitLevel> {
    Some(LimitLevel {
        limit: u32::try_from(limit).ok()?,
        remaining: u32::try_from(remaining).unwrap_or(0),
        reset: Duration::from_nanos(u64::try_from(reset).unwrap_or(0)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes() -> Arc<[LimitedScope]> {
        let rates = Rates {
            requests_per_minute: Some(3),
            ..Rates::default()
        };
        [
            LimitedScope::new(LimitScope::Key, "k", rates),
            LimitedScope::new(LimitScope::Project, "p", rates),
        ]
        .into()
    }

    #[test]
    fn requests_are_encoded_for_the_script() {
        let requests = [
            LimitRequest::Admit {
                scopes: scopes(),
                id: 7,
                tokens: 50,
            },
            LimitRequest::Settle {
                scopes: scopes(),
                id: 7,
                tokens: None,
            },
            LimitRequest::End {
                scopes: scopes(),
                id: 7,
            },
        ];
        let batch = Batch::new("s", 9, &requests);
        assert_eq!(
            batch.keys,
            [
                "limits:servers",
                "limits:server:s",
                "limits:key:k",
                "limits:project:p"
            ]
        );
        let shown: Vec<_> = batch
            .arguments
            .iter()
            .map(|argument| String::from_utf8_lossy(argument).into_owned())
            .collect();
        assert_eq!(
            shown.join(","),
            "s,9,30000,a,7,50,2,3,3,,,4,3,,,s,7,,2,3,4,e,7,2,3,4"
        );
    }

    #[test]
    fn outcomes_are_read_from_the_answer() {
        let request = |tokens| LimitRequest::Take {
            scopes: scopes(),
            id: 1,
            tokens,
        };
        let end = LimitRequest::End {
            scopes: scopes(),
            id: 1,
        };
        let requests = [request(1), end, request(5)];
        let levels = [3, 2, 9, -1, 0, 0, 3, 1, 9, -1, 0, 0];
        let answer = [&[1][..], &levels, &[0, 2, 1, 8, -1], &levels].concat();
        let outcomes = decode_outcomes(&requests, &answer);
        let state = RateLimitState {
            requests: Some(LimitLevel {
                limit: 3,
                remaining: 1,
                reset: Duration::from_nanos(9),
            }),
            tokens: None,
        };
        let refused = RateLimited {
            kind: LimitKind::Tokens(5),
            scope: LimitScope::Project,
            limit: 8,
            retry_after: None,
            state,
        };
        assert_eq!(outcomes, [Some(Ok(state)), None, Some(Err(refused))]);
        assert_eq!(decode_outcomes(&requests[..1], &[1, 3]), [None]);
    }
}
