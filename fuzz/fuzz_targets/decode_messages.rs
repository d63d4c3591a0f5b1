//! Any body a client of Anthropic's may send either is a turn or is refused with a reason.

#![no_main]

use claude_switchboard::api::anthropic::decode_count;
use claude_switchboard::api::request_schema::{Policy, Remarks};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let strict = decode_count(body, Policy::Strict);
    match decode_count(body, Policy::Lenient) {
        Ok(request) => {
            assert!(!request.turn.prompt.is_empty() || !request.turn.history.is_empty());
            assert!(request.turn.history.iter().all(|message| !message.parts.is_empty()));
            // The other way round it need not be so: what only Anthropic's API knows passes, and strict refuses it.
            assert!(strict.is_err() || request.remarks == Remarks::default());
        }
        Err(error) => {
            assert!(!error.message.is_empty());
            assert!(strict.is_err());
        }
    }
});
