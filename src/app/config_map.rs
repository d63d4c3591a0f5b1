//! Services and settings of parts that also need a value of another part's settings.

use std::sync::Arc;

use crate::accounts::pricing;
use crate::accounts::pricing::Prices;
use crate::api::request_schema::Policy;
use crate::config::Settings;
use crate::engine::gateway::ModelRules;
use crate::engine::routing::Router;
use crate::http;
use crate::server;
use crate::services::uploads;
use crate::telemetry::metrics::Metrics;

/// Builds the price list of `settings`, with the baseline of savings.
pub fn prices(settings: &Settings) -> Prices {
    let prices = Prices::new(pricing::Config {
        web_search: settings.web_search.price,
        ..settings.pricing.clone()
    });
    prices.with_baseline(settings.baseline_model())
}

/// Builds the rules of which model refuses which parameter.
pub(super) fn model_rules(settings: &Settings) -> ModelRules {
    let is_strict = settings.http.policy == Policy::Strict;
    ModelRules::new(settings.models.restrictions.clone(), is_strict)
}

/// Builds [`model_rules`] that count each newly learned refusal in `metrics`.
pub(super) fn counted_rules(settings: &Settings, metrics: Metrics) -> ModelRules {
    model_rules(settings).with_refusal_listener(move |model, parameter| {
        metrics.count_learned_refusal(model, parameter);
    })
}

/// Builds the model router of `settings`, with its fallbacks, which counts tokens as `prices` does.
pub fn router(settings: &Settings, prices: &Arc<Prices>) -> Router {
    let router = Router::new(settings.routing.clone(), Arc::clone(prices));
    router.with_fallbacks(settings.fallbacks.clone())
}

/// Builds the limits on the uploaded files of turns, which wait for memory as long as for a worker.
pub(super) fn uploads_config(settings: &Settings) -> uploads::Config {
    uploads::Config {
        max_turn_bytes: settings.http.body_limit as u64,
        queue_timeout: settings.pool.queue_timeout,
        max_workers: settings.pool.max_workers,
    }
}

/// Returns the configuration of the HTTP layer.
pub(super) fn http_config(settings: &Settings) -> http::Config {
    http::Config {
        upload_limit: settings.files.max_file_bytes,
        betas: settings.claude.betas.clone(),
        ..settings.http.clone()
    }
}

/// Returns the configuration of a listener with at most `connections` connections.
pub(super) fn server_config(settings: &Settings, connections: usize) -> server::Config {
    server::Config {
        connections,
        ..settings.connections
    }
}
