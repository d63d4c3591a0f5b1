//! Tests of the router in front of a scripted gateway.

pub(crate) mod access_log;
mod admin;
mod answer_check;
mod basics;
mod batch;
mod batches;
mod budgets_and_cache;
mod checked_answers;
mod completions;
mod conversations;
mod cors;
mod dashboard;
mod docs_page;
mod doctor;
mod encodings;
mod end_users;
mod error_reports;
mod files;
mod forwarding;
mod hooks;
mod idempotency;
mod large_bodies;
mod limits;
mod messages;
mod openapi;
mod pass_on;
mod permissions;
mod project_ids;
mod refusals;
mod responses;
mod route;
mod sessions;
mod shared_queue;
mod status;
mod stream_probe;
mod streams;
pub(crate) mod surfaces;
pub(crate) mod tasks;
mod tools;
pub(crate) mod traced;
mod uploads;
mod usage;
mod webhooks;
pub(crate) mod with_keys;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::http::StatusCode;
use axum::response::Response;
use futures::FutureExt as _;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream;
use http_body_util::BodyExt as _;
use serde_json::Value;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::AdminServices;
use super::ApiServices;
use super::AppState;
use super::Config;
use super::DashboardLinks;
use super::DashboardState;
use super::DrainExpired;
use super::MetricsSources;
use super::NodeLink;
use super::SetupDoctor;
use super::ShutdownStarted;
use super::openapi::responses as response_schemas;
use crate::accounts::auth::AdminKey;
use crate::accounts::auth::Keys;
use crate::accounts::auth::Registry;
use crate::accounts::ledger::LedgerReader;
use crate::accounts::rate_limit;
use crate::accounts::rate_limit::RateLimits;
use crate::api::request_schema::Policy;
use crate::domain::Caller;
use crate::domain::Finish;
use crate::domain::FinishReason;
use crate::domain::ModelName;
use crate::domain::Rates;
use crate::domain::Turn;
use crate::domain::TurnEvent;
use crate::domain::Usage;
use crate::engine::gateway;
use crate::engine::gateway::AdmissionDeps;
use crate::engine::gateway::Error;
use crate::engine::gateway::ModelCard;
use crate::engine::gateway::Readiness;
use crate::engine::gateway::RunningTurn;
use crate::engine::gateway::TurnInfo;
use crate::engine::gateway::TurnPipeline;
use crate::engine::gateway::TurnStream;
use crate::engine::gateway::Turns;
use crate::engine::hooks::Hooks;
use crate::engine::routing;
use crate::runtime::checks::CheckFinding;
use crate::runtime::checks::CheckPlace;
use crate::runtime::checks::CheckReport;
use crate::services::answers::Answers;
use crate::services::batches::BatchDeps;
use crate::services::batches::Batches;
use crate::services::conversations::Conversations;
use crate::services::forwarding::Forwarding;
use crate::services::idempotency::IdempotencyClaims;
use crate::services::responses::ResponseTables;
use crate::services::responses::Responses;
use crate::storage::files::Files;
use crate::storage::store::Backups;
use crate::storage::store::Store;
use crate::telemetry::activity::Activity;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Tracer;

pub(crate) use self::checked_answers::router;

/// Next step of a scripted turn.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Event(TurnEvent),
    Wait(Duration),
    Fail(Error),
    Hang,
    Panic,
}

type Script = dyn Fn(&Caller, &Turn) -> Result<TurnStream, Error> + Send + Sync;

/// Gateway whose turns follow a script, and that counts its running turns.
pub(crate) struct ScriptedTurns {
    script: Box<Script>,
    has_queue: bool,
    pub(crate) readiness: Readiness,
    running_turns: watch::Sender<usize>,
}

struct RunningTurnGuard(watch::Sender<usize>);

impl RunningTurnGuard {
    fn new(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count.clone())
    }
}

