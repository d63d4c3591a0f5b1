//! Hooks on the way of an answer.

use super::*;

#[tokio::test]
async fn answers_pass_hooks_in_the_reverse_of_their_order() {
    let adds = |name: &str, letter: &'static str| {
        let toml = format!(
            "name = \"{name}\"\nkind = \"http\"\npoints = [\"after\"]\nanswer = \"write\"\nstream = \"whole\""
        );
        let hook = ScriptedHook::new(move |input| {
            let mut answer = input.content.answer.clone().unwrap();
            answer.text.push_str(letter);
            Ok(HookReply {
                verdict: HookVerdict::Answer(answer),
                ..HookReply::pass()
            })
        });
        (toml, hook)
    };
    let list = [adds("a", "1"), adds("b", "2"), adds("c", "3")];
    let list = list
        .iter()
        .map(|(toml, hook)| (toml.as_str(), hook.clone()));
    let hooks = scripted(list.collect());
    assert_eq!(after(&hooks, &["x", "y"]).await.unwrap(), "xy321");
}

#[tokio::test]
async fn answer_is_refused_after_the_run_and_that_is_charged() {
    let toml = "name = \"gate\"\nkind = \"http\"\npoints = [\"after\"]\nstream = \"whole\"";
    let hook = ScriptedHook::refusing("No.");
    let hooks = scripted(vec![(toml, hook.clone())]);
    let stop = after(&hooks, &["secret"]).await.unwrap_err();
    assert!(stop.is_charged);
    let call = hook.calls().remove(0);
    assert_eq!(call.op, HookOperation::Decide);
    let granted = HookContent {
        usage: Some(HookUsage::from(Usage::default())),
        ..HookContent::default()
    };
    assert_eq!(call.content, granted);
}

#[tokio::test]
async fn answer_passes_a_failed_hook_only_if_that_is_configured() {
    let toml = "name = \"gate\"\nkind = \"http\"\npoints = [\"after\"]\nstream = \"whole\"\n";
    let open = format!("{toml}on_failure = \"pass\"");
    let failing = || ScriptedHook::new(|_| Err(HookFailure::TimedOut));
    let closed = scripted(vec![(toml, failing())]);
    let stop = after(&closed, &["a", "b"]).await.unwrap_err();
    assert!(stop.is_charged);
    assert_eq!(stop.reason, HookStopReason::Failed(HookFailure::TimedOut));
    let open = scripted(vec![(open.as_str(), failing())]);
    assert_eq!(after(&open, &["a", "b"]).await.unwrap(), "ab");
}

#[tokio::test]
async fn answer_cannot_be_replaced_without_the_grant() {
    let toml = "name = \"gate\"\nkind = \"http\"\npoints = [\"after\"]\nanswer = \"read\"\nstream = \"whole\"";
    let hook = ScriptedHook::answering(HookVerdict::Answer(WireAnswer::default()));
    let hooks = scripted(vec![(toml, hook)]);
    let stop = after(&hooks, &["x"]).await.unwrap_err();
    assert!(matches!(
        stop.reason,
        HookStopReason::Failed(HookFailure::InvalidAnswer(_))
    ));
}

#[tokio::test]
async fn tap_is_told_of_the_answer_and_cannot_change_it() {
    let deps = deps();
    let toml = "name = \"tap\"\nkind = \"http\"\npoints = [\"after\"]\nanswer = \"read\"";
    let hook = ScriptedHook::refusing("No.");
    let hooks = scripted_with(vec![(toml, hook.clone())], &deps);
    assert_eq!(after(&hooks, &["Hel", "lo"]).await.unwrap(), "Hello");
    rest(&deps.tracker).await;
    let call = hook.calls().remove(0);
    assert_eq!(call.op, HookOperation::Notify);
    assert_eq!(call.content.answer.unwrap().text, "Hello");
    assert_eq!(hook.calls().len(), 1);
}

#[tokio::test]
async fn filters_redact_in_windows_and_as_a_whole() {
    let filter = |stream: &str| {
        format!(
            "name = \"mask\"\nkind = \"filter\"\npoints = [\"before\", \"after\"]\n\
             words = [\"secret\"]\nstream = \"{stream}\""
        )
    };
    for stream in ["window", "whole"] {
        let hooks = filters(&[&filter(stream)]);
        let text = after(&hooks, &["A sec", "ret ", "here."]).await.unwrap();
        assert_eq!(text, "A *** here.", "{stream}");
        let mut asked = turn("The secret");
        before(&hooks, &mut asked).await.unwrap();
        assert_eq!(asked.prompt, [Part::text("The ***")]);
        let refusing = filter(stream) + "\nthen = \"refuse\"\nroles = [\"system\"]";
        let refusing = filters(&[&refusing]);
        let stop = after(&refusing, &["A sec", "ret ", "here."]).await;
        assert!(stop.unwrap_err().is_charged, "{stream}");
        assert!(before(&refusing, &mut turn("The secret")).await.is_ok());
    }
    let limit = "name = \"limit\"\nkind = \"filter\"\npoints = [\"before\"]\nmax_characters = 12";
    let limit = filters(&[limit]);
    assert!(before(&limit, &mut turn("Hi!")).await.is_ok());
    assert!(before(&limit, &mut turn("Hello!")).await.is_err());
}
