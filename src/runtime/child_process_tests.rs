use super::*;

/// Longest wait for a condition that must come true.
const DEADLINE: Duration = Duration::from_secs(20);

/// Shell program that answers each line with what `script` prints for its id, in `$id`.
fn program(script: &str) -> ChildProgram {
    let body = format!(
        "while IFS= read -r line; do id=$(printf '%s' \"$line\" | sed 's/[^0-9]//g'); {script}; done"
    );
    of_command(&["/bin/sh", "-c", &body])
}

fn of_command(command: &[&str]) -> ChildProgram {
    ChildProgram {
        name: "test".into(),
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        environment: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
        max_line_bytes: 1024,
    }
}

fn started(program: ChildProgram) -> (ChildProcess, TaskTracker, CancellationToken) {
    let tracker = TaskTracker::new();
    let stop = CancellationToken::new();
    let process = ChildProcess::start(program, &tracker, stop.clone());
    (process, tracker, stop)
}

async fn ask(process: &ChildProcess) -> Result<String, ChildError> {
    let answer = process.request(|id| format!("{{\"id\":{id}}}").into_bytes());
    let answer = tokio::time::timeout(DEADLINE, answer).await;
    let answer = answer.expect("the process answers or ends")?;
    Ok(String::from_utf8(answer.to_vec()).unwrap())
}

#[tokio::test]
async fn child_answers_concurrent_requests_by_their_ids() {
    let (process, tracker, stop) =
        started(program("echo \"{\\\"id\\\":$id,\\\"twice\\\":$id$id}\""));
    let asked = (0..20).map(|_| ask(&process));
    let mut answers: Vec<String> = futures::future::join_all(asked)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    answers.sort();
    answers.dedup();
    assert_eq!(answers.len(), 20);
    assert!(answers.contains(&r#"{"id":7,"twice":77}"#.to_owned()));
    stop.cancel();
    tracker.close();
    tokio::time::timeout(DEADLINE, tracker.wait())
        .await
        .unwrap();
    assert_eq!(ask(&process).await, Err(ChildError::NotRunning));
}

#[tokio::test]
async fn child_that_ends_is_restarted_and_answers_again() {
    let (process, _tracker, _stop) = started(program("echo \"{\\\"id\\\":$id}\"; exit 1"));
    let answered = async {
        let mut answered = 0;
        while answered < 2 {
            answered += usize::from(ask(&process).await.is_ok());
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, answered).await.unwrap();
}

#[tokio::test]
async fn child_that_breaks_the_protocol_is_ended() {
    let long = format!("echo {}", "x".repeat(2000));
    for script in ["echo nonsense", "echo '{}'", long.as_str(), "exit 0"] {
        let (process, _tracker, _stop) = started(program(script));
        assert_eq!(ask(&process).await, Err(ChildError::Ended), "{script}");
    }
}

#[tokio::test]
async fn child_that_cannot_be_started_refuses_requests() {
    let (process, _tracker, _stop) = started(of_command(&["/nowhere/program"]));
    assert_eq!(ask(&process).await, Err(ChildError::NotRunning));
}

#[tokio::test]
async fn silent_child_is_ended_after_some_abandoned_requests() {
    let (process, _tracker, _stop) = started(program(":"));
    for _ in 0..MAX_ABANDONED {
        let mut asked = Box::pin(process.request(|id| format!("{{\"id\":{id}}}").into_bytes()));
        assert!(futures::poll!(&mut asked).is_pending());
    }
    assert_eq!(ask(&process).await, Err(ChildError::NotRunning));
}

#[tokio::test]
async fn child_gets_only_the_given_environment() {
    let (process, _tracker, _stop) = started(program(
        "echo \"{\\\"id\\\":$id,\\\"home\\\":\\\"$HOME\\\",\\\"path\\\":\\\"$PATH\\\"}\"",
    ));
    let answer = ask(&process).await.unwrap();
    assert_eq!(answer, r#"{"id":1,"home":"","path":"/usr/bin:/bin"}"#);
}
