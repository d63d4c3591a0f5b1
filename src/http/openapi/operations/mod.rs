//! Operations of the API. The rows of the routes name them.

mod admin;
mod anthropic;
mod forwarded;
mod openai;
mod ops;
mod own;

pub(in crate::http) use self::admin::*;
pub(in crate::http) use self::anthropic::*;
pub(in crate::http) use self::forwarded::*;
pub(in crate::http) use self::openai::*;
pub(in crate::http) use self::ops::*;
pub(in crate::http) use self::own::*;

use crate::api::request_schema::Field;
use crate::api::request_schema::FieldType::Integer;
use crate::api::request_schema::FieldType::Text;
use crate::api::request_schema::honoured;

/// Parameter of lists: at most so many entries.
const fn limit(most: i64, note: &'static str) -> Field {
    honoured("limit", Integer(1, most), note)
}

const LIMIT_100: Field = limit(100, "Entries of a page; 20 by default.");
const AFTER: Field = honoured("after", Text, "The `last_id` of the page before.");
const ORDER: Field = honoured(
    "order",
    Text,
    "`desc`, also when it is left out: newest first.",
)
.one_of(&["asc", "desc"]);
const PROJECT_ID: Field = honoured("project_id", Text, "The project, by its id.");
const PERIOD: Field =
    honoured("period", Text, "`month` by default.").one_of(&["day", "week", "month", "all"]);
const GROUP_BY: Field = honoured("group_by", Text, "Groups of the report.")
    .one_of(&["model", "key", "day", "end_user"]);
const FORMAT: Field =
    honoured("format", Text, "Instead of the header `Accept`.").one_of(&["json", "csv", "table"]);
const BEFORE_ID: Field = honoured("before_id", Text, "The page before this entry.");
const AFTER_ID: Field = honoured("after_id", Text, "The page after this entry.");
const PAGE: Field = honoured("page", Text, "The `next_page` of the page before.");
const ANTHROPIC_VERSION: Field = honoured(
    "anthropic-version",
    Text,
    "Sent by clients of Anthropic's API, who are answered in its format.",
);

/// Header of operations that cost money.
pub(super) static IDEMPOTENCY_KEY: Field = honoured(
    "idempotency-key",
    Text,
    "1 to 255 visible ASCII characters, chosen by the client. A request that is sent again with the same key and body gets the answer to \
     the first, and is paid once.",
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::ledger::GroupBy;
    use crate::accounts::ledger::UsagePeriod;

    #[test]
    fn words_of_reports_are_those_of_the_ledger() {
        assert_eq!(PERIOD.one_of, UsagePeriod::ALL.map(UsagePeriod::as_str));
        assert_eq!(GROUP_BY.one_of, GroupBy::ALL.map(GroupBy::as_str));
    }
}
