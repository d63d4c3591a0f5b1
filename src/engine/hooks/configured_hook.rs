//! Hook as configured: which requests it handles, and how it is called.

use std::sync::Arc;

use tokio::time::Instant;
use wildmatch::WildMatch;

use super::called::CalledHook;
use super::called::Hook;
use super::config::FilterThen;
use super::config::HookConfig;
use super::config::HookKind;
use super::config_check::compile_patterns;
use super::error::HookFailure;
use super::filter::Filter;
use super::http::HttpHook;
use super::notice_queue::NoticeQueue;
use super::program::ProgramHook;
use super::reply::HookReply;
use super::set::HookDeps;
use super::wire::HookContent;
use super::wire::HookInput;
use super::wire::HookOperation;
use super::wire::HookPoint;
use super::wire::WIRE_VERSION;
use crate::domain::Caller;
use crate::runtime::setting::SettingRefusal;
use crate::telemetry::metrics::HookMetrics;
use crate::telemetry::metrics::HookVerdictLabel;

/// Hook with its configuration, which chooses its turns and events.
#[derive(Debug)]
pub(super) struct ConfiguredHook {
    pub(super) name: Arc<str>,
    pub(super) config: HookConfig,
    models: Vec<WildMatch>,
    pub(super) body: HookBody,
    /// Queue of its notices of errors; `None` if it is not called at errors.
    pub(super) notices: Option<NoticeQueue>,
}

/// Implementation of a hook: a filter, or a service or program that is called.
#[derive(Debug)]
pub(super) enum HookBody {
    Filter(Arc<Filter>),
    Called(CalledHook),
}

impl ConfiguredHook {
    /// Creates the hook of a configuration that was checked.
    pub(super) fn new(config: HookConfig, body: HookBody) -> Self {
        let notices = match &body {
            HookBody::Called(called) if config.is_at(HookPoint::Error) => {
                Some(NoticeQueue::new(called.for_single_calls()))
            }
            HookBody::Called(_) | HookBody::Filter(_) => None,
        };
        Self {
            notices,
            name: config.name.as_str().into(),
            models: config
                .models
                .iter()
                .map(|name| WildMatch::new(name))
                .collect(),
            config,
            body,
        }
    }

    /// Creates the hook of a configuration that was checked, and starts its program.
    ///
    /// # Errors
    /// Fails when a pattern of a filter cannot be compiled.
    pub(super) fn start(config: HookConfig, deps: &HookDeps) -> Result<Self, SettingRefusal> {
        let called = |hook: Arc<dyn Hook>| {
            HookBody::Called(CalledHook::new(
                hook,
                config.timeout(),
                config.max_in_flight,
            ))
        };
        let body = match config.kind {
            HookKind::Filter => HookBody::Filter(Arc::new(filter_of(&config)?)),
            HookKind::Http => called(Arc::new(HttpHook::new(
                &config.url,
                deps.tracker.clone(),
                config.max_in_flight,
            ))),
            HookKind::Program => called(Arc::new(ProgramHook::start(
                config.name.as_str().into(),
                config.command.clone(),
                &deps.environment,
                &deps.tracker,
                deps.stop.clone(),
            ))),
        };
        Ok(Self::new(config, body))
    }

    /// True if the hook is for requests of `caller` by the API `surface` with the model that the
    /// caller names. A bound is not met by what is not known.
    pub(super) fn is_for(
        &self,
        surface: &str,
        caller: Option<&Caller>,
        model: Option<&str>,
    ) -> bool {
        let HookConfig {
            points,
            projects,
            surfaces,
            ..
        } = &self.config;
        let is_in_project =
            |caller: &Caller| projects.iter().any(|name| caller.is_in_project(name));
        let is_model = |model: &str| self.models.iter().any(|name| name.matches(model));
        points.iter().any(|point| *point != HookPoint::Event)
            && (surfaces.is_empty() || surfaces.iter().any(|name| name == surface))
            && (projects.is_empty() || caller.is_some_and(is_in_project))
            && (self.models.is_empty() || model.is_some_and(is_model))
    }

    /// True if the hook is notified of events of `project`.
    pub(super) fn listens_to(&self, project: Option<&str>) -> bool {
        let projects = &self.config.projects;
        let is_for = projects.is_empty()
            || project.is_none_or(|project| projects.iter().any(|name| name == project));
        self.config.is_at(HookPoint::Event) && is_for
    }

    /// Creates an input that is not about a request.
    pub(super) fn input(
        &self,
        point: HookPoint,
        op: HookOperation,
        content: HookContent,
    ) -> HookInput {
        HookInput {
            v: WIRE_VERSION,
            point,
            op,
            hook: Arc::clone(&self.name),
            request: None,
            content,
        }
    }

    /// Notifies the hook of an event or an answer. A failure is logged and counted.
    pub(super) async fn notify(&self, input: &HookInput, metrics: &HookMetrics) {
        let HookBody::Called(called) = &self.body else {
            return;
        };
        let started = Instant::now();
        let reply = called.call(input).await;
        metrics.record_time(&self.name, started.elapsed());
        self.count_notice(input.point, reply.as_ref(), metrics);
    }

    /// Notifies the hook of an error once it is notified of those before. A failure is logged and
    /// counted.
    pub(super) async fn notify_in_turn(&self, input: &HookInput, metrics: &HookMetrics) {
        let Some(notices) = &self.notices else {
            return;
        };
        let (reply, time) = notices.send(input).await;
        metrics.record_time(&self.name, time);
        self.count_notice(input.point, reply.as_ref(), metrics);
    }

    /// Counts a notice by its reply, and logs a failure.
    pub(super) fn count_notice(
        &self,
        point: HookPoint,
        reply: Result<&HookReply, &HookFailure>,
        metrics: &HookMetrics,
    ) {
        let verdict = match reply {
            Ok(reply) if reply.metadata.is_empty() => HookVerdictLabel::Pass,
            Ok(_) => HookVerdictLabel::Annotate,
            Err(failure) => {
                tracing::warn!(hook = &*self.name, error = %failure, "hook not notified");
                HookVerdictLabel::FailedOpen
            }
        };
        metrics.count_call(&self.name, point.name(), verdict);
    }
}

fn filter_of(config: &HookConfig) -> Result<Filter, SettingRefusal> {
    let compiled = compile_patterns(&config.words, &config.patterns);
    let (patterns, longest_match) = compiled.map_err(|message| SettingRefusal {
        key: "list",
        message,
        hint: "write a regular expression in the syntax of the Rust crate regex".to_owned(),
    })?;
    Ok(Filter {
        patterns,
        longest_match,
        replacement: (config.then == FilterThen::Redact).then(|| config.replacement.clone()),
        max_characters: Some(config.max_characters).filter(|max| *max > 0),
        roles: config.roles.clone(),
    })
}
