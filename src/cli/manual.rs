//! `man`: manual pages, made from the help texts.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap::ValueHint;
use clap_mangen::Man;

use super::Cli;
use super::print;

const EXAMPLES: &str = "\
Examples:
  Read the manual page:
    claude-switchboard man | man -l -
  Install the pages of all commands:
    claude-switchboard man --dir ~/.local/share/man/man1";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ManArguments {
    /// Folder for a page of each command; without it the main page is printed.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

/// Prints the main page, or writes the pages of all commands.
///
/// # Errors
/// Fails when the pages cannot be written.
pub(super) fn run(arguments: &ManArguments) -> anyhow::Result<()> {
    let Some(folder) = &arguments.dir else {
        let mut page = Vec::new();
        Man::new(Cli::command()).render(&mut page)?;
        return print(&page);
    };
    let write = || {
        fs::create_dir_all(folder)?;
        clap_mangen::generate_to(Cli::command(), folder)
    };
    write().with_context(|| format!("cannot write into {}", folder.display()))?;
    print(format!("The manual pages are in {}.\n", folder.display()).as_bytes())
}
