//! Log setup: lines on stderr, as text or JSON.
//!
//! Independent of the settings file and of all other modules.

use std::error::Error as StdError;
use std::fmt;
use std::io::IsTerminal;

use serde::Deserialize;
use serde::Deserializer;
use serde::de::Error as _;
use tracing::Level;
use tracing::Metadata;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

/// Configuration of the log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// Log levels, by module where they differ: `info,claude_switchboard::engine::pool=debug`.
    #[serde(deserialize_with = "filter")]
    pub filter: String,
    /// Format of the log lines.
    pub format: LogLineFormat,
}

/// Format of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLineFormat {
    /// Human-readable; coloured on a terminal.
    Text,
    /// JSON, one object per line.
    Json,
}

/// Targets of this program, which logs neither keys nor prompts at any level. Libraries may log all
/// that they read and write.
const OWN_TARGETS: [&str; 2] = ["claude_switchboard", "access"];
/// Maximum level of libraries, whatever the filter asks for.
const MAX_LIBRARY_LEVEL: Level = Level::INFO;

/// Handle that changes the log filter at run time.
#[derive(Debug, Clone)]
pub struct LogLevels(reload::Handle<EnvFilter, Registry>);

/// Reasons why the log cannot be set up or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Invalid filter.
    #[error("the log filter `{filter}` is not valid")]
    Filter {
        /// The filter as configured.
        filter: String,
        /// Underlying parse error.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// A log is already set up in this process.
    #[error("the log is set up already")]
    AlreadySet(#[from] tracing_subscriber::util::TryInitError),
    /// The log no longer exists.
    #[error("the log cannot be changed")]
    Gone(#[from] reload::Error),
}

/// Error with all its causes for a log line: `outermost: cause: cause of the cause`. Given as an
/// error itself, JSON lines would have the outermost message alone.
#[derive(Debug, Clone, Copy)]
pub struct ErrorChain<'a>(pub &'a (dyn StdError + 'static));

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            write!(formatter, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}

impl LogLevels {
    /// Replaces the filter by `filter`.
    ///
    /// # Errors
    /// Fails when the filter is not valid.
    pub fn set(&self, filter: &str) -> Result<(), Error> {
        Ok(self.0.reload(parse(filter)?)?)
    }
}

/// Sets up the log of the process on stderr; possible once per process.
///
/// # Errors
/// Fails when the filter is not valid or a log is already set up.
pub fn init(config: &Config) -> Result<LogLevels, Error> {
    let is_terminal = std::io::stderr().is_terminal();
    let (subscriber, levels) = subscriber(config, std::io::stderr, is_terminal)?;
    subscriber.try_init()?;
    Ok(levels)
}

/// Builds a log on any writer, such as a test's.
///
/// # Errors
/// Fails when the filter is not valid.
fn subscriber<W>(
    config: &Config,
    writer: W,
    coloured: bool,
) -> Result<(Box<dyn tracing::Subscriber + Send + Sync>, LogLevels), Error>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(parse(&config.filter)?);
    let registry = tracing_subscriber::registry()
        .with(filter)
        .with(filter_fn(may_be_logged));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(coloured);
    let subscriber: Box<dyn tracing::Subscriber + Send + Sync> = match config.format {
        LogLineFormat::Text => Box::new(registry.with(lines)),
        LogLineFormat::Json => Box::new(registry.with(lines.json().flatten_event(true))),
    };
    Ok((subscriber, LogLevels(handle)))
}

/// Reads a filter of the log.
fn filter<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let filter = String::deserialize(deserializer)?;
    match EnvFilter::builder().parse(&filter) {
        Ok(_) => Ok(filter),
        // The second line is advice, as in the readers of the settings.
        Err(error) => Err(D::Error::custom(format!(
            "`{filter}`: {error}\nwrite a level, such as \"info\", or \"info,claude_switchboard::engine::pool=debug\""
        ))),
    }
}

fn parse(filter: &str) -> Result<EnvFilter, Error> {
    EnvFilter::builder()
        .parse(filter)
        .map_err(|source| Error::Filter {
            filter: filter.to_owned(),
            source,
        })
}

fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    let is_within = |own: &&str| {
        metadata
            .target()
            .strip_prefix(*own)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    *metadata.level() <= MAX_LIBRARY_LEVEL || OWN_TARGETS.iter().any(is_within)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;
    use std::sync::Mutex;

    use super::{Config, Error, ErrorChain, LogLevels, LogLineFormat, parse, subscriber};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(filter: &str, format: LogLineFormat) -> String {
        logged_of(filter, format, |_| {
            tracing::info!(turn.id = 7, "turn done");
            tracing::debug!("detail");
        })
    }

    fn logged_of(filter: &str, format: LogLineFormat, work: impl FnOnce(&LogLevels)) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let config = Config {
            filter: filter.to_owned(),
            format,
        };
        let (subscriber, levels) = subscriber(&config, move || writer.clone(), false).unwrap();
        tracing::subscriber::with_default(subscriber, || work(&levels));
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn library_logs_are_capped_whatever_the_filter() {
        for filter in [
            "trace",
            "tungstenite=trace,hyper=debug,claude_switchboard=trace",
        ] {
            let text = logged_of(filter, LogLineFormat::Text, |_| {
                tracing::trace!(target: "tungstenite::protocol", "received a key");
                tracing::debug!(target: "hyper::proto", "read a prompt");
                tracing::debug!(target: "claude_switchboardlike", "a crate of a similar name");
                tracing::info!(target: "hyper", "library ready");
                tracing::trace!(target: "claude_switchboard::engine::pool", "our own detail");
            });
            let is_there = |words: &str| text.contains(words);
            assert!(
                !is_there("a key") && !is_there("a prompt") && !is_there("a crate"),
                "{text}"
            );
            assert!(is_there("our own detail"), "{text}");
            assert_eq!(
                is_there("library ready"),
                filter.contains("hyper") || filter == "trace",
                "{text}"
            );
        }
    }

    #[test]
    fn levels_change_at_run_time_and_invalid_filter_is_rejected() {
        let text = logged_of("info", LogLineFormat::Text, |levels| {
            tracing::debug!("before");
            levels.set("debug").unwrap();
            levels.set("pool=loud").unwrap_err();
            tracing::debug!("after");
        });
        assert!(text.contains("after") && !text.contains("before"), "{text}");
    }

    #[test]
    fn text_format_has_no_colour_off_a_terminal() {
        let text = logged("info", LogLineFormat::Text);
        assert!(
            text.contains("INFO") && text.contains("turn done turn.id=7"),
            "{text}"
        );
        assert!(!text.contains("detail"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn json_format_is_one_object_per_line() {
        let text = logged("debug", LogLineFormat::Json);
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["message"], "turn done");
        assert_eq!(lines[0]["turn.id"], 7);
    }

    #[test]
    fn error_chain_has_every_cause_in_both_formats() {
        let error: Error = parse("pool=loud").unwrap_err();
        let expected = "the log filter `pool=loud` is not valid: error parsing level filter";
        for format in [LogLineFormat::Text, LogLineFormat::Json] {
            let text = logged_of("info", format, |_| {
                tracing::warn!(error = %ErrorChain(&error), "filter not changed");
            });
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn invalid_filter_is_rejected() {
        let config = Config {
            filter: "pool=loud".to_owned(),
            format: LogLineFormat::Text,
        };
        let error = subscriber(&config, std::io::sink, false)
            .map(|_| ())
            .unwrap_err();
        assert_eq!(error.to_string(), "the log filter `pool=loud` is not valid");
    }
}
