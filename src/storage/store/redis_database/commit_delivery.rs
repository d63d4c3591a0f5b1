//! Commits on their way to Redis: sent until it answers, made once, and confirmed by its replicas.

use std::cell::Cell;
use std::thread;
use std::time::Duration;

use redis::Connection;
use redis::RedisResult;
use redis::Value;
use tokio::time::Instant;

use super::super::Error;
use super::commit_call::CommitAnswer;
use super::commit_call::CommitCall;
use super::commit_call::is_made;
use super::connections::Connections;
use super::connections::RECONNECT_PAUSE;
use super::failure::is_broken;
use super::replicas::ReplicaQuorum;

/// Maximum pause between two attempts to commit while another writer has the seat.
const MAX_SEAT_PAUSE: Duration = Duration::from_millis(5);
/// Maximum wait for the seats of other writers.
const MAX_SEAT_WAIT: Duration = Duration::from_secs(5);

/// Commit that is being sent, with what is known of it.
#[derive(Debug)]
pub(super) struct CommitDelivery<'a> {
    connections: &'a Connections,
    call: &'a CommitCall,
    /// Replicas that have to confirm it; `None` if none has to.
    replicas: Option<ReplicaQuorum>,
    is_lost: Cell<bool>,
    confirmed: Cell<Option<u64>>,
}

impl<'a> CommitDelivery<'a> {
    pub(super) fn new(
        connections: &'a Connections,
        call: &'a CommitCall,
        replicas: Option<ReplicaQuorum>,
    ) -> Self {
        Self {
            connections,
            call,
            replicas,
            is_lost: Cell::new(false),
            confirmed: Cell::new(None),
        }
    }

    /// Returns true if an answer was lost on the way, so that Redis may still make the commit.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost.get()
    }

    /// Returns the number of replicas that have confirmed the commit; `None` if it is not known to be
    /// made, or waits for none.
    pub(super) fn confirmed(&self) -> Option<u64> {
        self.confirmed.get()
    }

    /// Sends the commit until no other writer has the seat.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub(super) fn send_when_free(&self) -> Result<CommitAnswer, Error> {
        let deadline = Instant::now() + MAX_SEAT_WAIT;
        loop {
            match self.send()? {
                CommitAnswer::SeatTaken { remaining } if Instant::now() < deadline => {
                    thread::sleep(remaining.clamp(Duration::from_millis(1), MAX_SEAT_PAUSE));
                }
                answer => return Ok(answer),
            }
        }
    }

    /// Sends the commit until Redis answers, for the time of a timeout: sent twice, it is made once.
    ///
    /// # Errors
    /// Fails when Redis fails, or stays away.
    fn send(&self) -> Result<CommitAnswer, Error> {
        let deadline = Instant::now() + self.connections.response_timeout();
        loop {
            let answer = self.connections.run(|connection| {
                let answer = self.run(connection);
                if answer.as_ref().is_err_and(is_broken) {
                    self.is_lost.set(true);
                }
                answer
            });
            match answer {
                Err(Error::Unreachable(_)) if Instant::now() < deadline => {
                    thread::sleep(RECONNECT_PAUSE);
                }
                answer => return self.call.read_answer(answer?),
            }
        }
    }

    /// Runs the script, and waits for the replicas if that has made the commit.
    fn run(&self, connection: &mut Connection) -> RedisResult<Value> {
        let answer = self.call.script.run(connection)?;
        if let Some(replicas) = self.replicas
            && is_made(&answer)
        {
            self.confirmed.set(Some(replicas.wait(connection)?));
        }
        Ok(answer)
    }
}
