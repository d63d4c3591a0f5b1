//! Integration tests.

mod fake_claude;
