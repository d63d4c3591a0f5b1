//! Spans of the wait for a worker and of its lease.

use std::time::Duration;

use super::super::Claim;
use super::PoolFixture;
use super::config;
use crate::telemetry::traces::testing::TestTraces;

#[tokio::test(start_paused = true)]
async fn wait_and_lease_are_spans_of_the_request() {
    let mut traces = TestTraces::new();
    let fixture = PoolFixture::new(config());
    let request = traces.tracer.begin_request("POST /x", None).unwrap();
    let claim = Claim {
        span: Some(request.scope()),
        ..Claim::own()
    };
    // No worker is up yet: a start takes half a second.
    let mut lease = fixture.pool.lease(&claim).await.unwrap();
    lease.worker().unwrap();
    tokio::time::advance(Duration::from_millis(70)).await;
    drop(lease);
    drop(request);
    let spans = traces.take();
    assert_eq!(spans.names(), ["POST /x", "lease", "queue"]);
    assert!(spans.only("queue").duration() >= Duration::from_millis(500));
    let lease = spans.only("lease").duration();
    assert_eq!(lease, Duration::from_millis(70));
    assert_eq!(spans.parent_of("queue"), Some("POST /x"));
    assert_eq!(spans.parent_of("lease"), Some("POST /x"));
    fixture.end().await;
}
