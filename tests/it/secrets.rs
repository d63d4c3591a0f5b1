//! What an agent with a shell gets hold of: neither the server's keys nor its admin API, and nothing that outlives its task.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Builder, ServerProcess, TestServer, eventually};

const ADMIN: &str = "made-up-admin-key";
const ORDINARY: &str = "made-up-ordinary-key";
/// A user of every machine who may do nothing.
const NOBODY: &str = "nobody";
const NOBODYS_ID: u32 = 65534;

/// A server with a shell for agents in `work`.
async fn server(work: &Path) -> Builder {
    let server = TestServer::real()
        .await
        .workers(1)
        .set("SWITCHBOARD_ADMIN_KEY", ADMIN);
    let server = server.set("SWITCHBOARD_AUTH__KEYS", ORDINARY);
    server
        .set("SWITCHBOARD_TASKS__ROOTS", json!([work]))
        .set("SWITCHBOARD_TASKS__MODEL", "haiku")
}

/// Somebody who may have tasks on a server.
struct Boss<'a> {
    server: &'a ServerProcess,
    key: String,
    work: &'a Path,
}

impl<'a> Boss<'a> {
    async fn of(server: &'a ServerProcess, work: &'a Path) -> Self {
        let mut boss = Self {
            server,
            key: ADMIN.to_owned(),
            work,
        };
        let made = boss
            .ask(
                "POST",
                "/admin/keys",
                json!({"name": "boss", "permissions": ["tasks"]}),
            )
            .await;
        boss.key = made["key"]
            .as_str()
            .unwrap_or_else(|| panic!("{made}"))
            .to_owned();
        boss
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> Value {
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

    /// Begins a task that runs a command in a shell.
    async fn begin(&self, command: &str) -> String {
        let prompt = format!("[[tool=Bash input={}]]", json!({"command": command}));
        let task = json!({"prompt": prompt, "workspace": self.work, "preset": "full"});
        let task = self.ask("POST", "/v1/tasks", task).await;
        task["id"]
            .as_str()
            .unwrap_or_else(|| panic!("{task}"))
            .to_owned()
    }

    /// Waits until the task is over, and gives all that is known of it.
    async fn ended(&self, id: &str) -> Value {
        eventually("the task ends", || async {
            let task = self
                .ask("GET", &format!("/v1/tasks/{id}"), Value::Null)
                .await;
            (task["status"] != "queued" && task["status"] != "running").then_some(task)
        })
        .await
    }

    /// What a command says.
    async fn run(&self, command: &str) -> String {
        let task = self.ended(&self.begin(command).await).await;
        assert_eq!(task["status"], "completed", "{task}\n{}", self.server.log());
        task["result"].as_str().unwrap().to_owned()
    }
}

/// Commands that look for the server's keys: in its variables and its memory, over its admin socket, and in its files.
fn searches(server: &ServerProcess) -> String {
    let (id, data) = (server.id(), server.data_dir().display());
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

fn open_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// A folder that agents of the user nobody may work in, below one that they may pass.
fn nobodys(folder: &TempDir) -> PathBuf {
    let work = folder.path().canonicalize().unwrap().join("work");
    std::fs::create_dir(&work).unwrap();
    chown(&work, Some(NOBODYS_ID), None).unwrap();
    work
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_the_servers_own_user_finds_no_key_and_no_admin_socket() {
    let folder = tempfile::tempdir().unwrap();
    let work = folder.path().canonicalize().unwrap();
    let server = server(&work).await.spawn().await;
    let boss = Boss::of(&server, &work).await;
    let said = boss.run(&searches(&server)).await;
    assert!(said.contains("the end"), "{said}");
    assert!(
        !said.contains("made-up") && !said.contains("boss"),
        "{said}"
    );
    assert_eq!(
        said.matches("does not answer at").count(),
        2,
        "neither the agent nor its orphan: {said}"
    );
    assert!(
        server.log().contains("an agent, asked at the admin socket"),
        "{}",
        server.log()
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_another_user_reaches_nothing_of_the_server() {
    if !is_root() {
        return;
    }
    let folder = open_folder();
    let work = nobodys(&folder);
    let data = folder.path().join("data");
    let server = server(&work)
        .await
        .set("SWITCHBOARD_TASKS__USER", NOBODY)
        .spawn_in(&data)
        .await;
    let boss = Boss::of(&server, &work).await;
    let files = format!(
        "id -un; touch made; ls {0}; cat {0}/instance; ls {0}/store {0}/agents",
        data.display()
    );
    let memory = format!("head -c 1 /proc/{}/mem", server.id());
    let said = boss
        .run(&format!("{files}; {memory}; {}", searches(&server)))
        .await;
    assert!(said.contains(NOBODY) && said.contains("the end"), "{said}");
    assert!(
        !said.contains("made-up") && !said.contains("boss"),
        "{said}"
    );
    assert!(said.matches("Permission denied").count() >= 7, "{said}");
    let owner = std::os::unix::fs::MetadataExt::uid(&work.join("made").metadata().unwrap());
    assert_eq!(owner, NOBODYS_ID);
    // A folder that is not the user's is refused, in words for whoever runs the server.
    std::fs::create_dir(work.join("roots")).unwrap();
    let other = Boss {
        work: &work.join("roots"),
        key: boss.key.clone(),
        server: &server,
    };
    let refused = other.ended(&other.begin("true").await).await;
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
async fn a_user_that_agents_cannot_run_as_ends_the_start() {
    let folder = open_folder();
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
            .contains("tasks.user: `root` may do everything")
    );
    if !is_root() {
        assert!(
            refused(NOBODY)
                .await
                .contains("only a server that is started as root")
        );
        return;
    }
    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
    let server = server(&work).await.set("SWITCHBOARD_TASKS__USER", NOBODY);
    let ended = server.fail_in(&closed.join("data")).await;
    assert!(
        ended.log.contains("closed is closed to it"),
        "{}",
        ended.log
    );
}

/// The processes whose command line is `line`.
fn running(line: &str) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines
        .filter(|found| String::from_utf8_lossy(found).replace('\0', " ").trim() == line)
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hides_from_its_task_ends_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let work = folder.path().canonicalize().unwrap();
    let server = server(&work)
        .await
        .set("SWITCHBOARD_TASKS__MAX_RUNNING", 2)
        .spawn()
        .await;
    let boss = Boss::of(&server, &work).await;
    // The number tells these processes from those of other tests.
    let sleep = format!("sleep {}.5", 100_000 + u64::from(std::process::id()));
    let hidden = format!("env -i setsid {sleep} & (env -i setsid sh -c '{sleep}; true' &)");
    assert!(boss.run(&hidden).await.contains("Tool results"));
    eventually("nothing of the task is left", || async {
        (running(&sleep) == 0).then_some(())
    })
    .await;

    // What an older task may have started lives as long as that, and what runs is nobody's stray.
    let older = boss
        .begin(&format!(
            "{hidden}; touch begun; until test -e goes_on; do sleep 0.1; done"
        ))
        .await;
    eventually("it has begun", || async {
        work.join("begun").exists().then_some(())
    })
    .await;
    eventually("they sleep", || async {
        (running(&sleep) == 2).then_some(())
    })
    .await;
    boss.run("true").await;
    assert_eq!(running(&sleep), 2);
    std::fs::write(work.join("goes_on"), "").unwrap();
    assert_eq!(boss.ended(&older).await["status"], "completed");
    eventually("nothing of the task is left", || async {
        (running(&sleep) == 0).then_some(())
    })
    .await;
    eventually("all are reaped", || async {
        (children(server.id()) == 1).then_some(())
    })
    .await;
    let chat = json!({"model": "haiku", "messages": [{"role": "user", "content": "[[tokens=1]]"}]});
    let chat = server
        .http
        .post(server.url("/v1/chat/completions"))
        .bearer_auth(ORDINARY)
        .json(&chat);
    assert_eq!(
        chat.send().await.unwrap().status(),
        200,
        "workers are no strays"
    );
    server.end().await;
}

/// The number of children of a process, zombies included.
fn children(id: u32) -> usize {
    claude_switchboard::runtime::proc_fs::all_processes()
        .iter()
        .filter(|stat| stat.parent == id.cast_signed())
        .count()
}
