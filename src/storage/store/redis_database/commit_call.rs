//! The commit of a group of transactions, as a call of a script and its answer.

use std::time::Duration;

use redis::Value;

use super::super::Error;
use super::super::backend::StoreChange;
use super::super::read_set::ReadRange;
use super::super::read_set::ReadSet;
use super::failure::UnexpectedAnswer;
use super::key_names::KeyNames;
use super::key_names::range_bounds;
use super::script_call::COMMIT;
use super::script_call::RedisScriptCall;

/// Maximum number of keys that a commit compares. Redis does nothing else meanwhile, so a group that
/// has read more of them is valid only if nobody has written anything.
pub(super) const MAX_COMPARED: usize = 8192;
/// Argument in place of a head that may be any.
const ANY_HEAD: &[u8] = b"*";

/// Commit of a writer that is about to be made.
#[derive(Debug)]
pub(super) struct CommitRequest<'a> {
    pub(super) names: &'a KeyNames,
    /// Name of the writer.
    pub(super) writer: &'a str,
    /// Number of the commit, larger than those of all earlier ones of the writer.
    pub(super) number: u64,
    /// Version of the records that it writes.
    pub(super) version: &'a [u8],
    /// Name of the last commit, as it was before the group read anything.
    pub(super) head: &'a [u8],
    /// Time for which the writer counts as alive after the commit.
    pub(super) lease: Duration,
    /// Time for which the writer wants to commit alone if this commit fails; zero for not at all.
    pub(super) seat: Duration,
    /// Number of the last commit that the writer was told is made.
    pub(super) confirmed: u64,
    /// Number of the commits of all writers, as it was last told.
    pub(super) sequence: u64,
    pub(super) reads: &'a ReadSet,
    pub(super) changes: &'a [StoreChange],
}

/// Commit as a call of the script.
#[derive(Debug)]
pub(super) struct CommitCall {
    pub(super) script: RedisScriptCall,
    /// Keys of the records whose versions are compared, in the order of the script.
    compared: Vec<Vec<u8>>,
}

/// Answer to a commit.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CommitAnswer {
    /// The commit is made, now or by an earlier attempt.
    Made {
        /// Name of the last commit of all writers.
        head: Vec<u8>,
        /// Time of Redis, in seconds since 1970.
        seconds: u64,
        /// Number of the commits of all writers.
        sequence: u64,
    },
    /// Another writer commits alone now.
    SeatTaken {
        /// Time for which it may still do so.
        remaining: Duration,
    },
    /// Others have changed what was read.
    Conflict {
        /// Name of the last commit of all writers.
        head: Vec<u8>,
        /// Keys that differ, with what Redis keeps there.
        current: Vec<(Vec<u8>, Vec<u8>)>,
        /// False if there are more of them.
        is_complete: bool,
    },
    /// The lease of the writer is over.
    Fenced,
    /// The writer has made a later commit.
    Stale,
    /// Redis has lost commits that the writer was told are made.
    Lost {
        /// Name of the last commit of all writers.
        head: Vec<u8>,
        /// Number of the last commit of this writer that is left.
        last: u64,
        /// Number of the commits of all writers that are left.
        sequence: u64,
    },
}

