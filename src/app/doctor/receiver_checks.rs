//! Checks of what the server calls: hooks, the receiver of traces, webhooks of projects. No content
//! is sent.

use std::collections::BTreeSet;
use std::path::Path;

use futures::future::join_all;
use hyper::Uri;
use tokio::net::UnixStream;

use super::network_checks::connect;
use super::network_checks::host_and_port;
use crate::accounts::auth::Project;
use crate::accounts::auth::Registry;
use crate::accounts::auth::RegistryPage;
use crate::config::Environment;
use crate::engine::claude;
use crate::engine::hooks::HookConfig;
use crate::engine::hooks::HookKind;
use crate::engine::hooks::OnFailure;
use crate::runtime::checks::CheckFinding;
use crate::telemetry::logs::ErrorChain;

/// Beginning of a URL that names a Unix socket.
const UNIX_SOCKET: &str = "unix:";
/// Number of projects in a page.
const PAGE_SIZE: usize = 100;
/// Maximum number of webhooks that are called.
const MAX_WEBHOOKS: usize = 50;

/// Checks that each hook can be called: its service, or the file of its program.
pub(super) async fn check_hooks(hooks: &[HookConfig], environment: &Environment) -> CheckFinding {
    let path = environment.get("PATH").unwrap_or_default();
    let called = join_all(hooks.iter().map(|hook| find_hook(hook, path))).await;
    let failed: Vec<(&HookConfig, String)> = hooks
        .iter()
        .zip(called)
        .filter_map(|(hook, called)| Some((hook, called.err()?)))
        .collect();
    if failed.is_empty() {
        return CheckFinding::pass(format!("{} can be called", hooks.len()));
    }
    let problems = failed
        .iter()
        .map(|(hook, problem)| format!("`{}`: {problem}", hook.name));
    let problems = problems.collect::<Vec<_>>().join("; ");
    if failed.iter().any(|(hook, _)| refuses_without_answer(hook)) {
        let hint =
            "start what is called, or set on_failure = \"pass\": requests are refused without it";
        CheckFinding::fail(problems, hint)
    } else {
        CheckFinding::warn(problems, "start what is called; turns go on without it")
    }
}

/// True if turns are refused while the hook cannot be called.
fn refuses_without_answer(hook: &HookConfig) -> bool {
    let mut points = hook.points.iter();
    points.any(|point| hook.failure_at(*point) == OnFailure::Refuse)
}

async fn find_hook(hook: &HookConfig, path: &str) -> Result<(), String> {
    match hook.kind {
        HookKind::Filter => Ok(()),
        HookKind::Http => connect_to(&hook.url).await,
        // A program without a command is a file of the folder of programs, which was read at start.
        HookKind::Program => hook
            .command
            .first()
            .map_or(Ok(()), |program| find_program(program, path)),
    }
}

/// Connects to the host or to the Unix socket of a URL.
async fn connect_to(url: &str) -> Result<(), String> {
    if let Some(socket) = url.strip_prefix(UNIX_SOCKET) {
        let connected = UnixStream::connect(socket).await;
        return connected
            .map(drop)
            .map_err(|error| format!("{socket}: {error}"));
    }
    let address = url.parse().ok().and_then(|url: Uri| host_and_port(&url));
    let (host, port) = address.ok_or_else(|| "it has no URL with a host".to_owned())?;
    let connected = connect(&host, port).await;
    connected.map_err(|error| format!("{host}:{port}: {error}"))
}

fn find_program(program: &str, path: &str) -> Result<(), String> {
    let is_found = if program.contains('/') {
        claude::is_program(Path::new(program))
    } else {
        let mut files = std::env::split_paths(path).map(|folder| folder.join(program));
        files.any(|file| claude::is_program(&file))
    };
    if is_found {
        Ok(())
    } else {
        Err(format!("there is no program {program}"))
    }
}

/// Checks that the receiver of traces accepts connections.
pub(super) async fn check_traces(receiver: &Uri) -> CheckFinding {
    let Some((host, port)) = host_and_port(receiver) else {
        let hint = "set traces.endpoint to a URL such as http://127.0.0.1:4318/v1/traces";
        return CheckFinding::fail("traces.endpoint names no host", hint);
    };
    match connect(&host, port).await {
        Ok(()) => CheckFinding::pass(format!("{host}:{port} accepts connections")),
        Err(error) => CheckFinding::warn(
            format!("{host}:{port} cannot be reached: {error}"),
            "start the receiver, or correct traces.endpoint; spans are lost meanwhile",
        ),
    }
}

/// Checks that the webhooks of projects accept connections.
pub(super) async fn check_webhooks(registry: &Registry) -> CheckFinding {
    let projects = match read_projects(registry).await {
        Ok(projects) => projects,
        Err(problem) => return unreadable_projects(&problem),
    };
    let urls = projects.iter().filter_map(|project| {
        let webhook = project.webhook.as_ref()?;
        let url: Uri = webhook.url.reveal().parse().ok()?;
        host_and_port(&url)
    });
    let receivers: BTreeSet<(String, u16)> = urls.collect();
    let called = receivers
        .iter()
        .take(MAX_WEBHOOKS)
        .map(|(host, port)| async move {
            let connected = connect(host, *port).await;
            connected.map_err(|error| format!("{host}:{port}: {error}"))
        });
    let called = join_all(called).await;
    let count = called.len();
    let rest = match receivers.len() - count {
        0 => String::new(),
        untried => format!("; {untried} more were not tried"),
    };
    let problems: Vec<String> = called.into_iter().filter_map(Result::err).collect();
    if problems.is_empty() {
        let detail = match count {
            0 => "no project has a webhook".to_owned(),
            1 => "1 receiver accepts connections".to_owned(),
            _ => format!("{count} receivers accept connections{rest}"),
        };
        return CheckFinding::pass(detail);
    }
    CheckFinding::warn(
        format!("{}{rest}", problems.join("; ")),
        "correct the webhooks of the projects: `claude-switchboard projects list` has them; events are tried again",
    )
}

/// Checks that the records can be read, by those of a project.
pub(super) async fn check_store(registry: &Registry) -> CheckFinding {
    let page = RegistryPage {
        limit: 1,
        after: None,
    };
    match registry.projects(page).await {
        Ok(_) => CheckFinding::pass("the records can be read"),
        Err(error) => unreadable_projects(&ErrorChain(&error).to_string()),
    }
}

fn unreadable_projects(problem: &str) -> CheckFinding {
    let hint = "see the log of the server; `claude-switchboard store verify` reads all records";
    CheckFinding::fail(format!("the records cannot be read: {problem}"), hint)
}

async fn read_projects(registry: &Registry) -> Result<Vec<Project>, String> {
    let mut all: Vec<Project> = Vec::new();
    loop {
        let page = RegistryPage {
            limit: PAGE_SIZE,
            after: all.last().map(|project| project.id.clone()),
        };
        let read = registry.projects(page).await;
        let (mut projects, has_more) = read.map_err(|error| ErrorChain(&error).to_string())?;
        all.append(&mut projects);
        if !has_more {
            return Ok(all);
        }
    }
}

#[cfg(test)]
#[path = "receiver_checks_tests.rs"]
mod tests;
