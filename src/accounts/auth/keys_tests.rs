//! Authentication with every kind of key.

use proptest::prelude::*;

use super::super::*;
use crate::domain::Caller;
use crate::domain::Cap;
use crate::domain::Money;
use crate::domain::Rates;
use crate::domain::unix_now;

/// Time after the creation of all keys in these tests, plus `seconds`.
fn later(seconds: u64) -> u64 {
    unix_now() + seconds
}

fn configured() -> Keys {
    Keys::new(["first", "second"]).unwrap()
}

async fn registry() -> Registry {
    Registry::temporary().await.unwrap()
}

fn named(name: &str) -> KeyChange {
    KeyChange {
        name: Some(name.to_owned()),
        ..KeyChange::default()
    }
}

/// Creates a key of the default project.
async fn create_key(registry: &Registry, change: KeyChange) -> (ApiKey, KeyText) {
    registry
        .create_key("default".to_owned(), change)
        .await
        .unwrap()
}

fn with(text: &str) -> Credentials<'_> {
    Credentials {
        api_key: Some(text),
        ..Credentials::default()
    }
}

fn authenticate_text(keys: &Keys, text: &str) -> Result<Caller, AuthError> {
    keys.authenticate(&with(text), None)
}

#[test]
fn configured_key_gives_caller_its_name() {
    let name = |authorization, api_key| {
        let credentials = Credentials {
            authorization,
            api_key,
            project: None,
        };
        configured()
            .authenticate(&credentials, None)
            .map(|caller| caller.name)
    };
    assert_eq!(name(Some("Bearer first"), None), Ok("key-1".to_owned()));
    assert_eq!(name(Some("bEARER   second "), None), Ok("key-2".to_owned()));
    assert_eq!(name(None, Some("second")), Ok("key-2".to_owned()));
    assert_eq!(
        name(Some("Bearer dummy"), Some("first")),
        Ok("key-1".to_owned())
    );
    assert_eq!(name(None, None), Err(AuthError::Missing));
    assert_eq!(name(Some("Bearer "), Some("")), Err(AuthError::Missing));
    assert_eq!(name(Some("Basic Zmlyc3Q="), None), Err(AuthError::Missing));
    assert_eq!(name(Some("Bearer First"), None), Err(AuthError::Wrong));
    assert_eq!(name(Some("Bearer firs"), None), Err(AuthError::Wrong));
    assert_eq!(name(None, Some("first ,second")), Err(AuthError::Wrong));
}

#[test]
fn server_without_keys_admits_callers_only_if_no_key_is_required() {
    assert_eq!(
        authenticate_text(&Keys::none(), "anything").unwrap(),
        Caller::named("local")
    );
    assert!(Keys::none().is_open());
    let reachable = Keys::none().requiring_key();
    assert!(!reachable.is_open());
    assert_eq!(
        authenticate_text(&reachable, "anything"),
        Err(AuthError::Wrong)
    );
    assert_eq!(
        reachable.authenticate(&Credentials::default(), None),
        Err(AuthError::Missing)
    );
}

#[test]
fn empty_configured_key_is_refused() {
    assert_eq!(
        Keys::new(["first", ""]).unwrap_err(),
        InvalidKey { position: 2 }
    );
    assert_eq!(
        Keys::new(["two words"]).unwrap_err(),
        InvalidKey { position: 1 }
    );
}

#[test]
fn debug_output_hides_keys() {
    assert_eq!(format!("{:?}", configured()), "Keys { count: 2, .. }");
    let credentials = Credentials {
        authorization: Some("hush"),
        api_key: Some("hush"),
        project: Some("p"),
    };
    assert_eq!(
        format!("{credentials:?}"),
        r#"Credentials { project: Some("p"), .. }"#
    );
}

