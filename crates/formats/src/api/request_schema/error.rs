//! Errors of invalid requests.

/// Request that cannot be understood or served as it is; always a 400 `invalid_request_error`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidRequest {
    /// Message that says what to change, understandable without another source.
    pub message: String,
    /// Path of the invalid field, such as `messages[2].content[0].type`.
    pub param: Option<String>,
    /// Error code: one of the constants of [`code`].
    pub code: Option<&'static str>,
}

/// Error codes of an [`InvalidRequest`].
pub mod code {
    /// Required field that is missing.
    pub const MISSING: &str = "missing_required_parameter";
    /// Value of the wrong JSON type.
    pub const TYPE: &str = "invalid_type";
    /// Value out of range, or none of the allowed ones.
    pub const VALUE: &str = "invalid_value";
    /// Field that does not exist.
    pub const UNKNOWN: &str = "unknown_parameter";
    /// Field that exists but asks for something not supported.
    pub const UNSUPPORTED: &str = "unsupported_parameter";
}

impl InvalidRequest {
    /// Creates an error about the body as a whole.
    pub fn body(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            param: None,
            code: None,
        }
    }

    /// Creates an error about the field at `param`.
    pub fn at(param: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            param: Some(param.into()),
            code: Some(code),
        }
    }
}
