//! Period of a report, as a parameter of the query.

use std::collections::HashMap;

use crate::accounts::ledger::GroupBy;
use crate::accounts::ledger::UsagePeriod;
use crate::accounts::ledger::UsageQuery;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::code;

/// Period of a report about all callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReportPeriod(UsagePeriod);

impl ReportPeriod {
    /// Reads the period in `query`, by default the present month.
    ///
    /// # Errors
    /// Fails when it is none of the known ones.
    pub(super) fn read(query: &HashMap<String, String>) -> Result<Self, InvalidRequest> {
        let Some(name) = query.get("period") else {
            return Ok(Self(UsagePeriod::Month));
        };
        UsagePeriod::named(name).map(Self).ok_or_else(|| {
            let message = "`period`: expected `day`, `week`, `month` or `all`.";
            InvalidRequest::at("period", code::VALUE, message)
        })
    }

    /// Returns the query of a report, grouped by `group_by`.
    pub(super) fn report(self, group_by: GroupBy) -> UsageQuery {
        UsageQuery {
            project: None,
            key: None,
            period: self.0,
            group_by: Some(group_by),
        }
    }

    /// Returns the name of the period.
    pub(super) fn name(self) -> &'static str {
        self.0.as_str()
    }
}
