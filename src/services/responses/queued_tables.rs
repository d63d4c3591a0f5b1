//! Changes of responses that servers leave to each other: each is one transaction over the response, its
//! request, the queue and the owner.

use serde_json::Value;

use super::Error;
use super::queued_request::QueuedRequest;
use super::record::ResponseRecord;
use super::tables::ResponseTables;
use crate::accounts::ledger::AbandonedWork;
use crate::accounts::ledger::WaitingWork;
use crate::accounts::ledger::WorkKind;
use crate::api::openai::responses::Response;
use crate::api::openai::responses::ResponseError;
use crate::api::openai::responses::ResponseStatus;
use crate::storage::store;
use crate::storage::store::decode_record;
use crate::storage::store::encode_record;
use crate::storage::store::skip_unreadable;

impl ResponseTables {
    /// Stores `response` with its `request`, and puts it into the queue.
    ///
    /// # Errors
    /// Fails when the store cannot be written.
    pub(super) async fn enqueue(
        &self,
        owner: &str,
        response: &Response,
        input: Vec<Value>,
        request: &QueuedRequest,
    ) -> Result<(), Error> {
        let (tables, owner, id) = (self.clone(), owner.to_owned(), response.id.clone());
        let record = ResponseRecord::new(response, input)?.to_bytes()?;
        let request = encode_record(request)?;
        let stored = self.records.transaction(move |transaction| {
            tables.records.put_in(transaction, &owner, &id, &record)?;
            tables.requests.put_in(transaction, &owner, &id, &request)?;
            let owners = &tables.owners;
            owners.enqueue_in(transaction, WorkKind::Response, &owner, &id);
            Ok::<_, store::Error>(())
        });
        Ok(stored.await?)
    }

    /// Puts `response`, which this server has not begun, back into the queue with its `request`. Does
    /// nothing if another server has ended it meanwhile.
    ///
    /// # Errors
    /// Fails when the store cannot be written.
    pub(super) async fn return_to_queue(
        &self,
        owner: &str,
        response: &Response,
        input: Vec<Value>,
        request: &QueuedRequest,
    ) -> Result<(), Error> {
        let (tables, owner, id) = (self.clone(), owner.to_owned(), response.id.clone());
        let waiting = Response {
            status: ResponseStatus::Queued,
            ..response.clone()
        };
        let record = ResponseRecord::new(&waiting, input)?.to_bytes()?;
        let request = encode_record(request)?;
        let returned = self.records.transaction(move |transaction| {
            let owners = &tables.owners;
            if owners.requeue_in(transaction, WorkKind::Response, &owner, &id)? {
                tables.unfinished.remove_in(transaction, &owner, &id)?;
                tables.requests.put_in(transaction, &owner, &id, &request)?;
                tables.records.put_in(transaction, &owner, &id, &record)?;
            }
            Ok::<_, store::Error>(())
        });
        Ok(returned.await?)
    }

    /// Returns the request of a queued response: `None` if there is none any more, and `Some(None)` for
    /// one that another version of the server has to read.
    ///
    /// # Errors
    /// Fails when the store cannot be read.
    pub(super) async fn load_request(
        &self,
        owner: &str,
        id: &str,
    ) -> Result<Option<Option<QueuedRequest>>, Error> {
        let Some(bytes) = self.requests.get(owner, id).await? else {
            return Ok(None);
        };
        Ok(Some(skip_unreadable(decode_record(id, &bytes))?))
    }

    /// Takes the queued response of `work` out of the queue, to be run by this server. Returns false if it
    /// was taken or ended before, also if Redis has lost that it was taken, and got the end again.
    ///
    /// # Errors
    /// Fails when the store cannot be written.
    pub(super) async fn begin_queued(
        &self,
        work: &WaitingWork,
        response: &Response,
        input: Vec<Value>,
    ) -> Result<bool, Error> {
        let (tables, work) = (self.clone(), work.clone());
        let begun = Response {
            status: ResponseStatus::InProgress,
            ..response.clone()
        };
        let record = ResponseRecord::new(&begun, input)?.to_bytes()?;
        let taken = self.records.transaction(move |transaction| {
            let (owner, id) = (work.owner.as_str(), work.id.as_str());
            let stored = tables.records.get_in(transaction, owner, id)?;
            let stored = stored.map(|bytes| decode_record::<ResponseRecord>(id, &bytes));
            if let Some(stored) = skip_unreadable(stored.transpose())?.flatten()
                && stored.fields(id)?.status.is_final()
            {
                let owners = &tables.owners;
                owners.withdraw_in(transaction, WorkKind::Response, owner, id)?;
                tables.requests.remove_in(transaction, owner, id)?;
                return Ok(false);
            }
            if !tables.owners.take_in(transaction, &work)? {
                return Ok(false);
            }
            tables.requests.remove_in(transaction, owner, id)?;
            tables.unfinished.put_in(transaction, owner, id, &[])?;
            tables.records.put_in(transaction, owner, id, &record)?;
            Ok::<_, store::Error>(true)
        });
        Ok(taken.await?)
    }

    /// Ends the response of `work`, which a lost server has run, with `error`. Returns false if another
    /// server was first.
    ///
    /// # Errors
    /// Fails when the store cannot be written, or the record cannot be read. Nothing is changed then.
    pub(super) async fn fail_abandoned(
        &self,
        work: &AbandonedWork,
        error: &ResponseError,
    ) -> Result<bool, store::Error> {
        let (tables, work, error) = (self.clone(), work.clone(), error.clone());
        let ended = self.records.transaction(move |transaction| {
            if !tables.owners.end_abandoned_in(transaction, &work)? {
                return Ok(false);
            }
            let (owner, id) = (work.owner.as_str(), work.id.as_str());
            tables.unfinished.remove_in(transaction, owner, id)?;
            if let Some(bytes) = tables.records.get_in(transaction, owner, id)? {
                let mut record: ResponseRecord = decode_record(id, &bytes)?;
                record.fail(id, &error)?;
                let bytes = record.to_bytes()?;
                tables.records.put_in(transaction, owner, id, &bytes)?;
            }
            Ok::<_, store::Error>(true)
        });
        ended.await
    }

    /// Takes a response out of the queue without a run, and changes its record by `end`. Returns false if
    /// it does not wait there.
    ///
    /// # Errors
    /// Fails when the store cannot be written, or the record cannot be read.
    pub(super) async fn end_queued<E>(&self, owner: &str, id: &str, end: E) -> Result<bool, Error>
    where
        E: Fn(&mut ResponseRecord) -> Result<(), store::Error> + Send + 'static,
    {
        if !self.owners.is_shared() {
            return Ok(false);
        }
        let (tables, owner, id) = (self.clone(), owner.to_owned(), id.to_owned());
        let ended = self.records.transaction(move |transaction| {
            let owners = &tables.owners;
            if !owners.withdraw_in(transaction, WorkKind::Response, &owner, &id)? {
                return Ok(false);
            }
            tables.requests.remove_in(transaction, &owner, &id)?;
            if let Some(bytes) = tables.records.get_in(transaction, &owner, &id)? {
                let mut record: ResponseRecord = decode_record(&id, &bytes)?;
                end(&mut record)?;
                let bytes = record.to_bytes()?;
                tables.records.put_in(transaction, &owner, &id, &bytes)?;
            }
            Ok::<_, store::Error>(true)
        });
        Ok(ended.await?)
    }
}
