//! Agents: the real CLI with real tools, in a folder of its own.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use claude_switchboard::domain::{FailureKind, ModelName, Money};
use claude_switchboard::engine::agent::{
    Agent, AgentEvent, AgentJob, AgentMode, AgentReport, AgentRunner, AgentSession, AgentStop,
    PermissionDecision,
};
use claude_switchboard::engine::claude::{self, ClaudeLauncher, DataDir, SignIn};
use messages_stand_in::StandIn;
use tempfile::TempDir;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::support::{eventually, real_cli, workers_of};

/// Where agents are run.
struct Yard {
    runner: Box<dyn AgentRunner>,
    data_dir: DataDir,
    folder: TempDir,
    tracker: TaskTracker,
    _upstream: StandIn,
}

impl Yard {
    async fn open() -> Self {
        let (upstream, folder, tracker) = (
            StandIn::start().await.unwrap(),
            tempfile::tempdir().unwrap(),
            TaskTracker::new(),
        );
        let data_dir = claude::lock_data_dir(&folder.path().join("data")).unwrap();
        std::fs::create_dir(folder.path().join("work")).unwrap();
        let environment = [
            ("PATH", "/usr/bin:/bin"),
            ("ANTHROPIC_API_KEY", "sk-ant-made-up"),
            ("ANTHROPIC_BASE_URL", &upstream.base_url()),
        ];
        let config = claude::Config {
            binary: real_cli(),
            sign_in: SignIn::ApiKey,
            environment: environment
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            pass_environment: Vec::new(),
            data_dir: folder.path().join("data"),
            max_retries: 0,
            betas: Vec::new(),
            event_timeout: Duration::from_secs(120),
            control_timeout: Duration::from_secs(10),
            start_timeout: Duration::from_secs(30),
            max_line_bytes: 1 << 20,
        };
        let launcher = ClaudeLauncher::prepare(config, &data_dir.instance, tracker.clone())
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
        }
    }

    async fn start(&self, job: AgentJob) -> Run {
        let mut agent = self.runner.start(job).await.unwrap();
        agent.send_prompt();
        Run { agent }
    }

    /// An agent whose tool runs `command`, which makes the file `begun` and never ends.
    async fn run_on(&self, command: &str) -> Run {
        let prompt = call("Bash", &serde_json::json!({"command": command}));
        let mut run = self.start(self.job(&prompt)).await;
        let asked = run
            .until(|event| matches!(event, AgentEvent::PermissionRequested(_)))
            .await;
        let AgentEvent::PermissionRequested(question) = asked else {
            unreachable!()
        };
        run.agent
            .answer_permission(&question.id, PermissionDecision::Allow);
        let begun = self.workspace().join("begun");
        // Nothing is told while the tool runs, but what is to be sent leaves while it is waited for.
        tokio::select! {
            event = run.next() => panic!("{event:?}"),
            () = eventually("the tool runs", || async { begun.exists().then_some(()) }) => {}
        }
        run
    }

    /// Waits until nothing runs any more.
    async fn until_quiet(&self) {
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

/// An agent that is watched.
struct Run {
    agent: Box<dyn Agent>,
}

impl Run {
    async fn next(&mut self) -> AgentEvent {
        let next = tokio::time::timeout(Duration::from_secs(30), self.agent.next_event());
        next.await.expect("an event within 30 s").unwrap()
    }

    /// Reads on until `condition` holds.
    async fn until(&mut self, condition: impl Fn(&AgentEvent) -> bool) -> AgentEvent {
        loop {
            let event = self.next().await;
            if condition(&event) {
                return event;
            }
            assert!(!matches!(event, AgentEvent::Finished(_)), "{event:?}");
        }
    }

    /// Answers each question by `answer`, and gives what was told, a line for each event, and the ending.
    async fn finish(
        mut self,
        answer: PermissionDecision,
        workspace: &Path,
    ) -> (String, AgentReport) {
        let mut told = String::new();
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
                    return (told.replace(workspace.to_str().unwrap(), "WORK"), ending);
                }
            };
            writeln!(told, "{line}").unwrap();
        }
    }
}

