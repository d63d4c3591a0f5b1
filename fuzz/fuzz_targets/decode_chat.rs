//! Chat completions: any body is either decoded to a turn or rejected with a message.

#![no_main]

use switchboard_formats::api::request_schema::{Policy, Remarks};
use switchboard_formats::api::openai::chat::decode;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let strict = decode(body, Policy::Strict);
    match decode(body, Policy::Lenient) {
        Ok(request) => {
            assert!(!request.turn.prompt.is_empty());
            assert!(request.turn.history.iter().all(|message| !message.parts.is_empty()));
            assert_eq!(strict.is_ok(), request.remarks == Remarks::default());
        }
        Err(error) => {
            assert!(!error.message.is_empty());
            assert!(strict.is_err());
        }
    }
});
