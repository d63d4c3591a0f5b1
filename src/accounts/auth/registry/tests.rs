//! Registry of keys and projects: creation, changes, revocation and persistence.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use tokio_util::task::TaskTracker;

use super::super::*;
use crate::accounts::webhooks::SigningSecret;
use crate::domain::Budget;
use crate::domain::Cap;
use crate::domain::Money;
use crate::domain::unix_now;
use crate::domain::unix_now_ms;
use crate::storage::store::MemoryBackend;
use crate::storage::store::Store;
use crate::storage::store::StoreTable;
use crate::storage::store::encode_record;
use crate::storage::store::testing::FaultyBackend;

fn store() -> Store {
    Store::in_memory(TaskTracker::new())
}

fn named(name: &str) -> KeyChange {
    KeyChange {
        name: Some(name.to_owned()),
        ..KeyChange::default()
    }
}

fn with(text: &KeyText) -> Credentials<'_> {
    Credentials {
        api_key: Some(text.reveal()),
        ..Credentials::default()
    }
}

async fn create_key(registry: &Registry, name: &str) -> (ApiKey, KeyText) {
    registry
        .create_key("default".to_owned(), named(name))
        .await
        .unwrap()
}

fn page(limit: usize, after: Option<String>) -> RegistryPage {
    RegistryPage { limit, after }
}

#[tokio::test]
async fn keys_and_projects_survive_restart() {
    let folder = tempfile::tempdir().unwrap();
    let open = async || {
        let tracker = TaskTracker::new();
        let registry = Registry::open(
            Store::open(
                folder.path(),
                crate::storage::store::Config::default(),
                tracker.clone(),
            )
            .unwrap(),
        )
        .await
        .unwrap();
        (registry, tracker)
    };
    let close = async |registry: Registry, tracker: TaskTracker| {
        drop(registry);
        tracker.close();
        tracker.wait().await;
    };
    let (registry, tracker) = open().await;
    let cap = Cap {
        tokens: Some(7),
        money: Some(Money::from_nanos(1)),
    };
    let budget = Budget {
        daily: cap,
        monthly: cap,
    };
    let change = ProjectChange {
        name: Some("team".to_owned()),
        budget: FieldChange::Set(budget),
        ..Default::default()
    };
    let project = registry.create_project(None, change).await.unwrap();
    let change = KeyChange {
        models: FieldChange::Set(vec!["opus".to_owned()]),
        permissions: FieldChange::Set(vec![Permission::Inference]),
        expires_at: FieldChange::Set(unix_now() + 1000),
        budget: FieldChange::Set(budget),
        ..named("lasting")
    };
    let (lasting, text) = registry
        .create_key(project.id.clone(), change)
        .await
        .unwrap();
    let (rotated, old) = create_key(&registry, "rotated").await;
    let (_, new) = registry.rotate_key(&rotated.id(), 1000).await.unwrap();
    let (revoked, revoked_text) = create_key(&registry, "revoked").await;
    registry.revoke_key(&revoked.id()).await.unwrap();
    let keys = Keys::none().with_stored(&registry);
    let caller = keys.authenticate(&with(&text), None).unwrap();
    let before = format!("{:?}", registry.keys(page(9, None)).await.unwrap());
    drop(keys);
    close(registry, tracker).await;

    let (registry, tracker) = open().await;
    assert_eq!(
        format!("{:?}", registry.keys(page(9, None)).await.unwrap()),
        before
    );
    let keys = Keys::none().with_stored(&registry);
    assert_eq!(keys.authenticate(&with(&text), None), Ok(caller));
    for text in [&old, &new] {
        assert_eq!(
            keys.authenticate(&with(text), None).unwrap().name,
            rotated.id()
        );
    }
    assert_eq!(
        keys.authenticate(&with(&revoked_text), None),
        Err(AuthError::Revoked)
    );
    assert!(
        registry
            .key(&lasting.id())
            .await
            .unwrap()
            .last_used_at
            .is_some()
    );
    assert_eq!(registry.project(&project.id).await.unwrap(), project);
    drop(keys);
    close(registry, tracker).await;
}

#[tokio::test]
async fn unreadable_record_fails_the_start() {
    for record in [&b"\x02{}"[..], b"\x01{", b""] {
        let store = store();
        let key = tables::KEYS.key("0123456789ab");
        let record = record.to_vec();
        let work = move |transaction: &mut crate::storage::store::Transaction<'_>| {
            transaction.put(key.clone(), record.clone());
            Ok::<_, Error>(())
        };
        store.transaction(work).await.unwrap();
        let error = Registry::open(store).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the record of `0123456789ab` in the store cannot be read"
        );
    }
}

