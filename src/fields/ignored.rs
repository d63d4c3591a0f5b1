//! Fields that had no effect.

use super::error::InvalidRequest;
use super::error::code;
use super::object::Place;
use super::shape::printable;
use super::table::Field;

/// What to do with a field that has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Serve the request and name the field.
    Lenient,
    /// Refuse the request.
    Strict,
}

/// The names of the fields that had no effect.
#[derive(Debug)]
pub struct Ignored {
    policy: Policy,
    names: Vec<String>,
}

impl Ignored {
    /// Names beyond this many are not kept: the list travels in a header.
    const MOST: usize = 32;

    /// None yet.
    pub fn new(policy: Policy) -> Self {
        Self { policy, names: Vec::new() }
    }

    pub(super) fn known(&mut self, place: &Place, field: &Field) -> Result<(), InvalidRequest> {
        if self.policy == Policy::Strict {
            let path = place.field(field.name);
            let message = format!(
                "`{path}` has no effect here, and this server is set to refuse such fields. {} {}.",
                field.note,
                field.remedy()
            );
            return Err(InvalidRequest::at(path, code::UNSUPPORTED, message));
        }
        self.push([place.prefix(), field.name].concat());
        Ok(())
    }

    pub(super) fn unknown(&mut self, place: &Place, name: &str) -> Result<(), InvalidRequest> {
        let name = printable(name);
        if self.policy == Policy::Strict {
            let path = place.field(&name);
            let message = format!("`{path}` is no field of this request. Remove it.");
            return Err(InvalidRequest::at(path, code::UNKNOWN, message));
        }
        self.push([place.prefix(), &name].concat());
        Ok(())
    }

    /// Whether fields that are not known are refused.
    pub fn is_strict(&self) -> bool {
        self.policy == Policy::Strict
    }

    /// Leaves out something that is not served, and notes it by `name`; `refusal` is for where such things are refused.
    ///
    /// # Errors
    /// When fields without effect are refused.
    pub fn leave_out(&mut self, name: String, refusal: InvalidRequest) -> Result<(), InvalidRequest> {
        if self.is_strict() {
            return Err(refusal);
        }
        self.push(name);
        Ok(())
    }

    /// Notes something that is left out and harms nobody.
    pub fn note(&mut self, name: &str) {
        self.push(name.to_owned());
    }

    fn push(&mut self, name: String) {
        if self.names.len() < Self::MOST && !self.names.contains(&name) {
            self.names.push(name);
        }
    }

    /// The names, sorted.
    pub fn into_names(mut self) -> Vec<String> {
        self.names.sort_unstable();
        self.names
    }
}
