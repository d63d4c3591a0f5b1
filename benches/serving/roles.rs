//! Servers for comparison: a bare axum echo, and this server's HTTP side without workers.
//!
//! Each runs in a separate process, so that its CPU time and memory are separate from those of the
//! load.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use axum::routing::post;
use axum::serve::ListenerExt as _;
use axum::{Json, Router};
use claude_switchboard::accounts::auth::Keys;
use claude_switchboard::accounts::ledger::{Clock, LedgerReader, WorkOwners};
use claude_switchboard::api::request_schema::Policy;
use claude_switchboard::app;
use claude_switchboard::config::{CommandLineFlags, Environment, Settings};
use claude_switchboard::domain::{self, Caller, ModelName, Turn, TurnEvent};
use claude_switchboard::engine::cache;
use claude_switchboard::engine::gateway::{
    AnswerCache, Error, ModelCard, Readiness, RunningTurn, TurnInfo, TurnPipeline, Turns,
};
use claude_switchboard::engine::hooks::Hooks;
use claude_switchboard::http::{
    self, ApiServices, AppState, DrainExpired, MetricsSources, NodeLink, ShutdownStarted,
};
use claude_switchboard::server::{self, Shutdown};
use claude_switchboard::services::answers::Answers;
use claude_switchboard::services::batches::{self, BatchDeps, Batches};
use claude_switchboard::services::conversations::Conversations;
use claude_switchboard::services::forwarding::Forwarding;
use claude_switchboard::services::idempotency::IdempotencyClaims;
use claude_switchboard::services::responses::{ResponseTables, Responses};
use claude_switchboard::services::sessions::{self, Sessions};
use claude_switchboard::storage::files::{self, Files};
use claude_switchboard::storage::store::{self, Store, TtlLimits};
use claude_switchboard::telemetry::activity::Activity;
use claude_switchboard::telemetry::metrics::{BatchMetrics, IdempotencyMetrics, Metrics};
use claude_switchboard::telemetry::traces::Tracer;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::task::TaskTracker;

/// Role of an axum server that only parses and answers the JSON of a chat.
pub(crate) const ECHO: &str = "echo";
/// Role of this server's HTTP side over turns that begin and then stall.
pub(crate) const SILENT: &str = "silent";

/// Serves in a role until `SIGTERM`.
pub(crate) fn serve(role: &str) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        writeln!(
            std::io::stderr(),
            "server listening address={}",
            listener.local_addr()?
        )?;
        let served = match role {
            ECHO => serve_echo(listener).boxed(),
            SILENT => serve_silent(listener).boxed(),
            _ => bail!("there is no role `{role}`"),
        };
        tokio::select! {
            served = served => served,
            _ = terminate.recv() => Ok(()),
        }
    })
}

#[derive(Deserialize)]
struct EchoRequest {
    model: String,
    messages: Vec<EchoMessage>,
}

#[derive(Serialize, Deserialize)]
struct EchoMessage {
    role: String,
    content: String,
}

#[derive(Serialize)]
struct EchoResponse {
    id: &'static str,
    object: &'static str,
    created: u64,
    model: String,
    choices: [EchoChoice; 1],
    usage: EchoUsage,
}

#[derive(Serialize)]
struct EchoChoice {
    index: u32,
    message: EchoMessage,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct EchoUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
}

async fn serve_echo(listener: TcpListener) -> anyhow::Result<()> {
    let answer = async |Json(mut request): Json<EchoRequest>| {
        let content = request
            .messages
            .pop()
            .map_or_else(String::new, |message| message.content);
        let message = EchoMessage {
            role: "assistant".to_owned(),
            content,
        };
        Json(EchoResponse {
            id: "chatcmpl-1",
            object: "chat.completion",
            created: 1,
            model: request.model,
            choices: [EchoChoice {
                index: 0,
                message,
                finish_reason: "stop",
            }],
            usage: EchoUsage {
                prompt_tokens: 1,
                completion_tokens: 1,
                total_tokens: 2,
            },
        })
    };
    let listener = listener.tap_io(|stream| {
        // A failure only makes the echo slower.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(
        listener,
        Router::new().route("/v1/chat/completions", post(answer)),
    )
    .await?;
    Ok(())
}

/// Turns that begin and then stall.
struct SilentTurns;

impl Turns for SilentTurns {
    fn run(&self, _caller: Caller, turn: Turn) -> BoxFuture<'_, Result<RunningTurn, Error>> {
        let model = turn.model.as_str().to_owned();
        let begun = futures::stream::iter([Ok(TurnEvent::started(
            model.clone(),
            domain::Usage::default(),
        ))]);
        let events = Box::pin(begun.chain(futures::stream::pending()));
        Box::pin(std::future::ready(Ok(RunningTurn::new(
            TurnInfo::for_model(model),
            events,
        ))))
    }

    fn count_tokens(&self, _caller: Caller, _turn: Turn) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(std::future::ready(Ok(0)))
    }

    fn resolve(&self, _caller: Caller, turn: Turn) -> BoxFuture<'_, Result<ModelName, Error>> {
        Box::pin(std::future::ready(Ok(turn.model)))
    }

    fn models(&self) -> BoxFuture<'_, Result<Vec<ModelCard>, Error>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn readiness(&self) -> Readiness {
        Readiness::default()
    }
}

