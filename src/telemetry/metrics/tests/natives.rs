//! Native histograms in the protobuf format.

use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::Histogram;
use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::MetricFamily;
use proptest::prelude::*;
use prost::Message as _;

use super::super::labels::NATIVE_SCHEMA;
use super::*;

/// Factor between the bounds of two native buckets.
fn growth() -> f64 {
    2_f64.powf(2_f64.powi(-i32::from(NATIVE_SCHEMA)))
}

/// Families of a scrape in the protobuf format.
fn families(metrics: &Metrics) -> Vec<MetricFamily> {
    let levels = MetricsSnapshot::default();
    let rendered = metrics.render(&levels, MetricsFormat::Protobuf).unwrap();
    let mut rest = rendered.as_slice();
    let mut families = Vec::new();
    while !rest.is_empty() {
        families.push(MetricFamily::decode_length_delimited(&mut rest).unwrap());
    }
    families
}

/// The one histogram of a family.
fn histogram_of(metrics: &Metrics, name: &str) -> Histogram {
    let mut families = families(metrics).into_iter();
    let family = families.find(|family| family.name == name).unwrap();
    assert_eq!(family.metric.len(), 1, "{name}");
    family.metric[0].histogram.clone().unwrap()
}

/// Upper bounds and counts of the native buckets of positive values.
fn native_buckets(histogram: &Histogram) -> Vec<(f64, i64)> {
    let mut index = 0;
    let mut indexes = Vec::new();
    for span in &histogram.positive_span {
        index += span.offset;
        indexes.extend((0..span.length).map(|place| index + i32::try_from(place).unwrap()));
        index += i32::try_from(span.length).unwrap();
    }
    let mut count = 0;
    let counts = histogram.positive_delta.iter().map(|delta| {
        count += delta;
        count
    });
    let bounds = indexes.iter().map(|index| growth().powi(*index));
    bounds.zip(counts).collect()
}

#[tokio::test]
async fn histogram_with_exemplars_has_native_buckets_beside_classic_ones() {
    let metrics = Metrics::new();
    let waits = async {
        for wait in [Duration::ZERO, Duration::from_millis(40)] {
            metrics.pool.record_wait("live", wait);
        }
    };
    RequestExemplar::of_request("req_1").scope(waits).await;
    let histogram = histogram_of(&metrics, "switchboard_queue_wait_seconds");
    assert_eq!((histogram.sample_count, histogram.zero_count), (2, 1));
    assert_eq!(histogram.schema, i32::from(NATIVE_SCHEMA));
    let native = native_buckets(&histogram);
    assert_eq!(native.len(), 1, "{native:?}");
    let classic = histogram
        .bucket
        .iter()
        .map(|bucket| bucket.cumulative_count);
    assert_eq!(classic.max(), Some(2));
    let examples: Vec<&str> = histogram
        .exemplars
        .iter()
        .map(|exemplar| exemplar.label[0].value.as_str())
        .collect();
    assert_eq!(examples, ["req_1"; 2]);
}

#[test]
fn every_histogram_has_native_buckets_and_counters_keep_their_names() {
    let (metrics, _) = filled();
    let families = families(&metrics);
    let mut histograms = 0;
    for family in &families {
        for histogram in family
            .metric
            .iter()
            .filter_map(|metric| metric.histogram.as_ref())
        {
            assert_eq!(
                histogram.schema,
                i32::from(NATIVE_SCHEMA),
                "{}",
                family.name
            );
            assert!(histogram.bucket.len() > 5, "{}", family.name);
            histograms += 1;
        }
    }
    assert!(histograms > 8, "{histograms}");
    let has = |name: &str| families.iter().any(|family| family.name == name);
    assert!(has("switchboard_turns_total") && has("process_open_fds"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn observation_is_in_the_native_bucket_whose_bounds_contain_it(micros in 1_u64..1_000_000_000) {
        let metrics = Metrics::new();
        let time = Duration::from_micros(micros);
        metrics.pool.record_lease(time);
        let histogram = histogram_of(&metrics, "switchboard_worker_lease_seconds");
        let native = native_buckets(&histogram);
        prop_assert_eq!(native.len(), 1);
        let (upper, count) = native[0];
        prop_assert_eq!(count, 1);
        // Bounds are powers of a factor that is not exact.
        let seconds = time.as_secs_f64();
        let slack = 1e-9;
        prop_assert!(seconds <= upper * (1.0 + slack), "{seconds} > {upper}");
        prop_assert!(seconds > upper / growth() * (1.0 - slack), "{seconds} < {upper}");
    }
}
