//! Fields that upstream refuses, and tool properties that it takes under other names only.

use super::*;

fn refusal(path: &str) -> Result<TurnEvent, Failure> {
    let message = format!(
        "{}{path}: Extra inputs are not permitted",
        Failure::REFUSED_PREFIX
    );
    Err(Failure::new(FailureKind::InvalidRequest, message))
}

fn answer() -> [Result<TurnEvent, Failure>; 2] {
    let finish = Finish::new(FinishReason::Stop, Usage::default());
    [
        Ok(TurnEvent::started("m-1", Usage::default())),
        Ok(TurnEvent::Finished(finish)),
    ]
}

fn with_fields(names: impl IntoIterator<Item = String>) -> Turn {
    let mut turn = turn("haiku");
    turn.native.fields = names
        .into_iter()
        .map(|name| (name, "1".to_owned()))
        .collect();
    turn
}

/// Returns the field names of the turn that a worker received last.
fn sent(fixture: &GatewayFixture) -> Vec<String> {
    let script = fixture.script.0.lock().unwrap();
    script
        .turns
        .last()
        .unwrap()
        .native
        .fields
        .iter()
        .map(|(name, _)| name.clone())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn refused_field_is_left_out_reported_and_remembered() {
    let fixture = GatewayFixture::new();
    fixture.script([refusal("odd")].into_iter().chain(answer()));
    let turn = with_fields(["known".to_owned(), "odd".to_owned()]);
    let mut running = fixture.gateway.run(caller(), turn.clone()).await.unwrap();
    assert!(running.info.all_left_out().is_empty(), "not known yet");
    running.events.next().await.unwrap().unwrap();
    assert_eq!(running.info.all_left_out(), ["odd"]);
    assert_eq!(
        (sent(&fixture), fixture.script.0.lock().unwrap().turns.len()),
        (vec!["known".to_owned()], 2)
    );
    drop(running);

    assert_eq!(
        fixture
            .gateway
            .fit(&caller(), &turn)
            .await
            .unwrap()
            .left_out,
        ["odd"]
    );
    fixture.script(answer());
    let mut running = fixture.gateway.run(caller(), turn).await.unwrap();
    running.events.next().await.unwrap().unwrap();
    assert_eq!(
        (sent(&fixture), fixture.script.0.lock().unwrap().turns.len()),
        (vec!["known".to_owned()], 3)
    );
    drop(running);
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn retries_after_refusals_are_bounded() {
    let fixture = GatewayFixture::new();
    fixture.script((0..9).map(|number| refusal(&format!("f{number}"))));
    let turn = with_fields((0..20).map(|number| format!("f{number}")));
    let mut running = fixture.gateway.run(caller(), turn.clone()).await.unwrap();
    let failed = running.events.next().await.unwrap();
    assert!(matches!(failed, Err(Error::Failed(failure)) if failure.message.contains("f8")));
    assert!(
        fixture
            .gateway
            .fit(&caller(), &turn)
            .await
            .unwrap()
            .left_out
            .is_empty(),
        "what was not answered is not remembered"
    );
    drop(running);
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn tool_calls_return_with_the_callers_property_names() {
    let fixture = GatewayFixture::new();
    let call = TurnEvent::tool_call("c", "query");
    let input = |piece: &str| Ok(TurnEvent::ToolInput(piece.to_owned()));
    let finish = Finish::new(FinishReason::ToolCalls, Usage::default());
    let finished = Ok(TurnEvent::Finished(finish));
    fixture.script([Ok(call), input(r#"{"_fil"#), input(r#"ter":1}"#), finished]);
    let mut turn = turn("haiku");
    let schema = r#"{"type":"object","properties":{"$filter":{}}}"#.to_owned();
    turn.tools.list = vec![Tool {
        name: "query".to_owned(),
        description: None,
        schema,
        strict: false,
    }];
    let running = fixture.gateway.run(caller(), turn).await.unwrap();
    let events: Vec<_> = running.events.map(Result::unwrap).collect().await;
    let inputs: String = events
        .iter()
        .filter_map(|event| match event {
            TurnEvent::ToolInput(piece) => Some(piece.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(inputs, r#"{"$filter":1}"#);
    fixture.end().await;
}
