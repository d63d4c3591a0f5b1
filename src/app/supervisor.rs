//! Link to the service manager that started the server, such as systemd: it is told when the server
//! is ready, reads its settings again and stops, and as long as the server is alive.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Environment;
use crate::config::local_url;
use crate::runtime::http_client::HttpClient;
use crate::runtime::http_client::HttpClientError;
use crate::runtime::http_client::read_body;
use crate::runtime::service_notify::NOTIFY_SOCKET;
use crate::runtime::service_notify::ServiceNotifier;
use crate::runtime::service_notify::WATCHDOG_PID;
use crate::runtime::service_notify::WATCHDOG_USEC;
use crate::server::Shutdown;

/// Health checks in the time after which the service manager takes a silent server for dead: one
/// that fails on a busy machine does no harm.
const CHECKS_PER_TIMEOUT: u32 = 3;
/// Minimum delay between two health checks.
const MIN_CHECK_DELAY: Duration = Duration::from_millis(100);
/// Path that is answered also when the server has as many connections as it can serve.
const HEALTH_PATH: &str = "/health";
/// Maximum size of an answer of [`HEALTH_PATH`], which is a few bytes.
const MAX_ANSWER_BYTES: usize = 4096;

/// Link to the service manager; without one, all its functions do nothing.
#[derive(Debug, Clone)]
pub(super) struct SupervisorLink {
    notifier: ServiceNotifier,
    /// Delay between two signs of life; `None` if the service manager expects none.
    watchdog: Option<Duration>,
    address: SocketAddr,
}

/// Check of the server by a request to its own listener: its accept loop, its runtime and its routes
/// have to work for an answer.
struct OwnHealthCheck {
    client: HttpClient,
    url: String,
}

