//! `doctor`: checks the setup, a server through the URL of its clients, or the rules by model.

mod live_rules;
mod live_server;
mod rendering;
mod server_report;
mod stream_arrivals;

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueHint;
use clap::builder::PossibleValuesParser;

use super::BAD_CONFIGURATION;
use super::CommandError;
use super::endpoint::find_url;
use super::print;
use super::server_client::block_on_calls;
use crate::app::SETUP_CHECKS;
use crate::app::plan_command_checks;
use crate::config;
use crate::config::CommandLineFlags;
use crate::config::Environment;
use crate::config::Settings;
use crate::runtime::checks::CheckFinding;
use crate::runtime::checks::CheckPlace;
use crate::runtime::checks::CheckReport;
use crate::runtime::checks::CheckStatus;
use crate::runtime::checks::PlannedCheck;
use crate::runtime::checks::run_checks;
use crate::telemetry::logs::ErrorChain;

use live_server::LIVE_CHECKS;
use rendering::ReportStyle;
use rendering::render_checks;
use rendering::render_summary;
use server_report::ask_server;
use server_report::merge_reports;

const EXAMPLES: &str = "\
Examples:
  See whether a server would work here, or what the running one lacks:
    claude-switchboard doctor
  See whether a proxy in front of a server passes everything on:
    claude-switchboard doctor --live https://switchboard.example.com
  Look at two things alone, for a script:
    claude-switchboard doctor --json --only disk_space --only memory
  See what a check of the rules would cost, and decide:
    claude-switchboard doctor --live-rules
  Check two models without being asked:
    claude-switchboard doctor --live-rules --yes \\
      --model claude-sonnet-5-5 --model claude-haiku-4-5

The exit code is 0, or 1 if a check fails or none applies, or 64 if the
configuration is refused.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DoctorArguments {
    /// Print the report as JSON.
    #[arg(long, conflicts_with = "live_rules")]
    json: bool,
    /// Only this check, by its name in the report; may be given several times [default: all].
    #[arg(long, value_name = "NAME", value_parser = check_names(), conflicts_with = "live_rules")]
    only: Vec<String>,
    /// Leave out checks that start a program, write to the disk or call others.
    #[arg(long, conflicts_with_all = ["live", "live_rules"])]
    quick: bool,
    /// Exit with 1 for warnings as well.
    #[arg(long, conflicts_with = "live_rules")]
    strict: bool,
    /// Check a running server through this URL, as its clients reach it.
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    #[arg(conflicts_with_all = ["live_rules", "config"])]
    live: Option<String>,
    /// Check which parameters the models accept by small calls to Anthropic, which cost money, and compare it with the rules.
    #[arg(long)]
    live_rules: bool,
    /// Make the calls without confirmation.
    #[arg(long, requires = "live_rules")]
    yes: bool,
    /// Only this model, by its id; may be given several times [default: the models that the CLI lists].
    #[arg(long, value_name = "ID", requires = "live_rules")]
    model: Vec<String>,
    /// A configuration file in TOML.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
}

/// Makes the checks and prints their results. The exit code is 0, or 1 if a check fails (with
/// `--strict` also for a warning), or 64 for a refused configuration.
///
/// # Errors
/// Fails when the URL is not one, no check applies, the results cannot be printed, or a rule does
/// not hold.
pub(super) fn run(
    arguments: &DoctorArguments,
    environment: &Environment,
) -> anyhow::Result<ExitCode> {
    let style = ReportStyle::of_stdout(environment);
    if let Some(url) = arguments.live.as_deref() {
        let url = find_url(Some(url), None, environment)?;
        let checked = live_server::check_server(&url, &arguments.only);
        let report = block_on_calls(async { Ok(CheckReport::new(checked.await)) })?;
        let next = format!("claude-switchboard chat --url {url}");
        return arguments.show(&report, style, &next);
    }
    let config = arguments.config.as_deref();
    let settings = Settings::load(config, environment, &CommandLineFlags::default());
    if arguments.live_rules {
        live_rules::run(&arguments.model, arguments.yes, environment, &settings?)?;
        return Ok(ExitCode::SUCCESS);
    }
    match settings {
        Ok(settings) => {
            let checked = arguments.check(&settings, environment);
            let report = block_on_calls(async { Ok(checked.await) })?;
            let next = next_command(&report, config);
            arguments.show(&report, style, &next)
        }
        Err(error) => arguments.show_refused(&error, style),
    }
}

