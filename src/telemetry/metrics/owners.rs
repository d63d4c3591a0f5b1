//! Labels of owners: projects and keys, up to a maximum number.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::LabelSetEncoder;
use serde::Deserialize;

use super::labels::OTHER;

/// Kind of owner that tokens and costs can be counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnerLabel {
    /// Project of the key.
    Project,
    /// Key itself.
    Key,
}

/// Choice of the owners that tokens and costs are counted by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnerConfig {
    /// Labels beside the model.
    pub labels: Vec<OwnerLabel>,
    /// Maximum number of owners with series of their own.
    pub max_owners: usize,
}

/// Owner of a charge, as its series name it; without labels if none are configured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Owner {
    project: Option<Arc<str>>,
    key: Option<Arc<str>>,
}

/// Owners with series of their own. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct KnownOwners(Arc<KnownOwnersInner>);

#[derive(Debug, Default)]
struct KnownOwnersInner {
    config: OwnerConfig,
    known: RwLock<HashSet<Owner>>,
}

impl KnownOwners {
    pub(super) fn new(config: OwnerConfig) -> Self {
        Self(Arc::new(KnownOwnersInner {
            config,
            known: RwLock::default(),
        }))
    }

    pub(super) fn config(&self) -> &OwnerConfig {
        &self.0.config
    }

    /// Returns the owner with this project and key. Beyond the maximum number of owners, the others
    /// share one.
    pub(super) fn owner(&self, project: &str, key: &str) -> Owner {
        let KnownOwnersInner { config, known } = &*self.0;
        let owner = config.owner(project, key);
        let is_known = || {
            let known = known.read().unwrap_or_else(PoisonError::into_inner);
            known.contains(&owner)
        };
        if owner == Owner::default() || is_known() {
            return owner;
        }
        let mut known = known.write().unwrap_or_else(PoisonError::into_inner);
        if known.contains(&owner) || known.len() < config.max_owners {
            known.insert(owner.clone());
            return owner;
        }
        config.owner(OTHER, OTHER)
    }
}

impl OwnerConfig {
    fn owner(&self, project: &str, key: &str) -> Owner {
        let value = |label, value: &str| self.labels.contains(&label).then(|| value.into());
        Owner {
            project: value(OwnerLabel::Project, project),
            key: value(OwnerLabel::Key, key),
        }
    }
}

impl EncodeLabelSet for Owner {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        let labels = [("project", &self.project), ("key", &self.key)];
        let asked: Vec<(&str, &str)> = labels
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_deref()?)))
            .collect();
        asked.encode(encoder)
    }
}
