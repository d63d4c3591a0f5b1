//! Isolation of agents with a shell: no access to keys or the admin API, no process outlives its
//! task.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Builder, ServerProcess, TestServer, eventually};

const ADMIN_KEY: &str = "made-up-admin-key";
const API_KEY: &str = "made-up-ordinary-key";
/// Unprivileged user that exists on every machine.
const UNPRIVILEGED_USER: &str = "nobody";
const UNPRIVILEGED_UID: u32 = 65534;

/// Server whose agents have a shell in `work`.
async fn server(work: &Path) -> Builder {
    let server = TestServer::real()
        .await
        .workers(1)
        .set("SWITCHBOARD_ADMIN_KEY", ADMIN_KEY);
    let server = server.set("SWITCHBOARD_AUTH__KEYS", API_KEY);
    server
        .set("SWITCHBOARD_TASKS__ROOTS", json!([work]))
        .set("SWITCHBOARD_TASKS__MODEL", "haiku")
}

/// Client with a key that may run tasks.
struct TaskClient<'a> {
    server: &'a ServerProcess,
    key: String,
    work: &'a Path,
}

impl<'a> TaskClient<'a> {
    async fn new(server: &'a ServerProcess, work: &'a Path) -> Self {
        let mut client = Self {
            server,
            key: ADMIN_KEY.to_owned(),
            work,
        };
        let created = client
            .send_json(
                "POST",
                "/admin/keys",
                json!({"name": "task-client", "permissions": ["tasks"]}),
            )
            .await;
        client.key = created["key"]
            .as_str()
            .unwrap_or_else(|| panic!("{created}"))
            .to_owned();
        client
    }

    async fn send_json(&self, method: &str, path: &str, body: Value) -> Value {
        let request = self
            .server
            .http
            .request(method.parse().unwrap(), self.server.url(path));
        request
            .bearer_auth(&self.key)
            .json(&body)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    }

    /// Creates a task that runs a command in a shell.
    async fn create_task(&self, command: &str) -> String {
        let prompt = format!("[[tool=Bash input={}]]", json!({"command": command}));
        let task = json!({"prompt": prompt, "workspace": self.work, "preset": "full"});
        let task = self.send_json("POST", "/v1/tasks", task).await;
        task["id"]
            .as_str()
            .unwrap_or_else(|| panic!("{task}"))
            .to_owned()
    }

    /// Waits for the end of the task and returns its record.
    async fn wait_for_end(&self, id: &str) -> Value {
        eventually("the task ends", || async {
            let task = self
                .send_json("GET", &format!("/v1/tasks/{id}"), Value::Null)
                .await;
            (task["status"] != "queued" && task["status"] != "running").then_some(task)
        })
        .await
    }

    /// Runs a command in a task and returns its output.
    async fn run(&self, command: &str) -> String {
        let task = self.wait_for_end(&self.create_task(command).await).await;
        assert_eq!(task["status"], "completed", "{task}\n{}", self.server.log());
        task["result"].as_str().unwrap().to_owned()
    }
}