fn http_config() -> http::Config {
    http::Config {
        heartbeat: Duration::from_secs(15),
        first_event_wait: Duration::from_secs(10),
        body_limit: 32 * 1024 * 1024,
        body_budget: 128 * 1024 * 1024,
        upload_limit: 0,
        body_pause_timeout: Duration::from_secs(30),
        body_read_timeout: Duration::from_secs(60),
        allowed_origins: Vec::new(),
        policy: Policy::Lenient,
        docs: false,
        betas: Vec::new(),
    }
}

fn batches_config() -> batches::Config {
    batches::Config {
        parallel: 1,
        max_line_bytes: 0,
        time_to_live: Duration::from_secs(60),
    }
}

fn cache_config() -> cache::Config {
    cache::Config {
        mode: cache::CachingMode::Off,
        max_bytes: 0,
        time_to_live: Duration::from_secs(1),
    }
}

fn sessions_config() -> sessions::Config {
    sessions::Config {
        idle: Duration::from_secs(60),
        max_sessions: 1,
        max_bytes: 1 << 20,
    }
}

fn store_limits() -> TtlLimits {
    TtlLimits {
        time_to_live: Duration::from_secs(60),
        max_records: 1,
        max_bytes: 1 << 20,
    }
}

/// Limits of connections, effectively off.
fn server_config() -> server::Config {
    server::Config {
        header_read_timeout: Duration::from_secs(10),
        send_timeout: Duration::from_secs(30),
        drain_timeout: Duration::from_secs(1),
        send_buffer: 128 * 1024,
        connections: usize::MAX,
        unknown_per_address: usize::MAX,
    }
}

async fn serve_silent(listener: TcpListener) -> anyhow::Result<()> {
    let shutdown = Shutdown::new();
    let turns = TurnPipeline::new(SilentTurns);
    let keys = Arc::new(Keys::none());
    let tracker = TaskTracker::new();
    let folder = tempfile::tempdir()?;
    let records = folder.path().join("records");
    let store = Store::open(&records, store::Config::default(), tracker.clone())?;
    let tables = ResponseTables::new(&store, store_limits());
    let conversations = Conversations::new(&store, Arc::clone(&keys), store_limits());
    let responses = Responses::new(
        turns.clone(),
        Arc::clone(&keys),
        tables,
        conversations.clone(),
        tracker.clone(),
        shutdown.drain_expired(),
        http::response_error,
    );
    let answers = Answers::new(turns.clone(), responses.clone(), Policy::Lenient);
    let room = files::Config::default();
    let files = Files::open(store.clone(), folder.path(), room).await?;
    let tools = BatchDeps {
        files: files.clone(),
        keys: Arc::clone(&keys),
        turns: turns.clone(),
        answers: answers.clone(),
        explain: http::client_error,
        tracker: tracker.clone(),
        stopping: shutdown.started(),
        stop: shutdown.drain_expired(),
        metrics: BatchMetrics::default(),
        hooks: Hooks::default(),
        owners: WorkOwners::default(),
    };
    let batches = Batches::new(tools, batches_config());
    let settings = Settings::load(
        None,
        &Environment::from_iter([("HOME", "/")]),
        &CommandLineFlags::default(),
    )?;
    let sessions = Sessions::new(&store, Arc::clone(&keys), sessions_config());
    let idempotency = IdempotencyClaims::new(
        &store,
        store_limits(),
        settings.idempotency,
        ("server", WorkOwners::default()),
        (tracker, shutdown.started()),
        IdempotencyMetrics::default(),
    );
    let router = http::router(AppState {
        turns,
        keys,
        config: Arc::new(http_config()),
        drain_expired: DrainExpired(shutdown.drain_expired()),
        shutdown_started: ShutdownStarted(shutdown.started()),
        admin: None,
        dashboard: None,
        ledger: LedgerReader::new(store, Clock::system()),
        metrics: MetricsSources {
            process: Metrics::default(),
            cache: AnswerCache::new(cache_config(), 0),
            registry: None,
        },
        tracer: Tracer::default(),
        activity: Activity::new(),
        hooks: Hooks::default(),
        forwarding: Forwarding::default(),
        link: NodeLink::default(),
        services: ApiServices {
            responses,
            conversations,
            answers,
            batches,
            files,
            sessions,
            idempotency,
            tasks: None,
        },
        router: Arc::new(app::router(&settings, &Arc::new(app::prices(&settings)))),
    });
    server::serve(
        listener,
        router,
        server_config(),
        shutdown,
        TaskTracker::new(),
    )
    .await;
    Ok(())
}
