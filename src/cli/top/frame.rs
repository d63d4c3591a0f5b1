//! Text of one look at a server.

use std::fmt::Write as _;

use serde_json::Value;

use super::rates::StatusRates;
use super::rates::TURN_ENDS;
use crate::cli::control_characters::one_line;
use crate::cli::cost::describe_cost;
use crate::cli::table::describe_count;
use crate::cli::table::describe_seconds;

/// Width of the labels before the figures, in columns.
const LABEL_WIDTH: usize = 13;
/// Width of the bar of a budget, in columns.
const BAR_WIDTH: usize = 20;
/// States of tasks and batches, in words.
const STATE_WORDS: [(&str, &str); 7] = [
    ("queued", "queued"),
    ("running", "running"),
    ("awaiting_permission", "waiting for a decision"),
    ("validating", "validating"),
    ("in_progress", "in progress"),
    ("finalizing", "writing files"),
    ("cancelling", "cancelling"),
];

/// Lines of text of at most a width.
struct FrameText {
    width: usize,
    lines: Vec<String>,
}

/// Renders the status of a server as lines of at most `width` columns.
pub(super) fn render_frame(status: &Value, rates: &StatusRates, width: usize) -> Vec<String> {
    let mut text = FrameText {
        width,
        lines: Vec::new(),
    };
    text.add_head(status, rates);
    text.add_requests(status, rates);
    text.add_workers(&status["workers"]);
    text.add_spending(status, rates);
    text.add("batches", &describe_states(&status["batches"]));
    text.add("tasks", &describe_states(&status["tasks"]));
    text.add_budgets(&status["budgets"]);
    text.lines
}

impl FrameText {
    /// Adds a line with a label. What comes from the server cannot control the terminal.
    fn add(&mut self, label: &str, figures: &str) {
        let line = format!("{label:<LABEL_WIDTH$}{figures}");
        let line: String = one_line(&line).chars().take(self.width).collect();
        self.lines.push(line.trim_end().to_owned());
    }

    fn add_head(&mut self, status: &Value, rates: &StatusRates) {
        let uptime = number(&status["now"]).saturating_sub(number(&status["started_at"]));
        let uptime = describe_seconds(uptime);
        let version = status["version"].as_str().unwrap_or_default();
        let state = if status["ready"] == true {
            "ready"
        } else {
            "not ready"
        };
        let span = if rates.is_since_start {
            "since the start".to_owned()
        } else {
            format!("of the last {}", describe_seconds(rates.span.as_secs()))
        };
        self.add(
            "server",
            &format!("{version}, up {uptime}, {state}; rates {span}"),
        );
        let sign_in = status["sign_in"].as_str().unwrap_or("none");
        self.add("sign-in", sign_in);
        self.add_plans(status);
        for problem in items(&status["problems"]) {
            self.add("problem", problem.as_str().unwrap_or_default());
        }
    }

    /// Adds the windows of the sign-ins' plans, with the time that is left of each.
    fn add_plans(&mut self, status: &Value) {
        let now = number(&status["now"]);
        let sign_ins = items(&status["sign_ins"]);
        let windows = sign_ins.iter().flat_map(|sign_in| {
            let windows = items(&sign_in["plan_windows"]).iter();
            windows.map(move |window| (sign_in, window))
        });
        for (index, (sign_in, window)) in windows.enumerate() {
            let percent = number(&window["used_percent"]);
            let name = window["window"].as_str().unwrap_or_default();
            let rest = number(&window["resets_at"]).saturating_sub(now);
            let of = match sign_in["name"].as_str() {
                Some(name) if sign_ins.len() > 1 => format!(" of {name}"),
                _ => String::new(),
            };
            let line = format!(
                "{} {percent:>3} %  {}{of}, ends in {}",
                render_bar(percent as f64 / 100.0),
                name.replace('_', " "),
                describe_seconds(rest)
            );
            self.add(if index == 0 { "plan" } else { "" }, &line);
        }
    }

