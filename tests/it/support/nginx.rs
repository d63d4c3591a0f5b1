//! An nginx in front of several servers.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::processes::children_of;
use super::server::eventually;

/// Settings of the proxy that operators are given.
const DEPLOYED: &str = include_str!("../../../deploy/nginx/claude-switchboard.conf");
/// Search path of the nginx program.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin";

/// Running nginx, which ends with its value.
pub(crate) struct Nginx {
    pub(crate) address: SocketAddr,
    process: Child,
    folder: TempDir,
}

impl Nginx {
    /// Starts nginx in front of `servers`.
    #[expect(clippy::disallowed_methods, reason = "the proxy before the servers")]
    pub(crate) async fn start(servers: &[SocketAddr]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = free_address();
        std::fs::write(
            folder.path().join("nginx.conf"),
            configuration(address, servers),
        )
        .unwrap();
        let mut command = Command::new("nginx");
        command.env_clear().env("PATH", PATH).stdin(Stdio::null());
        // The prefix has to end with a slash.
        command.arg("-p").arg(folder.path().join(""));
        command.args(["-e", "error.log", "-c", "nginx.conf"]);
        let process = command.spawn().unwrap_or_else(|error| {
            panic!("nginx cannot be started: {error}\nhint: tools/install-nginx installs it")
        });
        let this = Self {
            address,
            process,
            folder,
        };
        eventually("nginx listens", || async {
            TcpStream::connect(address).await.ok()
        })
        .await;
        this
    }

    /// Sends what comes from now on to `servers` alone. Returns when all that was sent to others is
    /// answered.
    pub(crate) async fn route_to(&self, servers: &[SocketAddr]) {
        let earlier = children_of(self.id());
        let file = self.folder.path().join("nginx.conf");
        std::fs::write(file, configuration(self.address, servers)).unwrap();
        self.signal(Signal::HUP);
        eventually("nginx has new workers alone", || {
            let workers = children_of(self.id());
            let are_new = !workers.is_empty() && workers.is_disjoint(&earlier);
            std::future::ready(are_new.then_some(()))
        })
        .await;
    }

    fn id(&self) -> i32 {
        self.process.id().cast_signed()
    }

    fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(self.id()).unwrap();
        kill_process(id, signal).unwrap();
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers would outlive a process that is killed.
        self.signal(Signal::TERM);
        drop(self.process.wait());
    }
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Settings of the proxy as they are deployed, without TLS, and with those that several servers need.
fn configuration(address: SocketAddr, servers: &[SocketAddr]) -> String {
    let mut text = String::from("daemon off; worker_processes 1; pid nginx.pid;\n");
    if geteuid().is_root() {
        text += "user root;\n";
    }
    text += "events {}\nhttp {\naccess_log off;\n";
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        writeln!(text, "{kind}_temp_path {kind};").unwrap();
    }
    text += "map $http_upgrade $switchboard_connection { default upgrade; \"\" \"\"; }\n";
    text += "upstream claude_switchboard {\n";
    for server in servers {
        writeln!(text, "server {server};").unwrap();
    }
    text += "keepalive 32;\nkeepalive_timeout 60s;\n}\n";
    writeln!(text, "server {{\nlisten {address};").unwrap();
    let settings = DEPLOYED.lines().map(str::trim);
    for line in
        settings.filter(|line| line.starts_with("proxy_") && !line.starts_with("proxy_pass"))
    {
        text += match line {
            "proxy_next_upstream off;" => "proxy_next_upstream error timeout;",
            line => line,
        };
        text.push('\n');
    }
    text += "location / { proxy_pass http://claude_switchboard; }\n}\n}\n";
    assert!(
        text.contains("proxy_next_upstream error timeout;"),
        "{text}"
    );
    text
}
