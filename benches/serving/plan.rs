//! Numbers of requests and rounds of a run; no part is limited by time.

/// Numbers of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Rounds with the real CLI, in which all ways alternate.
    pub(crate) real_rounds: usize,
    /// Spawned requests of a round, and as many new conversations.
    pub(crate) spawned: usize,
    /// Sequential requests of a round on reused workers.
    pub(crate) reused: usize,
    /// Requests of a round by each concurrent client.
    pub(crate) concurrent: usize,
    /// Rounds of the conversations part.
    pub(crate) conversations: usize,
    /// Pairs of the same turn, directly and through the server.
    pub(crate) pairs: usize,
    /// Rounds of the ledger part.
    pub(crate) ledger_rounds: usize,
    pub(crate) charges: usize,
    /// Charges of a round of servers on one Redis.
    pub(crate) shared_charges: usize,
    /// Requests through the limits in Redis.
    pub(crate) limited: usize,
    /// Rounds of CPU measurements with `fake-claude`.
    pub(crate) rounds: usize,
    /// Requests of a round to the echo server.
    pub(crate) echoes: usize,
    pub(crate) chats: usize,
    /// Requests of one client, directly and through the server.
    pub(crate) added: usize,
    /// Rounds of eight paced streams each.
    pub(crate) paced: usize,
    pub(crate) bursts: usize,
    pub(crate) starts: usize,
    /// Numbers of idle streams to measure.
    pub(crate) idle: &'static [usize],
    /// Number of idle streams with a worker each.
    pub(crate) stalled: usize,
    /// Number of answers in the cache.
    pub(crate) stored: usize,
    pub(crate) hits: usize,
    /// Number of stored keys.
    pub(crate) keys: usize,
}

/// Plan of a run with reliable figures.
pub(crate) const FULL: Plan = Plan {
    real_rounds: 8,
    spawned: 4,
    reused: 15,
    concurrent: 6,
    conversations: 8,
    pairs: 120,
    ledger_rounds: 5,
    charges: 6_400,
    shared_charges: 3_200,
    limited: 20_000,
    rounds: 7,
    echoes: 40_000,
    chats: 6_000,
    added: 3_000,
    paced: 12,
    bursts: 500,
    starts: 20,
    idle: &[1_000, 5_000, 10_000],
    stalled: 1_000,
    stored: 10_000,
    hits: 100_000,
    keys: 100_000,
};

/// Plan of a short run that only checks that everything works.
pub(crate) const QUICK: Plan = Plan {
    real_rounds: 2,
    spawned: 2,
    reused: 5,
    concurrent: 2,
    conversations: 1,
    pairs: 10,
    ledger_rounds: 2,
    charges: 256,
    shared_charges: 128,
    limited: 500,
    rounds: 2,
    echoes: 2_000,
    chats: 400,
    added: 300,
    paced: 1,
    bursts: 50,
    starts: 3,
    idle: &[500],
    stalled: 50,
    stored: 1_000,
    hits: 5_000,
    keys: 5_000,
};
