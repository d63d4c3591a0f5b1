//! Who asks what, and how often: all doors in turn, at a steady rate that does not wait for answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::doors::{Client, Door};
use crate::journal::Journal;
use crate::server::WORKERS;

/// Requests under way beyond which the next one waits.
const MOST_UNDER_WAY: usize = 400;

/// What a client does at a time.
#[derive(Debug, Clone, Copy)]
enum Act {
    Chat,
    Stream,
    ReadSlowly,
    Leave,
    Overspend,
    Hurry,
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

use Act::{
    Background, Chat, Conversation, CountTokens, FileBatch, Files, Health, Hurry, InlineBatch,
    Leave, Overspend, ReadSlowly, Ready, Responses, Session, Socket, Stream, Tools, Usage,
};

/// One round. What costs most stands once, and acts of a kind stand apart.
const ROUND: [Act; 60] = [
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
    Hurry,
    Stream,
    Conversation,
    Tools,
    Usage,
    Stream,
    Leave,
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
    Hurry,
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
    Leave,
    Chat,
    Usage,
    Overspend,
    Session,
    Stream,
];

impl Act {
    /// How long it takes a worker, in plain calls.
    fn cost(self) -> f64 {
        match self {
            Chat | Stream | Background | Conversation | Leave => 1.0,
            Tools | Responses | Session | Socket => 2.0,
            InlineBatch => 3.0,
            FileBatch => 4.0,
            ReadSlowly => 8.0,
            Hurry => 0.5,
            CountTokens | Files | Usage | Overspend | Health | Ready => 0.1,
        }
    }
}

/// The callers of a run.
#[derive(Debug)]
pub(crate) struct Crowd {
    /// Callers without limits, and some with budgets that are large enough.
    pub(crate) callers: Vec<Client>,
    /// One whose budget is soon used up.
    pub(crate) poor: Client,
    /// One who may ask seldom.
    pub(crate) limited: Client,
    pub(crate) server: SocketAddr,
    pub(crate) journal: Arc<Journal>,
}

impl Crowd {
    /// Calls a second that are answered when there are always more to make.
    pub(crate) async fn capacity(&self, seconds: f64) -> f64 {
        let begun = Instant::now();
        let end = begun + Duration::from_secs_f64(seconds);
        let mut tasks = JoinSet::new();
        for place in 0..2 * WORKERS {
            let client = self.callers[place % self.callers.len()].clone();
            tasks.spawn(async move {
                let mut answered = 0;
                while Instant::now() < end {
                    answered += u32::from(client.chat_streamed().await);
                    answered += u32::from(client.chat(Door::Chat).await);
                }
                answered
            });
        }
        let answered: u32 = tasks.join_all().await.into_iter().sum();
        f64::from(answered) / begun.elapsed().as_secs_f64()
    }

    /// Makes `rate` calls a second until `stop` says so, and waits for what is under way.
    pub(crate) async fn drive(&self, rate: f64, stop: &watch::Receiver<bool>) {
        let mut tasks = JoinSet::new();
        let mut due = Instant::now();
        for (turn, act) in ROUND.into_iter().cycle().enumerate() {
            sleep_until(due).await;
            if *stop.borrow() {
                break;
            }
            while tasks.try_join_next().is_some() {}
            if tasks.len() >= MOST_UNDER_WAY {
                self.journal
                    .say("held back: too many requests are under way");
                tasks.join_next().await;
            }
            let client = self.callers[turn % self.callers.len()].clone();
            let (poor, limited, server) = (self.poor.clone(), self.limited.clone(), self.server);
            tasks.spawn(async move {
                match act {
                    Overspend => drop(poor.chat(Door::OverBudget).await),
                    Hurry => drop(limited.chat(Door::Limited).await),
                    ReadSlowly => client.read_slowly(server).await,
                    _ => perform(act, &client).await,
                }
            });
            // Being late is caught up with for a second at most.
            due = (due + Duration::from_secs_f64(act.cost() / rate))
                .max(Instant::now() - Duration::from_secs(1));
        }
        self.journal
            .say(&format!("no more requests; {} are under way", tasks.len()));
        tasks.join_all().await;
    }
}

async fn perform(act: Act, client: &Client) {
    match act {
        Chat | Overspend | Hurry | ReadSlowly => drop(client.chat(Door::Chat).await),
        Stream => drop(client.chat_streamed().await),
        Leave => client.leave().await,
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