#[tokio::test]
async fn keys_are_listed_by_creation_in_pages() {
    let registry = Registry::open(store()).await.unwrap();
    let mut created_ids = Vec::new();
    for number in 0..5 {
        created_ids.push(create_key(&registry, &format!("key {number}")).await.0.id());
        // Within one millisecond the order is random.
        let last = unix_now_ms();
        while unix_now_ms() == last {
            tokio::task::yield_now().await;
        }
    }
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let (keys, has_more) = registry.keys(page(2, after)).await.unwrap();
        listed.extend(keys.iter().map(ApiKey::id));
        after = listed.last().cloned();
        if !has_more {
            break;
        }
    }
    assert_eq!(listed, created_ids);
    assert!(matches!(
        registry.keys(page(2, Some("nonsense".to_owned()))).await,
        Err(Error::UnknownKey(_))
    ));
    let projects = registry.projects(page(10, None)).await.unwrap();
    assert_eq!(
        (projects.0.len(), &*projects.0[0].id, projects.1),
        (1, "default", false)
    );
}

#[tokio::test]
async fn invalid_operations_are_refused() {
    let registry = Registry::open(store()).await.unwrap();
    let (key, _) = create_key(&registry, "key").await;
    registry.revoke_key(&key.id()).await.unwrap();
    let revoked_at = registry.key(&key.id()).await.unwrap().revoked_at;
    assert_eq!(
        registry.revoke_key(&key.id()).await.unwrap().revoked_at,
        revoked_at,
        "once is enough"
    );
    let again = KeyChange {
        expires_at: FieldChange::Set(9),
        ..KeyChange::default()
    };
    assert!(matches!(
        registry.change_key(&key.id(), again).await,
        Err(Error::Revoked(_))
    ));
    assert!(matches!(
        registry.rotate_key(&key.id(), 5).await,
        Err(Error::Revoked(_))
    ));
    for id in [
        "",
        "key_",
        "key_0123456789ab",
        "key_01234567890bé",
        "proj_0123456789ab",
        &key.prefix,
    ] {
        assert!(
            matches!(registry.key(id).await, Err(Error::UnknownKey(_))),
            "{id}"
        );
        assert!(
            matches!(registry.revoke_key(id).await, Err(Error::UnknownKey(_))),
            "{id}"
        );
        assert!(
            matches!(
                registry.delete_project(id).await,
                Err(Error::UnknownProject(_))
            ),
            "{id}"
        );
    }
    let unknown_project = registry
        .create_key("proj_none".to_owned(), named("lost"))
        .await;
    assert!(matches!(unknown_project, Err(Error::UnknownProject(_))));
    assert!(matches!(
        registry.delete_project("default").await,
        Err(Error::DefaultProject)
    ));
}

