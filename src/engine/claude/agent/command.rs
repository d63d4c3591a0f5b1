//! Arguments and environment of an agent process.
//!
//! Only parts of a request with a fixed form are put on the command line: tool names from a fixed
//! list, numbers, and an id.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::engine::agent::AgentJob;
use crate::engine::agent::AgentMode;
use crate::engine::agent::AgentSession;
use crate::engine::claude::SignIn;
use crate::engine::claude::command;
use crate::engine::claude::setup::CliSetup;

/// Environment variable with the task's id, by which orphan processes of the task are found.
pub(super) const TASK_VARIABLE: &str = "SWITCHBOARD_TASK";

/// Environment variables with the position in a trace, which the CLI and the tools' own programs
/// continue.
const TRACEPARENT: &str = "TRACEPARENT";
const TRACESTATE: &str = "TRACESTATE";

/// Arguments that route the CLI's permission requests to the server.
const ARGUMENTS: &[&str] = &["--permission-prompt-tool", "stdio"];

/// Variables of chat workers that an agent does not get: compaction is allowed in its long runs.
const EXCLUDED_VARIABLES: &[&str] = &[
    "DISABLE_AUTO_COMPACT",
    "DISABLE_COMPACT",
    "CLAUDE_AGENT_SDK_MCP_NO_PREFIX",
];

/// Returns the command-line arguments for `job`. Never `--bare`, which lacks the tools that write
/// files.
pub(super) fn arguments(job: &AgentJob) -> Vec<String> {
    let mode = match job.mode {
        AgentMode::Default => "default",
        AgentMode::AcceptEdits => "acceptEdits",
        AgentMode::Plan => "plan",
    };
    let session = match job.session {
        AgentSession::New(id) => ["--session-id".to_owned(), id.to_string()],
        AgentSession::Stored(id) => ["--resume".to_owned(), id.to_string()],
    };
    let turns = job
        .max_turns
        .map(|turns| ["--max-turns".to_owned(), turns.to_string()]);
    let budget = ["--max-budget-usd".to_owned(), job.max_budget.to_decimal()];
    let fixed = command::PROTOCOL
        .iter()
        .chain(ARGUMENTS)
        .map(|argument| (*argument).to_owned());
    let tools = [
        "--tools".to_owned(),
        job.tools.join(","),
        "--permission-mode".to_owned(),
        mode.to_owned(),
    ];
    fixed
        .chain(tools)
        .chain(session)
        .chain(turns.into_iter().flatten())
        .chain(budget)
        .collect()
}

/// Returns the complete environment of a process for `job`, on the server with the id `instance`.
pub(super) fn environment(
    setup: &CliSetup,
    instance: &str,
    job: &AgentJob,
) -> BTreeMap<String, String> {
    let mut environment = command::environment(setup, instance);
    environment.retain(|name, _| !EXCLUDED_VARIABLES.contains(&name.as_str()));
    if let Some(home) = home_dir(setup, job) {
        let home = home.display().to_string();
        environment.insert("CLAUDE_CONFIG_DIR".to_owned(), format!("{home}/config"));
        environment.insert("CLAUDE_CODE_TMPDIR".to_owned(), format!("{home}/tmp"));
        environment.insert("HOME".to_owned(), home);
    }
    environment.insert(
        command::MAX_OUTPUT_TOKENS.to_owned(),
        job.max_output_tokens.to_string(),
    );
    environment.insert(TASK_VARIABLE.to_owned(), job.task.clone());
    if let Some(trace) = &job.trace {
        environment.insert(TRACEPARENT.to_owned(), trace.traceparent.clone());
        let state = trace.tracestate.clone();
        environment.extend(state.map(|state| (TRACESTATE.to_owned(), state)));
    }
    environment
}

