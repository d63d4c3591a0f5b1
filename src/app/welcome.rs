//! Lines on the terminal that say what a started server does, and what to try next.

use std::io;
use std::io::IsTerminal as _;
use std::io::Write as _;
use std::net::SocketAddr;

use crate::accounts::auth::Keys;
use crate::config::local_url;
use crate::engine::claude::SignIn;

/// Prints the lines if stdout is a terminal. The log has the same facts, for all other cases.
pub(super) fn welcome_operator(address: SocketAddr, sign_in: Option<SignIn>, keys: &Keys) {
    let mut stdout = io::stdout();
    if stdout.is_terminal() {
        let keys = describe_keys(keys.is_open(), keys.any_exist());
        let lines = describe_server(address, sign_in, keys);
        // A terminal that is gone is no reason to stop.
        let _ = stdout.write_all(lines.as_bytes());
    }
}

/// Describes which keys clients need, on a server that is open or not and has some or none.
fn describe_keys(is_open: bool, any_exist: bool) -> &'static str {
    if is_open {
        "none, so programs of this machine alone are served"
    } else if any_exist {
        "needed; `claude-switchboard keys list` shows those that are stored"
    } else {
        "needed; `claude-switchboard keys create NAME` makes one"
    }
}

fn describe_server(address: SocketAddr, sign_in: Option<SignIn>, keys: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let url = local_url(address);
    let sign_in = sign_in.map_or(
        "none, so requests are refused: set ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN",
        SignIn::describe,
    );
    format!(
        "\nclaude-switchboard {version} serves {url}, until Ctrl-C\n\
         \x20 sign-in   {sign_in}\n\
         \x20 keys      {keys}\n\
         \x20 try       claude-switchboard chat --url {url}\n\
         \x20 dashboard claude-switchboard dashboard, which prints a link to it\n\
         \x20 clients   claude-switchboard connect --list\n\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_server_says_where_it_is_and_what_to_try() {
        let address = "0.0.0.0:8080".parse().unwrap();
        let keys = describe_keys(true, false);
        let lines = describe_server(address, Some(SignIn::ApiKey), keys);
        let lines = lines.replace(env!("CARGO_PKG_VERSION"), "VERSION");
        insta::assert_snapshot!(lines.trim(), @"
        claude-switchboard VERSION serves http://127.0.0.1:8080, until Ctrl-C
          sign-in   the API key in ANTHROPIC_API_KEY
          keys      none, so programs of this machine alone are served
          try       claude-switchboard chat --url http://127.0.0.1:8080
          dashboard claude-switchboard dashboard, which prints a link to it
          clients   claude-switchboard connect --list
        ");
    }

    #[test]
    fn server_without_sign_in_says_what_to_set() {
        let address = "127.0.0.1:9000".parse().unwrap();
        let lines = describe_server(address, None, describe_keys(false, false));
        assert!(lines.contains("sign-in   none, so requests are refused: set ANTHROPIC_API_KEY"));
        assert!(lines.contains("keys create NAME"), "{lines}");
        assert!(!describe_keys(false, true).contains("create"));
    }
}