impl CommitCall {
    pub(super) fn new(request: &CommitRequest<'_>) -> Self {
        let CommitRequest { names, reads, .. } = request;
        let is_compared = reads.count_keys() <= MAX_COMPARED;
        let ranges = if is_compared { reads.ranges() } else { &[] };
        // What comes from Redis itself needs no comparison if the head is that from before it was
        // read.
        let compared: Vec<_> = reads
            .records()
            .filter(|(_, read)| is_compared || read.is_cached)
            .collect();
        let (set, removed): (Vec<_>, Vec<_>) = request
            .changes
            .iter()
            .partition(|(_, value)| value.is_some());
        let mut keys = vec![
            names.writer(request.writer),
            names.seat(),
            names.sequence(),
            names.head(),
            names.index(),
            names.snapshot(),
        ];
        keys.extend(compared.iter().map(|(key, _)| names.record(key)));
        keys.extend(removed.iter().map(|(key, _)| names.record(key)));
        keys.extend(set.iter().map(|(key, _)| names.record(key)));
        let head = if is_compared { ANY_HEAD } else { request.head };
        let mut arguments = vec![
            text(&request.number),
            request.writer.into(),
            text(&request.lease.as_millis()),
            text(&request.seat.as_millis()),
            head.to_vec(),
            text(&names.record_prefix().len()),
            text(&compared.len()),
            text(&ranges.len()),
            text(&removed.len()),
            text(&set.len()),
            text(&request.confirmed),
            text(&request.sequence),
        ];
        arguments.extend(compared.iter().map(|(_, read)| read.version.clone()));
        ranges
            .iter()
            .for_each(|range| add_range(&mut arguments, range));
        let values = set.iter().filter_map(|(_, value)| value.as_ref());
        arguments.extend(values.map(|value| [request.version, value].concat()));
        Self {
            script: RedisScriptCall {
                script: &COMMIT,
                keys,
                arguments,
            },
            compared: compared.into_iter().map(|(key, _)| key.clone()).collect(),
        }
    }

    /// Reads the answer of the script.
    ///
    /// # Errors
    /// Fails if the script does not answer so.
    pub(super) fn read_answer(&self, answer: Value) -> Result<CommitAnswer, Error> {
        parse_answer(answer, &self.compared).ok_or_else(|| UnexpectedAnswer::to("a commit"))
    }
}

/// Adds what the script needs to repeat the read of `range`.
fn add_range(arguments: &mut Vec<Vec<u8>>, range: &ReadRange) {
    let (first, last) = range_bounds(&range.prefix, range.after.as_deref());
    // One key more shows that there are none after the last one.
    let limit = range.keys.len() + usize::from(range.is_last);
    arguments.extend([first, last, text(&limit), text(&range.keys.len())]);
    arguments.extend(range.keys.iter().cloned());
}

fn text(number: &impl ToString) -> Vec<u8> {
    number.to_string().into_bytes()
}

/// Returns true if the answer of the script says that the commit is made.
pub(super) fn is_made(answer: &Value) -> bool {
    let Value::Array(parts) = answer else {
        return false;
    };
    matches!(parts.first(), Some(Value::BulkString(word)) if word == b"done")
}

fn parse_answer(answer: Value, compared: &[Vec<u8>]) -> Option<CommitAnswer> {
    let mut parts = array(answer)?.into_iter();
    match bytes(parts.next()?)?.as_slice() {
        b"done" => Some(CommitAnswer::Made {
            head: bytes(parts.next()?)?,
            seconds: integer(&parts.next()?)?,
            sequence: integer(&parts.next()?)?,
        }),
        b"busy" => Some(CommitAnswer::SeatTaken {
            remaining: Duration::from_millis(integer(&parts.next()?).unwrap_or_default()),
        }),
        b"conflict" => {
            let head = bytes(parts.next()?)?;
            let mut changed = array(parts.next()?)?.into_iter();
            let mut current = Vec::new();
            while let Some(place) = changed.next() {
                let place = usize::try_from(integer(&place)?).ok()?;
                current.push((compared.get(place)?.clone(), bytes(changed.next()?)?));
            }
            let is_complete = integer(&parts.next()?)? == 0;
            Some(CommitAnswer::Conflict {
                head,
                current,
                is_complete,
            })
        }
        b"fenced" => Some(CommitAnswer::Fenced),
        b"stale" => Some(CommitAnswer::Stale),
        b"lost" => Some(CommitAnswer::Lost {
            head: bytes(parts.next()?)?,
            last: integer(&parts.next()?)?,
            sequence: integer(&parts.next()?)?,
        }),
        _ => None,
    }
}

/// Returns the elements of an array.
pub(super) fn array(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(elements) => Some(elements),
        _ => None,
    }
}

/// Returns a text; an empty one for nil.
pub(super) fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::Nil => Some(Vec::new()),
        _ => None,
    }
}

/// Returns the numbers of an array of nothing else.
pub(super) fn integers(value: Value) -> Option<Vec<i64>> {
    let numbers = array(value)?.into_iter();
    numbers
        .map(|number| match number {
            Value::Int(number) => Some(number),
            _ => None,
        })
        .collect()
}