#[tokio::test]
async fn stored_key_authenticates_with_its_grant() {
    let registry = registry().await;
    let keys = Keys::none().with_stored(&registry);
    let project = ProjectChange {
        name: Some("team".to_owned()),
        ..ProjectChange::default()
    };
    let project = registry.create_project(None, project).await.unwrap().id;
    let change = KeyChange {
        models: FieldChange::Set(vec!["haiku".to_owned()]),
        rates: RatesChange {
            requests_per_minute: FieldChange::Set(3),
            ..RatesChange::default()
        },
        ..named("ci")
    };
    let (key, text) = registry.create_key(project.clone(), change).await.unwrap();

    let caller = authenticate_text(&keys, text.reveal()).unwrap();
    assert_eq!((&caller.name, &caller.project), (&key.id(), &project));
    assert_eq!(
        caller.grant.rates,
        Rates {
            requests_per_minute: Some(3),
            ..Rates::default()
        }
    );
    assert!(caller.grant.allows_model("haiku") && !caller.grant.allows_model("opus"));
    assert_eq!(keys.owner_id(&caller), key.id());

    // A change applies to the next request.
    let cap = Cap {
        money: Some(Money::from_nanos(5)),
        tokens: None,
    };
    let budget = crate::domain::Budget {
        daily: cap,
        ..Default::default()
    };
    registry.set_budget(&project, budget).await.unwrap();
    registry
        .change_key(
            &key.id(),
            KeyChange {
                models: FieldChange::Clear,
                ..KeyChange::default()
            },
        )
        .await
        .unwrap();
    let caller = authenticate_text(&keys, text.reveal()).unwrap();
    assert_eq!(
        (caller.grant.project_budget, caller.grant.models.clone()),
        (budget, None)
    );
    assert_eq!(caller.grant.rates.requests_per_minute, Some(3));
    assert_eq!(keys.authenticate_again(&caller, None), Ok(caller));
}

/// Rows: change of a key, time until its use, expected result.
#[tokio::test]
async fn invalid_key_error_names_the_reason() {
    let registry = registry().await;
    let keys = Keys::new(["other"]).unwrap().with_stored(&registry);
    let until = |seconds| KeyChange {
        expires_at: FieldChange::Set(later(seconds)),
        ..named("short")
    };
    let (short, short_text) = create_key(&registry, until(100)).await;
    let (revoked, revoked_text) = create_key(&registry, named("revoked")).await;
    registry.revoke_key(&revoked.id()).await.unwrap();
    let (both, both_text) = create_key(&registry, until(100)).await;
    registry.revoke_key(&both.id()).await.unwrap();
    let (rotated, old_text) = create_key(&registry, named("rotated")).await;
    let (_, new_text) = registry.rotate_key(&rotated.id(), 100).await.unwrap();
    let (at_once, lost_text) = create_key(&registry, named("leaked")).await;
    registry.rotate_key(&at_once.id(), 0).await.unwrap();

    for (what, text, seconds, expected) in [
        ("before its end", &short_text, 0, Ok(&short)),
        ("after its end", &short_text, 101, Err(AuthError::Expired)),
        ("revoked", &revoked_text, 0, Err(AuthError::Revoked)),
        ("revoked and over", &both_text, 101, Err(AuthError::Revoked)),
        ("new secret", &new_text, 0, Ok(&rotated)),
        ("old secret within the grace", &old_text, 0, Ok(&rotated)),
        (
            "old secret after the grace",
            &old_text,
            101,
            Err(AuthError::Expired),
        ),
        (
            "old secret without a grace",
            &lost_text,
            0,
            Err(AuthError::Expired),
        ),
    ] {
        let found = keys.authenticate_at(later(seconds), &with(text.reveal()), None);
        assert_eq!(
            found.map(|caller| caller.name),
            expected.map(ApiKey::id),
            "{what}"
        );
    }
    registry.revoke_key(&rotated.id()).await.unwrap();
    for text in [&new_text, &old_text] {
        assert_eq!(
            authenticate_text(&keys, text.reveal()),
            Err(AuthError::Revoked)
        );
    }
}

