//! Maps the settings file to the configuration of each part.

use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;

use crate::accounts::pricing;
use crate::accounts::pricing::Prices;
use crate::api::request_schema::Policy;
use crate::config::CacheMode;
use crate::config::Settings;
use crate::domain::ModelName;
use crate::engine::cache;
use crate::engine::gateway::ModelNames;
use crate::engine::gateway::ModelRules;
use crate::engine::pool;
use crate::engine::routing;
use crate::engine::routing::Router;
use crate::http;
use crate::server;
use crate::services::uploads;
use crate::telemetry::metrics::Metrics;

/// Builds the price list of `settings`.
pub fn prices(settings: &Settings) -> Prices {
    let pricing = &settings.pricing;
    Prices::new(pricing::Config {
        models: pricing
            .models
            .iter()
            .map(|(name, listed)| (name.clone(), listed.price.clone()))
            .collect(),
        assumed_output_tokens: pricing.assumed_output_tokens.into(),
        image_tokens: pricing.image_tokens.into(),
        document_tokens: pricing.document_tokens.into(),
        web_search: settings.web_search.price(),
    })
}

/// Builds the model aliases and the fallback model of `settings`.
pub(super) fn model_names(settings: &Settings) -> ModelNames {
    let fallback = settings.models.fallback.trim();
    ModelNames::new(
        settings.models.aliases.clone(),
        (!fallback.is_empty()).then(|| fallback.to_owned()),
    )
}

/// Builds the rules of which model refuses which parameter.
pub(super) fn model_rules(settings: &Settings) -> ModelRules {
    ModelRules::new(settings.models.restrictions(), settings.server.strict)
}

/// Builds [`model_rules`] that count each newly learnt refusal in `metrics`.
pub(super) fn counted_rules(settings: &Settings, metrics: Metrics) -> ModelRules {
    model_rules(settings).with_refusal_listener(move |model, parameter| {
        metrics.count_learnt_refusal(model, parameter);
    })
}

/// Builds the model router of `settings`, which counts tokens as `prices` does.
pub fn router(settings: &Settings, prices: &Arc<Prices>) -> Router {
    let routing = &settings.routing;
    let config = routing::Config {
        light_model: ModelName::new(&routing.light_model),
        usual_model: ModelName::new(&routing.usual_model),
        heavy_model: ModelName::new(&routing.heavy_model),
        scarce_tokens: routing.scarce_tokens.into(),
        long_context_tokens: routing.long_context_tokens.into(),
        short_prompt_characters: routing.short_prompt_characters,
        longest_simple_word: routing.longest_simple_word,
        hard_words: routing.hard_words.clone(),
        saving_percent: routing.saving_percent.into(),
    };
    Router::new(config, Arc::clone(prices))
}

/// Builds the configuration of the worker pool.
pub(super) fn pool_config(settings: &Settings) -> pool::Config {
    let pool = &settings.pool;
    pool::Config {
        max_workers: pool.max_workers,
        prewarm: pool.prewarm,
        max_starting: available_parallelism().map_or(2, NonZero::get).max(2),
        queue_length: pool.queue_length,
        queue_timeout: pool.queue_timeout,
        max_turns: pool.max_turns,
        max_age: pool.max_age,
        idle_timeout: pool.idle_timeout,
        check_after: pool.idle_check,
    }
}

/// Builds the limits on the uploaded files of turns, which wait for memory as long as for a worker.
pub(super) fn uploads_config(settings: &Settings) -> uploads::Config {
    uploads::Config {
        max_turn_bytes: settings.server.body_limit as u64,
        queue_timeout: settings.pool.queue_timeout,
        max_workers: settings.pool.max_workers,
    }
}

/// Returns the policy for request fields without effect.
pub(super) fn policy(settings: &Settings) -> Policy {
    if settings.server.strict {
        Policy::Strict
    } else {
        Policy::Lenient
    }
}

/// Builds the configuration of the HTTP layer.
pub(super) fn http_config(settings: &Settings) -> http::Config {
    let server = &settings.server;
    http::Config {
        heartbeat: server.heartbeat,
        first_event_wait: server.first_event_wait,
        body_limit: server.body_limit,
        body_budget: server.body_budget << 20,
        upload_limit: settings.files.max_file_bytes(),
        body_pause_timeout: server.body_pause_timeout,
        body_read_timeout: server.body_read_timeout,
        allowed_origins: server.allowed_origins.clone(),
        policy: policy(settings),
        betas: settings.claude.betas.clone(),
    }
}

/// Builds the configuration of a listener with at most `connections` connections.
pub(super) fn server_config(settings: &Settings, connections: usize) -> server::Config {
    let server = &settings.server;
    server::Config {
        header_read_timeout: server.header_read_timeout,
        send_timeout: server.send_timeout,
        drain_timeout: server.drain_timeout,
        send_buffer: server.send_buffer,
        connections,
        unknown_per_address: server.unknown_connections_per_address,
    }
}

/// Builds the configuration of the response cache.
pub(super) fn cache_config(settings: &Settings) -> cache::Config {
    let cache = &settings.cache;
    cache::Config {
        mode: match cache.mode {
            CacheMode::Off => cache::CachingMode::Off,
            CacheMode::Deterministic => cache::CachingMode::Deterministic,
            CacheMode::All => cache::CachingMode::All,
        },
        max_bytes: cache.max_bytes as u64,
        time_to_live: cache.time_to_live,
    }
}
