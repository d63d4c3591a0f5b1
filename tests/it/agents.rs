//! The agent runner: the real CLI with real tools, in a workspace of its own.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use claude_switchboard::domain::{FailureKind, ModelName, Money, PlanUsage};
use claude_switchboard::engine::agent::{
    Agent, AgentEvent, AgentJob, AgentMode, AgentReport, AgentRunner, AgentSession, AgentStop,
    PermissionDecision,
};
use claude_switchboard::engine::claude::{
    self, ClaudeLauncher, CliSetup, DataDir, SignIn, SignInMethod,
};
use messages_stand_in::StandIn;
use tempfile::TempDir;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::support::{eventually, real_cli, workers_of};

/// Runner over the real CLI and a stand-in upstream, with a data directory and a workspace.
struct AgentHarness {
    runner: Box<dyn AgentRunner>,
    data_dir: DataDir,
    folder: TempDir,
    tracker: TaskTracker,
    _upstream: StandIn,
}

impl AgentHarness {
    async fn open() -> Self {
        let upstream = StandIn::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let tracker = TaskTracker::new();
        let data_dir = claude::lock_data_dir(&folder.path().join("data")).unwrap();
        std::fs::create_dir(folder.path().join("work")).unwrap();
        let environment = [
            ("PATH", "/usr/bin:/bin"),
            ("ANTHROPIC_API_KEY", "sk-ant-made-up"),
            ("ANTHROPIC_BASE_URL", &upstream.base_url()),
        ];
        let config = claude::Config {
            binary: real_cli(),
            sign_in: SignInMethod::Auto,
            pass_environment: Vec::new(),
            max_retries: 0,
            betas: Vec::new(),
            event_timeout: Duration::from_secs(120),
            control_timeout: Duration::from_secs(10),
            start_timeout: Duration::from_secs(30),
            max_line_bytes: 1 << 20,
        };
        let setup = CliSetup {
            config,
            sign_in: SignIn::ApiKey,
            environment: environment
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            data_dir: folder.path().join("data"),
            plan: PlanUsage::default(),
            name: None,
        };
        let launcher = ClaudeLauncher::prepare(setup, &data_dir.instance, tracker.clone())
            .await
            .unwrap();
        Self {
            runner: Box::new(launcher.runner()),
            data_dir,
            folder,
            tracker,
            _upstream: upstream,
        }
    }

    fn workspace(&self) -> PathBuf {
        self.folder.path().join("work").canonicalize().unwrap()
    }

    fn job(&self, prompt: &str) -> AgentJob {
        AgentJob {
            task: format!("task_{}", Uuid::new_v4().simple()),
            prompt: prompt.to_owned(),
            workspace: self.workspace(),
            model: ModelName::new("claude-haiku-5-5"),
            system_prompt: None,
            tools: vec!["Read", "Write", "Edit", "Bash"],
            mode: AgentMode::Default,
            max_turns: None,
            max_budget: Money::from_nanos(1_000_000_000),
            max_output_tokens: 32_000,
            session: AgentSession::New(Uuid::new_v4()),
            trace: None,
        }
    }

    async fn start(&self, job: AgentJob) -> AgentRun {
        let mut agent = self.runner.start(job).await.unwrap();
        agent.send_prompt();
        AgentRun { agent }
    }

    /// Starts an agent and allows its `Bash` call of `command`, which must create the file `begun`.
    /// Returns once that file exists.
    async fn run_command(&self, command: &str) -> AgentRun {
        let prompt = tool_directive("Bash", &serde_json::json!({"command": command}));
        let mut run = self.start(self.job(&prompt)).await;
        let event = run
            .read_until(|event| matches!(event, AgentEvent::PermissionRequested(_)))
            .await;
        let AgentEvent::PermissionRequested(question) = event else {
            unreachable!()
        };
        run.agent
            .answer_permission(&question.id, PermissionDecision::Allow);
        let begun = self.workspace().join("begun");
        // No event comes while the tool runs, but waiting for one sends the queued answer.
        tokio::select! {
            event = run.next() => panic!("{event:?}"),
            () = eventually("the tool runs", || async { begun.exists().then_some(()) }) => {}
        }
        run
    }

