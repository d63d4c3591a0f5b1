//! Permits with the limits of end users.

use std::sync::Arc;

use crate::domain::Caller;
use crate::domain::EndUser;
use crate::domain::EndUserTerms;
use crate::domain::Grant;
use crate::domain::Rates;

use super::AdmitError;
use super::Config;
use super::LimitScope;
use super::RateLimits;

/// Caller with the key `k` for the end user `id`, each of whom may use 100 tokens a minute.
fn for_end_user(id: &str) -> Caller {
    let rates = Rates {
        tokens_per_minute: Some(100),
        ..Rates::default()
    };
    let grant = Grant {
        end_users: EndUserTerms {
            rates,
            ..EndUserTerms::default()
        },
        ..Grant::default()
    };
    Caller {
        grant: Arc::new(grant),
        end_user: EndUser::new(id),
        ..Caller::named("k")
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_of_an_end_user_are_corrected_as_those_of_its_key() {
    let limits = RateLimits::new(Config::default());
    let caller = for_end_user("ann");
    let mut permit = limits.admit(&caller, 0).await.unwrap();
    limits
        .take_end_user(&mut permit, &caller, 40)
        .await
        .unwrap();
    // Only the first call takes anything.
    limits
        .take_end_user(&mut permit, &caller, 40)
        .await
        .unwrap();
    assert_eq!(permit.state().tokens.unwrap().remaining, 60);
    permit.take_tokens(50).await.unwrap();
    assert_eq!(permit.state().tokens.unwrap().remaining, 50);
    permit.settle(30);
    drop(permit);
    let mut permit = limits.admit(&caller, 0).await.unwrap();
    limits
        .take_end_user(&mut permit, &caller, 70)
        .await
        .unwrap();
    let mut other = limits.admit(&caller, 0).await.unwrap();
    let refused = limits.take_end_user(&mut other, &caller, 1).await;
    assert!(matches!(
        refused,
        Err(AdmitError::Limited(limited)) if limited.scope == LimitScope::EndUser
    ));
    let nobody = for_end_user("");
    limits
        .take_end_user(&mut other, &nobody, 1_000)
        .await
        .unwrap();
}
