//! `init`: files, data directory and first key.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::command_line::{CommandOutput, run};
use crate::support::TestServer;

fn init(home: &Path, arguments: &[&str]) -> CommandOutput {
    let cli = env!("CARGO_BIN_EXE_fake-claude");
    let variables = [
        ("HOME", home.to_str().unwrap()),
        ("TMPDIR", home.to_str().unwrap()),
        ("SWITCHBOARD_CLAUDE__BINARY", cli),
        ("SWITCHBOARD_SERVER__LISTEN", "127.0.0.1:0"),
        ("ANTHROPIC_API_KEY", "sk-made-up"),
    ];
    run(&[&["init"][..], arguments].concat(), &variables)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread")]
async fn newcomer_gets_a_configuration_and_a_key_that_the_server_accepts() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let made = init(home, &["--yes"]);
    assert_eq!(
        (made.code, made.stderr.as_str()),
        (Some(0), ""),
        "{}",
        made.stdout
    );
    let config = home.join(".config/claude-switchboard/config.toml");
    let data_dir = home.join(".local/share/claude-switchboard");
    assert_eq!((mode(&config), mode(&data_dir)), (0o600, 0o700));
    assert!(!made.stdout.contains("FAIL"), "{}", made.stdout);
    let mut words = made.stdout.split_whitespace();
    let key = words.find(|word| word.starts_with("sk-sb-")).unwrap();

    let server = TestServer::fake().config(&config).spawn_in(&data_dir).await;
    let request = server.http.get(server.url("/v1/models"));
    let accepted = request.bearer_auth(key).send().await.unwrap();
    assert_eq!(accepted.status(), 200);
    let (status, _) = server.get("/v1/models").await;
    assert_eq!(status, 401, "there is a key now");
    server.end().await;

    fs::write(&config, "[pool]\nmax_workers = 2\n").unwrap();
    let again = init(home, &["--yes"]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert!(!again.stdout.contains("sk-sb-"), "{}", again.stdout);
    assert_eq!(
        fs::read_to_string(&config).unwrap(),
        "[pool]\nmax_workers = 2\n"
    );
    let forced = init(home, &["--yes", "--force"]);
    assert_eq!(forced.code, Some(0), "{}", forced.stderr);
    let kept = fs::read_to_string(config.with_extension("toml.bak")).unwrap();
    assert_eq!(kept, "[pool]\nmax_workers = 2\n");
}

#[test]
fn files_of_deploy_are_written_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let setup = folder.path().join("setup");
    let arguments = [
        "--yes",
        "--systemd",
        "--compose",
        "--nginx",
        "ai.example.org",
        "--dir",
    ];
    let made = init(
        folder.path(),
        &[&arguments[..], &[setup.to_str().unwrap()]].concat(),
    );
    assert_eq!((made.code, made.stderr.as_str()), (Some(0), ""));
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    for (template, name) in [
        (
            "systemd/claude-switchboard.service",
            "claude-switchboard.service",
        ),
        ("compose/compose.yaml", "compose.yaml"),
        ("nginx/claude-switchboard.conf", "claude-switchboard.conf"),
    ] {
        let template = fs::read_to_string(deploy.join(template)).unwrap();
        let expected = template.replace("switchboard.example.com", "ai.example.org");
        assert_eq!(fs::read_to_string(setup.join(name)).unwrap(), expected);
    }
    assert_eq!(mode(&setup.join("config.toml")), 0o644);
    assert!(
        !folder.path().join(".local").exists(),
        "the server runs elsewhere"
    );
}

#[test]
fn nothing_is_written_without_confirmation() {
    let folder = tempfile::tempdir().unwrap();
    let asked = init(folder.path(), &[]);
    assert_eq!(asked.code, Some(1), "stdin is empty");
    assert!(asked.stdout.ends_with("Go on? [y/N] "), "{}", asked.stdout);
    assert!(
        asked.stderr.contains("nothing was written"),
        "{}",
        asked.stderr
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
