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

pub use body::request;
pub use characters::mended;
pub use error::InvalidRequest;
pub use error::code;
pub use ignored::Ignored;
pub use ignored::Policy;
pub use ignored::Remarks;
pub use object::Object;
pub use object::Place;
pub use repair::Repair;
pub use shape::Shape;
pub use shape::got;
pub use shape::printable;
pub use stop_texts::stop_texts;
pub use structure::check_length;
pub use table::Field;
pub use table::Handling;
pub use table::PROJECT;
pub use table::Table;
pub use table::emulated;
pub use table::honoured;
pub use table::ignored;
pub use table::passed;
pub use table::refused;
pub use written::Written;