    fn add_requests(&mut self, status: &Value, rates: &StatusRates) {
        let ends: Vec<String> = TURN_ENDS
            .iter()
            .zip(rates.turns)
            .map(|(end, rate)| format!("{} {end}", describe_rate(rate)))
            .collect();
        self.add("requests", &ends.join(", "));
        let busy = number(&status["workers"]["busy"]);
        let waiting = number(&status["waiting"]);
        self.add("now", &format!("{busy} running, {waiting} waiting"));
        let latency = match rates.first_token_ms {
            Some([median, high]) => format!(
                "median {}, 95 % within {}",
                describe_milliseconds(median),
                describe_milliseconds(high)
            ),
            None => "-".to_owned(),
        };
        self.add("first token", &latency);
    }

    fn add_workers(&mut self, workers: &Value) {
        let states: Vec<String> = ["busy", "idle", "starting", "resetting"]
            .iter()
            .map(|state| format!("{} {state}", number(&workers[*state])))
            .collect();
        let max = number(&workers["max"]);
        self.add("workers", &format!("{} of {max}", states.join(", ")));
    }

    fn add_spending(&mut self, status: &Value, rates: &StatusRates) {
        let [input, output] = rates.tokens.map(describe_rate);
        self.add("tokens", &format!("{input} in, {output} out"));
        let today = &status["today"];
        let mut line = format!(
            "{}, {}",
            describe_count(number(&today["requests"]), "request"),
            describe_count(number(&today["total_tokens"]), "token")
        );
        if let Some(cost) = today["cost_usd"].as_f64() {
            // Writing to a string cannot fail.
            let _ = write!(line, ", {}", describe_cost(cost));
        }
        self.add("today (UTC)", &line);
    }

