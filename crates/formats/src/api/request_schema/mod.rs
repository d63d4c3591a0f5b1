//! Schema-driven reading of JSON requests: tables of fields say how each field is handled.
//! Requests of this server's own APIs are read by serde instead ([`typed`]).
//!
//! Independent of any API: a decoder declares its tables, takes the fields it supports out of each
//! [`ObjectReader`], and lets [`ObjectReader::finish`] reject or report the rest.

mod body;
mod characters;
#[cfg(test)]
pub(crate) mod document;
mod error;
mod field_type;
mod item_list;
pub mod media;
mod object_reader;
mod raw_json;
mod remarks;
mod repair;
mod schema;
mod stop_sequences;
mod structure;
pub mod typed;

pub use body::parse_request;
pub use body::parse_request_with_items;
pub use characters::repair_characters;
pub use error::InvalidRequest;
pub use error::code;
pub use field_type::FieldType;
pub use field_type::describe_value;
pub use field_type::printable;
pub use item_list::ItemList;
pub use object_reader::ObjectPath;
pub use object_reader::ObjectReader;
pub use raw_json::RawJson;
pub use remarks::Policy;
pub use remarks::RemarkCollector;
pub use remarks::Remarks;
pub use repair::Repair;
pub use schema::Field;
pub use schema::ObjectKind;
pub use schema::ObjectSchema;
pub use schema::PROJECT;
pub use schema::Support;
pub use schema::checked;
pub use schema::emulated;
pub use schema::honoured;
pub use schema::ignored;
pub use schema::list_words;
pub use schema::passed;
pub use schema::refused;
pub use stop_sequences::parse_stop_sequences;
pub use structure::check_length;
