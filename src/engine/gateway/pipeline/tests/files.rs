//! Turns that name uploaded files.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use super::*;
use crate::accounts::rate_limit::LimitLevel;
use crate::domain::Rates;

/// Files of which every turn names one; counts the turns that ask for their contents.
#[derive(Default)]
struct CountedFiles(AtomicUsize);

impl TurnFiles for CountedFiles {
    fn are_named_in(&self, _: &Turn) -> bool {
        true
    }

    fn inline<'a>(
        &'a self,
        _: &'a Caller,
        turn: &'a mut Turn,
    ) -> BoxFuture<'a, Result<FileMemory, Error>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        turn.prompt = vec![Part::text("contents")];
        std::future::ready(Ok(None)).boxed()
    }
}

fn caller_with(grant: Grant) -> Caller {
    Caller {
        grant: Arc::new(grant),
        ..Caller::named("a")
    }
}

#[tokio::test(start_paused = true)]
async fn caller_over_its_limits_does_not_wait_for_file_memory() {
    let runs = Runs::default();
    let files = Arc::new(CountedFiles::default());
    let pipeline = PipelineSteps {
        files: Arc::clone(&files) as _,
        ..testing::pipeline(runs.clone(), testing::admission_deps().await)
    };
    let ask = async |caller| pipeline.run(caller, turn("m", None)).await.map(drop);
    let limited = Rates {
        requests_per_minute: Some(0),
        ..Rates::default()
    };
    let limited = caller_with(Grant {
        rates: limited,
        ..Grant::default()
    });
    assert!(matches!(ask(limited).await, Err(Error::Limited(_))));
    assert!(matches!(
        ask(capped("spent", 0)).await,
        Err(Error::OverBudget(_))
    ));
    let other = caller_with(Grant {
        models: Some(vec!["other".to_owned()]),
        ..Grant::default()
    });
    assert!(matches!(ask(other).await, Err(Error::ForbiddenModel(_))));
    assert_eq!(files.0.load(Ordering::Relaxed), 0);

    ask(capped("a", 10_000)).await.unwrap();
    assert_eq!(files.0.load(Ordering::Relaxed), 1);
    assert_eq!(runs.take().turn.prompt, [Part::text("contents")]);
}

/// The permit of the request counts once, although it is used before and after the files are read.
#[tokio::test(start_paused = true)]
async fn turn_with_files_counts_as_one_request() {
    let pipeline = PipelineSteps {
        files: Arc::new(CountedFiles::default()),
        ..testing::pipeline(Runs::default(), testing::admission_deps().await)
    };
    let rates = Rates {
        requests_per_minute: Some(10),
        tokens_per_minute: Some(10_000),
        ..Rates::default()
    };
    let caller = caller_with(Grant {
        rates,
        ..Grant::default()
    });
    let entered = pipeline.enter(caller).await.unwrap();
    let running = pipeline.run(entered, turn("m", None)).await.unwrap();
    let left = |level: Option<LimitLevel>| level.unwrap().remaining;
    assert_eq!(left(running.info.limits.requests), 9);
    assert!(left(running.info.limits.tokens) < 10_000);
}
