//! Limit of requests without a caller: a flood of them must not displace the spans of callers.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

/// Maximum number of requests without a caller that are kept in each [`WINDOW`].
pub(super) const MAX_ANONYMOUS_REQUESTS: u32 = 10;
const WINDOW: Duration = Duration::from_secs(1);

/// Counter of the requests without a caller that are kept.
#[derive(Default)]
pub(super) struct AnonymousLimit {
    /// Held for a few instructions and never across an await.
    window: Mutex<CountedWindow>,
}

#[derive(Default)]
struct CountedWindow {
    started_at: Option<Instant>,
    admitted: u32,
}

impl AnonymousLimit {
    /// Returns true, and counts a request, while fewer than [`MAX_ANONYMOUS_REQUESTS`] are kept in the window.
    pub(super) fn admit(&self) -> bool {
        let now = Instant::now();
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = window
            .started_at
            .is_none_or(|at| now.saturating_duration_since(at) >= WINDOW);
        if is_over {
            *window = CountedWindow {
                started_at: Some(now),
                admitted: 0,
            };
        }
        let has_room = window.admitted < MAX_ANONYMOUS_REQUESTS;
        window.admitted += u32::from(has_room);
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ten_requests_are_admitted_in_each_second() {
        let limit = AnonymousLimit::default();
        let admitted = || (0..100).filter(|_| limit.admit()).count();
        assert_eq!(admitted(), 10);
        tokio::time::advance(Duration::from_millis(999)).await;
        assert_eq!(admitted(), 0);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(admitted(), 10);
    }
}