    /// Waits until no process and no background task is left.
    async fn wait_until_idle(&self) {
        let data_dir = self.folder.path().join("data");
        eventually("no process is left", || async {
            workers_of(&data_dir).is_empty().then_some(())
        })
        .await;
        self.tracker.close();
        self.tracker.wait().await;
        assert!(!self.data_dir.instance.is_empty());
    }
}

/// Running agent, with a time limit on each of its events.
struct AgentRun {
    agent: Box<dyn Agent>,
}

impl AgentRun {
    async fn next(&mut self) -> AgentEvent {
        let next = tokio::time::timeout(Duration::from_secs(30), self.agent.next_event());
        next.await.expect("an event within 30 s").unwrap()
    }

    /// Reads events until `condition` holds for one, and returns that.
    async fn read_until(&mut self, condition: impl Fn(&AgentEvent) -> bool) -> AgentEvent {
        loop {
            let event = self.next().await;
            if condition(&event) {
                return event;
            }
            assert!(!matches!(event, AgentEvent::Finished(_)), "{event:?}");
        }
    }

    /// Answers each permission request with `answer`. Returns a line for each event, and the end.
    async fn finish(
        mut self,
        answer: PermissionDecision,
        workspace: &Path,
    ) -> (String, AgentReport) {
        let mut events = String::new();
        loop {
            let event = self.next().await;
            let line = match event {
                AgentEvent::CallSent => continue,
                AgentEvent::AnswerStarted { .. } => "turn".to_owned(),
                AgentEvent::UsageUpdated(_) => continue,
                AgentEvent::Message(text) => format!("message {text}"),
                AgentEvent::ToolUse { name, .. } => format!("use {name}"),
                AgentEvent::ToolResult {
                    is_error, change, ..
                } => {
                    let change = change.map(|change| (change.path.clone(), change.is_new));
                    format!("result error={is_error} {change:?}")
                }
                AgentEvent::PermissionRequested(question) => {
                    self.agent.answer_permission(&question.id, answer.clone());
                    format!("question {}", question.tool)
                }
                AgentEvent::PermissionWithdrawn(_) => "withdrawn".to_owned(),
                AgentEvent::Finished(ending) => {
                    return (events.replace(workspace.to_str().unwrap(), "WORK"), ending);
                }
            };
            writeln!(events, "{line}").unwrap();
        }
    }
}

/// Returns a directive that makes the stand-in call `tool`, whose result may hold the next one.
fn tool_directive(tool: &str, input: &serde_json::Value) -> String {
    format!("[[tool={tool} input={input}]]")
}

