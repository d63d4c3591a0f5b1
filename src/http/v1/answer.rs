//! Body and headers that all answers share.

use axum::body::Body;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::Response;

use crate::api::request_schema::Remarks;
use crate::domain::PlanWindow;
use crate::domain::unix_now;
use crate::engine::gateway::CacheStatus;
use crate::engine::gateway::TurnInfo;
use crate::http::error::HOOKS_HEADER;

/// Builds a response whose body is JSON.
pub(super) fn json(body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body.into()).into_response()
}

/// Adds the headers about the model, its fallback, rate limits, the cache, ignored fields and repairs.
pub(super) fn describe(response: &mut Response, info: &TurnInfo, remarks: &Remarks) {
    let headers = response.headers_mut();
    let taken = info.fallback.facts();
    let model = taken.as_ref().map_or(&info.model, |taken| &taken.model);
    if let (false, Ok(model)) = (model.is_empty(), HeaderValue::from_str(model)) {
        headers.insert("x-switchboard-model", model);
    }
    if let Some(taken) = &taken {
        let upstream = taken.upstream.as_deref().map(HeaderValue::from_str);
        if let Some(Ok(upstream)) = upstream {
            headers.insert("x-switchboard-upstream", upstream);
        }
        if let Ok(taken) = HeaderValue::from_str(&taken.header_value()) {
            headers.insert("x-switchboard-fallback", taken);
        }
    }
    let sign_in = info.sign_in.told_name();
    if let Some(Ok(sign_in)) = sign_in.map(|name| HeaderValue::from_str(&name)) {
        headers.insert("x-switchboard-sign-in", sign_in);
    }
    let windows = info.sign_in.told_windows(unix_now());
    if let (false, Ok(plan)) = (
        windows.is_empty(),
        HeaderValue::from_str(&plan_header(&windows)),
    ) {
        headers.insert("x-switchboard-plan", plan);
    }
    headers.extend(
        info.limits
            .headers()
            .into_iter()
            .filter_map(|(name, value)| {
                Some((
                    HeaderName::from_static(name),
                    HeaderValue::from_str(&value).ok()?,
                ))
            }),
    );
    let cache = info
        .cache
        .map(|status| HeaderValue::from_static(cache_word(status)));
    headers.extend(cache.map(|status| (HeaderName::from_static("x-cache"), status)));
    let route = info
        .route
        .as_ref()
        .map(|choice| HeaderValue::from_str(&choice.header_value()));
    if let Some(Ok(route)) = route {
        headers.insert("x-switchboard-route", route);
    }
    if let Some(hooks) = info.hooks.header_value() {
        headers.extend(HeaderValue::from_str(&hooks).map(|hooks| (HOOKS_HEADER, hooks)));
    }
    let left_out = info.all_left_out();
    let mut ignored: Vec<&str> = remarks
        .ignored
        .iter()
        .chain(&left_out)
        .map(String::as_str)
        .collect();
    ignored.sort_unstable();
    ignored.dedup();
    let ignored = ("x-switchboard-ignored", ignored.join(", "));
    let mut repaired = [&*remarks.repaired, &info.all_repaired()].concat();
    repaired.sort_unstable();
    let repaired = ("x-switchboard-repaired", repaired.join(", "));
    for (name, list) in [ignored, repaired] {
        if let (false, Ok(list)) = (list.is_empty(), HeaderValue::from_str(&list)) {
            headers.insert(name, list);
        }
    }
    // For the line of the request, which is written when all hooks have been called.
    if !info.hooks.is_empty() {
        response.extensions_mut().insert(info.hooks.clone());
    }
}

/// Returns the value of `x-switchboard-plan`: `five_hour; used=90; resets=1795291200` for each window,
/// with commas between them.
fn plan_header(windows: &[PlanWindow]) -> String {
    let windows = windows.iter().map(|window| {
        let PlanWindow {
            kind,
            used_percent,
            resets_at,
        } = window;
        let name = kind.name();
        format!("{name}; used={used_percent}; resets={resets_at}")
    });
    windows.collect::<Vec<_>>().join(", ")
}

/// Returns the value of the `x-cache` header.
pub(super) const fn cache_word(status: CacheStatus) -> &'static str {
    match status {
        CacheStatus::Hit => "hit",
        CacheStatus::Miss => "miss",
        CacheStatus::Bypass => "bypass",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::PlanUsage;
    use crate::domain::PlanWindowKind;
    use crate::engine::gateway::ServingSignIn;
    use crate::engine::gateway::SignInName;

    #[test]
    fn header_names_a_sign_in_that_clients_are_told() {
        let info = TurnInfo::for_model("m-1");
        let header = |is_told| {
            let name = SignInName {
                name: "eu".into(),
                is_told,
            };
            info.sign_in.set(Some(name));
            let mut response = json("{}");
            describe(&mut response, &info, &Remarks::default());
            response.headers().get("x-switchboard-sign-in").cloned()
        };
        assert_eq!(header(true).unwrap(), "eu");
        assert_eq!(header(false), None);
    }

    #[test]
    fn header_tells_the_windows_of_a_plan_to_those_who_may_see_them() {
        let plan = PlanUsage::default();
        let resets_at = unix_now() + 3600;
        let window = |kind, used_percent| PlanWindow {
            kind,
            used_percent,
            resets_at,
        };
        let windows = [
            window(PlanWindowKind::FiveHour, 90),
            window(PlanWindowKind::SevenDay, 20),
        ];
        plan.record(&windows, None);
        let header = |sign_in: ServingSignIn| {
            sign_in.set_plan(&plan);
            let info = TurnInfo {
                sign_in,
                ..TurnInfo::for_model("m-1")
            };
            let mut response = json("{}");
            describe(&mut response, &info, &Remarks::default());
            response.headers().get("x-switchboard-plan").cloned()
        };
        assert_eq!(header(ServingSignIn::default()), None);
        let told = format!(
            "five_hour; used=90; resets={resets_at}, seven_day; used=20; resets={resets_at}"
        );
        assert_eq!(header(ServingSignIn::with_plan()).unwrap(), told.as_str());
    }
}
