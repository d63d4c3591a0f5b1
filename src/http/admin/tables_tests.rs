use super::tables::*;
use crate::api::request_schema::document;

#[test]
fn the_document_shows_the_tables() {
    document::check("admin key fields", &[&NEW_KEY, &BUDGET_FIELDS, &CAP]);
    document::check("admin project fields", &[&NEW_PROJECT, &WEBHOOK]);
    document::check("admin rotation fields", &[&ROTATION]);
}