/// Returns a number that is not negative.
pub(super) fn integer(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request<'a>(
        names: &'a KeyNames,
        reads: &'a ReadSet,
        changes: &'a [StoreChange],
    ) -> CommitRequest<'a> {
        CommitRequest {
            names,
            writer: "w",
            number: 3,
            version: b"v3",
            head: b"w:2",
            lease: Duration::from_secs(15),
            seat: Duration::ZERO,
            confirmed: 2,
            sequence: 40,
            reads,
            changes,
        }
    }

    fn shown(parts: &[Vec<u8>]) -> Vec<String> {
        let shown = parts.iter().map(|part| part.escape_ascii().to_string());
        shown.collect()
    }

    #[test]
    fn commit_has_the_keys_and_arguments_of_the_script() {
        let names = KeyNames::new("p");
        let mut reads = ReadSet::default();
        reads.add_record(b"a", b"v1", false);
        reads.add_range(ReadRange {
            prefix: b"r".to_vec(),
            after: None,
            keys: vec![b"r1".to_vec()],
            is_last: true,
        });
        let changes = [
            (b"b".to_vec(), Some(b"new".to_vec())),
            (b"c".to_vec(), None),
        ];
        let call = CommitCall::new(&request(&names, &reads, &changes));
        assert_eq!(
            shown(&call.script.keys[6..]),
            ["{p}:record:a", "{p}:record:c", "{p}:record:b"]
        );
        assert_eq!(
            shown(&call.script.arguments),
            [
                "3", "w", "15000", "0", "*", "11", "1", "1", "1", "1", "2", "40", "v1", "[r", "(s",
                "2", "1", "r1", "v3new"
            ]
        );
    }

    #[test]
    fn commit_of_many_reads_needs_the_head() {
        let names = KeyNames::new("p");
        let mut reads = ReadSet::default();
        for number in 0..=MAX_COMPARED as u64 {
            reads.add_record(&number.to_be_bytes(), b"v1", number == 7);
        }
        let call = CommitCall::new(&request(&names, &reads, &[]));
        assert_eq!(
            shown(&call.script.arguments[4..]),
            ["w:2", "11", "1", "0", "0", "0", "2", "40", "v1"],
            "what comes from memory is compared nevertheless"
        );
    }

    #[test]
    fn answers_of_the_script_are_read() {
        let compared = [b"a".to_vec(), b"b".to_vec()];
        let word = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let read = |parts: Vec<Value>| parse_answer(Value::Array(parts), &compared);
        assert_eq!(
            read(vec![
                word("done"),
                word("w:3"),
                Value::Int(9),
                Value::Int(41)
            ]),
            Some(CommitAnswer::Made {
                head: b"w:3".to_vec(),
                seconds: 9,
                sequence: 41
            })
        );
        assert_eq!(
            read(vec![
                word("lost"),
                word("x:7"),
                Value::Int(1),
                Value::Int(38)
            ]),
            Some(CommitAnswer::Lost {
                head: b"x:7".to_vec(),
                last: 1,
                sequence: 38
            })
        );
        let changed = vec![Value::Int(1), word("now")];
        assert_eq!(
            read(vec![
                word("conflict"),
                word("x:1"),
                Value::Array(changed),
                Value::Int(2)
            ]),
            Some(CommitAnswer::Conflict {
                head: b"x:1".to_vec(),
                current: vec![(b"b".to_vec(), b"now".to_vec())],
                is_complete: false
            })
        );
        assert_eq!(
            read(vec![word("busy"), Value::Int(-1)]),
            Some(CommitAnswer::SeatTaken {
                remaining: Duration::ZERO
            })
        );
        assert_eq!(read(vec![word("fenced")]), Some(CommitAnswer::Fenced));
        assert_eq!(read(vec![word("other")]), None);
        assert_eq!(parse_answer(Value::Nil, &compared), None);
        assert!(is_made(&Value::Array(vec![word("done"), word("w:3")])));
        assert!(!is_made(&Value::Array(vec![word("stale")])));
        assert!(!is_made(&Value::Nil));
    }
}
