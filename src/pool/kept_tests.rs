//! Workers that hold something for whoever goes on with it.

use super::*;

impl Bench {
    /// A turn of a conversation: says which worker served it and whether that held the conversation already.
    async fn turn(&self, conversation: u32) -> (usize, bool) {
        let mut lease = self.pool.lease(Some(&conversation)).await.unwrap();
        let worker = lease.worker().unwrap();
        let served = (worker.number, worker.holds == Some(conversation));
        worker.holds = Some(conversation);
        lease.keep();
        served
    }
}

fn roomy() -> Config {
    Config { max_workers: 4, prewarm: 1, ..config() }
}

#[tokio::test(start_paused = true)]
async fn a_conversation_goes_on_in_its_worker() {
    let bench = Bench::new(roomy());
    bench.settle().await;
    assert_eq!(bench.turn(1).await, (0, false));
    bench.settle().await;
    bench.settle().await;
    assert_eq!(bench.turn(2).await, (1, false));
    assert_eq!(bench.turn(1).await, (0, true));
    assert_eq!(bench.turn(2).await, (1, true));
    assert_eq!(bench.pool.stats().kept, 2);
    assert_eq!(bench.script.resets.load(Ordering::Relaxed), 0);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_conversation_left_longest_gives_way_to_who_waits() {
    let bench = Bench::new(Config { max_workers: 2, prewarm: 0, ..config() });
    drop(tokio::join!(bench.lease(), bench.lease()));
    bench.settle().await;
    for conversation in [PROMISED, 2, 3] {
        bench.turn(conversation).await;
    }
    assert!(bench.turn(2).await.1, "the promise gave way, being the oldest");
    assert!(!bench.turn(PROMISED).await.1);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_while_others_wait() {
    let bench = Bench::new(Config { max_workers: 1, ..config() });
    bench.settle().await;
    let mut first = bench.lease().await;
    first.worker().unwrap().holds = Some(1);
    let pool = bench.pool.clone();
    let mut second = Box::pin(pool.lease(Some(&2)));
    assert!(futures::poll!(&mut second).is_pending());
    first.keep();
    let mut second = second.await.unwrap();
    assert_eq!(second.worker().unwrap().holds, None, "it was reset on the way");
    drop(second);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_clean_worker_is_kept_ready_where_there_is_no_room_for_another() {
    let bench = Bench::new(Config { max_workers: 2, prewarm: 1, ..config() });
    bench.settle().await;
    bench.turn(1).await;
    bench.settle().await;
    bench.settle().await;
    assert_eq!((bench.pool.stats().kept, bench.pool.stats().idle), (1, 1));
    bench.turn(2).await;
    tokio::time::sleep(Duration::from_millis(4)).await;
    assert_eq!((bench.pool.stats().kept, bench.pool.stats().idle), (1, 1));
    assert!(bench.turn(2).await.1, "the older conversation gave way");
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_promise_does_not_give_way_to_spares() {
    let bench = Bench::new(Config { max_workers: 2, prewarm: 1, ..config() });
    bench.settle().await;
    bench.turn(PROMISED).await;
    bench.settle().await;
    bench.settle().await;
    bench.turn(PROMISED + 1).await;
    bench.settle().await;
    assert_eq!(bench.pool.stats().kept, 2);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn who_does_not_come_back_in_time_is_forgotten() {
    let bench = Bench::new(roomy());
    bench.settle().await;
    bench.turn(PROMISED).await;
    tokio::time::sleep(Duration::from_secs(302)).await;
    assert_eq!(bench.pool.stats().kept, 0);
    assert!(!bench.turn(PROMISED).await.1);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn dead_workers_are_not_found() {
    let bench = Bench::new(roomy());
    bench.settle().await;
    bench.turn(1).await;
    bench.script.workers_are_dead.store(true, Ordering::Relaxed);
    let pool = bench.pool.clone();
    let mut found = Box::pin(pool.lease(Some(&1)));
    assert!(futures::poll!(&mut found).is_pending());
    bench.script.workers_are_dead.store(false, Ordering::Relaxed);
    let mut lease = found.await.unwrap();
    assert_eq!(lease.worker().unwrap().holds, None);
    drop(lease);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_with_nothing_at_stake_is_reset() {
    let bench = Bench::new(roomy());
    bench.settle().await;
    bench.lease().await.keep();
    tokio::time::sleep(Duration::from_millis(4)).await;
    assert_eq!((bench.pool.stats().kept, bench.script.resets.load(Ordering::Relaxed)), (0, 1));
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_worn_out_worker_is_not_kept() {
    let bench = Bench::new(Config { max_turns: 1, ..roomy() });
    bench.settle().await;
    bench.turn(1).await;
    assert_eq!(bench.pool.stats().kept, 0);
    bench.end().await;
}
