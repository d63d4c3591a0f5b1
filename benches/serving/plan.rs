//! How much is measured. Everything is counted, nothing runs for as long as it takes.

/// Counts of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Rounds in which everything with the real CLI has its turn.
    pub(crate) real_rounds: usize,
    /// Requests of a round: spawned ones, and as many new conversations.
    pub(crate) spawned: usize,
    /// Requests of a round, one after another on reused workers.
    pub(crate) reused: usize,
    /// Requests of a round of each client of the crowd.
    pub(crate) crowd: usize,
    /// Conversations of a hundred turns.
    pub(crate) conversations: usize,
    /// The same turn, through the server and past it.
    pub(crate) pairs: usize,
    /// Rounds of the ledger, and the requests of a round for each number of callers.
    pub(crate) ledger_rounds: usize,
    pub(crate) charges: usize,
    /// Rounds with `fake-claude`.
    pub(crate) rounds: usize,
    /// Requests of a round to the echo, and to the server.
    pub(crate) echoes: usize,
    pub(crate) chats: usize,
    /// Requests through the server and past it, one client.
    pub(crate) added: usize,
    /// Rounds of eight paced streams.
    pub(crate) paced: usize,
    pub(crate) bursts: usize,
    pub(crate) starts: usize,
    /// Numbers of idle streams.
    pub(crate) idle: &'static [usize],
    /// Idle streams that have a worker each.
    pub(crate) stalled: usize,
    /// Answers in the cache, and how often one is asked for.
    pub(crate) kept: usize,
    pub(crate) hits: usize,
    /// Keys that are stored.
    pub(crate) keys: usize,
}

/// What a figure that is to be believed takes.
pub(crate) const FULL: Plan = Plan {
    real_rounds: 8,
    spawned: 4,
    reused: 15,
    crowd: 6,
    conversations: 8,
    pairs: 120,
    ledger_rounds: 5,
    charges: 6_400,
    rounds: 7,
    echoes: 40_000,
    chats: 6_000,
    added: 3_000,
    paced: 12,
    bursts: 500,
    starts: 20,
    idle: &[1_000, 5_000, 10_000],
    stalled: 1_000,
    kept: 10_000,
    hits: 100_000,
    keys: 100_000,
};

/// Enough to see that everything works.
pub(crate) const QUICK: Plan = Plan {
    real_rounds: 2,
    spawned: 2,
    reused: 5,
    crowd: 2,
    conversations: 1,
    pairs: 10,
    ledger_rounds: 2,
    charges: 256,
    rounds: 2,
    echoes: 2_000,
    chats: 400,
    added: 300,
    paced: 1,
    bursts: 50,
    starts: 3,
    idle: &[500],
    stalled: 50,
    kept: 1_000,
    hits: 5_000,
    keys: 5_000,
};
