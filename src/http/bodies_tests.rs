//! Tests of the memory limit and decoding order of large bodies, on paused time.

use futures::FutureExt as _;
use tokio::time::Instant;

use super::*;

const MIB: usize = 1 << 20;

#[tokio::test(start_paused = true)]
async fn key_gets_half_of_the_memory_and_others_the_rest() {
    let bodies = Bodies::new(8 * MIB);
    let first = bodies.reserve("greedy", 4 * MIB).await.unwrap();
    let started_at = Instant::now();
    let refused = bodies.reserve("greedy", MIB).await.unwrap_err();
    assert_eq!(
        (refused.status(), started_at.elapsed()),
        (429, MEMORY_TIMEOUT)
    );
    let other = bodies.reserve("other", 4 * MIB).await.unwrap();
    assert_eq!(
        bodies.reserve("third", MIB).await.unwrap_err().status(),
        503
    );
    drop((first, other));
    bodies.reserve("greedy", 4 * MIB).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn shrink_releases_exactly_what_is_not_needed() {
    let bodies = Bodies::new(8 * MIB);
    let mut room = bodies.reserve("a", 4 * MIB).await.unwrap();
    room.shrink(MIB);
    let rest = bodies.reserve("a", 3 * MIB).await.unwrap();
    assert_eq!(bodies.reserve("a", 1).await.unwrap_err().status(), 429);
    drop((room, rest));
    drop(bodies.reserve("b", 1).await.unwrap());
    assert_eq!(bodies.0.all.available_permits(), 8 * MIB / BLOCK_BYTES);
    assert_eq!(
        bodies.0.by_key.lock().unwrap().len(),
        1,
        "of keys that wait for nothing nothing is kept"
    );
}

#[tokio::test(start_paused = true)]
async fn body_without_a_free_decoder_is_refused_with_503() {
    let bodies = Bodies::new(8 * MIB);
    let _all = bodies
        .0
        .decoders
        .acquire_many(u32::try_from(bodies.0.decoders.available_permits()).unwrap())
        .await;
    let started_at = Instant::now();
    let refused = bodies
        .reserve("a", MIB)
        .await
        .unwrap()
        .decode(|| ())
        .await
        .unwrap_err();
    assert_eq!(
        (refused.status(), started_at.elapsed()),
        (503, DECODE_TIMEOUT)
    );
    assert_eq!(bodies.0.all.available_permits(), 8 * MIB / BLOCK_BYTES);
}

#[tokio::test(start_paused = true)]
async fn body_behind_others_of_its_key_is_refused_with_429() {
    let bodies = Bodies::new(8 * MIB);
    let room = bodies.reserve("a", MIB).await.unwrap();
    let _turn = Arc::clone(&room.key_bodies.turn).acquire_owned().await;
    let started_at = Instant::now();
    let refused = room.decode(|| ()).await.unwrap_err();
    assert_eq!(
        (refused.status(), started_at.elapsed()),
        (429, DECODE_TIMEOUT)
    );
}

#[tokio::test]
async fn other_key_waits_for_one_body_of_a_busy_key_only() {
    let bodies = Bodies::new(8 * MIB);
    let order = Arc::new(Mutex::new(Vec::new()));
    let (release, released) = std::sync::mpsc::channel::<()>();
    // One decoder is left, so that the bodies below queue for it.
    let others = bodies.0.decoders.available_permits() - 1;
    let _others = bodies
        .0
        .decoders
        .clone()
        .acquire_many_owned(u32::try_from(others).unwrap())
        .await;
    let decode = async |name: &'static str, wait: Option<std::sync::mpsc::Receiver<()>>| {
        let order = Arc::clone(&order);
        let work = move || {
            wait.map(|wait| wait.recv());
            order.lock().unwrap().push(name);
        };
        bodies
            .reserve(name, MIB)
            .await
            .unwrap()
            .decode(work)
            .await
            .unwrap();
    };
    let mut all = Box::pin(async {
        tokio::join!(
            decode("greedy", Some(released)),
            decode("greedy", None),
            decode("greedy", None),
            decode("other", None),
        )
    });
    assert!((&mut all).now_or_never().is_none());
    release.send(()).unwrap();
    all.await;
    assert_eq!(
        *order.lock().unwrap(),
        ["greedy", "other", "greedy", "greedy"]
    );
}
