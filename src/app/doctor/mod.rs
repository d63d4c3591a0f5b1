//! Checks of the setup, made by a command in its environment and by a running server in its own.
//!
//! Each check is a function of its inputs and returns a finding with a hint that mends it. None reads
//! or shows a secret, and none changes anything but a file that it removes again.

mod cli_checks;
mod disk_checks;
mod folder_checks;
mod listener_checks;
mod machine_checks;
mod network_checks;
mod receiver_checks;
mod running_server;
mod server_doctor;
mod store_checks;
mod upstream_checks;
mod user_checks;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use crate::config::Environment;
use crate::config::Settings;
use crate::engine::claude;
use crate::engine::claude::LockOwner;
use crate::engine::claude::SignInMethod;
use crate::runtime::checks::CheckFinding;
use crate::runtime::checks::CheckPlace;
use crate::runtime::checks::PlannedCheck;

pub use running_server::ask_local_server;
pub use running_server::parse_check_report;
pub(super) use server_doctor::ServerDoctor;

/// Names of all checks of a setup, in the order in which they are shown.
pub const SETUP_CHECKS: [&str; 27] = [
    "configuration",
    "cli",
    "setpriv",
    "sign_in",
    "user",
    "home",
    "agents",
    "data_directory",
    "lock",
    "store",
    "disk_space",
    "disk_latency",
    "address",
    "admin_address",
    "metrics_address",
    "admin_listener",
    "file_descriptors",
    "memory",
    "clock",
    "proxy",
    "certificates",
    "hooks",
    "traces",
    "upstreams",
    "webhooks",
    "readiness",
    "server",
];

/// Settings and environment that checks look at, and the process that makes them. Clones share
/// them.
#[derive(Debug, Clone)]
struct SetupFacts {
    settings: Arc<Settings>,
    environment: Arc<Environment>,
    place: CheckPlace,
}

/// Plans the checks of a command, whose server would have these settings, from the file `config`.
pub fn plan_command_checks(
    settings: &Settings,
    environment: &Environment,
    config: Option<&Path>,
) -> Vec<PlannedCheck> {
    let facts = SetupFacts::new(settings, environment, CheckPlace::Command);
    let file = config.map(Path::to_owned);
    let mut checks = vec![
        PlannedCheck::blocking("configuration", move || {
            folder_checks::check_config_file(file.as_deref())
        }),
        facts.cli(),
    ];
    checks.extend(facts.shared_checks());
    checks.extend(facts.exclusive_checks());
    sort_by_name(&mut checks);
    checks
}

/// Sorts `checks` into the order in which they are shown.
fn sort_by_name(checks: &mut [PlannedCheck]) {
    let position = |check: &PlannedCheck| {
        let name = check.name();
        SETUP_CHECKS.iter().position(|known| *known == name)
    };
    checks.sort_by_key(|check| position(check).unwrap_or(usize::MAX));
}

impl SetupFacts {
    fn new(settings: &Settings, environment: &Environment, place: CheckPlace) -> Self {
        Self {
            settings: Arc::new(settings.clone()),
            environment: Arc::new(environment.clone()),
            place,
        }
    }

    /// Plans the check `name`, which blocks its thread.
    fn blocking(
        &self,
        name: &'static str,
        check: impl FnOnce(&Self) -> CheckFinding + Send + 'static,
    ) -> PlannedCheck {
        let facts = self.clone();
        PlannedCheck::blocking(name, move || check(&facts))
    }

    /// Plans the checks that a command and a server both make.
    fn shared_checks(&self) -> Vec<PlannedCheck> {
        let mut checks = self.user_checks();
        checks.extend(self.disk_checks());
        checks.extend(self.machine_checks());
        checks.extend(self.network_checks());
        checks
    }

    /// Plans the checks of the sign-in and of users.
    fn user_checks(&self) -> Vec<PlannedCheck> {
        let mut checks = vec![
            PlannedCheck::blocking("setpriv", cli_checks::check_setpriv),
            self.blocking("sign_in", |facts| {
                cli_checks::check_sign_in(&facts.settings, &facts.environment)
            }),
            self.blocking("user", |facts| user_checks::check_user(&facts.settings)),
            self.blocking("home", |facts| {
                let is_needed = facts.settings.claude.sign_in == SignInMethod::Stored;
                let home = facts.environment.path("HOME");
                folder_checks::check_home(home.as_deref(), is_needed)
            }),
        ];
        if !self.settings.tasks.roots.is_empty() {
            checks.push(self.blocking("agents", |facts| {
                user_checks::check_agents(&facts.settings, &facts.environment, facts.place)
            }));
        }
        checks
    }