impl Drop for RunningTurnGuard {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl ScriptedTurns {
    pub(crate) fn new(
        script: impl Fn(&Caller, &Turn) -> Result<TurnStream, Error> + Send + Sync + 'static,
    ) -> Self {
        let running_turns = watch::Sender::new(0);
        Self {
            script: Box::new(script),
            has_queue: false,
            readiness: Readiness::default(),
            running_turns,
        }
    }

    /// Creates turns that all follow `steps`.
    pub(crate) fn playing(steps: impl IntoIterator<Item = Step>) -> Self {
        let steps: Vec<_> = steps.into_iter().collect();
        Self::new(move |_, _| Ok(play(steps.clone())))
    }

    /// Turns that are all refused.
    pub(crate) fn refusing(error: Error) -> Self {
        Self::new(move |_, _| Err(error.clone()))
    }

    /// Turns that all wait for a worker for ever.
    pub(crate) fn queueing() -> Self {
        Self {
            has_queue: true,
            ..Self::playing([])
        }
    }

    /// Returns the number of running turns, to watch.
    pub(crate) fn watch_running(&self) -> watch::Receiver<usize> {
        self.running_turns.subscribe()
    }
}

/// Returns a stream that takes `steps` and then ends.
pub(crate) fn play(steps: Vec<Step>) -> TurnStream {
    let events = stream::unfold(steps.into_iter(), async |mut steps| {
        loop {
            match steps.next()? {
                Step::Event(event) => return Some((Ok(event), steps)),
                Step::Fail(error) => return Some((Err(error), steps)),
                Step::Wait(pause) => sleep(pause).await,
                Step::Hang => std::future::pending().await,
                Step::Panic => panic!("scripted"),
            }
        }
    });
    Box::pin(events)
}

impl Turns for ScriptedTurns {
    fn run(&self, caller: Caller, turn: Turn) -> BoxFuture<'_, Result<RunningTurn, Error>> {
        let run = async move {
            let running_turns = RunningTurnGuard::new(&self.running_turns);
            if self.has_queue {
                std::future::pending::<()>().await;
            }
            let events = (self.script)(&caller, &turn)?;
            let events = events.inspect(move |_| {
                let _ = &running_turns;
            });
            Ok(RunningTurn::new(
                TurnInfo::for_model("claude-sonnet-5-5"),
                Box::pin(events),
            ))
        };
        run.boxed()
    }

    fn count_tokens(&self, _caller: Caller, _turn: Turn) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(std::future::ready(Ok(7)))
    }

    fn resolve(&self, _caller: Caller, turn: Turn) -> BoxFuture<'_, Result<ModelName, Error>> {
        Box::pin(std::future::ready(match turn.model.as_str() {
            "sonnet" => Ok(ModelName::new("claude-sonnet-5-5")),
            other => Err(Error::UnknownModel(other.to_owned())),
        }))
    }

    fn models(&self) -> BoxFuture<'_, Result<Vec<ModelCard>, Error>> {
        let card = |name: &str| ModelCard {
            name: ModelName::new(name),
            resolves_to: "claude-sonnet-5-5".into(),
        };
        let cards = vec![card("sonnet"), card("team/large model")];
        std::future::ready(Ok(cards)).boxed()
    }

    fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }
}

pub(crate) fn config() -> Config {
    Config {
        heartbeat: Duration::from_secs(15),
        first_event_wait: Duration::from_secs(10),
        body_limit: 1000,
        body_budget: 64 << 20,
        upload_limit: 10_000,
        body_pause_timeout: Duration::from_secs(30),
        body_read_timeout: Duration::from_secs(60),
        allowed_origins: Vec::new(),
        policy: Policy::Lenient,
        docs: true,
        betas: vec!["known-2026-01-01".to_owned()],
    }
}

pub(crate) fn state(turns: ScriptedTurns) -> AppState {
    state_until(turns, ShutdownStarted::default(), DrainExpired::default())
}

