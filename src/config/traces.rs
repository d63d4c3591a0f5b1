//! `[traces]`: spans for OpenTelemetry.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::Uri;
use hyper::header::HeaderName;
use hyper::header::HeaderValue;
use serde::Deserialize;
use serde::Deserializer;

use super::otel_names::decode;
use crate::runtime::setting;
use crate::runtime::setting::refuse;
use crate::telemetry::traces::GenAiConventions;
use crate::telemetry::traces::SampleRatio;
use crate::telemetry::traces::Sampler;

/// Name of the service in its traces, unless another one is set.
const DEFAULT_SERVICE_NAME: &str = "claude-switchboard";
const SERVICE_NAME: &str = "service.name";
/// Names of the samplers in the order of [`TraceSampler`].
const SAMPLERS: &str = "always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off or \
                        parentbased_traceidratio";

/// Settings of the traces. `default.toml` explains each key.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct TraceSettings {
    /// Exporter of the spans.
    #[serde(deserialize_with = "read_exporter")]
    exporter: TraceExporterKind,
    /// Receiver of the spans; `None` if traces are off.
    #[serde(deserialize_with = "read_endpoint")]
    endpoint: Option<TraceEndpoint>,
    /// Protocol of the exports.
    #[serde(deserialize_with = "read_protocol")]
    protocol: TraceProtocol,
    /// Headers of each export.
    #[serde(deserialize_with = "read_headers")]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Time-out of an export.
    #[serde(rename = "timeout_ms", deserialize_with = "read_timeout")]
    pub timeout: Duration,
    /// Name of the service; empty for `service.name` of the attributes, or the default.
    service_name: String,
    /// Names and values that describe this server.
    #[serde(deserialize_with = "read_attributes")]
    resource_attributes: Vec<(String, String)>,
    /// Sampler of the traces.
    #[serde(deserialize_with = "read_sampler")]
    sampler: TraceSampler,
    /// Share of traces that are kept without a reason.
    #[serde(deserialize_with = "read_ratio")]
    sample_ratio: SampleRatio,
    /// Duration above which a request is kept; zero for never.
    #[serde(
        rename = "keep_slower_than_seconds",
        deserialize_with = "setting::seconds::<0, _>"
    )]
    keep_slower_than: Duration,
    /// Version of the conventions that names attributes.
    pub semconv: GenAiConventions,
}

/// URL of a receiver, without the credentials that it was given with.
#[derive(Clone, PartialEq, Eq)]
pub struct TraceEndpoint {
    /// URL that spans are posted to.
    pub url: Uri,
    /// Header `Authorization` by the credentials of the URL.
    authorization: Option<HeaderValue>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TraceExporterKind {
    Otlp,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TraceProtocol {
    HttpProtobuf,
}

/// Sampler with a standard name: the share of new traces that it keeps, and whether it follows the
/// decision of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TraceSampler {
    ratio: FixedRatio,
    follows_parent: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FixedRatio {
    All,
    None,
    /// Ratio of the setting `traces.sample_ratio`.
    AsSet,
}

impl TraceSettings {
    /// Returns the receiver; `None` if traces are off.
    pub fn receiver(&self) -> Option<&TraceEndpoint> {
        self.endpoint
            .as_ref()
            .filter(|_| self.exporter == TraceExporterKind::Otlp)
    }

    /// Returns the headers of each export. One that is set wins over the credentials of the URL.
    pub fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let endpoint = self.endpoint.as_ref();
        let credentials = endpoint.and_then(|endpoint| endpoint.authorization.clone());
        let credentials = credentials.map(|value| (hyper::header::AUTHORIZATION, value));
        let headers = self.headers.iter().cloned();
        credentials.into_iter().chain(headers).collect()
    }

    /// Returns the attributes that describe this server, its name first.
    pub fn resource(&self) -> Vec<(String, String)> {
        let named = self.resource_attributes.iter();
        let named = named.filter(|(name, _)| name == SERVICE_NAME);
        let name = Some(&self.service_name)
            .filter(|name| !name.is_empty())
            .or_else(|| named.map(|(_, value)| value).next_back());
        let name = name.map_or(DEFAULT_SERVICE_NAME, String::as_str);
        let others = self.resource_attributes.iter();
        let others = others.filter(|(name, _)| name != SERVICE_NAME);
        [(SERVICE_NAME.to_owned(), name.to_owned())]
            .into_iter()
            .chain(others.cloned())
            .collect()
    }

    /// Returns the rules by which traces are kept.
    pub fn sampler(&self) -> Sampler {
        Sampler {
            ratio: match self.sampler.ratio {
                FixedRatio::All => SampleRatio::ALL,
                FixedRatio::None => SampleRatio::NONE,
                FixedRatio::AsSet => self.sample_ratio,
            },
            follows_parent: self.sampler.follows_parent,
            keep_slower_than: Some(self.keep_slower_than).filter(|limit| !limit.is_zero()),
        }
    }
}

impl TraceEndpoint {
    /// Parses a URL. The error does not repeat it: it may have credentials.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let url: Uri = text.parse().map_err(|_| "it is no URL")?;
        if !matches!(url.scheme_str(), Some("http" | "https")) {
            return Err("it does not begin with http:// or https://");
        }
        let mut parts = url.into_parts();
        let authority = parts.authority.take().ok_or("it names no host")?;
        let (user, host) = match authority.as_str().rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority.as_str()),
        };
        parts.authority = Some(host.parse().map_err(|_| "it names no host")?);
        let url = Uri::from_parts(parts).map_err(|_| "it is no URL")?;
        if url.host().is_none_or(str::is_empty) {
            return Err("it names no host");
        }
        let authorization = user.map(|user| {
            let credentials = BASE64_STANDARD.encode(decode(user));
            HeaderValue::from_str(&format!("Basic {credentials}"))
        });
        let authorization = authorization.transpose();
        let authorization = authorization.map_err(|_| "its credentials cannot be sent")?;
        Ok(Self {
            url,
            authorization: authorization.map(sensitive),
        })
    }
}