/// Shell commands that look for keys in the server's environment, standard input and command line,
/// and over its admin socket.
fn key_search_commands(server: &ServerProcess) -> String {
    let id = server.id();
    let data = server.data_dir().display();
    let program = env!("CARGO_BIN_EXE_claude-switchboard");
    let orphan = format!(
        "(env -i setsid sh -c 'sleep 0.2; {program} keys list --data-dir {data} > ./orphan 2>&1; echo over >> ./orphan' &)"
    );
    format!(
        "tr '\\0' '\\n' < /proc/{id}/environ; cat /proc/{id}/fd/0; tr '\\0' ' ' < /proc/{id}/cmdline; \
         env -i {program} keys list --data-dir {data} 2>&1; {orphan}; \
         until grep -q over ./orphan; do sleep 0.1; done; cat ./orphan; echo the end"
    )
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn traversable_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Folder owned by the unprivileged user, below a folder that it may traverse.
fn unprivileged_workspace(folder: &TempDir) -> PathBuf {
    let work = folder.path().canonicalize().unwrap().join("work");
    std::fs::create_dir(&work).unwrap();
    chown(&work, Some(UNPRIVILEGED_UID), None).unwrap();
    work
}

#[tokio::test(flavor = "multi_thread")]
async fn agent_of_the_servers_user_finds_no_key_and_no_admin_socket() {
    let folder = tempfile::tempdir().unwrap();
    let work = folder.path().canonicalize().unwrap();
    let server = server(&work).await.spawn().await;
    let client = TaskClient::new(&server, &work).await;
    // The files of a process whose memory others of its user cannot read belong to root.
    let memory = std::fs::metadata(format!("/proc/{}/mem", server.id())).unwrap();
    assert!(is_root() || memory.uid() != rustix::process::geteuid().as_raw());
    let output = client.run(&key_search_commands(&server)).await;
    assert!(output.contains("the end"), "{output}");
    assert!(
        !output.contains("made-up") && !output.contains("task-client"),
        "{output}"
    );
    assert_eq!(
        output.matches("does not answer at").count(),
        2,
        "neither the agent nor its orphan: {output}"
    );
    assert!(
        server
            .log()
            .contains("foreign process refused on admin socket"),
        "{}",
        server.log()
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agent_of_another_user_cannot_access_the_server() {
    if !is_root() {
        return;
    }
    let folder = traversable_folder();
    let work = unprivileged_workspace(&folder);
    let data = folder.path().join("data");
    let server = server(&work)
        .await
        .set("SWITCHBOARD_TASKS__USER", UNPRIVILEGED_USER)
        .spawn_in(&data)
        .await;
    let client = TaskClient::new(&server, &work).await;
    let files = format!(
        "id -un; touch made; ls {0}; cat {0}/instance; ls {0}/store {0}/agents",
        data.display()
    );
    let memory = format!("head -c 1 /proc/{}/mem", server.id());
    let output = client
        .run(&format!(
            "{files}; {memory}; {}",
            key_search_commands(&server)
        ))
        .await;
    assert!(
        output.contains(UNPRIVILEGED_USER) && output.contains("the end"),
        "{output}"
    );
    assert!(
        !output.contains("made-up") && !output.contains("task-client"),
        "{output}"
    );
    assert!(output.matches("Permission denied").count() >= 7, "{output}");
    let owner = work.join("made").metadata().unwrap().uid();
    assert_eq!(owner, UNPRIVILEGED_UID);
    // A workspace of another user is rejected; the log tells the operator how to fix it.
    std::fs::create_dir(work.join("roots")).unwrap();
    let other = TaskClient {
        work: &work.join("roots"),
        key: client.key.clone(),
        server: &server,
    };
    let refused = other.wait_for_end(&other.create_task("true").await).await;
    assert_eq!(refused["status"], "failed", "{refused}");
    assert!(
        refused["error"]["message"]
            .as_str()
            .unwrap()
            .contains("cannot work in this workspace"),
        "{refused}"
    );
    assert!(server.log().contains("chown -R nobody"), "{}", server.log());
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unusable_agent_user_fails_startup() {
    let folder = traversable_folder();
    let work = folder.path().canonicalize().unwrap();
    let refused = async |user: &str| {
        let ended = server(&work)
            .await
            .set("SWITCHBOARD_TASKS__USER", user)
            .fail()
            .await;
        assert_eq!(ended.code, Some(1), "{}", ended.log);
        ended.log
    };
    assert!(
        refused("no-such-user")
            .await
            .contains("tasks.user: `no-such-user` is no user of this machine")
    );
    assert!(
        refused("root")
            .await
            .contains("tasks.user: `root` has all privileges")
    );
    if !is_root() {
        assert!(
            refused(UNPRIVILEGED_USER)
                .await
                .contains("only a server that is started as root")
        );
        return;
    }
    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
    let server = server(&work)
        .await
        .set("SWITCHBOARD_TASKS__USER", UNPRIVILEGED_USER);
    let ended = server.fail_in(&closed.join("data")).await;
    assert!(
        ended.log.contains("closed is closed to it"),
        "{}",
        ended.log
    );
}

/// Number of processes whose command line is `line`.
fn count_running(line: &str) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines
        .filter(|found| String::from_utf8_lossy(found).replace('\0', " ").trim() == line)
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn detached_processes_end_with_their_task() {
    let folder = tempfile::tempdir().unwrap();
    let work = folder.path().canonicalize().unwrap();
    let server = server(&work)
        .await
        .set("SWITCHBOARD_TASKS__MAX_RUNNING", 2)
        .spawn()
        .await;
    let client = TaskClient::new(&server, &work).await;
    // A unique duration distinguishes these processes from those of other tests.
    let sleep = format!("sleep {}.5", 100_000 + u64::from(std::process::id()));
    let hidden = format!("env -i setsid {sleep} & (env -i setsid sh -c '{sleep}; true' &)");
    assert!(client.run(&hidden).await.contains("Tool results"));
    eventually("no process of the task is left", || async {
        (count_running(&sleep) == 0).then_some(())
    })
    .await;

    // Orphans that a still running task may have started are not killed before it ends.
    let older = client
        .create_task(&format!(
            "{hidden}; touch begun; until test -e goes_on; do sleep 0.1; done"
        ))
        .await;
    eventually("the older task has begun", || async {
        work.join("begun").exists().then_some(())
    })
    .await;
    eventually("both detached processes run", || async {
        (count_running(&sleep) == 2).then_some(())
    })
    .await;
    client.run("true").await;
    assert_eq!(count_running(&sleep), 2);
    std::fs::write(work.join("goes_on"), "").unwrap();
    assert_eq!(client.wait_for_end(&older).await["status"], "completed");
    eventually("no process of the task is left", || async {
        (count_running(&sleep) == 0).then_some(())
    })
    .await;
    eventually("all children are reaped", || async {
        (count_children(server.id()) == 1).then_some(())
    })
    .await;
    let chat = json!({"model": "haiku", "messages": [{"role": "user", "content": "[[tokens=1]]"}]});
    let chat = server
        .http
        .post(server.url("/v1/chat/completions"))
        .bearer_auth(API_KEY)
        .json(&chat);
    assert_eq!(
        chat.send().await.unwrap().status(),
        200,
        "workers are not killed as orphans"
    );
    server.end().await;
}

/// Number of child processes, zombies included.
fn count_children(id: u32) -> usize {
    claude_switchboard::runtime::proc_fs::all_processes()
        .iter()
        .filter(|stat| stat.parent == id.cast_signed())
        .count()
}