/// State of a server that stops with the two signals.
pub(crate) fn state_until(
    turns: ScriptedTurns,
    stopping: ShutdownStarted,
    drain_expired: DrainExpired,
) -> AppState {
    AppState {
        shutdown_started: stopping,
        ..app_state(
            &ResponseTables::temporary(),
            turns,
            Keys::none(),
            drain_expired,
        )
    }
}

fn app_state(
    tables: &ResponseTables,
    turns: impl Turns + 'static,
    keys: Keys,
    drain_expired: DrainExpired,
) -> AppState {
    let turns = TurnPipeline::new(turns);
    let keys = Arc::new(keys);
    let tables = tables.clone();
    let tracker = TaskTracker::new();
    let stop = drain_expired.0.clone();
    let conversations = Conversations::temporary(tables.store(), &keys);
    let own = turns.clone();
    let all = conversations.clone();
    let responses = Responses::new(
        own,
        Arc::clone(&keys),
        tables,
        all,
        tracker,
        stop,
        super::response_error,
    );
    let answers = Answers::new(turns.clone(), responses.clone(), Policy::Lenient);
    let config = Arc::new(config());
    let files = Files::unwritable();
    let router = Arc::new(routing::testing::router());
    AppState {
        config,
        drain_expired,
        shutdown_started: ShutdownStarted::default(),
        admin: None,
        dashboard: None,
        ledger: LedgerReader::temporary(),
        metrics: MetricsSources {
            process: Metrics::default(),
            cache: gateway::testing::cache(),
            registry: None,
        },
        tracer: Tracer::default(),
        activity: Activity::new(),
        hooks: Hooks::default(),
        forwarding: Forwarding::default(),
        link: NodeLink::default(),
        services: ApiServices {
            batches: batches_with(
                batch_tools(&turns, &keys, answers.clone(), files.clone()),
                1,
            ),
            files,
            conversations,
            sessions: crate::services::sessions::testing::temporary(&keys),
            responses,
            answers,
            tasks: None,
            idempotency: IdempotencyClaims::temporary(),
        },
        turns,
        keys,
        router,
    }
}

/// Batch dependencies on top of `turns`, with temporary storage.
fn batch_tools(
    turns: &TurnPipeline,
    keys: &Arc<Keys>,
    answers: Answers,
    files: Files,
) -> BatchDeps {
    BatchDeps::temporary(
        files,
        Arc::clone(keys),
        turns.clone(),
        answers,
        super::client_error,
    )
}

/// Batches with `parallel` lines at a time.
fn batches_with(tools: BatchDeps, parallel: usize) -> Batches {
    Batches::new(
        tools,
        crate::services::batches::Config {
            parallel,
            max_line_bytes: 1000,
            time_to_live: Duration::from_secs(60),
        },
    )
}

/// Server with the admin API, the configured key `secret-1`, the admin key `secret-admin` and the key of
/// the metrics, `secret-scraper`.
async fn with_admin(turns: ScriptedTurns) -> (Router, Registry) {
    let registry = Registry::temporary().await.unwrap();
    let keys = Keys::new(["secret-1"]).unwrap().with_stored(&registry);
    let keys = keys.with_admin(Some(AdminKey::of("secret-admin")));
    let keys = keys.with_scraper(Some(AdminKey::of("secret-scraper")));
    let state = app_state(
        &ResponseTables::temporary(),
        turns,
        keys,
        DrainExpired::default(),
    );
    (
        router(AppState {
            admin: Some(admin_of(&registry)),
            ..state
        }),
        registry,
    )
}

