//! Turns that are refused before their cost is held.

use super::*;
use crate::accounts::ledger;
use crate::accounts::ledger::testing::FaultyBackend;
use crate::domain::Budget;
use crate::domain::Cap;
use crate::domain::Grant;
use crate::engine::gateway::AdmissionDeps;
use crate::engine::gateway::testing;

/// Returns a caller with a budget: its hold must be on disk before its turn waits for a worker.
fn capped() -> Caller {
    let daily = Cap {
        tokens: Some(1_000_000),
        money: None,
    };
    let budget = Budget {
        daily,
        ..Budget::default()
    };
    Caller {
        grant: Arc::new(Grant {
            budget,
            ..Grant::default()
        }),
        ..caller()
    }
}

/// Admission whose disk counts its writes. Made before the rest of a test: opening it waits for a
/// thread, which moves the paused time on.
struct CountedAdmission {
    admission: AdmissionDeps,
    disk: Arc<FaultyBackend>,
}

impl CountedAdmission {
    async fn new() -> Self {
        let (ledger, disk) = ledger::testing::faulty(testing::NOW).await;
        let admission = AdmissionDeps {
            ledger,
            ..testing::admission_deps().await
        };
        Self { admission, disk }
    }

    /// Runs a turn of `model` on `gateway`. Returns the error, and the number of writes to disk.
    async fn run(self, gateway: Gateway<Scripted>, model: &str) -> (Option<Error>, usize) {
        let before = self.disk.writes();
        let pipeline = testing::pipeline(gateway, self.admission);
        let error = pipeline.run(capped(), turn(model)).await.err();
        (error, self.disk.writes() - before)
    }
}

#[tokio::test(start_paused = true)]
async fn turn_without_a_sign_in_is_refused_without_a_disk_write() {
    let admission = CountedAdmission::new().await;
    let gateway = Gateway::new(
        SignInState::Missing("Set X.".to_owned()),
        ModelNames::default(),
        ModelRules::default(),
        Breaker::new(2),
    );
    let expected = Error::NotSignedIn("Set X.".to_owned());
    assert_eq!(
        gateway.preflight(&caller(), &turn("haiku")),
        Err(expected.clone())
    );
    assert_eq!(admission.run(gateway, "haiku").await, (Some(expected), 0));
}

#[tokio::test(start_paused = true)]
async fn turn_of_an_unknown_model_is_refused_without_a_disk_write() {
    let admission = CountedAdmission::new().await;
    let fixture = GatewayFixture::new();
    fixture.gateway.models().await.unwrap();
    let expected = Error::UnknownModel("gemini-9".to_owned());
    let checked = fixture.gateway.preflight(&caller(), &turn("gemini-9"));
    assert_eq!(checked, Err(expected.clone()));
    assert_eq!(
        admission.run(fixture.gateway, "gemini-9").await,
        (Some(expected), 0)
    );
}

#[tokio::test(start_paused = true)]
async fn turn_is_refused_without_a_disk_write_while_the_breaker_is_open() {
    let admission = CountedAdmission::new().await;
    let fixture = GatewayFixture::new();
    for _ in 0..2 {
        fixture.script([Err(Failure::new(FailureKind::Overloaded, "Overloaded."))]);
        let running = fixture.run("haiku").await.unwrap();
        assert_eq!(running.events.count().await, 1);
    }
    let (error, writes) = admission.run(fixture.gateway, "haiku").await;
    assert!(
        matches!(&error, Some(Error::Failed(failure)) if failure.kind == FailureKind::Overloaded),
        "{error:?}"
    );
    assert_eq!(writes, 0);
}

#[tokio::test(start_paused = true)]
async fn turn_is_refused_without_a_disk_write_while_the_queue_is_full() {
    let admission = CountedAdmission::new().await;
    let fixture = GatewayFixture::new();
    let _running = fixture.run("haiku").await.unwrap();
    let expected = Error::busy(1, BusyReason::QueueFull);
    assert_eq!(
        admission.run(fixture.gateway, "haiku").await,
        (Some(expected), 0)
    );
}

#[tokio::test(start_paused = true)]
async fn accepted_turn_is_held_on_disk() {
    let admission = CountedAdmission::new().await;
    let fixture = GatewayFixture::new();
    let (error, writes) = admission.run(fixture.gateway, "haiku").await;
    assert_eq!(error, None);
    assert!(writes > 0);
}
