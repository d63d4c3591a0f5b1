//! Windows of a plan in a report of the CLI about its limits.

use serde_json::Value;

use crate::domain::PlanWindow;
use crate::domain::PlanWindowKind;

/// Share that is used of a window whose limit is reached, if the report does not say it.
const ALL_USED: f64 = 1.0;
/// Maximum share that is believed; a larger one is no share.
const MAX_SHARE: f64 = 1000.0;

/// Parses the windows whose use and end the report `info` tells. Windows of other names and forms
/// are left out.
///
/// The CLI lists the windows as `unifiedWindows`, and describes the one that limits calls beside
/// the list, which may be of a kind that the list never has.
pub(super) fn parse_plan_windows(info: &Value) -> Vec<PlanWindow> {
    let listed = info["unifiedWindows"].as_object().into_iter().flatten();
    let mut windows: Vec<PlanWindow> = listed
        .filter_map(|(name, window)| parse_window(name, &window["utilization"], window))
        .collect();
    let name = info["rateLimitType"].as_str().unwrap_or_default();
    if windows.iter().all(|window| window.kind.name() != name) {
        let all_used = Value::from(ALL_USED);
        let is_reached = info["status"] == "rejected" && info["utilization"].is_null();
        let share = if is_reached {
            &all_used
        } else {
            &info["utilization"]
        };
        windows.extend(parse_window(name, share, info));
    }
    windows
}

fn parse_window(name: &str, share: &Value, window: &Value) -> Option<PlanWindow> {
    let share = share
        .as_f64()
        .filter(|share| (0.0..=MAX_SHARE).contains(share))?;
    Some(PlanWindow {
        kind: PlanWindowKind::from_name(name)?,
        used_percent: (share * 100.0).round() as u32,
        resets_at: window["resetsAt"].as_u64()?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(info: &Value) -> Vec<(&'static str, u32, u64)> {
        parse_plan_windows(info)
            .into_iter()
            .map(|window| (window.kind.name(), window.used_percent, window.resets_at))
            .collect()
    }

    #[test]
    fn plan_windows_are_those_that_the_report_lists() {
        let report = json!({
            "status": "allowed_warning", "resetsAt": 1_000, "rateLimitType": "five_hour", "utilization": 0.9,
            "unifiedWindows": {
                "five_hour": {"utilization": 0.904, "resetsAt": 1_000, "status": "allowed_warning"},
                "seven_day": {"utilization": 1.25, "resetsAt": 9_000},
                "from_the_future": {"utilization": 0.5, "resetsAt": 9_000},
            },
        });
        let expected = [("five_hour", 90, 1_000), ("seven_day", 125, 9_000)];
        assert_eq!(parsed(&report), expected);
    }

    #[test]
    fn plan_window_that_limits_calls_is_added_to_the_list() {
        let mut report = json!({
            "status": "rejected", "resetsAt": 7_000, "rateLimitType": "seven_day_opus",
            "unifiedWindows": {"five_hour": {"utilization": 0.2, "resetsAt": 1_000}},
        });
        let five_hours = ("five_hour", 20, 1_000);
        assert_eq!(
            parsed(&report),
            [five_hours, ("seven_day_opus", 100, 7_000)]
        );
        report["status"] = "allowed".into();
        assert_eq!(parsed(&report), [five_hours], "its use is not known");
    }

    #[test]
    fn plan_windows_of_unknown_form_are_left_out() {
        for report in [
            json!({}),
            json!(7),
            json!({"unifiedWindows": 7}),
            json!({"unifiedWindows": {"five_hour": 7}}),
            json!({"unifiedWindows": {"five_hour": {"utilization": "0.1", "resetsAt": 1}}}),
            json!({"unifiedWindows": {"five_hour": {"utilization": -0.1, "resetsAt": 1}}}),
            json!({"unifiedWindows": {"five_hour": {"utilization": 1e9, "resetsAt": 1}}}),
            json!({"unifiedWindows": {"five_hour": {"utilization": 0.1, "resetsAt": -1}}}),
        ] {
            assert!(parsed(&report).is_empty(), "{report}");
        }
    }
}
