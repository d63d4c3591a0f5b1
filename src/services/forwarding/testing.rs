//! Services in front of a scripted server, for tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::Forwarding;
use super::ForwardingDeps;
use crate::accounts::ledger;
use crate::accounts::pricing;
use crate::accounts::pricing::Prices;
use crate::accounts::rate_limit;
use crate::accounts::rate_limit::RateLimits;
use crate::domain::Money;
use crate::engine::hooks::Hooks;
use crate::engine::upstreams::Config;
use crate::engine::upstreams::Upstreams;
use crate::engine::upstreams::testing::ScriptedUpstream;
use crate::telemetry::activity::Activity;
use crate::telemetry::metrics::TurnMetrics;

/// Key by which the server is called.
pub(crate) const UPSTREAM_KEY: &str = "sk-upstream-secret";
/// Seconds of Unix time at which all holds are taken.
const NOW: u64 = 1_767_225_600;

/// Dependencies of a service in front of `server`, which is called `other` and has the models `e`,
/// `c`, `t`, `w` and `i` at all endpoints.
pub(crate) async fn deps(server: &ScriptedUpstream) -> ForwardingDeps {
    let config = format!(
        "[other]\nbase_url = \"{}\"\nendpoints = [\"embeddings\", \"moderations\", \"audio\", \"images\", \"chat\", \"responses\"]\n\
         silence_seconds = 30\n\
         [other.models]\n\"e\" = \"input 1000\"\n\"c\" = \"input 1000, output 2000\"\n\"t\" = \"characters 1000\"\n\
         \"w\" = \"minute 60\"\n\"i\" = \"image 1\"\n",
        server.base_url()
    );
    let config: Config = toml::from_str(&config).unwrap();
    config.check().unwrap();
    let keys = BTreeMap::from([("other".to_owned(), UPSTREAM_KEY.to_owned())]);
    ForwardingDeps {
        upstreams: Arc::new(Upstreams::new(&config, &keys, &TaskTracker::new()).unwrap()),
        ledger: ledger::testing::temporary(NOW).await,
        limits: RateLimits::new(rate_limit::Config::default()),
        prices: Arc::new(Prices::new(pricing::Config {
            models: BTreeMap::new(),
            assumed_output_tokens: 10,
            image_tokens: 10,
            document_tokens: 10,
            web_search: Money::ZERO,
        })),
        assumed_output_tokens: 10,
        hooks: Hooks::default(),
        metrics: TurnMetrics::default(),
        activity: Activity::new(),
    }
}

/// Service in front of `server`.
pub(crate) async fn forwarding(server: &ScriptedUpstream) -> Forwarding {
    Forwarding::new(deps(server).await)
}