#[tokio::test(flavor = "multi_thread")]
async fn agent_writes_edits_and_runs_allowed_tools() {
    let harness = AgentHarness::open().await;
    let work = harness.workspace();
    let script = harness.workspace().join("a.sh");
    let run = tool_directive("Bash", &serde_json::json!({"command": "sh ./a.sh"}));
    std::fs::write(work.join("next"), format!("{run}\n")).unwrap();
    let first = tool_directive(
        "Write",
        &serde_json::json!({"file_path": script, "content": "touch made"}),
    );
    let both = format!(
        "{}{}{}",
        first,
        tool_directive(
            "Edit",
            &serde_json::json!({"file_path": script, "old_string": "made", "new_string": "ran"})
        ),
        tool_directive(
            "Bash",
            &serde_json::json!({"command": "sh ./a.sh; cat ./next"})
        ),
    );
    let (events, ending) = harness
        .start(harness.job(&both))
        .await
        .finish(PermissionDecision::Allow, &work)
        .await;
    insta::assert_snapshot!(events, @r#"
    turn
    use Write
    use Edit
    use Bash
    question Write
    result error=false Some(("WORK/a.sh", true))
    question Edit
    result error=false Some(("WORK/a.sh", false))
    question Bash
    result error=false None
    turn
    use Bash
    question Bash
    result error=false None
    turn
    message Tool results: (Bash completed with no output)
    "#);
    assert_eq!(ending.reason, AgentStop::Completed, "{ending:?}");
    assert!(
        ending.usage.input_tokens > 0 && ending.session_cost.is_some(),
        "{ending:?}"
    );
    assert!(work.join("ran").exists());
    harness.wait_until_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn denied_tool_call_is_not_run() {
    let harness = AgentHarness::open().await;
    let prompt = tool_directive("Bash", &serde_json::json!({"command": "touch made"}));
    let deny = PermissionDecision::Deny("not today".to_owned());
    let (events, ending) = harness
        .start(harness.job(&prompt))
        .await
        .finish(deny, &harness.workspace())
        .await;
    insta::assert_snapshot!(events, @r"
    turn
    use Bash
    question Bash
    result error=true None
    turn
    message Tool results: not today
    ");
    assert_eq!(
        (ending.reason, &*ending.result),
        (AgentStop::Completed, "Tool results: not today")
    );
    assert!(!harness.workspace().join("made").exists());
    harness.wait_until_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupt_ends_a_tool_call_and_an_answer() {
    let harness = AgentHarness::open().await;
    // The command never ends by itself.
    let mut run = harness.run_command("touch begun; tail -f /dev/null").await;
    run.agent.interrupt();
    let (_, ending) = run
        .finish(PermissionDecision::Allow, &harness.workspace())
        .await;
    assert_eq!(ending.reason, AgentStop::Interrupted);

    let mut run = harness
        .start(harness.job("[[tokens=100000 gap_ms=50]]"))
        .await;
    run.read_until(|event| matches!(event, AgentEvent::AnswerStarted { .. }))
        .await;
    run.agent.interrupt();
    let (_, ending) = run
        .finish(PermissionDecision::Allow, &harness.workspace())
        .await;
    assert_eq!(ending.reason, AgentStop::Interrupted);
    harness.wait_until_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_an_agent_ends_its_processes() {
    let harness = AgentHarness::open().await;
    drop(
        harness
            .run_command("setsid tail -f /dev/null & touch begun; tail -f /dev/null")
            .await,
    );
    harness.wait_until_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agent_ends_at_turn_limit_budget_failure_or_unknown_session() {
    let harness = AgentHarness::open().await;
    let prompt = tool_directive(
        "Read",
        &serde_json::json!({"file_path": harness.workspace().join("nothing")}),
    );
    let bounded = [
        (
            AgentJob {
                max_turns: Some(1),
                ..harness.job(&prompt)
            },
            AgentStop::MaxTurns,
        ),
        (
            AgentJob {
                max_budget: Money::from_nanos(1000),
                ..harness.job(&prompt)
            },
            AgentStop::MaxBudget,
        ),
        (
            harness.job("[[status=500]]"),
            AgentStop::Failed(FailureKind::Upstream),
        ),
        (
            AgentJob {
                session: AgentSession::Stored(Uuid::new_v4()),
                ..harness.job("hi")
            },
            AgentStop::NoSession,
        ),
    ];
    for (job, reason) in bounded {
        let (_, ending) = harness
            .start(job)
            .await
            .finish(PermissionDecision::Allow, &harness.workspace())
            .await;
        assert_eq!(ending.reason, reason, "{ending:?}");
    }
    harness.wait_until_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resumed_session_keeps_its_history_and_adds_up_its_cost() {
    let harness = AgentHarness::open().await;
    let session = Uuid::new_v4();
    let first = AgentJob {
        session: AgentSession::New(session),
        ..harness.job("[[say=one]]")
    };
    let (_, first) = harness
        .start(first)
        .await
        .finish(PermissionDecision::Allow, &harness.workspace())
        .await;
    let second = AgentJob {
        session: AgentSession::Stored(session),
        ..harness.job("[[echo_request]]")
    };
    let (_, second) = harness
        .start(second)
        .await
        .finish(PermissionDecision::Allow, &harness.workspace())
        .await;
    assert!(
        second.result.contains("one") && second.reason == AgentStop::Completed,
        "{second:?}"
    );
    assert!(
        second.session_cost > first.session_cost,
        "{first:?} {second:?}"
    );
    // The budget is that of the run: earlier costs of the session do not count.
    let read = tool_directive("Read", &serde_json::json!({"file_path": "nothing"}));
    let third = AgentJob {
        session: AgentSession::Stored(session),
        max_budget: second.session_cost.unwrap(),
        ..harness.job(&read)
    };
    let (_, third) = harness
        .start(third)
        .await
        .finish(PermissionDecision::Allow, &harness.workspace())
        .await;
    assert_eq!(third.reason, AgentStop::Completed, "{third:?}");
    harness.wait_until_idle().await;
}