#[tokio::test]
async fn wrong_secret_does_not_reveal_key_state() {
    let registry = registry().await;
    let keys = Keys::new(["other"]).unwrap().with_stored(&registry);
    let (key, text) = create_key(&registry, named("revoked")).await;
    registry.revoke_key(&key.id()).await.unwrap();
    let (rest, last) = text.reveal().split_at(text.reveal().len() - 1);
    let guess = format!("{rest}{}", if last == "x" { "y" } else { "x" });
    assert_eq!(authenticate_text(&keys, &guess), Err(AuthError::Wrong));
    // One valid key of two suffices; of two invalid ones the greater error counts.
    let two = |authorization, api_key| {
        let credentials = Credentials {
            authorization: Some(authorization),
            api_key: Some(api_key),
            project: None,
        };
        keys.authenticate(&credentials, None)
            .map(|caller| caller.name)
    };
    let bearer = format!("Bearer {}", text.reveal());
    assert_eq!(two(&bearer, "other"), Ok("key-1".to_owned()));
    assert_eq!(two(&bearer, "guess"), Err(AuthError::Revoked));
    assert_eq!(two("Bearer guess", text.reveal()), Err(AuthError::Revoked));
}

#[tokio::test]
async fn key_is_limited_to_its_permissions() {
    let registry = registry().await;
    let keys = Keys::new(["configured"]).unwrap().with_stored(&registry);
    let (_, all) = create_key(&registry, named("all")).await;
    let permissions = FieldChange::Set(vec![Permission::Usage]);
    let (_, usage) = create_key(
        &registry,
        KeyChange {
            permissions,
            ..named("usage")
        },
    )
    .await;
    for permission in Permission::ALL {
        let authenticate = |text: &str| keys.authenticate(&with(text), Some(permission)).map(drop);
        // Agents act on this machine.
        let unasked = if permission == Permission::Tasks {
            Err(AuthError::NotPermitted(permission))
        } else {
            Ok(())
        };
        assert_eq!(
            (authenticate("configured"), authenticate(all.reveal())),
            (unasked, unasked)
        );
        let expected = if permission == Permission::Usage {
            Ok(())
        } else {
            Err(AuthError::NotPermitted(permission))
        };
        assert_eq!(authenticate(usage.reveal()), expected);
    }
    let caller = authenticate_text(&keys, usage.reveal()).unwrap();
    let needed = Some(Permission::Inference);
    assert_eq!(
        keys.authenticate_again(&caller, needed),
        Err(AuthError::NotPermitted(Permission::Inference))
    );
}

#[tokio::test]
async fn keys_refuse_request_for_another_project() {
    let registry = registry().await;
    let keys = Keys::new(["configured"]).unwrap().with_stored(&registry);
    let project = registry
        .create_project(None, ProjectChange::default())
        .await
        .unwrap()
        .id;
    let (_, text) = registry
        .create_key(project.clone(), named("team"))
        .await
        .unwrap();
    let foreign = Err(AuthError::ForeignProject);
    for (text, named, expected) in [
        (text.reveal(), &*project, Ok(())),
        (text.reveal(), "default", foreign),
        (text.reveal(), "", foreign),
        ("configured", "default", Ok(())),
        ("configured", &*project, Ok(())),
        ("wrong", "default", Err(AuthError::Wrong)),
    ] {
        let credentials = Credentials {
            project: Some(named),
            ..with(text)
        };
        assert_eq!(
            keys.authenticate(&credentials, None).map(drop),
            expected,
            "{named}"
        );
    }
    let open = Credentials {
        project: Some(&project),
        ..Credentials::default()
    };
    assert_eq!(Keys::none().authenticate(&open, None).map(drop), Ok(()));
}

