//! Servers with keys, for tests that do not deal with keys.

use super::*;
use crate::accounts::auth::Credentials;
use crate::accounts::auth::FieldChange;
use crate::accounts::auth::KeyChange;
use crate::accounts::auth::Permission;

/// Adds the configured key `secret-1` to `state`.
pub(crate) fn with_configured_key(state: AppState) -> AppState {
    AppState {
        keys: Keys::new(["secret-1"]).unwrap().into(),
        ..state
    }
}

/// Key that can be revoked.
pub(crate) struct RevocableKey {
    pub(crate) text: String,
    id: String,
    keys: Keys,
    registry: Registry,
}

impl RevocableKey {
    pub(crate) async fn new() -> Self {
        let registry = Registry::temporary().await.unwrap();
        let permissions = FieldChange::Set(vec![Permission::Inference]);
        let change = KeyChange {
            name: Some("key".to_owned()),
            permissions,
            ..KeyChange::default()
        };
        let text = registry
            .create_key("default".to_owned(), change)
            .await
            .unwrap()
            .1
            .reveal()
            .to_owned();
        let keys = Keys::none().with_stored(&registry);
        let credentials = Credentials {
            api_key: Some(&text),
            ..Credentials::default()
        };
        let id = keys.authenticate(&credentials, None).unwrap().name;
        Self {
            text,
            id,
            keys,
            registry,
        }
    }

    /// Adds this key to `state`.
    pub(crate) fn state(&self, state: AppState) -> AppState {
        AppState {
            keys: self.keys.clone().into(),
            ..state
        }
    }

    pub(crate) async fn revoke(&self) {
        self.registry.revoke_key(&self.id).await.unwrap();
    }
}
