//! How a request is found at fault.

/// A request that cannot be understood or served as it stands; always a 400 `invalid_request_error`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidRequest {
    /// What to change, in words that need no other source.
    pub message: String,
    /// The path of the field at fault, such as `messages[2].content[0].type`.
    pub param: Option<String>,
    /// One of the constants of [`code`].
    pub code: Option<&'static str>,
}

/// The values of `code` in an [`InvalidRequest`].
pub mod code {
    /// A field that must be there is missing.
    pub const MISSING: &str = "missing_required_parameter";
    /// A value has the wrong JSON type.
    pub const TYPE: &str = "invalid_type";
    /// A value is out of range or none of the allowed ones.
    pub const VALUE: &str = "invalid_value";
    /// No such field exists.
    pub const UNKNOWN: &str = "unknown_parameter";
    /// The field exists, and what it asks for is not served.
    pub const UNSUPPORTED: &str = "unsupported_parameter";
}

impl InvalidRequest {
    /// An error about the body as a whole.
    pub fn body(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            param: None,
            code: None,
        }
    }

    /// An error about the field at `param`.
    pub fn at(param: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            param: Some(param.into()),
            code: Some(code),
        }
    }
}
