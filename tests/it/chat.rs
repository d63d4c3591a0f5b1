use crate::support::*;
use claude_switchboard::claude::SignIn;
use claude_switchboard::domain::*;
use std::time::Instant;

#[tokio::test(flavor = "multi_thread")]
async fn smoke() {
    tracing_subscriber::fmt().with_env_filter("debug").init();
    let engine = Engine::start(1, SignIn::ApiKey).await;
    for i in 0..6 {
        let t = Instant::now();
        let (text, events) = engine.answer(turn("[[tokens=5]]")).await;
        println!("{i} {text:?} {:?} {:?}", events.last(), t.elapsed());
    }
    let mut t = turn("[[tokens=50]]");
    t.system = vec!["be terse".into()];
    t.history = vec![said(Role::User, "u1"), said(Role::Assistant, "a1")];
    t.sampling.max_output_tokens = Some(3);
    let (text, events) = engine.answer(t).await;
    println!("{text:?} {:?}", events.last());
    let (text, _) = engine.answer(turn("[[tokens=5]]")).await;
    println!("{text}");
    let r = engine.upstream.requests();
    println!("{} calls", r.len()); println!("{:?}", r[0]); println!("{:?}", r[1]);
    for r in &r[r.len() - 3..] {
        println!("{}", r.body);
    }
}
