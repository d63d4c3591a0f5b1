//! Versions of the OpenAPI Specification.

/// Version of the OpenAPI Specification that a document follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SpecificationVersion {
    /// Understood by most tools. It has no words for the events of a stream.
    V3_1,
    /// Describes the events of streams.
    V3_2,
}

impl SpecificationVersion {
    /// Returns the version as documents name it.
    pub(super) const fn number(self) -> &'static str {
        match self {
            Self::V3_1 => "3.1.1",
            Self::V3_2 => "3.2.0",
        }
    }
}