#[tokio::test]
async fn server_is_open_only_without_valid_keys() {
    let registry = registry().await;
    let keys = Keys::none().with_stored(&registry);
    assert!(keys.is_open());
    let local = keys.authenticate(&Credentials::default(), None).unwrap();
    let ended = KeyChange {
        expires_at: FieldChange::Set(1),
        ..named("over")
    };
    let (key, text) = create_key(&registry, ended).await;
    assert!(
        !keys.is_open(),
        "one that is over may be made to last longer"
    );
    assert_eq!(
        keys.authenticate(&Credentials::default(), None),
        Err(AuthError::Missing)
    );
    assert_eq!(
        keys.authenticate_again(&local, None),
        Err(AuthError::Missing)
    );
    registry.revoke_key(&key.id()).await.unwrap();
    assert!(keys.is_open());
    assert_eq!(keys.authenticate(&Credentials::default(), None), Ok(local));
    assert_eq!(
        authenticate_text(&keys, text.reveal()),
        Err(AuthError::Revoked),
        "who brings a revoked key is not let in by it"
    );
    assert!(!keys.requiring_key().is_open());
}

#[tokio::test]
async fn owner_id_survives_reordering_and_rotation() {
    let registry = registry().await;
    let keys = configured().with_stored(&registry);
    let moved = Keys::new(["new", "second", "first"]).unwrap();
    let owner = |keys: &Keys, key: &str| keys.owner_id(&authenticate_text(keys, key).unwrap());
    assert_eq!(owner(&keys, "first"), owner(&moved, "first"));
    assert_ne!(owner(&moved, "first"), owner(&moved, "new"));
    assert_eq!(owner(&Keys::none(), "any"), "local");
    let (key, text) = create_key(&registry, named("rotated")).await;
    let before = owner(&keys, text.reveal());
    let (_, new) = registry.rotate_key(&key.id(), 0).await.unwrap();
    assert_eq!(owner(&keys, new.reveal()), before);
}

#[tokio::test]
async fn admin_key_and_ordinary_keys_are_separate() {
    let registry = registry().await;
    assert!(registry.admin_key().await.unwrap().is_none());
    let (_, admin) = registry.create_admin_key().await.unwrap();
    let admin_key = registry.admin_key().await.unwrap();
    let keys = Keys::new(["configured"])
        .unwrap()
        .with_stored(&registry)
        .with_admin(admin_key);
    let (_, text) = create_key(&registry, named("ordinary")).await;
    let admitted = |text: &str| keys.authenticate_admin(&with(text));
    assert_eq!(admitted(admin.reveal()), Ok(()));
    assert_eq!(admitted(text.reveal()), Err(AdminError::Ordinary));
    assert_eq!(admitted("configured"), Err(AdminError::Ordinary));
    assert_eq!(admitted("guess"), Err(AdminError::Wrong));
    assert_eq!(admitted(""), Err(AdminError::Missing));
    assert_eq!(
        authenticate_text(&keys, admin.reveal()),
        Err(AuthError::Wrong)
    );
    let without = Keys::none().with_stored(&registry);
    assert_eq!(
        without.authenticate_admin(&with(admin.reveal())),
        Err(AdminError::Wrong)
    );
}

#[tokio::test]
async fn only_the_key_of_the_metrics_opens_them() {
    let registry = registry().await;
    let keys = Keys::new(["configured"])
        .unwrap()
        .with_stored(&registry)
        .with_admin(Some(AdminKey::of("admin")));
    for text in ["admin", "configured", "guess", ""] {
        let refused = keys.authenticate_scraper(&with(text));
        assert_eq!(refused, Err(ScraperError::NotConfigured), "{text}");
    }
    let keys = keys.with_scraper(Some(AdminKey::of("scraper")));
    for (text, expected) in [
        ("scraper", Ok(())),
        ("admin", Err(ScraperError::OtherKey)),
        ("configured", Err(ScraperError::OtherKey)),
        ("guess", Err(ScraperError::Wrong)),
        ("", Err(ScraperError::Missing)),
    ] {
        assert_eq!(keys.authenticate_scraper(&with(text)), expected, "{text}");
    }
    assert_eq!(
        keys.authenticate_admin(&with("scraper")),
        Err(AdminError::Wrong)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn altered_key_text_is_refused(
        place in 0usize..71, character in any::<char>(), any_text in ".{0,80}", cut in 0usize..71,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let registry = registry().await;
            let keys = Keys::none().with_stored(&registry);
            let (_, text) = create_key(&registry, named("only")).await;
            let text = text.reveal();
            assert!(authenticate_text(&keys, text).is_ok());
            let replaced: String =
                text.chars().enumerate().map(|(at, old)| if at == place { character } else { old }).collect();
            let inserted = format!("{}{character}{}", &text[..place], &text[place..]);
            let near = [replaced, inserted, text[..cut].to_owned(), text.to_uppercase(), any_text];
            for other in near.iter().filter(|other| other.trim() != text) {
                assert!(authenticate_text(&keys, other).is_err(), "{other} was let in");
            }
        });
    }
}

