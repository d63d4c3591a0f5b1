//! What a message is made of.

/// One part of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Words; never blank.
    Text(String),
    /// A picture.
    Image(Source),
    /// A document to read, such as a PDF.
    Document {
        /// Its bytes, or where they are.
        source: Source,
        /// Its name, as the caller gave it.
        title: Option<String>,
    },
}

/// Where the bytes of a part are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Here.
    Base64 {
        /// `image/png`, `application/pdf`, ...
        media_type: String,
        /// The bytes in base64, with padding.
        data: String,
    },
    /// There: upstream fetches it, this server never does.
    Url(String),
}

impl Part {
    /// A part of words.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
}
