//! Why a configuration is refused.

use std::path::PathBuf;

/// Why a configuration is refused. Names the offender; [`Error::hint`] says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("the configuration file {} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{place}: {message}")]
    Syntax {
        /// `file:line`.
        place: String,
        /// What the parser met.
        message: String,
    },
    /// A key or a variable that means nothing.
    #[error("{name} is not known")]
    Unknown {
        /// The key with its file, or the variable.
        name: String,
        /// The known one that looks most like it, written as it is to be written there.
        nearest: Option<String>,
    },
    /// A value of another type than the key's.
    #[error("{name}: expected {expected}, found {found}")]
    WrongType {
        /// The key with its file, or the variable.
        name: String,
        /// What the key holds.
        expected: String,
        /// What stands there; never the value itself, which may be a secret.
        found: String,
    },
    /// A value of the right type that makes no sense.
    #[error("{name}: {message}")]
    Refused {
        /// The key with its file, the variable, or the flag.
        name: String,
        /// What is wrong with it.
        message: String,
        /// What to do.
        hint: String,
    },
}

impl Error {
    /// What to do next.
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
