//! The price table, compared with the cost that the real CLI reports.

use std::path::Path;

use claude_switchboard::app;
use claude_switchboard::config::{CommandLineFlags, Environment, Settings};
use claude_switchboard::domain::{Money, Usage};
use messages_stand_in::StandIn;
use serde_json::Value;
use tokio::process::Command;

use crate::support::real_cli;

/// Runs the CLI once with scripted token counts and returns its JSON report.
#[expect(
    clippy::disallowed_methods,
    reason = "a test starts the CLI by itself, to see its own report"
)]
async fn run_cli(upstream: &StandIn, home: &Path, model: &str, usage: &Usage) -> Value {
    let Usage {
        input_tokens,
        output_tokens,
        cache_write_tokens,
        cache_read_tokens,
        ..
    } = usage;
    let prompt = format!(
        "[[say=done usage_in={input_tokens} usage_out={output_tokens} usage_cache_write={cache_write_tokens} \
         usage_cache_read={cache_read_tokens}]]"
    );
    let output = Command::new(real_cli())
        .args([
            "-p",
            &prompt,
            "--model",
            model,
            "--output-format",
            "json",
            "--bare",
            "--tools",
            "",
        ])
        .args(["--setting-sources", "", "--no-session-persistence"])
        .current_dir(home)
        .env_clear()
        .envs([
            ("PATH", "/usr/bin:/bin"),
            ("ANTHROPIC_API_KEY", "sk-ant-made-up"),
        ])
        .envs([("HOME", home), ("CLAUDE_CONFIG_DIR", &home.join("config"))])
        .env("ANTHROPIC_BASE_URL", upstream.base_url())
        .envs([
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
            ("DISABLE_TELEMETRY", "1"),
        ])
        .envs([
            ("DISABLE_AUTOUPDATER", "1"),
            ("DISABLE_ERROR_REPORTING", "1"),
        ])
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    serde_json::from_slice(&output.stdout).expect("the CLI reports its run as JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn price_table_agrees_with_cost_reported_by_cli() {
    let environment = Environment::from_iter([("HOME", "/home/me")]);
    let prices =
        app::prices(&Settings::load(None, &environment, &CommandLineFlags::default()).unwrap());
    let upstream = StandIn::start().await.unwrap();
    let home = tempfile::tempdir().unwrap();
    let usage = |input_tokens, output_tokens, cache_write_tokens, cache_read_tokens| Usage {
        input_tokens,
        output_tokens,
        cache_write_tokens,
        cache_read_tokens,
        thinking_tokens: 0,
        ..Usage::default()
    };
    for model in ["haiku", "sonnet", "opus"] {
        // The second is above the prompt size from which haiku has other prices.
        for usage in [
            usage(1003, 707, 2011, 5013),
            usage(40_001, 707, 30_000, 30_000),
        ] {
            let report = run_cli(&upstream, home.path(), model, &usage).await;
            let charged = Money::from_dollars(report["total_cost_usd"].as_f64().unwrap());
            let id = report["modelUsage"]
                .as_object()
                .unwrap()
                .keys()
                .next()
                .unwrap();
            assert_eq!(prices.cost(id, &usage), charged, "{id} {usage:?}");
            assert_eq!(prices.cost(model, &usage), charged, "{model} is {id}");
        }
    }
}
