//! Sessions for tests of other modules: at most three per key.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::TaskTracker;

use super::Config;
use super::Sessions;
use crate::accounts::auth::Keys;
use crate::storage::store::Store;
use crate::storage::store::testing::FaultyBackend;

/// Creates sessions in memory.
pub(crate) fn temporary(keys: &Arc<Keys>) -> Sessions {
    over(&Store::in_memory(TaskTracker::new()), keys)
}

/// Creates sessions on a disk that can be made full.
pub(crate) fn faulty(keys: &Arc<Keys>) -> (Sessions, Arc<FaultyBackend>) {
    let disk = Arc::new(FaultyBackend::default());
    let store = Store::new(Arc::clone(&disk) as _, TaskTracker::new()).unwrap();
    (over(&store, keys), disk)
}

fn over(store: &Store, keys: &Arc<Keys>) -> Sessions {
    let config = Config {
        idle: Duration::from_secs(60),
        max_sessions: 3,
        max_bytes: 1 << 20,
    };
    Sessions::new(store, Arc::clone(keys), config)
}
