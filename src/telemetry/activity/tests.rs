//! Turns on the board, figures over time, and the events that viewers get.

use std::time::Duration;

use futures::FutureExt as _;

use super::board::MAX_ENDED;
use super::board::MAX_RUNNING;
use super::board::MAX_UNSEEN;
use super::event_log::MAX_EVENTS;
use super::*;
use crate::domain::Money;
use crate::domain::Surface;
use crate::domain::Usage;
use crate::telemetry::metrics::AnswerStart;
use crate::telemetry::metrics::MetricTotals;
use crate::telemetry::metrics::TotalKind;

/// Start of an hour: 30 November 2026, 15:00 UTC.
const HOUR: u64 = 1_796_050_800;

fn facts(key: &str) -> TurnFacts {
    TurnFacts {
        request_id: None,
        surface: Surface::Chat,
        key: key.to_owned(),
        project: "default".to_owned(),
        requested_model: "auto".to_owned(),
        is_streamed: true,
        is_background: false,
    }
}

/// Totals with this number of answers, which all began after 80 ms.
fn totals(answered: u64) -> MetricTotals {
    let mut totals = MetricTotals::default();
    totals.counts.set(TotalKind::Answered, answered);
    for _ in 0..answered {
        totals.first_tokens.observe(Duration::from_millis(80));
    }
    totals
}

fn sample(answered: u64, busy: u64) -> FigureSample {
    FigureSample {
        totals: totals(answered),
        levels: LevelSample([0, 0, busy, 0, 0, 0]),
    }
}

fn record(activity: &Activity, second: u64, answered: u64) {
    activity.record_second(second, &sample(answered, 1), MetricsSnapshot::default());
}

/// Sum of the answers of all steps.
fn answered(points: &[(u64, Option<FigurePoint>)]) -> u64 {
    let points = points.iter().filter_map(|(_, point)| point.as_ref());
    points
        .map(|point| point.counts.get(TotalKind::Answered))
        .sum()
}

fn kind(event: &ActivityEvent) -> String {
    match &event.kind {
        ActivityEventKind::Turn(view) => {
            let phase = view.phases.current().map(TurnPhase::name);
            format!("request {}", phase.unwrap_or("none"))
        }
        ActivityEventKind::Ended(ended) => format!("finished {}", ended.outcome.name()),
        ActivityEventKind::Second(second) => format!("second {}", second.point.start),
        ActivityEventKind::Resync => "resync".to_owned(),
    }
}

/// Reads the events that have come.
fn read(follower: &mut ActivityFollower) -> Vec<String> {
    let mut kinds = Vec::new();
    while let Some(event) = follower.next().now_or_never() {
        kinds.push(kind(&event));
    }
    kinds
}

#[test]
fn second_falls_out_of_ten_minutes_and_stays_in_minute_and_hour() {
    let activity = Activity::new();
    for second in 0..700 {
        record(&activity, HOUR + second, second + 1);
    }
    let seconds = activity.points(FigureSpan::TenMinutes);
    assert_eq!((seconds.len(), answered(&seconds)), (600, 600));
    assert_eq!(seconds[0].0, HOUR + 100);
    assert!(seconds.iter().all(|(start, point)| {
        point.is_some_and(|point| point.start == *start && point.levels.samples == 1)
    }));
    let minutes = activity.points(FigureSpan::Day);
    assert_eq!((minutes.len(), answered(&minutes)), (12, 700));
    assert_eq!(answered(&minutes[..1]), 60);
    let hours = activity.points(FigureSpan::NinetyDays);
    assert_eq!((hours.len(), answered(&hours)), (1, 700));
    let hour = hours[0].1.unwrap();
    assert_eq!(hour.first_tokens, 700);
    for milliseconds in hour.first_token_ms.unwrap() {
        assert!((milliseconds / 80.0 - 1.0).abs() < 0.09, "{milliseconds}");
    }
    assert!((hour.levels.mean(LevelKind::WorkersBusy) - 1.0).abs() < 1e-9);
}

#[test]
fn steps_in_which_the_server_did_not_run_have_no_figures() {
    let activity = Activity::new();
    record(&activity, HOUR, 1);
    record(&activity, HOUR + 3, 2);
    let seconds = activity.points(FigureSpan::TenMinutes);
    let known: Vec<bool> = seconds.iter().map(|(_, point)| point.is_some()).collect();
    assert_eq!(known, [true, false, false, true]);
    // Later than all that is kept: the places of the old seconds are empty, not shown again.
    record(&activity, HOUR + 10_000, 2);
    let seconds = activity.points(FigureSpan::TenMinutes);
    assert_eq!((seconds.len(), seconds[0].0), (1, HOUR + 10_000));
    assert!(Activity::new().points(FigureSpan::NinetyDays).is_empty());
}

