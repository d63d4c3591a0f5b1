//! Hooks at errors: notified once of each request of the API that is refused or fails.

use super::*;
use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::engine::gateway::PipelineHooks;
use crate::engine::hooks::HookInput;
use crate::engine::hooks::HookOperation;
use crate::engine::hooks::testing::ScriptedHook;
use crate::engine::hooks::testing::deps;
use crate::engine::hooks::testing::mark_header;
use crate::engine::hooks::testing::scripted_with;

const EAR: &str = "name = \"ear\"\nkind = \"http\"\npoints = [\"error\"]";
const KEY: [(&str, &str); 1] = [("authorization", "Bearer secret-1")];
const CHAT: &str = "/v1/chat/completions";

/// Server whose only hook is called at errors.
struct ReportingServer {
    router: Router,
    hook: ScriptedHook,
    tracker: TaskTracker,
}

impl ReportingServer {
    async fn start(turns: ScriptedTurns) -> Self {
        Self::with_admission(turns, gateway::testing::admission_deps().await).await
    }

    async fn with_admission(turns: ScriptedTurns, admission: AdmissionDeps) -> Self {
        let deps = deps();
        let hook = ScriptedHook::passing();
        let hooks = scripted_with(vec![(EAR, hook.clone())], &deps);
        let mut pipeline = gateway::testing::pipeline(turns, admission);
        pipeline.hooks = PipelineHooks::new(hooks.clone(), crate::http::describe_for_hooks);
        let registry = Registry::temporary().await.unwrap();
        let keys = Keys::new(["secret-1"]).unwrap().with_stored(&registry);
        let keys = keys.with_admin(Some(AdminKey::of("secret-admin")));
        let state = app_state(
            &ResponseTables::temporary(),
            pipeline,
            keys,
            DrainExpired::default(),
        );
        let router = router(AppState {
            admin: Some(admin_of(&registry)),
            hooks,
            ..state
        });
        Self {
            router,
            hook,
            tracker: deps.tracker,
        }
    }

    /// Sends a request. Returns the body of the answer, and what the hook is told of the request.
    async fn ask(&self, request: Request<Body>) -> (String, Vec<HookInput>) {
        let before = self.hook.calls().len();
        let text = body(send(self.router.clone(), request).await).await;
        self.tracker.close();
        self.tracker.wait().await;
        (text, self.hook.calls().split_off(before))
    }
}

fn chat_request(headers: &[(&str, &str)], fields: &Value) -> Request<Body> {
    request("POST", CHAT, headers, fields.to_string())
}

/// Returns the status of the reported error, and the API and the key of the request.
fn summary(input: &HookInput) -> (u16, &str, &str) {
    let facts = input.request.as_ref().unwrap();
    let error = input.content.error.as_ref().unwrap();
    (error.status, facts.surface, &facts.key.name)
}

#[tokio::test]
async fn each_refused_request_is_reported_once_with_the_error_of_its_client() {
    let server = ReportingServer::start(ScriptedTurns::playing([])).await;
    let wrong_key = [("authorization", "Bearer guess")];
    let large = json!({"model": "sonnet", "messages": [], "user": "x".repeat(2000)});
    let get = |path: &str| request("GET", path, &KEY, "");
    let post = |path: &str, text: &str| request("POST", path, &KEY, text.to_owned());
    for (request, expected) in [
        (chat_request(&[], &chat(false)), (401, "chat", "")),
        (chat_request(&wrong_key, &chat(true)), (401, "chat", "")),
        (get("/admin/keys"), (403, "", "")),
        (get("/nothing"), (404, "", "key-1")),
        (post("/v1/embeddings", "{}"), (404, "embeddings", "key-1")),
        (get(CHAT), (405, "chat", "key-1")),
        (post(CHAT, "{"), (400, "chat", "key-1")),
        (post("/v1/messages", "{}"), (400, "messages", "key-1")),
        (chat_request(&KEY, &large), (413, "chat", "key-1")),
    ] {
        let (text, told) = server.ask(request).await;
        let [input] = &told[..] else {
            panic!("{expected:?}: {told:?}")
        };
        assert_eq!(summary(input), expected, "{text}");
        assert_eq!(input.op, HookOperation::Notify);
        let answer: Value = serde_json::from_str(&text).unwrap();
        let error = input.content.error.as_ref().unwrap();
        assert_eq!(answer["error"]["message"], error.message);
        if expected.1 != "messages" {
            let code = answer["error"]["code"].as_str().unwrap_or_default();
            assert_eq!(code, error.code, "{text}");
        }
    }
}

#[tokio::test]
async fn answers_and_requests_outside_the_api_and_of_hooks_are_not_reported() {
    let server = ReportingServer::start(ScriptedTurns::playing(greeting_steps())).await;
    for request in [
        chat_request(&KEY, &chat(false)),
        chat_request(&KEY, &chat(true)),
        request("GET", "/metrics", &KEY, ""),
        request("GET", "/health", &[], ""),
        chat_request(&[mark_header()], &chat(false)),
    ] {
        let (text, told) = server.ask(request).await;
        assert!(told.is_empty(), "{text} {told:?}");
    }
}

#[tokio::test]
async fn error_of_a_turn_is_reported_by_the_turn_alone() {
    let failure = Failure::new(FailureKind::Crashed, "The worker ended.");
    let steps = [started(), text("Hel"), Step::Fail(Error::Failed(failure))];
    let server = ReportingServer::start(ScriptedTurns::playing(steps)).await;
    for stream in [false, true] {
        let (_, told) = server.ask(chat_request(&KEY, &chat(stream))).await;
        let [input] = &told[..] else {
            panic!("{stream}: {told:?}")
        };
        assert_eq!(summary(input), (502, "chat", "key-1"));
        assert_eq!(input.op, HookOperation::Transform);
        assert_eq!(input.request.as_ref().unwrap().stream, stream);
    }
}

#[tokio::test]
async fn request_over_the_rate_limit_is_reported_once() {
    let limits = RateLimits::new(rate_limit::Config {
        requests_per_minute: Some(1),
        ..rate_limit::Config::default()
    });
    let admission = AdmissionDeps {
        limits,
        ..gateway::testing::admission_deps().await
    };
    let turns = ScriptedTurns::playing(greeting_steps());
    let server = ReportingServer::with_admission(turns, admission).await;
    for expected in [0, 1] {
        let (text, told) = server.ask(chat_request(&KEY, &chat(false))).await;
        assert_eq!(told.len(), expected, "{text}");
        for input in told {
            assert_eq!(summary(&input), (429, "chat", "key-1"));
        }
    }
}

#[tokio::test]
async fn request_of_an_inline_batch_that_is_not_valid_is_reported_once() {
    let server = ReportingServer::start(ScriptedTurns::playing(greeting_steps())).await;
    let good = json!({"model": "sonnet", "prompt": "Hi"});
    let bad = json!({"model": "sonnet"});
    let fields = json!({"requests": [good, bad]});
    let batch = request("POST", "/v1/batch", &KEY, fields.to_string());
    let (text, told) = server.ask(batch).await;
    assert!(text.contains("Hello"), "{text}");
    let told: Vec<_> = told.iter().map(summary).collect();
    assert_eq!(told, [(400, "batch", "key-1")]);
}
