//! Sampler: decides, once all spans of a request have ended, if they are exported.

use std::time::Duration;

use super::context::TraceId;

/// Number of values of the random part of a trace id, its last seven bytes.
const RANDOM_VALUES: u64 = 1 << 56;

/// Share of traces that are kept without a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleRatio {
    /// Traces whose random part is below this are rejected, as the specification of OpenTelemetry
    /// defines it.
    threshold: u64,
}

/// Rules by which traces are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampler {
    /// Share of the traces that begin here.
    pub ratio: SampleRatio,
    /// Set if a caller's decision about its trace holds for its requests.
    pub follows_parent: bool,
    /// Duration above which a request is kept; `None` for never.
    pub keep_slower_than: Option<Duration>,
}

/// Facts by which the sampler decides at the end of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentEnd {
    /// Set if any span ended with an error or a refusal.
    pub(super) is_failed_or_refused: bool,
    /// Time from the first start to the last end.
    pub(super) duration: Duration,
}

impl SampleRatio {
    /// Share that keeps every trace.
    pub const ALL: Self = Self { threshold: 0 };
    /// Share that keeps only traces with a reason, such as an error.
    pub const NONE: Self = Self {
        threshold: RANDOM_VALUES,
    };

    /// Creates the share `ratio`; `None` if it is not between 0.0 and 1.0.
    pub fn new(ratio: f64) -> Option<Self> {
        let is_share = (0.0..=1.0).contains(&ratio);
        is_share.then(|| Self {
            threshold: RANDOM_VALUES - (ratio * RANDOM_VALUES as f64) as u64,
        })
    }

    /// True for the traces of the share; the same on every server.
    fn includes(self, trace_id: TraceId) -> bool {
        let random = trace_id[9..].iter();
        let random = random.fold(0_u64, |value, byte| (value << 8) | u64::from(*byte));
        random >= self.threshold
    }
}

impl Sampler {
    /// Decides, at its start, if a trace is kept whatever its end is. `parent` is the decision of
    /// the caller; `None` for a trace that begins here.
    pub(super) fn decide_at_start(&self, trace_id: TraceId, parent: Option<bool>) -> bool {
        match parent.filter(|_| self.follows_parent) {
            Some(is_sampled) => is_sampled,
            None => self.ratio.includes(trace_id),
        }
    }

    /// Decides, at the end, if the spans are kept. `is_sampled` is the decision at the start.
    pub(super) fn decide_at_end(&self, is_sampled: bool, end: SegmentEnd) -> bool {
        let is_slow = self
            .keep_slower_than
            .is_some_and(|limit| end.duration > limit);
        is_sampled || end.is_failed_or_refused || is_slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::traces::context::new_trace_id;

    fn sampler(ratio: f64) -> Sampler {
        Sampler {
            ratio: SampleRatio::new(ratio).unwrap(),
            follows_parent: true,
            keep_slower_than: Some(Duration::from_secs(10)),
        }
    }

    fn ended(is_failed_or_refused: bool, seconds: u64) -> SegmentEnd {
        SegmentEnd {
            is_failed_or_refused,
            duration: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn ratio_keeps_its_share_of_traces() {
        let kept = |ratio: f64| {
            let ids = (0..4000).map(|_| new_trace_id());
            ids.filter(|id| sampler(ratio).decide_at_start(*id, None))
                .count()
        };
        assert_eq!((kept(0.0), kept(1.0)), (0, 4000));
        // Seven standard deviations around 1000.
        assert!((800..1200).contains(&kept(0.25)));
    }

    #[test]
    fn ratio_decides_by_the_last_seven_bytes() {
        let mut id = [0xff; 16];
        id[9] = 0x80;
        assert!(sampler(0.5).decide_at_start(id, None));
        id[9] = 0x7f;
        assert!(!sampler(0.5).decide_at_start(id, None));
    }

    #[test]
    fn ratio_outside_of_zero_to_one_is_refused() {
        for ratio in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(SampleRatio::new(ratio), None, "{ratio}");
        }
        assert_eq!(SampleRatio::new(1.0), Some(SampleRatio::ALL));
        assert_eq!(SampleRatio::new(0.0), Some(SampleRatio::NONE));
    }

    #[test]
    fn decision_of_the_caller_holds_unless_the_sampler_ignores_it() {
        let id = new_trace_id();
        assert!(sampler(0.0).decide_at_start(id, Some(true)));
        assert!(!sampler(1.0).decide_at_start(id, Some(false)));
        let own = Sampler {
            follows_parent: false,
            ..sampler(1.0)
        };
        assert!(own.decide_at_start(id, Some(false)));
    }

    #[test]
    fn errors_refusals_and_slow_requests_are_kept_whatever_the_ratio_is() {
        let sampler = sampler(0.0);
        for (is_sampled, end, is_kept) in [
            (false, ended(false, 10), false),
            (false, ended(true, 0), true),
            (false, ended(false, 11), true),
            (true, ended(false, 0), true),
        ] {
            assert_eq!(sampler.decide_at_end(is_sampled, end), is_kept, "{end:?}");
        }
        let patient = Sampler {
            keep_slower_than: None,
            ..sampler
        };
        assert!(!patient.decide_at_end(false, ended(false, 9999)));
    }
}
