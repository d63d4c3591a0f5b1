//! Check of other servers: their keys, and whether they take them. The list of models is asked for,
//! and no content is sent.

use std::time::Duration;

use futures::future::join_all;
use tokio_util::task::TaskTracker;

use crate::app::upstreams::open_upstreams;
use crate::config::Environment;
use crate::config::Settings;
use crate::engine::upstreams::Upstream;
use crate::runtime::checks::CheckFinding;

/// Time after which an answer is given up.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Checks that each upstream of `settings` can be reached and takes its key.
pub(super) async fn check_upstreams(
    settings: &Settings,
    environment: &Environment,
) -> CheckFinding {
    let upstreams = match open_upstreams(settings, environment, &TaskTracker::new()) {
        Ok(upstreams) => upstreams,
        Err(error) => {
            return CheckFinding::fail(error.to_string(), error.hint());
        }
    };
    let all: Vec<&Upstream> = upstreams.all().collect();
    let probed = join_all(all.iter().map(|upstream| probe(upstream))).await;
    let count = probed.len();
    let problems: Vec<String> = probed.into_iter().flatten().collect();
    if problems.is_empty() {
        return CheckFinding::pass(format!("{count} can be reached"));
    }
    CheckFinding::warn(
        problems.join("; "),
        "correct base_url, key_variable and key_file in [upstreams.NAME]; requests to it fail meanwhile",
    )
}

/// Returns what is wrong with an upstream. One without a list of models is none the worse for it.
async fn probe(upstream: &Upstream) -> Option<String> {
    let name = upstream.name();
    match upstream.probe(PROBE_TIMEOUT).await {
        Ok(status @ (401 | 403)) => Some(format!("`{name}` does not accept its key ({status})")),
        Ok(status @ (300..=399 | 500..)) => Some(format!("`{name}` answered with {status}")),
        Ok(_) => None,
        Err(error) => Some(format!("`{name}` cannot be reached: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CommandLineFlags;
    use crate::engine::upstreams::testing::ScriptedAnswer;
    use crate::engine::upstreams::testing::ScriptedUpstream;
    use crate::runtime::checks::CheckStatus;

    #[tokio::test]
    async fn upstream_that_refuses_its_key_is_reported() {
        for (status, expected) in [
            (200, CheckStatus::Pass),
            (404, CheckStatus::Pass),
            (401, CheckStatus::Warn),
            (502, CheckStatus::Warn),
        ] {
            let server = ScriptedUpstream::start(move |_| {
                ScriptedAnswer::new(status, "application/json", "{}")
            })
            .await;
            let base_url = server.base_url();
            let setting = format!(
                "{{ u = {{ base_url = \"{base_url}\", endpoints = [\"chat\"], models = {{ \"m\" = \"free\" }} }} }}"
            );
            let variables = [
                ("HOME", "/home/me"),
                ("SWITCHBOARD_UPSTREAMS", setting.as_str()),
            ];
            let environment: Environment = variables.into_iter().collect();
            let settings = Settings::load(None, &environment, &CommandLineFlags::default());
            let found = check_upstreams(&settings.unwrap(), &environment).await;
            assert_eq!(found.status, expected, "{status}: {found:?}");
            assert!(server.requests()[0].starts_with("GET /v1/models "));
        }
    }
}