fn admin_of(registry: &Registry) -> AdminServices {
    let webhooks = Arc::new(crate::accounts::webhooks::HttpSender::new(
        TaskTracker::new(),
    ));
    let ledger = LedgerReader::temporary();
    let cache = gateway::testing::cache();
    let store = Store::in_memory(TaskTracker::new());
    let backups = Backups::new(store, PathBuf::from("/nonexistent"), Vec::new(), 0);
    AdminServices {
        registry: registry.clone(),
        ledger,
        cache,
        backups,
        webhooks,
        hooks: Hooks::default(),
        doctor: Some(Arc::new(ScriptedDoctor)),
        live: None,
        dashboard: Some(DashboardLinks::new(
            "http://localhost:8080".to_owned(),
            DashboardState::On,
        )),
        metrics: Metrics::new().http.clone(),
    }
}

/// Doctor that finds a slow disk unless it has to be quick.
#[derive(Debug)]
struct ScriptedDoctor;

impl SetupDoctor for ScriptedDoctor {
    fn check(&self, is_quick: bool) -> BoxFuture<'_, CheckReport> {
        let place = CheckPlace::Server;
        let mut checks = vec![CheckFinding::pass("2.1.329").named("cli", place)];
        if !is_quick {
            let slow = CheckFinding::warn("50 ms", "use another disk");
            checks.push(slow.named("disk_latency", place));
        }
        std::future::ready(CheckReport::new(checks)).boxed()
    }
}

fn with_keys(turns: ScriptedTurns) -> Router {
    let keys = Keys::new(["secret-1", "secret-2"]).unwrap();
    router(app_state(
        &ResponseTables::temporary(),
        turns,
        keys,
        DrainExpired::default(),
    ))
}

/// Router whose only key has the limits `rates`.
async fn router_with_rates(turns: ScriptedTurns, rates: Rates) -> Router {
    let limits = RateLimits::new(rate_limit::Config {
        requests_per_minute: rates.requests_per_minute,
        tokens_per_minute: rates.tokens_per_minute,
        concurrent_requests: rates.concurrent_requests,
    });
    router_with_admission(
        turns,
        AdmissionDeps {
            limits,
            ..gateway::testing::admission_deps().await
        },
    )
}

/// Router with admission by `rules`.
fn router_with_admission(turns: ScriptedTurns, rules: AdmissionDeps) -> Router {
    let turns = gateway::testing::pipeline(turns, rules);
    router(app_state(
        &ResponseTables::temporary(),
        turns,
        Keys::none(),
        DrainExpired::default(),
    ))
}

/// Steps of a greeting in two pieces.
pub(crate) fn greeting_steps() -> Vec<Step> {
    vec![started(), text("Hel"), text("lo"), finished()]
}

pub(crate) fn started() -> Step {
    Step::Event(TurnEvent::started("claude-sonnet-5-5", Usage::default()))
}

pub(crate) fn text(text: &str) -> Step {
    Step::Event(TurnEvent::Text(text.into()))
}

pub(crate) fn finished() -> Step {
    let usage = Usage {
        input_tokens: 3,
        output_tokens: 2,
        ..Usage::default()
    };
    Step::Event(TurnEvent::Finished(Finish::new(FinishReason::Stop, usage)))
}

pub(crate) fn chat(stream: bool) -> Value {
    json!({"model": "sonnet", "messages": [{"role": "user", "content": "Hi"}], "stream": stream})
}

/// Request as a client on this machine sends it.
fn request(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Request<Body> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost:8080");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).unwrap()
}

fn post(body: &Value) -> Request<Body> {
    request("POST", "/v1/chat/completions", &[], body.to_string())
}

async fn send(router: Router, request: Request<Body>) -> Response {
    router.oneshot(request).await.unwrap()
}

async fn body(response: Response) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Returns the status and fields of an error; also asserts what every error has.
async fn error(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    assert!(response.headers().contains_key("x-request-id"));
    assert_eq!(response.headers()["content-type"], "application/json");
    let body: Value = serde_json::from_str(&body(response).await).unwrap();
    let fields = body["error"].as_object().unwrap();
    assert_eq!(
        fields.keys().collect::<Vec<_>>(),
        ["code", "message", "param", "type"]
    );
    (status, body["error"].clone())
}
