//! Mark of requests that a hook makes while it handles another one, so that it never calls itself.

use std::sync::LazyLock;

use subtle::ConstantTimeEq as _;
use uuid::Uuid;

/// Header by which a hook passes the mark on.
pub const OWN_CALL_HEADER: &str = "x-switchboard-hook-depth";
/// Environment variable of hook programs with the value of the header.
pub(super) const OWN_CALL_VARIABLE: &str = "SWITCHBOARD_HOOK_DEPTH";

/// Random for each process: a client that could guess it would pass hooks by.
static OWN_CALL: LazyLock<String> = LazyLock::new(|| {
    let chance = [Uuid::new_v4(), Uuid::new_v4()].map(|id| id.simple().to_string());
    format!("1-{}", chance.concat())
});

/// Returns the value of the header in calls of hooks.
pub(super) fn own_call_mark() -> &'static str {
    &OWN_CALL
}

/// True if `value` is the header of a call by this process, so that the request comes from a hook.
pub fn is_own_call(value: &[u8]) -> bool {
    OWN_CALL.as_bytes().ct_eq(value).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_mark_of_this_process_is_an_own_call() {
        assert!(is_own_call(own_call_mark().as_bytes()));
        for value in ["", "1", "2", "1-0"] {
            assert!(!is_own_call(value.as_bytes()), "{value}");
        }
    }
}