    /// Plans the checks of the data directory and of its disk.
    fn disk_checks(&self) -> Vec<PlannedCheck> {
        let folder = self.blocking("data_directory", |facts| {
            let has_user = facts.settings.agents.user.is_some();
            folder_checks::check_data_dir(&facts.settings.server.data_dir, has_user)
        });
        let space = self.blocking("disk_space", |facts| {
            let reserve = facts.settings.store.min_free_bytes;
            disk_checks::check_disk_space(&facts.settings.server.data_dir, reserve)
        });
        let latency = self.blocking("disk_latency", |facts| {
            disk_checks::check_disk_latency(&facts.settings.server.data_dir)
        });
        vec![folder, space, latency.slow()]
    }

    /// Plans the checks of open files, memory and time.
    fn machine_checks(&self) -> Vec<PlannedCheck> {
        vec![
            self.blocking("file_descriptors", |facts| {
                machine_checks::check_file_limit(&facts.settings, facts.place)
            }),
            self.blocking("memory", |facts| {
                machine_checks::check_memory(&facts.settings)
            }),
            PlannedCheck::blocking("clock", machine_checks::check_clock),
        ]
    }

    /// Plans the checks of what is reached over the network, and by whom the server is.
    fn network_checks(&self) -> Vec<PlannedCheck> {
        let mut checks = vec![
            self.blocking("admin_listener", |facts| {
                let Settings { admin, server, .. } = &*facts.settings;
                listener_checks::check_admin_listener(admin.listen, server.listen)
            }),
            self.proxies(),
        ];
        if network_checks::has_certificates(&self.environment) {
            checks.push(self.blocking("certificates", |facts| {
                network_checks::check_certificates(&facts.environment)
            }));
        }
        if !self.settings.hooks.list.is_empty() {
            checks.push(self.hooks());
        }
        checks.extend(self.traces());
        if !self.settings.upstreams.0.is_empty() {
            checks.push(self.upstreams());
        }
        checks
    }

    fn proxies(&self) -> PlannedCheck {
        let facts = self.clone();
        let check = async move { network_checks::check_proxies(&facts.environment).await };
        PlannedCheck::new("proxy", check).slow()
    }

    fn hooks(&self) -> PlannedCheck {
        let facts = self.clone();
        let check = async move {
            let hooks = &facts.settings.hooks.list;
            receiver_checks::check_hooks(hooks, &facts.environment).await
        };
        PlannedCheck::new("hooks", check).slow()
    }

    /// Plans the check of the receiver of traces, if they are on.
    fn traces(&self) -> Option<PlannedCheck> {
        let url = self.settings.traces.receiver()?.url.clone();
        let check = async move { receiver_checks::check_traces(&url).await };
        Some(PlannedCheck::new("traces", check).slow())
    }

    fn upstreams(&self) -> PlannedCheck {
        let facts = self.clone();
        let check = async move {
            upstream_checks::check_upstreams(&facts.settings, &facts.environment).await
        };
        PlannedCheck::new("upstreams", check).slow()
    }

    fn cli(&self) -> PlannedCheck {
        let facts = self.clone();
        let check = async move { cli_checks::check_cli(&facts.settings, &facts.environment).await };
        PlannedCheck::new("cli", check).slow()
    }

    /// Plans the checks of what one server alone can have: the data directory and the addresses.
    fn exclusive_checks(&self) -> Vec<PlannedCheck> {
        let mut checks = vec![
            self.lock(),
            self.blocking("store", |facts| store_checks::check_store(&facts.settings)),
            self.address(),
        ];
        let further = [
            ("admin_address", "admin.listen", self.settings.admin.listen),
            (
                "metrics_address",
                "metrics.listen",
                self.settings.metrics.listen,
            ),
        ];
        for (name, setting, address) in further {
            checks.extend(address.map(|address| self.further_address(name, setting, address)));
        }
        checks
    }

