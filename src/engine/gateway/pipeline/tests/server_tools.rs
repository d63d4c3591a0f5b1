//! Permissions for tools that Anthropic runs.

use super::*;
use crate::domain::CODE_EXECUTION_BETA;
use crate::domain::MCP_BETA;
use crate::domain::McpServer;
use crate::domain::OptionalTool;
use crate::domain::ServerToolKind;
use crate::engine::gateway::ServerToolsOff;

fn caller_with_grant(grant: Grant) -> Caller {
    Caller {
        grant: Arc::new(grant),
        ..Caller::named("a")
    }
}

/// Returns a turn with natively written `tools`.
fn written(tools: &[&str]) -> Turn {
    let mut turn = turn("m-1", None);
    turn.native.tools = Some(tools.iter().map(|tool| (*tool).to_owned()).collect());
    turn
}

async fn refusal(setting: &Setting, caller: &Caller, turn: Turn) -> Option<Error> {
    setting.ask(caller, turn).await.err()
}

#[tokio::test]
async fn key_without_web_search_is_refused_search_and_fetch() {
    let setting = Setting::new().await;
    let caller = caller_with_grant(Grant {
        no_web_search: true,
        ..Grant::default()
    });
    let off = Setting::with(AdmissionDeps {
        web_searches: None,
        ..testing::admission_deps().await
    });
    let fetch = || written(&[r#"{"type":"web_fetch_20250910","name":"web_fetch"}"#]);
    for turn in [turn_with_web_search(Some(1)), fetch()] {
        let refused = refusal(&setting, &caller, turn.clone()).await;
        assert_eq!(refused, Some(Error::WebSearchOff { by_key: true }));
        assert_eq!(
            refusal(&setting, &Caller::named("b"), turn.clone()).await,
            None
        );
        let refused = refusal(&off, &Caller::named("b"), turn).await;
        assert_eq!(refused, Some(Error::WebSearchOff { by_key: false }));
    }
    assert_eq!(refusal(&off, &caller, turn("m-1", None)).await, None);
}

#[tokio::test]
async fn natively_written_search_is_bounded() {
    let setting = Setting::new().await;
    let tool =
        |rest: &str| format!(r#"{{"type":"web_search_20250305","name":"web_search"{rest}}}"#);
    let other = r#"{"type":"bash_20250124","name":"bash"}"#.to_owned();
    for (written, bound) in [
        (tool(""), 5),
        (tool(r#","max_uses":2"#), 2),
        (tool(r#","max_uses":null"#), 5),
    ] {
        let mut turn = turn_with_web_search((bound == 2).then_some(2));
        turn.native.tools = Some(vec![written, other.clone()]);
        let _running = setting.ask(&Caller::named("a"), turn).await.unwrap();
        let sent = setting.runs.take().turn.native.tools.unwrap();
        let search: serde_json::Value = serde_json::from_str(&sent[0]).unwrap();
        assert_eq!((&search["max_uses"], &sent[1]), (&bound.into(), &other));
    }
}

fn with_code() -> Turn {
    let mut turn = turn("m-1", None);
    turn.tools.runs_code = true;
    turn
}

fn with_server() -> Turn {
    let mut turn = turn("m-1", None);
    let name = "a".to_owned();
    let url = "https://a.example".to_owned();
    turn.tools.mcp_servers = vec![McpServer {
        name,
        url,
        token: None,
        allowed_tools: None,
    }];
    turn
}

#[tokio::test]
async fn code_and_mcp_servers_need_permission_and_setting() {
    let betas = || [CODE_EXECUTION_BETA, MCP_BETA].map(str::to_owned).to_vec();
    let setting = Setting::with(AdmissionDeps {
        betas: betas(),
        ..testing::admission_deps().await
    });
    let off = Setting::with(AdmissionDeps {
        betas: betas(),
        server_tools: false,
        ..testing::admission_deps().await
    });
    let caller = caller_with_grant(Grant {
        no_server_tools: true,
        ..Grant::default()
    });
    let native = || {
        let mut turn = turn("m-1", None);
        turn.native.fields = vec![("mcp_servers".to_owned(), "[]".to_owned())];
        turn
    };
    let code = r#"{"type":"code_execution_20250825","name":"code_execution"}"#;
    let toolset = r#"{"type":"mcp_toolset","mcp_server_name":"a"}"#;
    for turn in [
        with_code(),
        with_server(),
        native(),
        written(&[code]),
        written(&[toolset]),
    ] {
        assert_eq!(
            refusal(&setting, &Caller::named("b"), turn.clone()).await,
            None
        );
        let refused = refusal(&setting, &caller, turn.clone()).await;
        assert_eq!(refused, Some(Error::ServerToolsOff(ServerToolsOff::ByKey)));
        let refused = refusal(&off, &Caller::named("b"), turn).await;
        assert_eq!(
            refused,
            Some(Error::ServerToolsOff(ServerToolsOff::BySetting))
        );
    }
    let bash = r#"{"type":"bash_20250124","name":"bash"}"#;
    assert_eq!(refusal(&off, &caller, written(&[bash])).await, None);
}

#[tokio::test]
async fn code_and_mcp_servers_need_their_betas() {
    let setting = Setting::new().await;
    for (turn, beta) in [
        (with_code(), CODE_EXECUTION_BETA),
        (with_server(), MCP_BETA),
    ] {
        let refused = refusal(&setting, &Caller::named("b"), turn.clone()).await;
        assert_eq!(
            refused,
            Some(Error::ServerToolsOff(ServerToolsOff::WithoutBeta(beta)))
        );
        let betas = vec![beta.to_owned()];
        let with_beta = Setting::with(AdmissionDeps {
            betas,
            ..testing::admission_deps().await
        });
        assert_eq!(refusal(&with_beta, &Caller::named("b"), turn).await, None);
    }
}

#[tokio::test]
async fn mcp_servers_need_a_cli_that_reads_their_calls() {
    let betas = vec![MCP_BETA.to_owned()];
    let setting = Setting::with(AdmissionDeps {
        betas,
        reads_mcp: false,
        ..testing::admission_deps().await
    });
    let refused = refusal(&setting, &Caller::named("b"), with_server()).await;
    assert_eq!(
        refused,
        Some(Error::ServerToolsOff(ServerToolsOff::Unreadable))
    );
}

#[tokio::test]
async fn optional_tools_are_removed_and_reported() {
    let optional = |kind, notice: &str| OptionalTool {
        kind,
        notice: notice.to_owned(),
    };
    let mut turn = turn_with_web_search(None);
    turn.tools.runs_code = true;
    turn.tools.mcp_servers = with_server().tools.mcp_servers;
    turn.tools.optional = vec![
        optional(ServerToolKind::Search, "search"),
        optional(ServerToolKind::Code, "code"),
        optional(ServerToolKind::Mcp, "mcp"),
    ];
    let betas = || [CODE_EXECUTION_BETA, MCP_BETA].map(str::to_owned).to_vec();
    let all = Setting::with(AdmissionDeps {
        betas: betas(),
        ..testing::admission_deps().await
    });
    let none = Setting::with(AdmissionDeps {
        web_searches: None,
        ..testing::admission_deps().await
    });
    let no_mcp = Setting::with(AdmissionDeps {
        betas: betas(),
        reads_mcp: false,
        ..testing::admission_deps().await
    });
    let caller = caller_with_grant(Grant {
        no_web_search: true,
        no_server_tools: true,
        ..Grant::default()
    });
    let everything: &[&str] = &["code", "mcp", "search"];
    for (setting, caller, expected) in [
        (&all, &Caller::named("b"), &[] as &[&str]),
        (&all, &caller, everything),
        (&none, &Caller::named("b"), everything),
        (&no_mcp, &Caller::named("b"), &["mcp"]),
    ] {
        let running = setting.ask(caller, turn.clone()).await.unwrap();
        let mut left_out = running.info.left_out.clone();
        left_out.sort_unstable();
        assert_eq!(left_out, expected);
        let ran = setting.runs.take().turn.tools;
        assert_eq!(
            ran.web_search.is_some(),
            !left_out.contains(&"search".to_owned())
        );
        assert_eq!(ran.runs_code, !left_out.contains(&"code".to_owned()));
        assert_eq!(
            ran.mcp_servers.is_empty(),
            left_out.contains(&"mcp".to_owned())
        );
    }
    turn.tools
        .optional
        .retain(|tool| tool.kind != ServerToolKind::Code);
    let refused = refusal(&none, &Caller::named("b"), turn).await;
    assert_eq!(
        refused,
        Some(Error::ServerToolsOff(ServerToolsOff::WithoutBeta(
            CODE_EXECUTION_BETA
        )))
    );
}
