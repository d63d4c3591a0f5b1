//! The `claude-switchboard` binary.

use std::process::ExitCode;

use clap::Parser;
use claude_switchboard::cli;
use claude_switchboard::config;

fn main() -> ExitCode {
    match cli::run(cli::Cli::parse(), config::environment()) {
        Ok(code) => code,
        Err(error) => cli::report(&error),
    }
}
