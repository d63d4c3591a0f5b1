//! Sets up the log: lines on stderr, as text for people or as JSON for machines.
//!
//! Knows neither the settings file nor any other part; what is logged is decided where it happens.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Levels, by part where they differ: `info,claude_switchboard::pool=debug`.
    pub filter: String,
    /// For whom the lines are written.
    pub format: Format,
}

/// For whom the lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people; coloured on a terminal.
    Text,
    /// For machines: one object on each line.
    Json,
}

/// The log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter is not one.
    #[error("the log filter `{filter}` is not valid")]
    Filter {
        /// The filter.
        filter: String,
        /// Why.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// The process has a log already.
    #[error("the log is set up already")]
    AlreadySet(#[from] tracing_subscriber::util::TryInitError),
}

/// Sets up the log of the process, on stderr. Once in a process.
///
/// # Errors
/// When the filter is not valid or a log is set up already.
pub fn init(config: &Config) -> Result<(), Error> {
    let is_terminal = std::io::stderr().is_terminal();
    Ok(subscriber(config, std::io::stderr, is_terminal)?.try_init()?)
}

/// The log on any writer, such as a test's.
///
/// # Errors
/// When the filter is not valid.
fn subscriber<W>(
    config: &Config,
    writer: W,
    coloured: bool,
) -> Result<Box<dyn tracing::Subscriber + Send + Sync>, Error>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder()
        .parse(&config.filter)
        .map_err(|source| Error::Filter { filter: config.filter.clone(), source })?;
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(coloured);
    Ok(match config.format {
        Format::Text => Box::new(registry.with(lines)),
        Format::Json => Box::new(registry.with(lines.json().flatten_event(true))),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;
    use std::sync::Mutex;

    use super::{Config, Format, subscriber};

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

    fn logged(filter: &str, format: Format) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let config = Config { filter: filter.to_owned(), format };
        let subscriber = subscriber(&config, move || writer.clone(), false).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(turn.id = 7, "turn done");
            tracing::debug!("detail");
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn text_is_for_people() {
        let text = logged("info", Format::Text);
        assert!(text.contains("INFO") && text.contains("turn done turn.id=7"), "{text}");
        assert!(!text.contains("detail"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn json_is_one_object_a_line() {
        let text = logged("debug", Format::Json);
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["message"], "turn done");
        assert_eq!(lines[0]["turn.id"], 7);
    }

    #[test]
    fn a_filter_that_is_none_is_refused() {
        let config = Config { filter: "pool=loud".to_owned(), format: Format::Text };
        let error = subscriber(&config, std::io::sink, false).map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), "the log filter `pool=loud` is not valid");
    }
}
