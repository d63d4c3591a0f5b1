//! Lines on the terminal that say what a started server does, and what to try next.

use std::io;
use std::io::IsTerminal as _;
use std::io::Write as _;
use std::net::SocketAddr;

use crate::config::local_url;
use crate::engine::claude::SignIn;

/// Prints the lines if stdout is a terminal. The log has the same facts, for all other cases.
pub(super) fn welcome_operator(address: SocketAddr, sign_in: Option<SignIn>, is_open: bool) {
    let mut stdout = io::stdout();
    if stdout.is_terminal() {
        let lines = describe_server(address, sign_in, is_open);
        // A terminal that is gone is no reason to stop.
        let _ = stdout.write_all(lines.as_bytes());
    }
}

fn describe_server(address: SocketAddr, sign_in: Option<SignIn>, is_open: bool) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let url = local_url(address);
    let sign_in = sign_in.map_or(
        "none, so requests are refused: set ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN",
        SignIn::describe,
    );
    let keys = if is_open {
        "none, so programs of this machine alone are served"
    } else {
        "needed; `claude-switchboard keys create NAME` makes one"
    };
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
        let lines = describe_server(address, Some(SignIn::ApiKey), true);
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
        let lines = describe_server(address, None, false);
        assert!(lines.contains("sign-in   none, so requests are refused: set ANTHROPIC_API_KEY"));
        assert!(lines.contains("keys      needed;"), "{lines}");
    }
}
