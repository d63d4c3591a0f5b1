use super::tables::*;
use crate::api::request_schema::document;

#[test]
fn document_lists_admin_fields() {
    document::check("admin key fields", &[&NEW_KEY, &BUDGET_FIELDS, &CAP]);
    document::check("admin project fields", &[&NEW_PROJECT, &WEBHOOK]);
    document::check("admin rotation fields", &[&ROTATION]);
}
