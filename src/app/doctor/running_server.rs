//! Report of a running server, asked for through the admin socket of its data directory.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use crate::app::admin::ADMIN_SOCKET;
use crate::config::Settings;
use crate::runtime::checks::CheckReport;
use crate::runtime::checks::REPORT_TIMEOUT;
use crate::server;

/// Time for an answer that a server gives at once.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Path of an endpoint that a server answers at once.
const CHEAP_PATH: &str = "/admin/cache";

/// Asks the server on the data directory of `settings` for its report; `None` if none listens there.
/// The text of an error says why it gave none.
pub async fn ask_local_server(
    settings: &Settings,
    is_quick: bool,
) -> Option<Result<CheckReport, String>> {
    let target = format!("/admin/doctor?quick={is_quick}");
    let socket = socket(settings);
    let asked = server::send_local_request(&socket, "GET", &target, String::new());
    match timeout(REPORT_TIMEOUT, asked).await {
        Err(_) => Some(Err("it does not answer in time".to_owned())),
        Ok(Err(error)) if is_nobody_there(&error) => None,
        Ok(Err(error)) => Some(Err(format!("{}: {error}", socket.display()))),
        Ok(Ok((status, body))) => Some(parse_check_report(status, &body)),
    }
}

/// True if a server answers at the admin socket.
pub(super) async fn answers(settings: &Settings) -> bool {
    let socket = socket(settings);
    let asked = server::send_local_request(&socket, "GET", CHEAP_PATH, String::new());
    let answer = timeout(ANSWER_TIMEOUT, asked).await;
    matches!(answer, Ok(Ok((200, _))))
}

/// Reads the answer to a request for a report.
///
/// # Errors
/// Fails when it is no report; the text says what it is.
pub fn parse_check_report(status: u16, body: &str) -> Result<CheckReport, String> {
    if status == 200 {
        return serde_json::from_str(body).map_err(|error| format!("it gave no report: {error}"));
    }
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let message = body["error"]["message"].as_str();
    let message = message.unwrap_or("it gave no reason");
    Err(format!("it answers {status}: {message}"))
}

fn socket(settings: &Settings) -> PathBuf {
    settings.server.data_dir.join(ADMIN_SOCKET)
}

/// True if there is no socket, or one that a server left behind.
fn is_nobody_there(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::ConnectionRefused
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CommandLineFlags;
    use crate::config::Environment;

    #[test]
    fn answer_is_a_report_or_says_why_not() {
        let report = CheckReport::new(Vec::new());
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(parse_check_report(200, &text), Ok(report));
        let refused = r#"{"error":{"message":"Incorrect API key provided."}}"#;
        assert_eq!(
            parse_check_report(401, refused).unwrap_err(),
            "it answers 401: Incorrect API key provided."
        );
        assert!(parse_check_report(200, "{}").is_err());
        assert_eq!(
            parse_check_report(502, "<html>").unwrap_err(),
            "it answers 502: it gave no reason"
        );
    }

    #[tokio::test]
    async fn data_directory_without_a_server_gives_no_report() {
        let folder = tempfile::tempdir().unwrap();
        let variables = [("HOME", folder.path().to_str().unwrap())];
        let environment: Environment = variables.into_iter().collect();
        let settings = Settings::load(None, &environment, &CommandLineFlags::default()).unwrap();
        assert_eq!(ask_local_server(&settings, true).await, None);
        assert!(!answers(&settings).await);
    }
}