#[tokio::test]
async fn caller_is_found_by_owner_id_while_key_is_valid() {
    let registry = Registry::temporary().await.unwrap();
    let change = KeyChange {
        name: Some("key".to_owned()),
        ..KeyChange::default()
    };
    let (key, _) = registry
        .create_key("default".to_owned(), change)
        .await
        .unwrap();
    let before = Keys::new(["first", "second"])
        .unwrap()
        .with_stored(&registry);
    let second = before.owner_id(&Caller::named("key-2"));
    let stored = before.owner_id(&Caller::named(key.id()));
    let name =
        |keys: &Keys, owner: &str| keys.caller_of_owner(owner, None).map(|caller| caller.name);
    assert_eq!(name(&before, &second).as_deref(), Ok("key-2"));
    assert_eq!(name(&before, &stored), Ok(key.id()));
    assert_eq!(name(&before, "local"), Err(AuthError::Missing));
    let moved = Keys::new(["second"]).unwrap().with_stored(&registry);
    assert_eq!(
        name(&moved, &second).as_deref(),
        Ok("key-1"),
        "wherever in the list it stands"
    );
    let removed = Keys::new(["first"]).unwrap().with_stored(&registry);
    assert_eq!(
        name(&removed, &second),
        Err(AuthError::Wrong),
        "another in its place is another"
    );
    registry.revoke_key(&key.id()).await.unwrap();
    assert_eq!(name(&before, &stored), Err(AuthError::Revoked));
    assert_eq!(name(&Keys::none(), "local").as_deref(), Ok("local"));
}

#[tokio::test]
async fn configured_keys_are_replaced_at_run_time() {
    let keys = Keys::new(["first", "second"]).unwrap();
    let clone = keys.clone();
    let caller = |key: &str| clone.authenticate(&with(key), None);
    let first = caller("first").unwrap();
    let second = caller("second").unwrap();
    let owner = clone.owner_id(&first);
    assert_eq!(keys.reconfigure(["third", "second"]), Ok(2));
    assert_eq!(
        caller("first").map(|caller| caller.name),
        Err(AuthError::Wrong)
    );
    assert_eq!(caller("second").unwrap().name, second.name);
    assert_eq!(caller("third").unwrap().name, "key-3");
    // As for an open connection and a running batch.
    assert!(clone.authenticate_again(&second, None).is_ok());
    assert!(matches!(
        clone.authenticate_again(&first, None),
        Err(AuthError::Wrong)
    ));
    assert!(clone.caller_of_owner(&owner, None).is_err());
    assert_eq!(
        clone.owner_id(&first),
        owner,
        "what still runs is stored as its own"
    );
    // A list that is invalid or would open the server changes nothing.
    assert_eq!(
        keys.reconfigure(["x", ""]).unwrap_err(),
        ReconfigureError::Invalid(InvalidKey { position: 2 })
    );
    assert_eq!(
        keys.reconfigure([] as [&str; 0]).unwrap_err(),
        ReconfigureError::WouldOpen
    );
    assert!(caller("third").is_ok() && !clone.is_open());
}
