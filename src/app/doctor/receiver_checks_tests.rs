use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use super::*;
use crate::accounts::auth::FieldChange;
use crate::accounts::auth::NewWebhook;
use crate::accounts::auth::ProjectChange;
use crate::engine::hooks::HookPoint;
use crate::runtime::checks::CheckStatus;

/// Listens on a free port, and returns the listener with the URL of its address.
fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, format!("http://{address}/"))
}

/// Returns the URL of a port at which nobody listens.
fn closed_url() -> String {
    let (listener, url) = listen();
    drop(listener);
    url
}

fn hook(rest: &str) -> HookConfig {
    toml::from_str(&format!("name = \"h\"\npoints = [\"before\"]\n{rest}")).unwrap()
}

async fn check(rest: &str) -> CheckFinding {
    let environment: Environment = [("PATH", "/nowhere:/bin")].into_iter().collect();
    check_hooks(&[hook(rest)], &environment).await
}

#[tokio::test]
async fn service_of_a_hook_is_reached_or_its_failure_decides() {
    let (_listener, url) = listen();
    let rest = |url: &str| format!("kind = \"http\"\nurl = \"{url}\"");
    assert_eq!(check(&rest(&url)).await.status, CheckStatus::Pass);
    let closed = rest(&closed_url());
    let refused = check(&closed).await;
    assert_eq!(refused.status, CheckStatus::Fail);
    assert!(refused.detail.starts_with("`h`: 127.0.0.1:"), "{refused:?}");
    let passing = check(&format!("{closed}\non_failure = \"pass\"")).await;
    assert_eq!(passing.status, CheckStatus::Warn);
}

#[test]
fn hook_that_gates_answers_refuses_turns_while_it_is_gone() {
    let after = |rest: &str| hook(&format!("kind = \"http\"\nurl = \"\"\n{rest}"));
    let at_answers = |mut hook: HookConfig| {
        hook.points = vec![HookPoint::After];
        refuses_without_answer(&hook)
    };
    assert!(!at_answers(after("")));
    assert!(at_answers(after("stream = \"whole\"")));
}

#[tokio::test]
async fn socket_of_a_hook_has_to_be_listened_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hook.sock");
    let rest = format!("kind = \"http\"\nurl = \"unix:{}\"", path.display());
    assert_eq!(check(&rest).await.status, CheckStatus::Fail);
    let _listener = UnixListener::bind(&path).unwrap();
    assert_eq!(check(&rest).await.status, CheckStatus::Pass);
}

#[tokio::test]
async fn program_of_a_hook_is_looked_up() {
    for program in ["sh", "/bin/sh"] {
        let rest = format!("kind = \"program\"\ncommand = [\"{program}\", \"-c\", \"x\"]");
        assert_eq!(check(&rest).await.status, CheckStatus::Pass, "{program}");
    }
    for program in ["no-such-program", "/nowhere/x", "/bin"] {
        let rest = format!("kind = \"program\"\ncommand = [\"{program}\"]");
        let finding = check(&rest).await;
        assert_eq!(finding.status, CheckStatus::Fail, "{program}");
        assert!(finding.detail.ends_with(program), "{finding:?}");
    }
}

#[tokio::test]
async fn receiver_of_traces_that_is_gone_is_a_warning() {
    let (_listener, url) = listen();
    let finding = check_traces(&url.parse().unwrap()).await;
    assert_eq!(finding.status, CheckStatus::Pass);
    let finding = check_traces(&closed_url().parse().unwrap()).await;
    assert_eq!(finding.status, CheckStatus::Warn);
    assert!(finding.detail.contains("cannot be reached"));
}

#[tokio::test]
async fn webhook_that_is_gone_is_a_warning_without_its_path() {
    let registry = Registry::temporary().await.unwrap();
    let none = check_webhooks(&registry).await;
    assert_eq!(none, CheckFinding::pass("no project has a webhook"));
    let (_listener, url) = listen();
    add_project(&registry, "one", &url).await;
    let reached = check_webhooks(&registry).await;
    assert_eq!(
        reached,
        CheckFinding::pass("1 receiver accepts connections")
    );
    add_project(&registry, "two", &format!("{}hush", closed_url())).await;
    let finding = check_webhooks(&registry).await;
    assert_eq!(finding.status, CheckStatus::Warn);
    assert!(!finding.detail.contains("hush"), "{finding:?}");
}

#[tokio::test]
async fn records_that_can_be_read_pass() {
    let registry = Registry::temporary().await.unwrap();
    assert_eq!(check_store(&registry).await.status, CheckStatus::Pass);
    let failed = unreadable_projects("the disk fails");
    assert_eq!(failed.status, CheckStatus::Fail);
}

async fn add_project(registry: &Registry, id: &str, url: &str) {
    let webhook = NewWebhook {
        url: url.parse().unwrap(),
        secret: None,
    };
    let change = ProjectChange {
        name: Some(id.to_owned()),
        webhook: FieldChange::Set(webhook),
        ..ProjectChange::default()
    };
    let made = registry.create_project(Some(id.to_owned()), change).await;
    made.unwrap();
}