/// Returns the home directory of the process for `job`. Each session has its own, because the CLI
/// lets an agent read everything stored for its working directory. `None` for a stored sign-in,
/// which is in the user's own home.
pub(super) fn home_dir(setup: &CliSetup, job: &AgentJob) -> Option<PathBuf> {
    (setup.sign_in != SignIn::Stored).then(|| homes_dir(setup).join(job.session.id().to_string()))
}

/// Returns the directory that contains the stored sessions.
pub(super) fn sessions_dir(setup: &CliSetup) -> PathBuf {
    let variables = &setup.environment;
    let own = || variables.get("CLAUDE_CONFIG_DIR").map(PathBuf::from);
    let usual = || {
        variables
            .get("HOME")
            .map(|home| PathBuf::from(home).join(".claude"))
    };
    match setup.sign_in {
        SignIn::Stored => own().or_else(usual).unwrap_or_default(),
        _ => homes_dir(setup),
    }
}

fn homes_dir(setup: &CliSetup) -> PathBuf {
    setup.data_dir.join("agents")
}

#[cfg(test)]
mod tests {
    use super::{arguments, environment};
    use crate::domain::ModelName;
    use crate::domain::Money;
    use crate::engine::agent::{AgentJob, AgentMode, AgentSession, AgentTraceContext};
    use crate::engine::claude::testing::setup;

    fn job() -> AgentJob {
        AgentJob {
            task: "task_1".to_owned(),
            prompt: "--help".to_owned(),
            workspace: "/work".into(),
            model: ModelName::new("--model"),
            system_prompt: Some("--system".to_owned()),
            tools: vec!["Read", "Write"],
            mode: AgentMode::AcceptEdits,
            max_turns: Some(3),
            max_budget: Money::from_nanos(1_500_000_000),
            max_output_tokens: 32_000,
            session: AgentSession::New(uuid::Uuid::nil()),
            trace: None,
        }
    }

    #[test]
    fn agent_arguments_contain_no_text_of_the_task() {
        let line = arguments(&job()).join(" ");
        insta::assert_snapshot!(line, @"-p --input-format stream-json --output-format stream-json --verbose --include-partial-messages --strict-mcp-config --setting-sources  --permission-prompt-tool stdio --tools Read,Write --permission-mode acceptEdits --session-id 00000000-0000-0000-0000-000000000000 --max-turns 3 --max-budget-usd 1.50");
        let stored = AgentJob {
            session: AgentSession::Stored(uuid::Uuid::nil()),
            max_turns: None,
            ..job()
        };
        assert!(
            arguments(&stored)
                .join(" ")
                .ends_with("--resume 00000000-0000-0000-0000-000000000000 --max-budget-usd 1.50")
        );
    }

    #[test]
    fn agent_environment_has_its_own_home_and_task_marker() {
        let environment = environment(&setup(), "i", &job());
        let home = format!("/data/agents/{}", uuid::Uuid::nil());
        assert_eq!(environment["HOME"], home);
        assert_eq!(environment["CLAUDE_CONFIG_DIR"], format!("{home}/config"));
        assert_eq!(environment["SWITCHBOARD_TASK"], "task_1");
        assert_eq!(environment["CLAUDE_CODE_MAX_OUTPUT_TOKENS"], "32000");
        assert!(!environment.contains_key("DISABLE_COMPACT"));
        assert!(!environment.contains_key("TRACEPARENT"));
    }

    #[test]
    fn traced_agent_continues_the_trace_of_its_task() {
        let trace = |state: Option<&str>| AgentJob {
            trace: Some(AgentTraceContext {
                traceparent: "00-1-2-01".to_owned(),
                tracestate: state.map(str::to_owned),
            }),
            ..job()
        };
        let with_state = environment(&setup(), "i", &trace(Some("a=1")));
        assert_eq!(with_state["TRACEPARENT"], "00-1-2-01");
        assert_eq!(with_state["TRACESTATE"], "a=1");
        let without_state = environment(&setup(), "i", &trace(None));
        assert!(!without_state.contains_key("TRACESTATE"));
    }
}
