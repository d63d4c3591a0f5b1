//! Versions of the server and of the Claude CLI.

use std::sync::Arc;
use std::sync::OnceLock;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Gauge of 1 with the versions as labels. The CLI is found after the registration.
#[derive(Debug, Clone, Default)]
pub(super) struct BuildInfo {
    info: Family<BuildLabels, Gauge>,
    cli_version: Arc<OnceLock<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
    cli_version: String,
}

impl BuildInfo {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let build = Self::default();
        registry.register(
            "build_info",
            "1, with the versions of the server and of the Claude CLI",
            build.info.clone(),
        );
        build
    }

    /// Sets the version of the CLI; later calls change nothing.
    pub(super) fn set_cli_version(&self, version: String) {
        self.cli_version.get_or_init(|| version);
    }

    /// Replaces the series by one with the versions known now.
    pub(super) fn refresh(&self) {
        self.info.clear();
        let labels = BuildLabels {
            version: env!("CARGO_PKG_VERSION"),
            cli_version: self.cli_version.get().cloned().unwrap_or_default(),
        };
        self.info.get_or_create(&labels).set(1);
    }
}
