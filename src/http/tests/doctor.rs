//! Tests of the checks that a server makes of itself, over the admin API.

use super::admin::refusal;
use super::admin::send_json;
use super::*;

#[tokio::test]
async fn report_of_the_server_is_for_the_admin_key() {
    let (router, _) = with_admin(ScriptedTurns::playing([])).await;
    let (status, report) = send_json(&router, "GET", "/admin/doctor", Value::Null).await;
    assert_eq!((status, &report["status"]), (200, &json!("warn")));
    let names: Vec<&Value> = report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| &check["name"])
        .collect();
    assert_eq!(names, ["cli", "disk_latency"]);
    assert_eq!(report["checks"][1]["hint"], "use another disk");
    assert_eq!(report["checks"][0]["where"], "server");
    let headers = [("authorization", "Bearer secret-1")];
    let asked = request("GET", "/admin/doctor", &headers, Body::empty());
    assert_eq!(send(router, asked).await.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn quick_report_leaves_out_slow_checks() {
    let (router, _) = with_admin(ScriptedTurns::playing([])).await;
    let ask = async |query: &str| {
        let path = format!("/admin/doctor?{query}");
        send_json(&router, "GET", &path, Value::Null).await
    };
    let (status, report) = ask("quick=true").await;
    assert_eq!((status, &report["status"]), (200, &json!("pass")));
    let (_, report) = ask("quick=false").await;
    assert_eq!(report["status"], "warn");
    assert_eq!(refusal(ask("quick=1").await), "400 invalid_value quick");
    assert_eq!(refusal(ask("only=cli").await), "400 unknown_parameter only");
}
