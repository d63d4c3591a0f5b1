//! Path of a budget alert, from the charge to the webhook of its project.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::Value;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::task::TaskTracker;

use super::super::StartupContext;
use super::super::accounting::start_webhooks;
use super::super::alerts;
use super::super::records;
use super::super::traces::TraceExport;
use crate::accounts::auth::FieldChange;
use crate::accounts::auth::NewWebhook;
use crate::accounts::auth::ProjectChange;
use crate::accounts::auth::Registry;
use crate::accounts::ledger::Charge;
use crate::accounts::ledger::ChargeOutcome;
use crate::accounts::ledger::Clock;
use crate::accounts::ledger::Config;
use crate::accounts::ledger::Ledger;
use crate::accounts::ledger::WorkOwners;
use crate::accounts::webhooks::SendError;
use crate::accounts::webhooks::SignedRequest;
use crate::accounts::webhooks::WebhookSender;
use crate::config::CommandLineFlags;
use crate::config::Environment;
use crate::config::Settings;
use crate::domain::Amount;
use crate::domain::Budget;
use crate::domain::Caller;
use crate::domain::Cap;
use crate::domain::Grant;
use crate::domain::Money;
use crate::domain::Usage;
use crate::engine::hooks::Hooks;
use crate::server::Shutdown;
use crate::storage::store::Store;
use crate::telemetry::activity::Activity;
use crate::telemetry::metrics::Metrics;

/// Transport that accepts every delivery.
#[derive(Debug)]
struct AcceptingSender(UnboundedSender<SignedRequest>);

impl WebhookSender for AcceptingSender {
    fn send(&self, request: SignedRequest) -> BoxFuture<'_, Result<u16, SendError>> {
        self.0.send(request).unwrap();
        async { Ok(204) }.boxed()
    }
}

/// Accounting of a server, with the webhook requests it sends.
struct AccountingFixture {
    registry: Registry,
    ledger: Ledger,
    requests: UnboundedReceiver<SignedRequest>,
    shutdown: Shutdown,
    tracker: TaskTracker,
}

impl AccountingFixture {
    async fn open(store: &Store) -> Self {
        let tracker = TaskTracker::new();
        let shutdown = Shutdown::new();
        let registry = Registry::open(store.clone()).await.unwrap();
        let (sender, requests) = mpsc::unbounded_channel();
        let sender: Arc<dyn WebhookSender> = Arc::new(AcceptingSender(sender));
        let environment = Environment::from_iter([("HOME", "/")]);
        let settings = Settings::load(None, &environment, &CommandLineFlags::default()).unwrap();
        let backups = records::backups(&settings, store);
        let records = store.clone();
        let context = StartupContext {
            settings: &settings,
            store: records,
            backups,
            registry,
            shutdown,
            tracker,
            metrics: Metrics::new(),
            traces: TraceExport::default(),
            activity: Activity::new(),
            hooks: Hooks::default(),
        };
        let started = start_webhooks(&context, &sender, WorkOwners::default());
        let webhooks = started.await.unwrap();
        let StartupContext {
            registry,
            shutdown,
            tracker,
            ..
        } = context;
        // 2026-11-21 in UTC.
        let clock = Clock::new(|| 1_795_219_200);
        let opened = Ledger::open(
            store.clone(),
            clock,
            Config {
                keep_charges_days: 1,
                node: "server".to_owned(),
            },
        )
        .await
        .unwrap();
        tracker.spawn(alerts::forward_alerts(
            opened.alerts,
            webhooks,
            Hooks::default(),
            Metrics::default(),
            shutdown.drain_expired(),
        ));
        Self {
            registry,
            ledger: opened.ledger,
            requests,
            shutdown,
            tracker,
        }
    }

    async fn create_project(&self, url: Option<&str>) -> String {
        let webhook = url.map(|url| NewWebhook {
            url: url.parse().unwrap(),
            secret: None,
        });
        let webhook = webhook.map_or(FieldChange::Keep, FieldChange::Set);
        let change = ProjectChange {
            webhook,
            ..ProjectChange::default()
        };
        self.registry.create_project(None, change).await.unwrap().id
    }

