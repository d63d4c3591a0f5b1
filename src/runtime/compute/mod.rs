//! CPU-heavy work on large values, kept off the threads that serve connections.
//!
//! A runtime thread that is busy for more than a few milliseconds delays every connection it
//! serves. So a pass over a whole request runs here once the request is [`LARGE`].

use std::panic::resume_unwind;

use tokio::runtime::Handle;
use tokio::runtime::RuntimeFlavor;
use tokio::task::block_in_place;
use tokio::task::spawn_blocking;

/// Size from which a value counts as large, in bytes. Less takes under a millisecond.
pub const LARGE: usize = 64 * 1024;

/// Runs `work` on a blocking thread. A panic in it is resumed in the caller. The work is not
/// cancelled when the caller is.
pub async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime is shutting down and drops this task with it.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Runs `work` on a value of `bytes` on this thread; if the value is large, the runtime moves the
/// other tasks of the thread to another one.
pub fn in_place<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    if bytes <= LARGE {
        return work();
    }
    // `block_in_place` panics on a single-threaded runtime, which tests use.
    let has_others = Handle::try_current()
        .is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread);
    if has_others {
        block_in_place(work)
    } else {
        work()
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::task::TaskTracker;

    use super::*;

    #[tokio::test]
    async fn run_blocking_does_not_block_the_runtime() {
        let (release, released) = std::sync::mpsc::channel();
        let (start, started) = tokio::sync::oneshot::channel();
        let work = TaskTracker::new().spawn(run_blocking(move || {
            start.send(()).unwrap();
            released.recv().unwrap()
        }));
        // Reached on the only thread of the runtime while the work still blocks.
        started.await.unwrap();
        release.send(7).unwrap();
        assert_eq!(work.await.unwrap(), 7);
    }

    #[tokio::test]
    async fn panic_in_run_blocking_is_resumed_in_the_caller() {
        let waiting = TaskTracker::new().spawn(run_blocking(|| -> () { panic!("in the work") }));
        assert!(waiting.await.unwrap_err().is_panic());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn in_place_does_not_block_other_tasks() {
        let (release, released) = std::sync::mpsc::channel();
        let work = TaskTracker::new()
            .spawn(async move { in_place(LARGE + 1, move || released.recv().unwrap()) });
        // The only worker thread is blocked in the work, or starts it after this task.
        TaskTracker::new()
            .spawn(async move { release.send(7).unwrap() })
            .await
            .unwrap();
        assert_eq!(work.await.unwrap(), 7);
    }
}
