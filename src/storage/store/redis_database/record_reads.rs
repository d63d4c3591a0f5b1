//! Reads of records with their versions.

use super::super::Error;
use super::MAX_PAGE_BYTES;
use super::RedisDatabase;
use super::connections::Connections;
use super::key_names::range_bounds;
use super::script_call::RANGE;
use super::script_call::RedisScriptCall;
use super::versioned_page::VersionedPage;
use super::versioned_value::VersionedValue;

impl RedisDatabase {
    /// Reads the record `key` from Redis.
    pub(super) fn read(
        &self,
        connections: &Connections,
        key: &[u8],
    ) -> Result<VersionedValue, Error> {
        let name = self.names.record(key);
        let stored: Option<Vec<u8>> = connections
            .run(|connection| redis::cmd("GET").arg(name.as_slice()).query(connection))?;
        VersionedValue::decode(key, stored.unwrap_or_default())
    }

    /// Reads consecutive records from Redis, of one moment.
    pub(super) fn read_range(
        &self,
        connections: &Connections,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<VersionedPage, Error> {
        let (first, last) = range_bounds(prefix, after);
        let call = RedisScriptCall {
            script: &RANGE,
            keys: vec![self.names.index()],
            arguments: vec![
                self.names.record_prefix(),
                first,
                last,
                limit.to_string().into_bytes(),
                MAX_PAGE_BYTES.to_string().into_bytes(),
            ],
        };
        let answer = connections.run(|connection| call.run(connection))?;
        VersionedPage::read(answer)
    }
}
