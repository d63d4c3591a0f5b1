//! Assertions about rendered metrics, for tests of the parts that count.

use super::Metrics;
use super::MetricsFormat;
use super::MetricsSnapshot;

/// Returns the metrics as text in `format`.
pub(crate) fn text(metrics: &Metrics, levels: &MetricsSnapshot, format: MetricsFormat) -> String {
    String::from_utf8(metrics.render(levels, format).unwrap()).unwrap()
}

/// Asserts that each of `series`, with its value, is a line of the format 0.0.4.
pub(crate) fn assert_series(metrics: &Metrics, series: &[&str]) {
    let snapshot = MetricsSnapshot::default();
    let text = text(metrics, &snapshot, MetricsFormat::Prometheus);
    for line in series {
        assert!(text.lines().any(|found| found == *line), "{line}\n{text}");
    }
}
