//! Help of the program as a whole.

/// Width of all help texts, in columns.
pub(super) const MAX_WIDTH: usize = 80;

/// Help with the commands in groups, which clap cannot make of them by itself.
pub(super) const TEMPLATE: &str = "\
{about-with-newline}
{usage-heading} {usage}

Get started:
  init          Write a configuration and make the first key
  serve         Serve until a signal to stop, then let running requests finish
  chat          Chat with a running server on the terminal
  connect       Set a client up for a server, such as Codex or Claude Code
  dashboard     Print a link that signs in to the dashboard, or list sessions

Use a running server:
  tasks         Run an agent, follow it and answer its questions
  batch         Run a file of requests, and fetch the answers
  top           Show live figures: workers, queue, requests, cost

Check:
  check-config  Print the settings in force, secrets redacted
  doctor        Check the setup, a running server, or the rules by model
  health        Ask a running server whether it is healthy
  hooks         List the hooks, or try a request against them
  route         Show which models the routing rules choose, and the savings

Administer, whether or not the server runs:
  keys          Create, list, rotate and revoke keys
  projects      Create and list projects and set their budgets
  usage         Print the usage
  ledger        Back up, restore or verify the ledger
  store         Back up, restore, copy, repair or verify all records

Install:
  man           Print the manual page, or write the pages of all commands
  completions   Print completions for a shell
  help          Print this, or the help of a command

Options:
{options}{after-help}";

pub(super) const EXAMPLES: &str = "\
Examples:
  Serve Claude on 127.0.0.1:8080, signed in by an API key, and chat:
    ANTHROPIC_API_KEY=sk-ant-... claude-switchboard serve
    claude-switchboard chat
  Let Codex use it:
    claude-switchboard connect codex
  Make a key, and let other machines in that have one:
    claude-switchboard keys create laptop
    claude-switchboard serve --listen 0.0.0.0:8080
  See the settings in force:
    claude-switchboard check-config --config switchboard.toml

Every key of the configuration is also a variable, SWITCHBOARD_SECTION__KEY;
docs/CONFIGURATION.md lists them.";

pub(super) const COMPLETIONS_EXAMPLE: &str = "\
Examples:
  claude-switchboard completions bash \\
    >~/.local/share/bash-completion/completions/claude-switchboard
  claude-switchboard completions zsh >~/.zfunc/_claude-switchboard
  claude-switchboard completions fish \\
    >~/.config/fish/completions/claude-switchboard.fish
  claude-switchboard completions powershell >>$PROFILE";

pub(super) const STORE_COPY_EXAMPLE: &str = "\
Examples:
  claude-switchboard store copy --from config --to redis://10.0.0.5:6379
  claude-switchboard store copy --from redis://10.0.0.5:6379 --to sled:/srv/new";

#[cfg(test)]
mod tests {
    use clap::Command;
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn each_command_is_in_a_group_of_the_help() {
        let command = Cli::command();
        let commands = command.get_subcommands();
        for name in commands.map(Command::get_name) {
            let is_listed = TEMPLATE
                .lines()
                .any(|line| line.split_whitespace().next() == Some(name));
            assert!(is_listed, "{name} is not in the help");
        }
    }

    #[test]
    fn help_is_at_most_80_columns_wide() {
        let mut command = Cli::command();
        command.build();
        let mut commands = vec![command];
        while let Some(mut command) = commands.pop() {
            let help = command.render_long_help().to_string();
            // Usage lines are not wrapped, since they are copied.
            let lines = help.lines().filter(|line| !line.starts_with("Usage:"));
            for line in lines {
                let name = command.get_name();
                assert!(line.chars().count() <= MAX_WIDTH, "{name}: {line}");
            }
            commands.extend(command.get_subcommands().cloned());
        }
    }
}
