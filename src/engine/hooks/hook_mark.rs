//! Mark of requests that a hook sends to this server, so that hooks do not call themselves.

use std::sync::LazyLock;

use subtle::ConstantTimeEq as _;
use uuid::Uuid;

/// Header with which a hook passes the mark on.
pub const HOOK_MARK_HEADER: &str = "x-switchboard-hook-depth";
/// Environment variable of hook programs with the value of the header.
pub(super) const HOOK_MARK_VARIABLE: &str = "SWITCHBOARD_HOOK_DEPTH";

/// Mark of this process. Random: a client that could guess it would bypass hooks.
static HOOK_MARK: LazyLock<String> = LazyLock::new(|| {
    let chance = [Uuid::new_v4(), Uuid::new_v4()].map(|id| id.simple().to_string());
    format!("1-{}", chance.concat())
});

/// Returns the mark, which calls of hooks carry.
pub(super) fn hook_mark_value() -> &'static str {
    &HOOK_MARK
}

/// True if `value` is the mark of this process: the request then comes from one of its hooks.
pub fn is_hook_mark(value: &[u8]) -> bool {
    HOOK_MARK.as_bytes().ct_eq(value).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_mark_of_this_process_is_a_hook_mark() {
        assert!(is_hook_mark(hook_mark_value().as_bytes()));
        for value in ["", "1", "2", "1-0"] {
            assert!(!is_hook_mark(value.as_bytes()), "{value}");
        }
    }
}