    fn lock(&self) -> PlannedCheck {
        let facts = self.clone();
        PlannedCheck::new("lock", async move {
            let answers = running_server::answers(&facts.settings).await;
            folder_checks::check_lock(&facts.settings.server.data_dir, answers)
        })
    }

    fn address(&self) -> PlannedCheck {
        let facts = self.clone();
        PlannedCheck::new("address", async move {
            let owner = facts.lock_owner();
            listener_checks::check_address(facts.settings.server.listen, owner).await
        })
    }

    fn further_address(
        &self,
        name: &'static str,
        setting: &'static str,
        address: SocketAddr,
    ) -> PlannedCheck {
        self.blocking(name, move |facts| {
            listener_checks::check_further_address(address, setting, facts.lock_owner())
        })
    }

    fn lock_owner(&self) -> LockOwner {
        let owner = claude::find_lock_owner(&self.settings.server.data_dir);
        owner.unwrap_or(LockOwner::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::CommandLineFlags;
    use crate::runtime::checks::CheckStatus;
    use crate::runtime::checks::run_checks;

    /// Loads settings with `variables`, and returns them with the environment.
    fn setup(variables: &[(&str, &str)]) -> (Settings, Environment) {
        let environment: Environment = variables.iter().copied().collect();
        let settings = Settings::load(None, &environment, &CommandLineFlags::default());
        (settings.unwrap(), environment)
    }

    fn names(checks: &[PlannedCheck]) -> Vec<&'static str> {
        checks.iter().map(PlannedCheck::name).collect()
    }

    #[test]
    fn checks_have_known_names_in_their_order() {
        let (settings, environment) = setup(&[
            ("HOME", "/home/me"),
            ("SSL_CERT_FILE", "/nowhere"),
            ("SWITCHBOARD_ADMIN__LISTEN", "127.0.0.1:1"),
            ("SWITCHBOARD_METRICS__LISTEN", "127.0.0.1:2"),
            ("SWITCHBOARD_TASKS__ROOTS", "[\"/nowhere\"]"),
            ("SWITCHBOARD_TRACES__ENDPOINT", "http://127.0.0.1:3/"),
            (
                "SWITCHBOARD_HOOKS__LIST",
                "[{name = \"h\", kind = \"filter\", points = [\"before\"], words = [\"x\"]}]",
            ),
            (
                "SWITCHBOARD_UPSTREAMS",
                "{u = {base_url = \"http://127.0.0.1:4\", endpoints = [\"chat\"], models = {\"m\" = \"free\"}}}",
            ),
        ]);
        let planned = names(&plan_command_checks(&settings, &environment, None));
        // A server alone makes the others.
        let of_server = ["webhooks", "readiness", "server"];
        let expected = SETUP_CHECKS
            .iter()
            .filter(|name| !of_server.contains(*name));
        assert_eq!(planned, expected.copied().collect::<Vec<_>>());
        let unique: BTreeSet<&str> = SETUP_CHECKS.into_iter().collect();
        assert_eq!(unique.len(), SETUP_CHECKS.len());
    }

    #[test]
    fn checks_of_what_is_not_configured_are_left_out() {
        let (settings, environment) = setup(&[("HOME", "/home/me")]);
        let planned = names(&plan_command_checks(&settings, &environment, None));
        for name in [
            "agents",
            "admin_address",
            "certificates",
            "hooks",
            "traces",
            "upstreams",
        ] {
            assert!(!planned.contains(&name), "{name}");
        }
    }

    #[tokio::test]
    async fn quick_checks_of_a_new_setup_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_str().unwrap();
        let (settings, environment) = setup(&[
            ("HOME", home),
            ("SWITCHBOARD_SERVER__LISTEN", "127.0.0.1:0"),
        ]);
        let mut checks = plan_command_checks(&settings, &environment, None);
        checks.retain(|check| !check.is_slow());
        let results = run_checks(checks, CheckPlace::Command).await;
        let failed: Vec<&str> = results
            .iter()
            .filter(|result| result.status == CheckStatus::Fail)
            .map(|result| result.name.as_str())
            .collect();
        assert_eq!(failed, ["sign_in"]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
