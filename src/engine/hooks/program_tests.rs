use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::engine::hooks::testing::assert_calls_close_files;
use crate::engine::hooks::testing::notice;
use crate::engine::hooks::testing::question;

/// Longest wait for a program that must answer.
const MAX_TEST_WAIT: Duration = Duration::from_secs(60);

/// Program that answers each line by an expression of `sed`, in which `\1` is the id.
fn program(answer: &str) -> (ProgramHook, CancellationToken) {
    let script = format!(r#"s/^{{"id":\([0-9]*\),.*/{answer}/p"#);
    let command = ["sed", "-u", "-n", script.as_str()].map(str::to_owned);
    let stop = CancellationToken::new();
    let environment = [("PATH".to_owned(), "/usr/bin:/bin".to_owned())];
    let name = "test".into();
    let tracker = TaskTracker::new();
    let hook = ProgramHook::start(name, command.into(), &environment, &tracker, stop.clone());
    (hook, stop)
}

async fn ask(hook: &ProgramHook) -> Result<HookReply, HookFailure> {
    let answer = timeout(MAX_TEST_WAIT, hook.call(&question())).await;
    answer.expect("the program answers or ends")
}

#[tokio::test]
async fn program_answers_with_the_id_of_its_line() {
    let (hook, _stop) = program(r#"{"id":\1,"action":"pass"}"#);
    for _ in 0..3 {
        assert_eq!(ask(&hook).await, Ok(HookReply::pass()));
    }
    let reply = hook.call(&notice()).await;
    assert_eq!(reply, Ok(HookReply::pass()));
}

#[tokio::test]
async fn program_that_answers_wrongly_is_a_failure() {
    let (hook, _stop) = program(r#"{"id":\1,"action":"explode"}"#);
    let failed = ask(&hook).await;
    assert!(
        matches!(failed, Err(HookFailure::InvalidAnswer(_))),
        "{failed:?}"
    );
    let (hook, _stop) = program("nonsense");
    let failed = ask(&hook).await;
    assert!(
        matches!(failed, Err(HookFailure::Unreachable(_))),
        "{failed:?}"
    );
}

#[tokio::test]
async fn ten_thousand_calls_leave_the_open_files_as_they_are() {
    let (hook, _stop) = program(r#"{"id":\1,"action":"pass"}"#);
    ask(&hook).await.unwrap();
    assert_calls_close_files(&hook).await;
}

#[test]
fn executable_files_of_a_folder_are_found_in_the_order_of_their_names() {
    let folder = tempfile::tempdir().unwrap();
    for (name, mode) in [("b-mask.py", 0o755), ("a-log", 0o700), ("notes.txt", 0o644)] {
        let path = folder.path().join(name);
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::create_dir(folder.path().join("folder")).unwrap();
    let files = program_files(folder.path()).unwrap();
    let names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["a-log", "b-mask"]);
    assert!(program_files(&folder.path().join("nowhere")).is_err());
}
