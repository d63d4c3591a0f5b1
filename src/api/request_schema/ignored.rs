//! What there is to say of a request: fields that had no effect, and what was repaired.

use std::collections::BTreeSet;

use super::error::InvalidRequest;
use super::error::code;
use super::object::Place;
use super::repair::Repair;
use super::shape::printable;
use super::table::Field;

/// What to do with a field that has no effect, and with what is broken and can be repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Serve the request and name the field, or the repair.
    Lenient,
    /// Refuse the request.
    Strict,
}

/// What is told of a request beside its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remarks {
    /// The fields that have no effect, sorted; fields of messages as `messages[].name`.
    ///
    /// Fit for a header: at most 32 names of printable ASCII without commas.
    pub ignored: Vec<String>,
    /// The names of what was [repaired](Repair), sorted.
    pub repaired: Vec<&'static str>,
}

/// The names of the fields that had no effect, and of what was repaired.
#[derive(Debug)]
pub struct Ignored {
    policy: Policy,
    names: Vec<String>,
    repaired: BTreeSet<&'static str>,
}

impl Ignored {
    /// Names beyond this many are not kept: the list travels in a header.
    const MOST: usize = 32;

    /// None yet.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            names: Vec::new(),
            repaired: BTreeSet::new(),
        }
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
    pub fn leave_out(
        &mut self,
        name: String,
        refusal: InvalidRequest,
    ) -> Result<(), InvalidRequest> {
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

    /// Notes a repair of what stands at `path`; `words` say what is wrong with it and what to change.
    ///
    /// # Errors
    /// Under the strict policy.
    pub fn repair(
        &mut self,
        repair: Repair,
        path: impl Into<String>,
        words: &str,
    ) -> Result<(), InvalidRequest> {
        if self.policy == Policy::Strict {
            let path = path.into();
            let message = format!("`{path}`: {words}");
            return Err(InvalidRequest::at(path, code::VALUE, message));
        }
        self.repaired.insert(repair.name);
        Ok(())
    }

    /// As [`repair`](Self::repair), of the body as a whole.
    ///
    /// # Errors
    /// Under the strict policy.
    pub(super) fn repair_body(&mut self, repair: Repair) -> Result<(), InvalidRequest> {
        if self.policy == Policy::Strict {
            return Err(InvalidRequest::body(format!(
                "{} Remove it.",
                repair.broken
            )));
        }
        self.repaired.insert(repair.name);
        Ok(())
    }

    fn push(&mut self, name: String) {
        if self.names.len() < Self::MOST && !self.names.contains(&name) {
            self.names.push(name);
        }
    }

    /// The names, sorted.
    pub fn into_remarks(mut self) -> Remarks {
        self.names.sort_unstable();
        Remarks {
            ignored: self.names,
            repaired: self.repaired.into_iter().collect(),
        }
    }
}
