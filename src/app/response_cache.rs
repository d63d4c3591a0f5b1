//! Opening of the response cache, with the answers that servers share.

use std::sync::Arc;

use super::StartupContext;
use crate::engine::cache::CachingMode;
use crate::engine::cache::SharedLevel;
use crate::engine::gateway::AnswerCache;
use crate::storage::shared_cache::Error as SharedCacheError;
use crate::storage::shared_cache::RedisAnswers;
use crate::storage::shared_cache::SharedCachePlace;

/// Opens the response cache. Where servers share their answers, it follows what others clear, until the
/// last request has ended.
///
/// # Errors
/// Fails when the settings of the shared answers name what cannot be used. A Redis that does not
/// answer is none: requests go on without it.
pub(super) fn open_cache(context: &StartupContext<'_>) -> Result<AnswerCache, SharedCacheError> {
    let StartupContext {
        settings,
        shutdown,
        tracker,
        ..
    } = context;
    let version = context.hooks.version();
    let (config, shared) = (settings.cache, &settings.shared_cache);
    if config.mode == CachingMode::Off || shared.shared == SharedCachePlace::Off {
        return Ok(AnswerCache::new(config, version));
    }
    let time_to_live = config.time_to_live;
    let answers = RedisAnswers::new(shared, &settings.redis, time_to_live, tracker.clone())?;
    let level = SharedLevel::new(Arc::new(answers), shared, tracker.clone());
    let cache = AnswerCache::with_shared(config, version, level);
    cache.follow_clearings(tracker, shutdown.drain_expired());
    Ok(cache)
}
