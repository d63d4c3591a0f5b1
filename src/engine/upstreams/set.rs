//! All other servers, found by endpoint and model.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::answer_memory::HeldAnswerMemory;
use super::config::Config;
use super::config::UpstreamRefusal;
use super::endpoint::EndpointGroup;
use super::price::UpstreamPrice;
use super::upstream::Upstream;
use crate::runtime::http_client::HttpClient;

/// Maximum number of idle connections to an upstream.
const MAX_IDLE_CONNECTIONS: usize = 32;

/// Other servers of the configuration; empty, and without any cost, if there are none.
#[derive(Default)]
pub struct Upstreams {
    all: Vec<Arc<Upstream>>,
    /// Models by group of endpoints and by name.
    models: BTreeMap<EndpointGroup, HashMap<String, ServedModel>>,
    default_models: BTreeMap<EndpointGroup, String>,
}

/// Model of another server, with its price.
#[derive(Debug, Clone)]
pub struct ServedModel {
    /// Server that has the model.
    pub upstream: Arc<Upstream>,
    /// Price of its calls.
    pub price: UpstreamPrice,
}

impl Upstreams {
    /// Makes the upstreams of `config`, called with the `keys` by their names. Their connections run
    /// on `tracker`.
    ///
    /// # Errors
    /// Fails when a key cannot be sent in a header.
    pub fn new(
        config: &Config,
        keys: &BTreeMap<String, String>,
        tracker: &TaskTracker,
    ) -> Result<Self, UpstreamRefusal> {
        let mut this = Self::default();
        let sizes = config.0.values().map(|settings| settings.max_answer_bytes);
        let memory = HeldAnswerMemory::new(sizes.max().unwrap_or_default());
        for (name, settings) in &config.0 {
            let client = HttpClient::new(tracker.clone(), MAX_IDLE_CONNECTIONS);
            let key = keys.get(name).map(String::as_str);
            let upstream = Upstream::new(name, settings.clone(), key, (client, memory.clone()));
            let upstream = upstream.ok_or_else(|| UpstreamRefusal {
                upstream: name.clone(),
                message: "the key has characters that no header can have".to_owned(),
                hint: "write the key alone, in one line".to_owned(),
            })?;
            let upstream = Arc::new(upstream);
            for group in &settings.endpoints {
                let models = this.models.entry(*group).or_default();
                for (model, price) in &settings.models {
                    let served = ServedModel {
                        upstream: Arc::clone(&upstream),
                        price: *price,
                    };
                    models.insert(model.clone(), served);
                }
            }
            this.default_models.extend(settings.default_models.clone());
            this.all.push(upstream);
        }
        Ok(this)
    }

    /// True if there are no other servers.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Iterates over the servers by their names.
    pub fn all(&self) -> impl Iterator<Item = &Upstream> {
        self.all.iter().map(|upstream| &**upstream)
    }

    /// True if a server has endpoints of `group`.
    pub fn serves(&self, group: EndpointGroup) -> bool {
        self.models.contains_key(&group)
    }

    /// Returns the `model` at the endpoints of `group`.
    pub fn find(&self, group: EndpointGroup, model: &str) -> Option<&ServedModel> {
        self.models.get(&group)?.get(model)
    }

    /// Returns the model of requests to `group` that name none.
    pub fn default_model(&self, group: EndpointGroup) -> Option<&str> {
        self.default_models.get(&group).map(String::as_str)
    }

    /// Returns the names of all models with the names of their servers, in alphabetical order; each
    /// model once.
    pub fn model_names(&self) -> BTreeMap<&str, &str> {
        let models = self.models.values().flatten();
        models
            .map(|(model, served)| (model.as_str(), served.upstream.name()))
            .collect()
    }
}

impl fmt::Debug for Upstreams {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(&self.all).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_is_found_at_the_endpoints_of_its_server_alone() {
        let config: Config = toml::from_str(
            "[a]\nbase_url = \"http://a.example\"\nendpoints = [\"embeddings\"]\nmodels = { \"m\" = \"free\" }\n\
             default_models = { embeddings = \"m\" }\n\
             [b]\nbase_url = \"http://b.example\"\nendpoints = [\"chat\", \"audio\"]\nmodels = { \"m\" = \"call 1\", \"n\" = \"free\" }\n",
        )
        .unwrap();
        let keys = BTreeMap::from([("a".to_owned(), "sk-secret".to_owned())]);
        let upstreams = Upstreams::new(&config, &keys, &TaskTracker::new()).unwrap();
        let name = |group, model: &str| {
            let served = upstreams.find(group, model)?;
            Some(served.upstream.name().to_owned())
        };
        assert_eq!(name(EndpointGroup::Embeddings, "m").as_deref(), Some("a"));
        assert_eq!(name(EndpointGroup::Audio, "m").as_deref(), Some("b"));
        assert_eq!(name(EndpointGroup::Embeddings, "n"), None);
        assert!(!upstreams.serves(EndpointGroup::Images));
        assert_eq!(
            upstreams.default_model(EndpointGroup::Embeddings),
            Some("m")
        );
        assert_eq!(upstreams.model_names().len(), 2);
        assert!(!format!("{upstreams:?}").contains("secret"));
    }

    #[test]
    fn key_of_several_lines_is_refused_without_showing_it() {
        let config: Config = toml::from_str(
            "[a]\nbase_url = \"http://a.example\"\nendpoints = [\"chat\"]\nmodels = { \"m\" = \"free\" }\n",
        )
        .unwrap();
        let keys = BTreeMap::from([("a".to_owned(), "sk-\nsecret".to_owned())]);
        let refusal = Upstreams::new(&config, &keys, &TaskTracker::new()).unwrap_err();
        assert_eq!(refusal.upstream, "a");
        assert!(!refusal.message.contains("secret"));
    }
}