    fn add_budgets(&mut self, budgets: &Value) {
        for (index, budget) in items(budgets).iter().enumerate() {
            let word = |name: &str| budget[name].as_str().unwrap_or_default();
            let percent = budget["used_percent"].as_f64().unwrap_or_default();
            let line = format!(
                "{} {percent:>3.0} %  ${} of ${} {}, {} {}",
                render_bar(percent / 100.0),
                word("used"),
                word("cap"),
                word("window"),
                word("scope"),
                word("id")
            );
            self.add(if index == 0 { "budgets" } else { "" }, &line);
        }
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Lists the states that are not empty.
fn describe_states(counts: &Value) -> String {
    let states: Vec<String> = STATE_WORDS
        .iter()
        .map(|(state, words)| (number(&counts[*state]), words))
        .filter(|(count, _)| *count > 0)
        .map(|(count, words)| format!("{count} {words}"))
        .collect();
    if states.is_empty() {
        "none".to_owned()
    } else {
        states.join(", ")
    }
}

/// Renders a rate with as many digits as say something.
fn describe_rate(per_second: f64) -> String {
    if per_second == 0.0 {
        "0/s".to_owned()
    } else if per_second < 0.1 {
        format!("{:.1}/min", per_second * 60.0)
    } else if per_second < 10.0 {
        format!("{per_second:.1}/s")
    } else {
        format!("{per_second:.0}/s")
    }
}

fn describe_milliseconds(milliseconds: f64) -> String {
    if milliseconds < 1000.0 {
        format!("{milliseconds:.0} ms")
    } else {
        format!("{:.1} s", milliseconds / 1000.0)
    }
}

/// Renders a bar of which `share` is full; one above 1 is full.
fn render_bar(share: f64) -> String {
    let full = (share.clamp(0.0, 1.0) * BAR_WIDTH as f64).round() as usize;
    let full = full.min(BAR_WIDTH);
    format!("[{}{}]", "#".repeat(full), "-".repeat(BAR_WIDTH - full))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn status() -> Value {
        json!({
            "version": "1.2.3", "now": 20_000, "started_at": 1000, "sign_in": "Amazon Bedrock", "ready": true,
            "problems": [],
            "workers": {"max": 5, "starting": 0, "idle": 1, "busy": 3, "resetting": 1}, "waiting": 2,
            "today": {"requests": 1234, "total_tokens": 5_000_000, "cost_usd": 3.21},
            "batches": {"validating": 0, "in_progress": 1, "finalizing": 0, "cancelling": 0},
            "tasks": {"queued": 1, "running": 2, "awaiting_permission": 1},
            "budgets": [
                {"scope": "key", "id": "key_1", "window": "daily", "used": "4.50", "cap": "5.00", "used_percent": 90.0},
                {"scope": "project", "id": "web", "window": "monthly", "used": "12.00", "cap": "10.00", "used_percent": 120.0},
            ],
        })
    }

    fn rates() -> StatusRates {
        StatusRates {
            span: Duration::from_secs(60),
            is_since_start: false,
            turns: [12.34, 0.0, 0.3, 0.01],
            tokens: [1234.0, 56.0],
            first_token_ms: Some([420.4, 1300.0]),
        }
    }

    #[test]
    fn frame_has_the_figures_of_a_server() {
        let lines = render_frame(&status(), &rates(), 80);
        insta::assert_snapshot!(lines.join("\n"), @"
        server       1.2.3, up 5 h, ready; rates of the last 60 s
        sign-in      Amazon Bedrock
        requests     12/s answered, 0/s refused, 0.3/s failed, 0.6/min cancelled
        now          3 running, 2 waiting
        first token  median 420 ms, 95 % within 1.3 s
        workers      3 busy, 1 idle, 0 starting, 1 resetting of 5
        tokens       1234/s in, 56/s out
        today (UTC)  1234 requests, 5000000 tokens, $3.2100
        batches      1 in progress
        tasks        1 queued, 2 running, 1 waiting for a decision
        budgets      [##################--]  90 %  $4.50 of $5.00 daily, key key_1
                     [####################] 120 %  $12.00 of $10.00 monthly, project web
        ");
    }

    #[test]
    fn frame_shows_the_windows_of_plans() {
        let window = |name, used: u64, ends_in: u64| json!({"window": name, "used_percent": used, "resets_at": 20_000 + ends_in});
        let plan = [
            window("five_hour", 90, 7200),
            window("seven_day", 125, 200_000),
        ];
        let mut status = status();
        status["sign_ins"] = json!([{"name": "default", "plan_windows": plan}]);
        let lines = render_frame(&status, &rates(), 80);
        insta::assert_snapshot!(lines[2..4].join("\n"), @"
        plan         [##################--]  90 %  five hour, ends in 2 h
                     [####################] 125 %  seven day, ends in 2 d
        ");
        let other = json!({"name": "second", "plan_windows": [window("five_hour", 0, 60)]});
        status["sign_ins"].as_array_mut().unwrap().push(other);
        let lines = render_frame(&status, &rates(), 80);
        assert!(
            lines[2].ends_with("five hour of default, ends in 2 h"),
            "{lines:?}"
        );
        assert!(
            lines[4].ends_with("five hour of second, ends in 60 s"),
            "{lines:?}"
        );
    }

    #[test]
    fn frame_of_a_server_without_requests_keeps_its_width() {
        let mut status = status();
        status["ready"] = json!(false);
        status["problems"] = json!(["Set a\u{1b}[2J key."]);
        status["sign_in"] = Value::Null;
        status["batches"] = json!({});
        status["budgets"] = json!([]);
        let rates = StatusRates {
            is_since_start: true,
            turns: [0.0; TURN_ENDS.len()],
            first_token_ms: None,
            ..rates()
        };
        let lines = render_frame(&status, &rates, 30);
        assert!(lines.iter().all(|line| line.chars().count() <= 30));
        insta::assert_snapshot!(lines[..7].join("\n"), @"
        server       1.2.3, up 5 h, no
        sign-in      none
        problem      Set a[2J key.
        requests     0/s answered, 0/s
        now          3 running, 2 wait
        first token  -
        workers      3 busy, 1 idle, 0
        ");
        assert_eq!(lines[9], "batches      none");
    }

    #[test]
    fn rates_have_the_digits_that_matter() {
        for (rate, words) in [
            (0.0, "0/s"),
            (0.05, "3.0/min"),
            (0.5, "0.5/s"),
            (123.4, "123/s"),
        ] {
            assert_eq!(describe_rate(rate), words);
        }
    }
}
