//! Description of this server's API by the OpenAPI Specification.

pub(crate) mod responses;
