//! Work on large values, away from the threads that serve connections.
//!
//! A thread of the runtime that is busy for longer than a few milliseconds keeps everybody else waiting whose connection it
//! serves. So what goes through a whole request is done here, once the request is [`LARGE`].

use std::panic::resume_unwind;

use tokio::runtime::Handle;
use tokio::runtime::RuntimeFlavor;
use tokio::task::block_in_place;
use tokio::task::spawn_blocking;

/// From so many bytes on a value is large. Less takes under a millisecond.
pub const LARGE: usize = 64 * 1024;

/// Does `work` on a thread for blocking work. A panic of it goes on here. It runs to its end though nobody waits for it any more.
pub async fn elsewhere<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime is going down, and this task with it.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Does `work` on a value of `bytes` here, and lets another thread go on with the tasks of this one if it is large.
pub fn in_place<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    if bytes <= LARGE {
        return work();
    }
    // A runtime of one thread, which tests have, cannot hand its tasks over.
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
    async fn what_is_done_elsewhere_keeps_nobody_waiting() {
        let (release, released) = std::sync::mpsc::channel();
        let (begin, begun) = tokio::sync::oneshot::channel();
        let work = TaskTracker::new().spawn(elsewhere(move || {
            begin.send(()).unwrap();
            released.recv().unwrap()
        }));
        // This is the only thread of the runtime, and it comes here while the work is under way.
        begun.await.unwrap();
        release.send(7).unwrap();
        assert_eq!(work.await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_panic_goes_on_where_it_is_waited_for() {
        let waiting = TaskTracker::new().spawn(elsewhere(|| -> () { panic!("in the work") }));
        assert!(waiting.await.unwrap_err().is_panic());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn what_is_done_in_place_keeps_nobody_waiting() {
        let (release, released) = std::sync::mpsc::channel();
        let work = TaskTracker::new()
            .spawn(async move { in_place(LARGE + 1, move || released.recv().unwrap()) });
        // The one thread that runs tasks is in the work, or comes to it after this one.
        TaskTracker::new()
            .spawn(async move { release.send(7).unwrap() })
            .await
            .unwrap();
        assert_eq!(work.await.unwrap(), 7);
    }
}