#[test]
fn clock_that_is_set_back_a_little_loses_no_figures() {
    let activity = Activity::new();
    record(&activity, HOUR + 30, 1);
    record(&activity, HOUR + 25, 2);
    let seconds = activity.points(FigureSpan::TenMinutes);
    assert_eq!((seconds.len(), answered(&seconds)), (1, 2));
    // Set back by more than a minute: figures begin anew at the earlier time.
    record(&activity, HOUR - 7200, 3);
    let seconds = activity.points(FigureSpan::TenMinutes);
    assert_eq!((seconds[0].0, answered(&seconds)), (HOUR - 7200, 1));
}

#[test]
fn clock_that_is_set_back_into_the_hour_before_leaves_it_as_it_is() {
    let activity = Activity::new();
    record(&activity, HOUR - 1, 5);
    record(&activity, HOUR, 6);
    record(&activity, HOUR - 120, 8);
    let hours = activity.points(FigureSpan::NinetyDays);
    let answered: Vec<u64> = hours
        .iter()
        .map(|(_, point)| point.unwrap().counts.get(TotalKind::Answered))
        .collect();
    assert_eq!(answered, [5, 3]);
}

#[test]
fn restored_hour_goes_on_with_its_percentiles() {
    let activity = Activity::new();
    let stored = StepFigures {
        start: HOUR,
        growth: totals(3),
        levels: LevelSums::default(),
    };
    let earlier = StepFigures {
        start: HOUR - 2 * 3600,
        ..stored
    };
    activity.restore_hours([earlier, stored]);
    record(&activity, HOUR + 5, 1);
    let hours = activity.points(FigureSpan::NinetyDays);
    let starts: Vec<u64> = hours.iter().map(|(start, _)| *start).collect();
    assert_eq!(starts, [HOUR - 7200, HOUR - 3600, HOUR]);
    assert!(hours[1].1.is_none());
    assert_eq!(hours[2].1.unwrap().first_tokens, 4);
    record(&activity, HOUR + 3600, 1);
    let taken = activity.take_hours();
    let starts: Vec<u64> = taken.iter().map(|hour| hour.start).collect();
    assert_eq!(starts, [HOUR, HOUR + 3600]);
    assert_eq!(activity.take_hours().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn turn_is_shown_with_its_phases_and_its_charge_corrects_it_after_the_end() {
    let activity = Activity::new();
    let turn = activity.begin_turn(facts("key-1"));
    for phase in [TurnPhase::Queue, TurnPhase::Hold, TurnPhase::Lease] {
        tokio::time::advance(Duration::from_millis(10)).await;
        turn.begin_phase(phase);
    }
    turn.open_charge();
    turn.set_start("m-1", AnswerStart::Queued, true);
    turn.begin_phase(TurnPhase::Stream);
    turn.add_output(41);
    let view = activity.snapshot().running.remove(0);
    let begun: Vec<_> = view.phases.iter().map(|begun| begun.at_ms).collect();
    assert_eq!(begun, [0, 10, 20, 30, 30]);
    assert_eq!((&*view.model, view.tokens.output), ("m-1", 11));
    tokio::time::advance(Duration::from_millis(70)).await;
    turn.end(TurnOutcome::Cancelled, None, None);
    turn.end(TurnOutcome::Answered, None, Some(&Usage::default()));
    let snapshot = activity.snapshot();
    assert!(snapshot.running.is_empty());
    let ended = &snapshot.ended[0];
    assert_eq!(
        (ended.outcome, ended.duration_ms),
        (TurnOutcome::Cancelled, 100)
    );
    assert_eq!((ended.cost, ended.is_cost_final), (None, false));
    let tokens = TurnTokens {
        input: 7,
        ..TurnTokens::default()
    };
    turn.record_charge(tokens, Some(Money::from_nanos(5)));
    let ended = activity.snapshot().ended.remove(0);
    assert_eq!((ended.turn.tokens, ended.is_cost_final), (tokens, true));
    assert_eq!(ended.cost, Some(Money::from_nanos(5)));
    turn.correct_cost(Money::from_nanos(6));
    let ended = activity.snapshot().ended.remove(0);
    assert_eq!(ended.cost, Some(Money::from_nanos(6)));
}

#[test]
fn events_of_a_second_come_together_and_tell_each_change_once() {
    let activity = Activity::new();
    let mut follower = activity.follow(None).unwrap();
    let turn = activity.begin_turn(facts("a"));
    activity
        .begin_turn(facts("b"))
        .end(TurnOutcome::Refused, None, None);
    turn.begin_phase(TurnPhase::Queue);
    assert!(read(&mut follower).is_empty());
    record(&activity, HOUR + 1, 0);
    let second = format!("second {}", HOUR + 1);
    let expected = ["request queue", "finished refused", second.as_str()];
    assert_eq!(read(&mut follower), expected);
    // Tokens alone are told every five seconds.
    turn.add_output(8);
    record(&activity, HOUR + 2, 0);
    assert_eq!(read(&mut follower).len(), 1);
    record(&activity, HOUR + 5, 0);
    assert_eq!(read(&mut follower)[0], "request queue");
    turn.end(TurnOutcome::Answered, None, None);
    record(&activity, HOUR + 6, 0);
    assert_eq!(read(&mut follower)[0], "finished answered");
}

#[tokio::test]
async fn viewer_goes_on_after_its_last_event_and_begins_anew_after_a_gap() {
    let activity = Activity::new();
    record(&activity, HOUR, 0);
    let seen = activity.snapshot().seq;
    record(&activity, HOUR + 1, 0);
    record(&activity, HOUR + 2, 0);
    let mut follower = activity.follow(Some(seen)).unwrap();
    let expected = [1, 2].map(|second| format!("second {}", HOUR + second));
    assert_eq!(read(&mut follower), expected);
    // Slow: its next event is gone.
    for second in 0..=MAX_EVENTS as u64 {
        record(&activity, HOUR + 3 + second, 0);
    }
    let resync = follower.next().await;
    assert_eq!(
        (kind(&resync), resync.seq),
        ("resync".to_owned(), activity.snapshot().seq)
    );
    record(&activity, HOUR + 9000, 0);
    assert_eq!(read(&mut follower).len(), 1);
    // Known to no log: of a server with a later clock.
    let mut lost = activity.follow(Some(u64::MAX)).unwrap();
    assert_eq!(read(&mut lost), ["resync"]);
    record(&activity, HOUR + 9001, 0);
    assert_eq!(read(&mut lost).len(), 1);
}

#[test]
fn many_turns_that_end_at_once_are_all_told_or_viewers_begin_anew() {
    let activity = Activity::new();
    let mut follower = activity.follow(None).unwrap();
    let end_turns = |count: usize| {
        for _ in 0..count {
            let turn = activity.begin_turn(facts("a"));
            turn.end(TurnOutcome::Answered, None, None);
        }
    };
    end_turns(MAX_ENDED + 50);
    assert_eq!(activity.snapshot().ended.len(), MAX_ENDED);
    record(&activity, HOUR, 0);
    assert_eq!(read(&mut follower).len(), MAX_ENDED + 50 + 1);
    end_turns(MAX_UNSEEN + 1);
    record(&activity, HOUR + 1, 0);
    let kinds = read(&mut follower);
    assert_eq!(kinds.len(), MAX_UNSEEN + 2);
    assert_eq!(kinds[MAX_UNSEEN], "resync");
    record(&activity, HOUR + 2, 0);
    assert_eq!(read(&mut follower).len(), 1);
}

#[test]
fn viewers_are_bounded_and_a_gone_one_makes_room() {
    let activity = Activity::new();
    let follow = || activity.follow(None);
    let mut viewers: Vec<_> = (0..MAX_VIEWERS).map(|_| follow().unwrap()).collect();
    assert_eq!(follow().err(), Some(TooManyViewers));
    viewers.pop();
    assert!(follow().is_ok());
}

/// Memory does not grow with the number of turns, and the numbers of turns and events go on.
#[test]
fn thousands_of_turns_leave_memory_bounded() {
    let activity = Activity::new();
    let mut capacities = Vec::new();
    for round in 0..3 {
        for second in 0..10 {
            for _ in 0..1000 {
                let turn = activity.begin_turn(facts("a"));
                turn.end(TurnOutcome::Answered, None, None);
            }
            record(&activity, HOUR + round * 10 + second, 0);
        }
        capacities.push(activity.capacity());
    }
    assert_eq!(capacities[0], capacities[2]);
    let most = 2 * (MAX_ENDED + MAX_EVENTS) + 600 + 1440 + 2160;
    assert!(capacities[0] < most, "{capacities:?}");
    let snapshot = activity.snapshot();
    assert_eq!(snapshot.ended.len(), MAX_ENDED);
    let ids: Vec<u64> = snapshot.ended.iter().map(|ended| ended.turn.id).collect();
    assert!(ids.is_sorted_by(|newer, older| newer > older));
}

#[test]
fn running_turns_beyond_the_maximum_are_counted_and_not_shown() {
    let activity = Activity::new();
    let turns: Vec<_> = (0..MAX_RUNNING + 2)
        .map(|_| activity.begin_turn(facts("a")))
        .collect();
    assert_eq!(activity.count_running(), (MAX_RUNNING + 2, 2));
    for turn in turns {
        turn.end(TurnOutcome::Answered, None, None);
    }
    assert_eq!(activity.count_running(), (0, 0));
}

#[tokio::test]
async fn cancelled_turn_wakes_what_waits_for_it() {
    let activity = Activity::new();
    let turn = activity.begin_turn(facts("a"));
    let mut cancelled = std::pin::pin!(turn.cancelled());
    assert!(futures::poll!(&mut cancelled).is_pending());
    let id = activity.snapshot().running[0].id;
    assert!(activity.cancel_turn(id) && activity.cancel_turn(id));
    cancelled.await;
    assert!(activity.snapshot().running[0].is_cancelling);
    turn.end(TurnOutcome::Cancelled, None, None);
    assert!(!activity.cancel_turn(id));
}
