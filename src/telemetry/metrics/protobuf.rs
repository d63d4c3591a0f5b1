//! Protobuf format of Prometheus, the only one that has native histograms.

use prometheus_client::encoding::prometheus_protobuf;
use prometheus_client::encoding::prometheus_protobuf::EncodeError;
use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::Histogram;
use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::Metric;
use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::MetricFamily;
use prometheus_client::registry::Registry;
use prost::Message as _;

/// Encodes `registry` as messages with their lengths before them. The histograms of `natives`,
/// which have native buckets only, are merged into the histograms with the same name and labels.
///
/// # Errors
/// Fails when a metric cannot be encoded.
pub(super) fn encode(registry: &Registry, natives: &Registry) -> Result<Vec<u8>, EncodeError> {
    let mut families = prometheus_protobuf::encode(registry)?;
    for native in prometheus_protobuf::encode(natives)? {
        let same = families
            .iter_mut()
            .find(|family| family.name == native.name);
        if let Some(family) = same {
            add_natives(family, native.metric);
        }
    }
    let mut encoded = Vec::new();
    for family in families {
        family.encode_length_delimited(&mut encoded)?;
    }
    Ok(encoded)
}

fn add_natives(family: &mut MetricFamily, natives: Vec<Metric>) {
    for native in natives {
        let mut metrics = family.metric.iter_mut();
        let same = metrics.find(|metric| metric.label == native.label);
        let classic = same.and_then(|metric| metric.histogram.as_mut());
        if let (Some(classic), Some(native)) = (classic, native.histogram) {
            let bucket = std::mem::take(&mut classic.bucket);
            let examples = bucket.iter().filter_map(|bucket| bucket.exemplar.clone());
            // Count and sum are those of the native buckets, which Prometheus checks them against; the
            // classic ones may be an observation behind.
            *classic = Histogram {
                exemplars: examples.collect(),
                bucket,
                ..native
            };
        }
    }
}
