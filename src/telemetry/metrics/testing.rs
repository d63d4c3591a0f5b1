//! Assertions about rendered metrics, for tests of the parts that count.

use super::Metrics;
use super::MetricsFormat;
use super::MetricsSnapshot;

/// Asserts that each of `series`, with its value, is a line of the format 0.0.4.
pub(crate) fn assert_series(metrics: &Metrics, series: &[&str]) {
    let snapshot = MetricsSnapshot::default();
    let text = metrics
        .render(&snapshot, MetricsFormat::Prometheus)
        .unwrap();
    for line in series {
        assert!(text.lines().any(|found| found == *line), "{line}\n{text}");
    }
}
