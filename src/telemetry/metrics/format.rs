//! Formats of a scrape, and the choice among them.

use std::cmp::Reverse;

use prometheus_client::encoding::prometheus_text;

/// Message that each metric family is in the protobuf format, and the way they follow each other.
const PROTOBUF_PARAMETERS: [&str; 2] = [
    "proto=io.prometheus.client.MetricFamily",
    "encoding=delimited",
];

/// Format of a scrape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsFormat {
    /// Text format 0.0.4 of Prometheus, which every scraper reads.
    Prometheus,
    /// Text format 1.0.0 of `OpenMetrics`.
    OpenMetrics,
    /// Protobuf format of Prometheus, which has native histograms.
    Protobuf,
}

impl MetricsFormat {
    /// Returns the format that the header `Accept` of a scraper prefers; the text format 0.0.4 if it
    /// names none.
    #[must_use]
    pub fn from_accept(accept: &str) -> Self {
        let named = accept.split(',').filter_map(|range| {
            let (name, parameters) = range.split_once(';').unwrap_or((range, ""));
            let quality = quality(parameters);
            let format = Self::of_media_range(name.trim(), parameters)?;
            Some((format, quality)).filter(|_| quality > 0)
        });
        // Of equal ones the first: the key of the others is no smaller.
        let best = named.min_by_key(|(_, quality)| Reverse(*quality));
        best.map_or(Self::Prometheus, |(format, _)| format)
    }

    fn of_media_range(name: &str, parameters: &str) -> Option<Self> {
        match name {
            "application/vnd.google.protobuf" if is_protobuf(parameters) => Some(Self::Protobuf),
            "application/openmetrics-text" => Some(Self::OpenMetrics),
            "text/plain" | "text/*" | "*/*" => Some(Self::Prometheus),
            _ => None,
        }
    }

    /// Returns the value of `Content-Type`.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }
}

/// Returns true if the parameters of a media range name the one protobuf format there is.
fn is_protobuf(parameters: &str) -> bool {
    let named: Vec<&str> = parameters.split(';').map(str::trim).collect();
    PROTOBUF_PARAMETERS
        .iter()
        .all(|wanted| named.contains(wanted))
}

/// Returns the weight `q` among the parameters of a media range, in thousandths.
fn quality(parameters: &str) -> u32 {
    let mut parameters = parameters.split(';').map(str::trim);
    let weight = parameters.find_map(|parameter| parameter.strip_prefix("q="));
    let weight = weight
        .and_then(|text| text.parse::<f32>().ok())
        .unwrap_or(1.0);
    (weight.clamp(0.0, 1.0) * 1000.0) as u32
}
