//! `health`: exit codes for servers that run and that do not.

use crate::command_line::{CommandOutput, run_beside};
use crate::support::TestServer;

fn check_health(arguments: &[&str], variables: &[(&str, &str)]) -> CommandOutput {
    let arguments = [&["health"][..], arguments].concat();
    run_beside(&arguments, variables)
}

#[tokio::test(flavor = "multi_thread")]
async fn running_server_is_healthy_by_url_and_by_configuration() {
    let server = TestServer::fake().start().await;
    let address = server.address.to_string();
    let url = format!("http://{address}");
    let path = format!("{url}/health");
    let listen = ("SWITCHBOARD_SERVER__LISTEN", address.as_str());
    for (arguments, variables) in [
        (vec![url.as_str()], vec![]),
        (vec![address.as_str()], vec![]),
        (vec![path.as_str()], vec![]),
        (vec![], vec![listen]),
    ] {
        let output = check_health(&arguments, &variables);
        assert_eq!(output.code, Some(0), "{}", output.stdout);
        assert_eq!(output.stdout, format!("healthy: {url}\n"));
        assert_eq!(output.stderr, "");
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_server_and_refused_configuration_are_one_line_and_exit_code_1() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    for (arguments, variables, reason) in [
        (
            vec![address.as_str()],
            vec![],
            "no server answers at http://127.0.0.1:",
        ),
        (
            vec![],
            vec![("SWITCHBOARD_SERVER__LISTEN", "nowhere")],
            "SWITCHBOARD_SERVER__LISTEN",
        ),
    ] {
        let output = check_health(&arguments, &variables);
        assert_eq!((output.code, output.stderr.as_str()), (Some(1), ""));
        assert!(
            output.stdout.starts_with(&format!("unhealthy: {reason}")),
            "{}",
            output.stdout
        );
        assert_eq!(output.stdout.lines().count(), 1);
    }
}
