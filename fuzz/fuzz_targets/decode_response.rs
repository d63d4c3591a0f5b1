//! Responses API: any body and its conversation are either decoded or rejected with a message.

#![no_main]

use switchboard_formats::api::request_schema::{Policy, Remarks};
use switchboard_formats::api::openai::responses::decode;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let turn = |policy| decode(body, policy).and_then(|request| request.into_turn(&[]));
    let strict = turn(Policy::Strict);
    match turn(Policy::Lenient) {
        Ok((turn, remarks)) => {
            assert!(!turn.prompt.is_empty());
            assert!(turn.history.iter().all(|message| !message.parts.is_empty()));
            assert_eq!(strict.is_ok(), remarks == Remarks::default());
        }
        Err(error) => {
            assert!(!error.message.is_empty());
            assert!(strict.is_err());
        }
    }
});