/// Reason why the server's own health check failed.
#[derive(Debug, thiserror::Error)]
enum OwnHealthError {
    #[error("the address of the listener is no URL")]
    Address(#[from] hyper::http::Error),
    #[error("the listener does not answer: {0}")]
    Call(#[from] HttpClientError),
    #[error("the answer has the status {0}")]
    Status(u16),
    #[error("there is no answer in time")]
    Timeout,
}

impl SupervisorLink {
    /// Creates the link of a server that listens on `address`, as the variables of the service
    /// manager describe it.
    pub(super) fn from_environment(environment: &Environment, address: SocketAddr) -> Self {
        let notifier = environment.get(NOTIFY_SOCKET).map(|socket| {
            ServiceNotifier::to_socket(socket).unwrap_or_else(|error| {
                tracing::warn!(%error, socket, "service manager not notified");
                ServiceNotifier::default()
            })
        });
        let notifier = notifier.unwrap_or_default();
        let watchdog =
            watchdog_delay(environment, std::process::id()).filter(|_| notifier.is_connected());
        Self {
            notifier,
            watchdog,
            address,
        }
    }

    /// Reports that the server serves.
    pub(super) async fn report_ready(&self) {
        let status = format!("serving on http://{}", self.address);
        self.notifier.report_ready(&status).await;
    }

    /// Reports that the server reads its settings again, until [`Self::report_ready`].
    pub(super) async fn report_reload(&self) {
        self.notifier.report_reload().await;
    }

    /// Starts the tasks that report the shutdown, and that the server is alive. They end with the
    /// shutdown, whose running requests get `drain_timeout`.
    pub(super) fn start(
        &self,
        drain_timeout: Duration,
        shutdown: &Shutdown,
        tracker: &TaskTracker,
    ) {
        if !self.notifier.is_connected() {
            return;
        }
        let started = shutdown.started();
        let notifier = self.notifier.clone();
        let stopping = started.clone();
        tracker.spawn(async move {
            stopping.cancelled().await;
            let seconds = drain_timeout.as_secs();
            let status = format!("stopping; running requests get up to {seconds} s");
            notifier.report_stop(&status).await;
        });
        let Some(delay) = self.watchdog else { return };
        let notifier = self.notifier.clone();
        let ended = shutdown.drain_expired();
        let check = OwnHealthCheck {
            client: HttpClient::new(tracker.clone(), 0),
            url: format!("{}{HEALTH_PATH}", local_url(self.address)),
        };
        tracker.spawn(async move {
            let reports = report_while_alive(&notifier, delay, &started, || check.ask());
            ended.run_until_cancelled(reports).await;
        });
    }
}

impl OwnHealthCheck {
    async fn ask(&self) -> Result<(), OwnHealthError> {
        let request = Request::get(self.url.as_str()).body(Full::<Bytes>::default())?;
        let answer = self.client.send(request).await?;
        let status = answer.status();
        read_body(answer.into_body(), MAX_ANSWER_BYTES).await?;
        if status.is_success() {
            Ok(())
        } else {
            Err(OwnHealthError::Status(status.as_u16()))
        }
    }
}

/// Returns the delay between two signs of life that the service manager expects of the process `id`;
/// `None` if it expects none.
fn watchdog_delay(environment: &Environment, id: u32) -> Option<Duration> {
    let is_for_us = environment
        .get(WATCHDOG_PID)
        .is_none_or(|text| text.parse::<u32>() == Ok(id));
    let microseconds: u64 = environment.get(WATCHDOG_USEC)?.parse().ok()?;
    let delay = Duration::from_micros(microseconds) / CHECKS_PER_TIMEOUT;
    (is_for_us && microseconds > 0).then_some(delay.max(MIN_CHECK_DELAY))
}

/// Reports that the server is alive after each `check` that succeeds, one each `delay`, without an
/// end. While the server drains (`started` is cancelled) it has no listener to check, and the report
/// only says that the runtime runs this task.
async fn report_while_alive<F, A>(
    notifier: &ServiceNotifier,
    delay: Duration,
    started: &CancellationToken,
    check: F,
) where
    F: Fn() -> A,
    A: Future<Output = Result<(), OwnHealthError>>,
{
    let mut ticks = interval(delay);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let checked = if started.is_cancelled() {
            Ok(())
        } else {
            let answer = timeout(delay, check()).await;
            answer.unwrap_or(Err(OwnHealthError::Timeout))
        };
        match checked {
            Err(error) if !started.is_cancelled() => {
                tracing::warn!(%error, "own health check failed");
            }
            _ => notifier.report_alive().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::Mutex;

    use tokio::net::UnixDatagram;

    use super::*;

    /// Scripted result of the next health checks.
    #[derive(Debug, Clone, Copy)]
    enum Scripted {
        Succeed,
        Fail,
        Hang,
    }

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().copied().collect()
    }

    /// Counts the messages that are waiting in the socket.
    fn count_messages(manager: &UnixDatagram) -> usize {
        let mut buffer = [0; 64];
        let next = || manager.try_recv(&mut buffer);
        std::iter::repeat_with(next)
            .take_while(Result::is_ok)
            .count()
    }

    #[test]
    fn watchdog_delay_is_a_third_of_the_time_that_the_manager_waits() {
        let delay = |variables: &[(&str, &str)]| watchdog_delay(&environment(variables), 42);
        let usec = (WATCHDOG_USEC, "30000000");
        let third = Some(Duration::from_secs(10));
        assert_eq!(delay(&[usec]), third);
        assert_eq!(delay(&[usec, (WATCHDOG_PID, "42")]), third);
        assert_eq!(delay(&[usec, (WATCHDOG_PID, "43")]), None);
        assert_eq!(delay(&[]), None);
        for none in ["0", "", "soon"] {
            assert_eq!(delay(&[(WATCHDOG_USEC, none)]), None, "{none}");
        }
        assert_eq!(delay(&[(WATCHDOG_USEC, "9")]), Some(MIN_CHECK_DELAY));
    }

    #[test]
    fn link_without_a_service_manager_expects_nothing() {
        let address = "127.0.0.1:1".parse().unwrap();
        let usec = (WATCHDOG_USEC, "30000000");
        for variables in [&[usec][..], &[usec, (NOTIFY_SOCKET, "vsock:2:1")]] {
            let link = SupervisorLink::from_environment(&environment(variables), address);
            assert!(!link.notifier.is_connected() && link.watchdog.is_none());
        }
        let socket = (NOTIFY_SOCKET, "/run/notify");
        let link = SupervisorLink::from_environment(&environment(&[usec, socket]), address);
        assert_eq!(link.watchdog, Some(Duration::from_secs(10)));
    }

    #[tokio::test(start_paused = true)]
    async fn server_that_does_not_answer_gives_no_sign_of_life() {
        const DELAY: Duration = Duration::from_secs(10);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = ServiceNotifier::to_socket(path.to_str().unwrap()).unwrap();
        let script = Arc::new(Mutex::new(Scripted::Succeed));
        let started = CancellationToken::new();
        let ended = CancellationToken::new();
        let tracker = TaskTracker::new();
        let reports = {
            let (script, started, ended) = (script.clone(), started.clone(), ended.clone());
            async move {
                let check = || {
                    let next = *script.lock().unwrap();
                    async move {
                        match next {
                            Scripted::Succeed => Ok(()),
                            Scripted::Fail => Err(OwnHealthError::Status(500)),
                            Scripted::Hang => std::future::pending().await,
                        }
                    }
                };
                let reports = report_while_alive(&notifier, DELAY, &started, check);
                ended.run_until_cancelled(reports).await;
            }
        };
        tracker.spawn(reports);
        let during = async |checks: u32| {
            tokio::time::sleep(DELAY * checks).await;
            count_messages(&manager)
        };
        let alive = during(4).await;
        assert!((3..=5).contains(&alive), "{alive}");
        for dead in [Scripted::Fail, Scripted::Hang] {
            *script.lock().unwrap() = dead;
            during(2).await;
            assert_eq!(during(4).await, 0, "{dead:?}");
        }
        *script.lock().unwrap() = Scripted::Succeed;
        during(2).await;
        assert!(during(4).await >= 2, "it is alive again");
        *script.lock().unwrap() = Scripted::Fail;
        started.cancel();
        during(2).await;
        assert!(during(4).await >= 3, "a server that drains has no listener");
        ended.cancel();
        tracker.close();
        tracker.wait().await;
    }
}