/// Marks a header as one whose value is never shown.
fn sensitive(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

fn read_exporter<'de, D: Deserializer<'de>>(from: D) -> Result<TraceExporterKind, D::Error> {
    match String::deserialize(from)?.trim() {
        "otlp" => Ok(TraceExporterKind::Otlp),
        "none" => Ok(TraceExporterKind::None),
        _ => Err(refuse(
            "traces are exported by OTLP only",
            "write otlp, or none to turn traces off",
        )),
    }
}

fn read_endpoint<'de, D: Deserializer<'de>>(from: D) -> Result<Option<TraceEndpoint>, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() {
        return Ok(None);
    }
    let hint = "name the URL that spans are posted to, such as http://127.0.0.1:4318/v1/traces";
    let endpoint = TraceEndpoint::parse(text.trim()).map_err(|reason| refuse(reason, hint));
    endpoint.map(Some)
}

fn read_protocol<'de, D: Deserializer<'de>>(from: D) -> Result<TraceProtocol, D::Error> {
    match String::deserialize(from)?.trim() {
        "http/protobuf" => Ok(TraceProtocol::HttpProtobuf),
        _ => Err(refuse(
            "spans are exported by http/protobuf only",
            "write http/protobuf, and name the receiver's port for HTTP, which is 4318 as a rule; or set \
             traces.exporter to none",
        )),
    }
}

fn read_headers<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Vec<(HeaderName, HeaderValue)>, D::Error> {
    let header = |text: &String| {
        let (name, value) = text.split_once('=')?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
        let value = HeaderValue::from_str(value.trim()).ok()?;
        Some((name, sensitive(value)))
    };
    let texts = Vec::<String>::deserialize(from)?;
    let headers: Option<Vec<_>> = texts.iter().map(header).collect();
    headers.ok_or_else(|| {
        let hint = "write each header as name=value";
        refuse("one of the headers cannot be sent", hint)
    })
}

fn read_timeout<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    setting::number::<1, 600_000, u64, D>(from).map(Duration::from_millis)
}

fn read_attributes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(String, String)>, D::Error> {
    let pair = |text: &String| {
        let (name, value) = text.split_once('=')?;
        let name = Some(name.trim()).filter(|name| !name.is_empty())?;
        Some((name.to_owned(), value.trim().to_owned()))
    };
    let texts = Vec::<String>::deserialize(from)?;
    let pairs: Option<Vec<_>> = texts.iter().map(pair).collect();
    pairs.ok_or_else(|| {
        let hint = "write each attribute as name=value, such as deployment.environment.name=test";
        refuse("one of the attributes has no name or no value", hint)
    })
}

fn read_sampler<'de, D: Deserializer<'de>>(from: D) -> Result<TraceSampler, D::Error> {
    let text = String::deserialize(from)?;
    let (name, follows_parent) = match text.trim().strip_prefix("parentbased_") {
        Some(name) => (name, true),
        None => (text.trim(), false),
    };
    let ratio = match name {
        "always_on" => FixedRatio::All,
        "always_off" => FixedRatio::None,
        "traceidratio" => FixedRatio::AsSet,
        _ => {
            return Err(refuse(
                "this sampler is not known",
                format!("write {SAMPLERS}"),
            ));
        }
    };
    Ok(TraceSampler {
        ratio,
        follows_parent,
    })
}

fn read_ratio<'de, D: Deserializer<'de>>(from: D) -> Result<SampleRatio, D::Error> {
    let text = String::deserialize(from)?;
    let ratio = text.trim().parse().ok().and_then(SampleRatio::new);
    ratio.ok_or_else(|| {
        let hint = "write the share as 0.1 is written";
        refuse("it is no number between 0 and 1", hint)
    })
}

impl fmt::Debug for TraceSettings {
    /// Shows where spans go, without headers and credentials.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TraceSettings")
            .field("receiver", &self.receiver())
            .field("protocol", &self.protocol)
            .field("sampler", &self.sampler())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for TraceEndpoint {
    /// Shows the host: path and query may have a key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("TraceEndpoint")
            .field(&self.url.authority())
            .finish()
    }
}
