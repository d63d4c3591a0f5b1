use crate::support::*;
use claude_switchboard::claude::SignIn;
use claude_switchboard::domain::*;
use claude_switchboard::gateway::Turns;
use futures::StreamExt;

#[tokio::test(flavor = "multi_thread")]
async fn limit() {
    let engine = Engine::start(1, SignIn::ApiKey).await;
    for gap in ["", " gap_ms=2", " gap_ms=20", " ttft_ms=20"] {
        engine.upstream.clear();
        for _ in 0..25 {
            let mut t = turn(&format!("[[tokens=50{gap}]]"));
            t.sampling.max_output_tokens = Some(3);
            let (text, events) = engine.answer(t).await;
            assert_eq!(text, "w1 w2 w3");
            assert!(format!("{events:?}").contains("Length"));
        }
        println!("LIMIT gap={gap:?} calls {}", engine.upstream.requests().len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faults() {
    tracing_subscriber::fmt().with_env_filter("debug").init();
    let engine = Engine::start(1, SignIn::ApiKey).await;
    engine.answer(turn("[[tokens=5]]")).await;
    for d in [
        "status=400 message=\"top_k bad\"",
        "status=401",
        "status=403",
        "status=404",
        "status=413",
        "status=429 retry_after=1",
        "status=500",
        "status=529",
        "cut_after=0 tokens=5",
        "cut_after=3 tokens=9",
        "error_after=3 tokens=9",
        "error_after=0",
        "stop_reason=refusal tokens=3",
        "tokens=0",
        "say=\"\"",
        "status=400 message=\"prompt is too long: 200001 tokens > 200000 maximum\"",
        "tool=x input={}",
    ] {
        engine.upstream.clear();
        let r = engine.gateway.run(Caller { name: "t".into() }, turn(&format!("[[{d}]]"))).await.unwrap();
        let t = std::time::Instant::now();
        let ev: Vec<_> = r.events.collect().await;
        let tt = t.elapsed();
        let (text, _) = engine.answer(turn("[[tokens=2]]")).await;
        println!("FAULT {d}: {ev:?} in {tt:?} calls {} then {text}", engine.upstream.requests().len() - 1);
    }
}
