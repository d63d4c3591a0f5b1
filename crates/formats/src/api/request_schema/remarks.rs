//! Remarks on a request: fields that had no effect, and repairs.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::error::InvalidRequest;
use super::error::code;
use super::field_type::printable;
use super::object_reader::ObjectPath;
use super::repair::Repair;
use super::schema::Field;

/// Policy for fields without effect, and for faults that can be repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(from = "bool")]
pub enum Policy {
    /// Serve the request and report the field, or the repair.
    Lenient,
    /// Reject the request with an error.
    Strict,
}

impl From<bool> for Policy {
    /// Returns `Strict` for true, as the key `strict` of the configuration means it.
    fn from(is_strict: bool) -> Self {
        if is_strict {
            Self::Strict
        } else {
            Self::Lenient
        }
    }
}

/// Remarks on a request, reported beside its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remarks {
    /// Fields without effect, sorted; fields of messages as `messages[].name`.
    ///
    /// Safe in a header: at most 32 names of printable ASCII without commas.
    pub ignored: Vec<String>,
    /// Names of the [repairs](Repair), sorted.
    pub repaired: Vec<&'static str>,
}

/// Collector of fields without effect and of repairs.
#[derive(Debug)]
pub struct RemarkCollector {
    policy: Policy,
    names: Vec<String>,
    repaired: BTreeSet<&'static str>,
}

impl RemarkCollector {
    /// Maximum number of names: the list is sent in a header.
    const MAX_NAMES: usize = 32;

    /// Creates an empty collector.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            names: Vec::new(),
            repaired: BTreeSet::new(),
        }
    }

    pub(super) fn ignore_known(
        &mut self,
        place: &ObjectPath,
        field: &Field,
    ) -> Result<(), InvalidRequest> {
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

    pub(super) fn ignore_unknown(
        &mut self,
        place: &ObjectPath,
        name: &str,
    ) -> Result<(), InvalidRequest> {
        let name = printable(name);
        if self.policy == Policy::Strict {
            let path = place.field(&name);
            let message = format!("`{path}` is no field of this request. Remove it.");
            return Err(InvalidRequest::at(path, code::UNKNOWN, message));
        }
        self.push([place.prefix(), &name].concat());
        Ok(())
    }

    /// True if unknown fields are rejected.
    pub fn is_strict(&self) -> bool {
        self.policy == Policy::Strict
    }

    /// Drops something that is not supported, and reports it as `name`; `refusal` is the error
    /// under the strict policy.
    ///
    /// # Errors
    /// Under the strict policy.
    pub fn drop_unsupported(
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

    /// Reports a field that is dropped harmlessly, even under the strict policy.
    pub fn report(&mut self, name: &str) {
        self.push(name.to_owned());
    }

    /// Records a repair of the value at `path`; `words` say what is wrong with it and what to
    /// change.
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

    /// Records a repair of the body as a whole, like [`repair`](Self::repair).
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
        if self.names.len() < Self::MAX_NAMES && !self.names.contains(&name) {
            self.names.push(name);
        }
    }

    /// Returns the collected remarks, sorted.
    pub fn into_remarks(mut self) -> Remarks {
        self.names.sort_unstable();
        Remarks {
            ignored: self.names,
            repaired: self.repaired.into_iter().collect(),
        }
    }
}
