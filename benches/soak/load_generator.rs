//! Load generator: all endpoints in a fixed cycle, at a constant rate that does not wait for
//! answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::endpoints::{Client, Endpoint};
use crate::journal::Journal;
use crate::server::WORKERS;

/// Maximum number of concurrent actions; the next one waits.
const MAX_IN_FLIGHT: usize = 400;

/// Action of a client.
#[derive(Debug, Clone, Copy)]
enum ClientAction {
    Chat,
    Stream,
    ReadSlowly,
    Disconnect,
    Overspend,
    ExceedRate,
    Tools,
    Responses,
    Background,
    Session,
    Conversation,
    Socket,
    InlineBatch,
    FileBatch,
    CountTokens,
    Files,
    Usage,
    Health,
    Ready,
}

use ClientAction::{
    Background, Chat, Conversation, CountTokens, Disconnect, ExceedRate, FileBatch, Files, Health,
    InlineBatch, Overspend, ReadSlowly, Ready, Responses, Session, Socket, Stream, Tools, Usage,
};

/// Cycle of actions: expensive ones appear once, equal ones are spread out.
const ACTION_CYCLE: [ClientAction; 60] = [
    Chat,
    Stream,
    Health,
    Tools,
    Responses,
    Ready,
    Stream,
    Files,
    Session,
    Chat,
    Health,
    Socket,
    Stream,
    CountTokens,
    Background,
    Ready,
    Chat,
    ExceedRate,
    Stream,
    Conversation,
    Tools,
    Usage,
    Stream,
    Disconnect,
    Health,
    Chat,
    InlineBatch,
    Ready,
    Stream,
    Responses,
    Overspend,
    Chat,
    Session,
    Files,
    Stream,
    Health,
    Socket,
    Tools,
    Ready,
    Stream,
    Background,
    Chat,
    FileBatch,
    ExceedRate,
    Stream,
    Conversation,
    Health,
    Chat,
    Responses,
    ReadSlowly,
    Ready,
    Stream,
    CountTokens,
    Tools,
    Disconnect,
    Chat,
    Usage,
    Overspend,
    Session,
    Stream,
];

impl ClientAction {
    /// Returns the worker time of the action, in units of a plain call.
    fn cost(self) -> f64 {
        match self {
            Chat | Stream | Background | Conversation | Disconnect => 1.0,
            Tools | Responses | Session | Socket => 2.0,
            InlineBatch => 3.0,
            FileBatch => 4.0,
            ReadSlowly => 8.0,
            ExceedRate => 0.5,
            CountTokens | Files | Usage | Overspend | Health | Ready => 0.1,
        }
    }
}

/// Clients of a run.
#[derive(Debug)]
pub(crate) struct LoadGenerator {
    /// Clients without limits or with budgets that are never exhausted.
    pub(crate) callers: Vec<Client>,
    /// Client whose budget is soon exhausted.
    pub(crate) low_budget: Client,
    /// Client with a low rate limit.
    pub(crate) rate_limited: Client,
    pub(crate) server: SocketAddr,
    pub(crate) journal: Arc<Journal>,
}

impl LoadGenerator {
    /// Measures the answered calls per second under full load.
    pub(crate) async fn capacity(&self, seconds: f64) -> f64 {
        let started = Instant::now();
        let end = started + Duration::from_secs_f64(seconds);
        let mut tasks = JoinSet::new();
        for place in 0..2 * WORKERS {
            let client = self.callers[place % self.callers.len()].clone();
            tasks.spawn(async move {
                let mut answered = 0;
                while Instant::now() < end {
                    answered += u32::from(client.chat_streamed().await);
                    answered += u32::from(client.chat(Endpoint::Chat).await);
                }
                answered
            });
        }
        let answered: u32 = tasks.join_all().await.into_iter().sum();
        f64::from(answered) / started.elapsed().as_secs_f64()
    }

    /// Makes `rate` calls per second until `stop` is set, then waits for the running ones.
    pub(crate) async fn drive(&self, rate: f64, stop: &watch::Receiver<bool>) {
        let mut tasks = JoinSet::new();
        let mut due = Instant::now();
        for (number, action) in ACTION_CYCLE.into_iter().cycle().enumerate() {
            sleep_until(due).await;
            if *stop.borrow() {
                break;
            }
            while tasks.try_join_next().is_some() {}
            if tasks.len() >= MAX_IN_FLIGHT {
                self.journal
                    .print("held back: too many actions are running");
                tasks.join_next().await;
            }
            let client = self.callers[number % self.callers.len()].clone();
            let low_budget = self.low_budget.clone();
            let rate_limited = self.rate_limited.clone();
            let server = self.server;
            tasks.spawn(async move {
                match action {
                    Overspend => drop(low_budget.chat(Endpoint::OverBudget).await),
                    ExceedRate => drop(rate_limited.chat(Endpoint::Limited).await),
                    ReadSlowly => client.read_slowly(server).await,
                    _ => perform(action, &client).await,
                }
            });
            // Catch up at most one second of delay.
            due = (due + Duration::from_secs_f64(action.cost() / rate))
                .max(Instant::now() - Duration::from_secs(1));
        }
        self.journal
            .print(&format!("no more requests; {} are running", tasks.len()));
        tasks.join_all().await;
    }
}

async fn perform(action: ClientAction, client: &Client) {
    match action {
        Chat | Overspend | ExceedRate | ReadSlowly => drop(client.chat(Endpoint::Chat).await),
        Stream => drop(client.chat_streamed().await),
        Disconnect => client.disconnect_early().await,
        Tools => client.tools().await,
        Responses => client.responses().await,
        Background => client.background().await,
        Session => client.session().await,
        Conversation => client.conversation().await,
        Socket => client.socket().await,
        InlineBatch => client.inline_batch().await,
        FileBatch => client.file_batch().await,
        CountTokens => client.count_tokens().await,
        Files => client.files().await,
        Usage => client.usage().await,
        Health => client.health().await,
        Ready => client.ready().await,
    }
}
