//! Errors of a configuration.

use std::path::PathBuf;

/// Reasons why a configuration is refused. The message names the offending key; [`Error::hint`]
/// says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Configuration file that cannot be read.
    #[error("the configuration file {} cannot be read", path.display())]
    Unreadable {
        /// Path of the file.
        path: PathBuf,
        /// Underlying I/O error.
        #[source]
        source: std::io::Error,
    },
    /// Configuration file that is not valid TOML.
    #[error("{place}: {message}")]
    Syntax {
        /// Position in the file, as `file:line`.
        place: String,
        /// Message of the parser.
        message: String,
    },
    /// Unknown key or variable.
    #[error("{name} is not known")]
    Unknown {
        /// The key with its file, or the variable.
        name: String,
        /// Most similar known name, in the spelling to use there.
        nearest: Option<String>,
    },
    /// Value of the wrong type.
    #[error("{name}: expected {expected}, found {found}")]
    WrongType {
        /// The key with its file, or the variable.
        name: String,
        /// Expected type, in words.
        expected: String,
        /// Found type, in words; never the value itself, which may be a secret.
        found: String,
    },
    /// Value of the right type that is not allowed.
    #[error("{name}: {message}")]
    Refused {
        /// The key with its file, the variable, or the flag.
        name: String,
        /// Reason of the refusal.
        message: String,
        /// Advice on a valid value.
        hint: String,
    },
}

impl Error {
    /// Returns advice on what the operator can do next.
    pub fn hint(&self) -> String {
        match self {
            Self::Unreadable { .. } => {
                "check the path and its permissions; without --config the defaults hold".to_owned()
            }
            Self::Syntax { .. } => {
                "the file is TOML: [section], then key = value with texts in quotes".to_owned()
            }
            Self::Unknown {
                nearest: Some(nearest),
                ..
            } => format!("did you mean {nearest}?"),
            Self::Unknown { nearest: None, .. } => {
                "docs/CONFIGURATION.md and `claude-switchboard check-config` list what is known"
                    .to_owned()
            }
            Self::WrongType { .. } => {
                "docs/CONFIGURATION.md shows each key with its default".to_owned()
            }
            Self::Refused { hint, .. } => hint.clone(),
        }
    }
}
