//! Schema-driven reading of JSON requests: tables of fields say how each field is handled.
//!
//! Independent of any API: a decoder declares its tables, takes the fields it supports out of each
//! [`Object`], and lets [`Object::finish`] reject or report the rest.

mod body;
mod characters;
#[cfg(test)]
pub(crate) mod document;
mod error;
mod ignored;
pub mod media;
mod object;
mod repair;
mod shape;
mod stop_texts;
mod structure;
mod table;
mod written;

pub use body::parse_request;
pub use characters::repair_characters;
pub use error::InvalidRequest;
pub use error::code;
pub use ignored::Policy;
pub use ignored::RemarkCollector;
pub use ignored::Remarks;
pub use object::ObjectPath;
pub use object::ObjectReader;
pub use repair::Repair;
pub use shape::FieldType;
pub use shape::describe_value;
pub use shape::printable;
pub use stop_texts::parse_stop_sequences;
pub use structure::check_length;
pub use table::Field;
pub use table::ObjectSchema;
pub use table::PROJECT;
pub use table::Support;
pub use table::emulated;
pub use table::honoured;
pub use table::ignored;
pub use table::passed;
pub use table::refused;
pub use written::RawJson;
