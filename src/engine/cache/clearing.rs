//! Clearing of answers at all servers that share them.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::storage::shared_cache::Error as SharedCacheError;

use super::Cache;

/// Time between two looks for answers that another server has cleared.
const CLEARING_INTERVAL: Duration = Duration::from_secs(1);

impl<E: Clone + Send + 'static> Cache<E> {
    /// Clears the answers of `project`, or of all projects: here at once, and at the servers that share
    /// them as soon as these notice it, a second later at most.
    ///
    /// # Errors
    /// Fails when the level that servers share cannot be reached. The memory of this server is cleared
    /// then, and what is shared is as it was.
    pub async fn clear_everywhere(&self, project: Option<&str>) -> Result<(), SharedCacheError> {
        // The level first: what is cleared here must not come back from there.
        let cleared = match &self.0.shared {
            Some(level) => level.clear(project).await,
            None => Ok(()),
        };
        self.clear(project);
        cleared
    }

    /// Follows what other servers clear, on `tracker` until `stop`.
    ///
    /// Any clearing empties the memory of this server; the answers of other projects are found again at
    /// the level that servers share.
    pub fn follow_clearings(&self, tracker: &TaskTracker, stop: CancellationToken) {
        let Some(level) = self.0.shared.clone() else {
            return;
        };
        let cache = self.clone();
        tracker.spawn(async move {
            // Unknown at first, and while the level is away: what was cleared meanwhile is noticed later.
            let mut known = Vec::new();
            let sleep = || tokio::time::sleep(CLEARING_INTERVAL);
            loop {
                match level.last_clearing().await {
                    Ok(mark) if mark != known => {
                        cache.clear(None);
                        known = mark;
                    }
                    Ok(_) | Err(_) => {}
                }
                if stop.run_until_cancelled(sleep()).await.is_none() {
                    return;
                }
            }
        });
    }
}
