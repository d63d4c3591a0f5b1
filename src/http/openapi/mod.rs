//! Description of the API by the OpenAPI Specification.
//!
//! The module [`document`] makes it from what the server runs by: the routes, the tables of the decoders, the
//! table of errors, and the schemas by which the tests check responses. `docs/openapi.json` is the
//! same document; a test compares the two.

mod described;
mod document;
mod errors;
mod fields;
mod headers;
mod operation;
pub(super) mod operations;
mod request_schemas;
pub(crate) mod responses;
mod served;
mod success;
mod version;

#[cfg(test)]
mod tests;

pub(super) use described::DescribedMethods;
pub(super) use described::DescribedRoute;
pub(super) use described::delete;
pub(super) use described::get;
pub(super) use described::post;
pub(super) use described::put;
pub(super) use served::ServedDocument;
