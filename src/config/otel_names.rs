//! The standard `OTEL_` variables, mapped to the keys of `[traces]`.
//!
//! The variables are often set for all programs of a machine, with values that only other programs
//! support. So they are read only if one of them, or `traces.endpoint`, names a receiver.

use percent_encoding::percent_decode_str;
use toml::Value;

use super::environment::Environment;
use super::error::Error;
use super::layers::SettingLayers;
use super::value;
use super::variable_aliases::VariableAlias;

const ENDPOINT_KEY: &str = "traces.endpoint";
const EXPORTER_KEY: &str = "traces.exporter";
const HEADERS_KEY: &str = "traces.headers";
const ATTRIBUTES_KEY: &str = "traces.resource_attributes";
/// Value of `traces.exporter` that turns traces off.
const NO_EXPORTER: &str = "none";
/// Variable that turns all of OpenTelemetry off.
const SDK_DISABLED_VARIABLE: &str = "OTEL_SDK_DISABLED";
/// Variable with the base URL of all signals.
const BASE_URL_VARIABLE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// Path of traces below the base URL of all signals.
const TRACES_PATH: &str = "v1/traces";

/// Standard variables; of two for one key the first wins.
pub(super) const OTEL_ALIASES: &[VariableAlias] = &[
    VariableAlias {
        variable: SDK_DISABLED_VARIABLE,
        target: EXPORTER_KEY,
        note: "`true` turns traces off.",
    },
    VariableAlias {
        variable: "OTEL_TRACES_EXPORTER",
        target: EXPORTER_KEY,
        note: "`otlp` or `none`.",
    },
    VariableAlias {
        variable: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        target: ENDPOINT_KEY,
        note: "Used as it is.",
    },
    VariableAlias {
        variable: BASE_URL_VARIABLE,
        target: ENDPOINT_KEY,
        note: "The base URL: `/v1/traces` is appended.",
    },
    VariableAlias {
        variable: "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        target: "traces.protocol",
        note: "`http/protobuf` only; another one is refused.",
    },
    VariableAlias {
        variable: "OTEL_EXPORTER_OTLP_PROTOCOL",
        target: "traces.protocol",
        note: "The same, for all signals.",
    },
    VariableAlias {
        variable: "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
        target: HEADERS_KEY,
        note: "`name=value`, with commas between them and `%XX` for other characters.",
    },
    VariableAlias {
        variable: "OTEL_EXPORTER_OTLP_HEADERS",
        target: HEADERS_KEY,
        note: "The same, for all signals.",
    },
    VariableAlias {
        variable: "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
        target: "traces.timeout_ms",
        note: "In milliseconds.",
    },
    VariableAlias {
        variable: "OTEL_EXPORTER_OTLP_TIMEOUT",
        target: "traces.timeout_ms",
        note: "The same, for all signals.",
    },
    VariableAlias {
        variable: "OTEL_SERVICE_NAME",
        target: "traces.service_name",
        note: "Before a `service.name` among `OTEL_RESOURCE_ATTRIBUTES`.",
    },
    VariableAlias {
        variable: "OTEL_RESOURCE_ATTRIBUTES",
        target: ATTRIBUTES_KEY,
        note: "`name=value`, with commas between them and `%XX` for other characters.",
    },
    VariableAlias {
        variable: "OTEL_TRACES_SAMPLER",
        target: "traces.sampler",
        note: "Errors, refusals and slow requests are kept by each of them.",
    },
    VariableAlias {
        variable: "OTEL_TRACES_SAMPLER_ARG",
        target: "traces.sample_ratio",
        note: "Also without `OTEL_TRACES_SAMPLER`.",
    },
];

/// Adds the standard variables below all other `layers`, if there is a receiver.
///
/// # Errors
/// Fails when a variable that counts cannot be read as a value of its key.
pub(super) fn add_aliases(
    layers: &mut SettingLayers,
    environment: &Environment,
) -> Result<(), Error> {
    let given = OTEL_ALIASES.iter();
    let given = given.filter(|alias| environment.get(alias.variable).is_some());
    let given: Vec<&VariableAlias> = given.collect();
    let names_receiver = given.iter().any(|alias| alias.target == ENDPOINT_KEY);
    let has_receiver = !layers.text(ENDPOINT_KEY).is_empty() || names_receiver;
    if !has_receiver || layers.text(EXPORTER_KEY) == NO_EXPORTER {
        return Ok(());
    }
    for VariableAlias {
        variable, target, ..
    } in given
    {
        let text = environment.get(variable).unwrap_or_default();
        let is_enabled = *variable == SDK_DISABLED_VARIABLE && !text.eq_ignore_ascii_case("true");
        if !is_enabled {
            layers.add_alias(variable, target, |default| {
                convert(variable, target, default, text)
            })?;
        }
        // The switches come first: what is off need not be valid.
        if layers.text(EXPORTER_KEY) == NO_EXPORTER {
            return Ok(());
        }
    }
    Ok(())
}

/// Converts `text` to a value for `target`, whose default is `default`.
fn convert(variable: &str, target: &str, default: &Value, text: &str) -> Result<Value, Error> {
    let value = match target {
        _ if variable == SDK_DISABLED_VARIABLE => Value::String(NO_EXPORTER.to_owned()),
        _ if variable == BASE_URL_VARIABLE => {
            let base = text.trim().trim_end_matches('/');
            Value::String(format!("{base}/{TRACES_PATH}"))
        }
        HEADERS_KEY | ATTRIBUTES_KEY => pairs(text),
        _ => value::parse(default, text).map_err(|found| Error::WrongType {
            name: variable.to_owned(),
            expected: value::describe_expected(default),
            found: found.to_owned(),
        })?,
    };
    Ok(value)
}

/// Splits `text` at its commas, and decodes each item.
fn pairs(text: &str) -> Value {
    let items = text
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty());
    Value::Array(items.map(|item| Value::String(decode(item))).collect())
}

/// Replaces each `%XX`. What is no such code, or no UTF-8, stays as it is.
pub(super) fn decode(text: &str) -> String {
    match percent_decode_str(text).decode_utf8() {
        Ok(decoded) => decoded.into_owned(),
        Err(_) => text.to_owned(),
    }
}

#[cfg(test)]
#[path = "otel_names_tests.rs"]
mod tests;