    /// Charges a request of the key `key-1`, which may spend 100 tokens a day, in a project that may spend 2 dollars a month.
    async fn charge_request(&self, project: &str, id: &str, tokens: u64, nanos: i64) {
        let daily = Cap {
            tokens: Some(100),
            money: None,
        };
        let monthly = Cap {
            tokens: None,
            money: Some(Money::from_nanos(2_000_000_000)),
        };
        let grant = Grant {
            budget: Budget {
                daily,
                ..Budget::default()
            },
            project_budget: Budget {
                monthly,
                ..Budget::default()
            },
            ..Grant::default()
        };
        let caller = Caller {
            project: project.to_owned(),
            grant: Arc::new(grant),
            ..Caller::named("key-1")
        };
        let hold = self
            .ledger
            .hold(&caller, Amount::default(), id)
            .await
            .unwrap();
        let usage = Usage {
            output_tokens: tokens,
            ..Usage::default()
        };
        let money = Some(Money::from_nanos(nanos));
        hold.settle(Charge {
            model: "haiku".to_owned(),
            usage,
            money,
            estimated_tokens: 0,
            outcome: ChargeOutcome::Answered,
            baseline: None,
            sign_in: None,
            fallback: None,
        })
        .await
        .unwrap();
    }

    async fn next_event(&mut self) -> Value {
        let request = self.requests.recv().await.unwrap();
        let mut body: Value = serde_json::from_str(&request.body).unwrap();
        assert_eq!(
            (&body["id"], &body["type"]),
            (&json!(request.id), &json!("budget.threshold_reached"))
        );
        body["data"].take()
    }

    async fn shut_down(self) -> UnboundedReceiver<SignedRequest> {
        drop(self.ledger);
        self.tracker.close();
        self.tracker.wait().await;
        self.requests
    }
}

#[tokio::test]
async fn budget_alerts_of_project_and_its_keys_reach_the_project_webhook() {
    let store = Store::in_memory(TaskTracker::new());
    let mut fixture = AccountingFixture::open(&store).await;
    let with_webhook = fixture
        .create_project(Some("https://example.com/hook"))
        .await;
    let without_webhook = fixture.create_project(None).await;
    fixture
        .charge_request(&with_webhook, "1", 81, 1_000_000_000)
        .await;
    let mut events = [
        fixture.next_event().await,
        fixture.next_event().await,
        fixture.next_event().await,
    ];
    events.sort_by_key(|event| (event["scope"].to_string(), event["percent"].as_u64()));
    let of_key = |percent: u8| {
        json!({
            "scope": "key", "key_id": "key-1", "project_id": with_webhook, "window": "daily", "since": "2026-11-21",
            "what": "tokens", "percent": percent, "cap": 100, "spent": 81,
        })
    };
    let of_project = json!({
        "scope": "project", "key_id": null, "project_id": with_webhook, "window": "monthly", "since": "2026-11-01",
        "what": "money", "percent": 50, "cap": "2.00", "spent": "1.00",
    });
    assert_eq!(events, [of_key(50), of_key(80), of_project]);
    fixture
        .charge_request(&without_webhook, "2", 1, 2_000_000_000)
        .await;
    assert!(
        fixture.shut_down().await.recv().await.is_none(),
        "a project without a webhook gets no events"
    );
}

#[tokio::test]
async fn alert_raised_during_shutdown_is_sent_after_restart() {
    let store = Store::in_memory(TaskTracker::new());
    let fixture = AccountingFixture::open(&store).await;
    let project = fixture
        .create_project(Some("https://example.com/hook"))
        .await;
    fixture.shutdown.abort();
    fixture.charge_request(&project, "1", 50, 0).await;
    assert!(fixture.shut_down().await.recv().await.is_none());
    let mut again = AccountingFixture::open(&store).await;
    assert_eq!(again.next_event().await["percent"], 50);
}
