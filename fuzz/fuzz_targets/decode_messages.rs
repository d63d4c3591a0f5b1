//! Anthropic's Messages API: any body is either decoded to a turn or rejected with a message.

#![no_main]

use switchboard_formats::api::anthropic::decode_count;
use switchboard_formats::api::request_schema::{Policy, Remarks};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let strict = decode_count(body, Policy::Strict);
    match decode_count(body, Policy::Lenient) {
        Ok(request) => {
            assert!(!request.turn.prompt.is_empty() || !request.turn.history.is_empty());
            assert!(request.turn.history.iter().all(|message| !message.parts.is_empty()));
            // The converse does not hold: strict mode rejects pass-through fields that lenient accepts silently.
            assert!(strict.is_err() || request.remarks == Remarks::default());
        }
        Err(error) => {
            assert!(!error.message.is_empty());
            assert!(strict.is_err());
        }
    }
});