/// Checks a setup that was just made, and returns the results as lines, with the worst of them.
///
/// # Errors
/// Fails when the runtime cannot be started.
pub(super) fn check_new_setup(
    settings: &Settings,
    environment: &Environment,
    config: &Path,
) -> anyhow::Result<(String, CheckStatus)> {
    let planned = plan_command_checks(settings, environment, Some(config));
    let checked = run_checks(planned, CheckPlace::Command);
    let report = block_on_calls(async { Ok(CheckReport::new(checked.await)) })?;
    let lines = render_checks(&report, ReportStyle::of_stdout(environment));
    Ok((lines, report.status))
}

impl DoctorArguments {
    /// Makes the checks of this command, and has a running server make its own.
    async fn check(&self, settings: &Settings, environment: &Environment) -> CheckReport {
        let mut planned = plan_command_checks(settings, environment, self.config.as_deref());
        planned.retain(|check| self.wants(check.name()) && !(self.quick && check.is_slow()));
        let own = run_checks(planned, CheckPlace::Command);
        let (own, asked) = tokio::join!(own, ask_server(settings, self.quick));
        merge_reports(own, asked, |name| self.wants(name))
    }

    /// True if the check `name` is to be made.
    fn wants(&self, name: &str) -> bool {
        is_wanted(&self.only, name)
    }

    /// Shows that the configuration is refused, as a check that failed.
    fn show_refused(&self, error: &config::Error, style: ReportStyle) -> anyhow::Result<ExitCode> {
        let finding = CheckFinding::fail(ErrorChain(error).to_string(), error.hint());
        let check = finding.named("configuration", CheckPlace::Command);
        self.show(&CheckReport::new(vec![check]), style, "")?;
        Ok(ExitCode::from(BAD_CONFIGURATION))
    }

    /// Prints the report, with the next command if nothing fails, and returns the exit code.
    ///
    /// # Errors
    /// Fails when the report is empty, so that no script takes it for a good one.
    fn show(
        &self,
        report: &CheckReport,
        style: ReportStyle,
        next: &str,
    ) -> anyhow::Result<ExitCode> {
        if report.checks.is_empty() {
            let message = "no check of this name applies to this setup".to_owned();
            let hint =
                "`claude-switchboard doctor` shows those that do; name one of them with --only";
            return Err(CommandError::new(message, hint).into());
        }
        let text = if self.json {
            format!("{}\n", serde_json::to_string_pretty(report)?)
        } else {
            let checks = render_checks(report, style);
            format!("{checks}\n{}", render_summary(report, next))
        };
        print(text.as_bytes())?;
        Ok(exit_code(report.status, self.strict))
    }
}

fn exit_code(status: CheckStatus, is_strict: bool) -> ExitCode {
    match status {
        CheckStatus::Pass => ExitCode::SUCCESS,
        CheckStatus::Warn if !is_strict => ExitCode::SUCCESS,
        CheckStatus::Warn | CheckStatus::Fail => ExitCode::FAILURE,
    }
}

/// Returns a parser of the names of all checks, which suggests the nearest for another text.
fn check_names() -> PossibleValuesParser {
    PossibleValuesParser::new(SETUP_CHECKS.into_iter().chain(LIVE_CHECKS))
}

/// True if `only` is empty or has the check `name`.
fn is_wanted(only: &[String], name: &str) -> bool {
    only.is_empty() || only.iter().any(|wanted| wanted == name)
}

/// Drops the checks that `only` does not have, unless it is empty.
fn retain_wanted(checks: &mut Vec<PlannedCheck>, only: &[String]) {
    checks.retain(|check| is_wanted(only, check.name()));
}

/// Returns the command that comes next: a chat if a server runs, or else its start.
fn next_command(report: &CheckReport, config: Option<&Path>) -> String {
    let has_server = report.checks.iter().any(|check| {
        let is_found = check.place == CheckPlace::Server;
        is_found || (check.name == "server" && check.status == CheckStatus::Warn)
    });
    let command = if has_server { "chat" } else { "serve" };
    match config {
        Some(file) => format!("claude-switchboard {command} --config {}", file.display()),
        None => format!("claude-switchboard {command}"),
    }
}

#[cfg(test)]
mod tests;