#[tokio::test]
async fn project_is_deletable_once_its_keys_are_revoked() {
    let registry = Registry::open(store()).await.unwrap();
    let one = ProjectChange::default();
    let other = ProjectChange::default();
    let project = registry.create_project(None, one).await.unwrap().id;
    let neighbour = registry.create_project(None, other).await.unwrap().id;
    registry
        .create_key(neighbour, named("neighbour"))
        .await
        .unwrap();
    let (key, _) = registry
        .create_key(project.clone(), named("member"))
        .await
        .unwrap();
    let refused = registry.delete_project(&project).await;
    assert!(matches!(refused, Err(Error::InUse { key: named, .. }) if named == key.id()));
    registry.revoke_key(&key.id()).await.unwrap();
    registry.delete_project(&project).await.unwrap();
    assert!(matches!(
        registry.project(&project).await,
        Err(Error::UnknownProject(_))
    ));
    assert!(matches!(
        registry.create_key(project, named("late")).await,
        Err(Error::UnknownProject(_))
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn confirmed_revocation_takes_effect_at_once() {
    let registry = Registry::open(store()).await.unwrap();
    let keys = Arc::new(Keys::new(["other"]).unwrap().with_stored(&registry));
    for _ in 0..20 {
        let (key, text) = create_key(&registry, "busy").await;
        let text = Arc::new(text);
        let is_revoked = Arc::new(AtomicBool::new(false));
        let users: Vec<_> = (0..4)
            .map(|_| {
                let keys = Arc::clone(&keys);
                let text = Arc::clone(&text);
                let is_revoked = Arc::clone(&is_revoked);
                std::thread::spawn(move || {
                    let mut admitted = 0;
                    loop {
                        let was_revoked = is_revoked.load(Ordering::SeqCst);
                        match keys.authenticate(&with(&text), None) {
                            Ok(_) => assert!(!was_revoked, "let in after the revocation was told"),
                            Err(error) => {
                                assert_eq!(error, AuthError::Revoked);
                                return admitted;
                            }
                        }
                        admitted += 1;
                    }
                })
            })
            .collect();
        registry.revoke_key(&key.id()).await.unwrap();
        is_revoked.store(true, Ordering::SeqCst);
        for user in users {
            let _: u32 = user.join().unwrap();
        }
    }
}

#[tokio::test]
async fn change_is_made_although_its_future_is_dropped() {
    let registry = Registry::open(store()).await.unwrap();
    let keys = Keys::new(["other"]).unwrap().with_stored(&registry);
    let (key, text) = create_key(&registry, "key").await;
    let id = key.id();
    {
        let mut revoking = std::pin::pin!(registry.revoke_key(&id));
        assert!(
            futures::poll!(revoking.as_mut()).is_pending()
                || keys.authenticate(&with(&text), None).is_err()
        );
    }
    // Transactions run in order, so this one comes after the change.
    registry.key(&id).await.unwrap();
    assert_eq!(
        keys.authenticate(&with(&text), None),
        Err(AuthError::Revoked)
    );
}

#[tokio::test]
async fn concurrent_changes_are_both_applied() {
    let registry = Registry::open(store()).await.unwrap();
    let (key, _) = create_key(&registry, "key").await;
    let id = key.id();
    let rates = RatesChange {
        requests_per_minute: FieldChange::Set(1),
        ..RatesChange::default()
    };
    let one = registry.change_key(
        &id,
        KeyChange {
            rates,
            ..KeyChange::default()
        },
    );
    let rates = RatesChange {
        tokens_per_minute: FieldChange::Set(2),
        ..RatesChange::default()
    };
    let other = registry.change_key(
        &id,
        KeyChange {
            rates,
            ..KeyChange::default()
        },
    );
    let (one, other) = futures::join!(one, other);
    drop((one.unwrap(), other.unwrap()));
    let rates = registry.key(&id).await.unwrap().policy.rates;
    assert_eq!(
        (rates.requests_per_minute, rates.tokens_per_minute),
        (Some(1), Some(2))
    );
}

#[tokio::test]
async fn last_use_is_written_at_most_once_a_minute() {
    let backend = Arc::new(MemoryBackend::default());
    let store = Store::new(
        Arc::clone(&backend) as Arc<dyn crate::storage::store::Backend>,
        TaskTracker::new(),
    )
    .unwrap();
    let registry = Registry::open(store.clone()).await.unwrap();
    let keys = Keys::none().with_stored(&registry);
    let (key, text) = create_key(&registry, "key").await;
    assert_eq!(registry.key(&key.id()).await.unwrap().last_used_at, None);
    let prefix = key.prefix.parse().unwrap();
    let start = unix_now();
    for (after, written) in [(0, 0), (59, 0), (60, 60), (61, 60), (200, 200)] {
        keys.authenticate_at(start + after, &with(&text), None)
            .unwrap();
        let stored = store.transaction::<_, Error, _>(move |transaction| {
            Ok(transaction.get(&tables::last_use(prefix))?)
        });
        let stored = stored.await.unwrap().unwrap();
        assert_eq!(
            u64::from_be_bytes(stored.try_into().unwrap()),
            start + written,
            "{after} s"
        );
    }
    // A change of the key keeps its last use, and a restarted server knows it.
    registry
        .change_key(&key.id(), named("renamed"))
        .await
        .unwrap();
    assert_eq!(
        registry.key(&key.id()).await.unwrap().last_used_at,
        Some(start + 200)
    );
    let started = Registry::open(store).await.unwrap();
    assert_eq!(
        started.key(&key.id()).await.unwrap().last_used_at,
        Some(start + 200)
    );
}

#[tokio::test]
async fn webhook_is_set_and_removed_with_its_project() {
    let store = store();
    let registry = Registry::open(store.clone()).await.unwrap();
    let set = |url: &str, secret: Option<SigningSecret>| {
        let webhook = NewWebhook {
            url: url.parse().unwrap(),
            secret,
        };
        ProjectChange {
            webhook: FieldChange::Set(webhook),
            ..ProjectChange::default()
        }
    };
    let created = registry
        .create_project(None, set("https://example.com/a", None))
        .await
        .unwrap();
    let webhook = created.webhook.clone().unwrap();
    assert_eq!(
        (registry.webhook(&created.id), registry.webhook("default")),
        (Some(webhook.clone()), None)
    );
    let opened = Registry::open(store.clone()).await.unwrap();
    assert_eq!(
        (
            opened.webhook(&created.id),
            opened.project(&created.id).await.unwrap()
        ),
        (Some(webhook.clone()), created.clone())
    );

    let own = SigningSecret::new().unwrap();
    let changed = registry
        .change_project(&created.id, set("http://example.org", Some(own.clone())))
        .await
        .unwrap();
    assert_eq!(changed.webhook.clone().unwrap().secret, own);
    let renamed = ProjectChange {
        name: Some("x".to_owned()),
        ..ProjectChange::default()
    };
    registry.change_project(&created.id, renamed).await.unwrap();
    assert_eq!(registry.webhook(&created.id), changed.webhook);
    let cleared = ProjectChange {
        webhook: FieldChange::Clear,
        ..ProjectChange::default()
    };
    registry.change_project(&created.id, cleared).await.unwrap();
    assert_eq!(registry.webhook(&created.id), None);
    registry
        .change_project(&created.id, set("https://example.com/a", None))
        .await
        .unwrap();
    assert_ne!(
        registry.webhook(&created.id).unwrap().secret,
        webhook.secret,
        "each gets a secret of its own"
    );
    registry.delete_project(&created.id).await.unwrap();
    assert_eq!(registry.webhook(&created.id), None);
}

#[test]
fn project_record_without_webhook_field_is_read() {
    let record = b"\x01{\"id\":\"proj_1\",\"name\":\"team\",\"rates\":{},\"budget\":{\"daily\":{},\"monthly\":{}},\"created_at\":1}";
    let project: Project = records::decode(record, "proj_1").unwrap();
    assert_eq!((project.name.as_str(), &project.webhook), ("team", &None));
    assert_eq!(
        encode_record(&project).unwrap(),
        record,
        "and is kept as before"
    );
}

#[tokio::test]
async fn project_deletion_is_logged_once_it_is_on_disk() {
    let disk = Arc::new(FaultyBackend::default());
    let store = Store::new(Arc::clone(&disk) as _, TaskTracker::new()).unwrap();
    let registry = Registry::open(store).await.unwrap();
    let change = ProjectChange::default();
    let project = registry.create_project(None, change).await.unwrap().id;
    let log = tempfile::NamedTempFile::new().unwrap();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(Arc::new(log.reopen().unwrap()))
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let is_logged = || {
        let text = std::fs::read_to_string(log.path()).unwrap();
        text.contains("project deleted")
    };
    disk.fill(true);
    registry.delete_project(&project).await.unwrap_err();
    assert!(!is_logged());
    disk.fill(false);
    registry.delete_project(&project).await.unwrap();
    assert!(is_logged());
}

/// Table names and values as the first version wrote them; three of the tables have no codec.
#[tokio::test]
async fn registry_of_version_1_is_read() {
    let record = |table, key: &str, value: &[u8]| (StoreTable::new(table).key(key), value.to_vec());
    let records = [
        record(
            "keys",
            "0123456789ab",
            include_bytes!("../fixtures/key-v1.json"),
        ),
        record("key-uses", "0123456789ab", b"\0\0\0\0\x6b\x0c\x80\x40"),
        record(
            "projects",
            "proj_1",
            include_bytes!("../fixtures/project-v1.json"),
        ),
        record("project-keys", "proj_1\x000123456789ab", b""),
        record("projects-gone", "proj_0", b""),
    ];
    let store = store();
    let write = store.transaction::<_, Error, _>(move |transaction| {
        for (key, value) in &records {
            transaction.put(key.clone(), value.clone());
        }
        Ok(())
    });
    write.await.unwrap();
    let registry = Registry::open(store).await.unwrap();
    let key = registry.key("key_0123456789ab").await.unwrap();
    assert_eq!(key.last_used_at, Some(0x6b0c_8040));
    let in_use = registry.delete_project("proj_1").await.unwrap_err();
    assert!(matches!(in_use, Error::InUse { .. }), "{in_use}");
    let deleted = registry.create_project(Some("proj_0".to_owned()), ProjectChange::default());
    let exists = deleted.await.unwrap_err();
    assert!(matches!(exists, Error::ProjectExists(_)), "{exists}");
}