/// A prompt upon which the stand-in calls `tool`; what the tool gives may hold the next.
fn call(tool: &str, input: &serde_json::Value) -> String {
    format!("[[tool={tool} input={input}]]")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_writes_edits_and_runs_what_it_may() {
    let yard = Yard::open().await;
    let (work, script) = (yard.workspace(), yard.workspace().join("a.sh"));
    let run = call("Bash", &serde_json::json!({"command": "sh ./a.sh"}));
    std::fs::write(work.join("next"), format!("{run}\n")).unwrap();
    let first = call(
        "Write",
        &serde_json::json!({"file_path": script, "content": "touch made"}),
    );
    let both = format!(
        "{}{}{}",
        first,
        call(
            "Edit",
            &serde_json::json!({"file_path": script, "old_string": "made", "new_string": "ran"})
        ),
        call(
            "Bash",
            &serde_json::json!({"command": "sh ./a.sh; cat ./next"})
        ),
    );
    let (told, ending) = yard
        .start(yard.job(&both))
        .await
        .finish(PermissionDecision::Allow, &work)
        .await;
    insta::assert_snapshot!(told, @r#"
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
    yard.until_quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_denied_is_not_done() {
    let yard = Yard::open().await;
    let prompt = call("Bash", &serde_json::json!({"command": "touch made"}));
    let deny = PermissionDecision::Deny("not today".to_owned());
    let (told, ending) = yard
        .start(yard.job(&prompt))
        .await
        .finish(deny, &yard.workspace())
        .await;
    insta::assert_snapshot!(told, @r"
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
    assert!(!yard.workspace().join("made").exists());
    yard.until_quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_ends_a_tool_and_an_answer() {
    let yard = Yard::open().await;
    // It never ends by itself.
    let mut run = yard.run_on("touch begun; tail -f /dev/null").await;
    run.agent.interrupt();
    let (_, ending) = run
        .finish(PermissionDecision::Allow, &yard.workspace())
        .await;
    assert_eq!(ending.reason, AgentStop::Interrupted);

    let mut run = yard.start(yard.job("[[tokens=100000 gap_ms=50]]")).await;
    run.until(|event| matches!(event, AgentEvent::AnswerStarted { .. }))
        .await;
    run.agent.interrupt();
    let (_, ending) = run
        .finish(PermissionDecision::Allow, &yard.workspace())
        .await;
    assert_eq!(ending.reason, AgentStop::Interrupted);
    yard.until_quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_drops_an_agent_ends_what_it_has_started() {
    let yard = Yard::open().await;
    drop(
        yard.run_on("setsid tail -f /dev/null & touch begun; tail -f /dev/null")
            .await,
    );
    yard.until_quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn turns_and_money_are_bounded() {
    let yard = Yard::open().await;
    let prompt = call(
        "Read",
        &serde_json::json!({"file_path": yard.workspace().join("nothing")}),
    );
    let bounded = [
        (
            AgentJob {
                max_turns: Some(1),
                ..yard.job(&prompt)
            },
            AgentStop::MaxTurns,
        ),
        (
            AgentJob {
                max_budget: Money::from_nanos(1000),
                ..yard.job(&prompt)
            },
            AgentStop::MaxBudget,
        ),
        (
            yard.job("[[status=500]]"),
            AgentStop::Failed(FailureKind::Upstream),
        ),
        (
            AgentJob {
                session: AgentSession::Stored(Uuid::new_v4()),
                ..yard.job("hi")
            },
            AgentStop::NoSession,
        ),
    ];
    for (job, reason) in bounded {
        let (_, ending) = yard
            .start(job)
            .await
            .finish(PermissionDecision::Allow, &yard.workspace())
            .await;
        assert_eq!(ending.reason, reason, "{ending:?}");
    }
    yard.until_quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_on_and_its_cost_adds_up() {
    let yard = Yard::open().await;
    let session = Uuid::new_v4();
    let first = AgentJob {
        session: AgentSession::New(session),
        ..yard.job("[[say=one]]")
    };
    let (_, first) = yard
        .start(first)
        .await
        .finish(PermissionDecision::Allow, &yard.workspace())
        .await;
    let second = AgentJob {
        session: AgentSession::Stored(session),
        ..yard.job("[[echo_request]]")
    };
    let (_, second) = yard
        .start(second)
        .await
        .finish(PermissionDecision::Allow, &yard.workspace())
        .await;
    assert!(
        second.result.contains("one") && second.reason == AgentStop::Completed,
        "{second:?}"
    );
    assert!(
        second.session_cost > first.session_cost,
        "{first:?} {second:?}"
    );
    // The bound on money is that of the run: what the session has cost before does not count.
    let read = call("Read", &serde_json::json!({"file_path": "nothing"}));
    let third = AgentJob {
        session: AgentSession::Stored(session),
        max_budget: second.session_cost.unwrap(),
        ..yard.job(&read)
    };
    let (_, third) = yard
        .start(third)
        .await
        .finish(PermissionDecision::Allow, &yard.workspace())
        .await;
    assert_eq!(third.reason, AgentStop::Completed, "{third:?}");
    yard.until_quiet().await;
}
