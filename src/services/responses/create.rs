//! How a response begins.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::TryStreamExt as _;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::Error;
use super::Responses;
use super::background::Follower;
use super::history::History;
use super::history::Memory;
use super::record::Record;
use super::run::Keeper;
use super::run::Run;
use super::service::Inner;

use crate::api::openai::responses::CreateRequest;
use crate::api::openai::responses::Response;
use crate::api::openai::responses::Writer;
use crate::api::openai::responses::kept;
use crate::api::request_schema::Remarks;
use crate::domain::Caller;
use crate::domain::Finish;
use crate::domain::FinishReason;
use crate::domain::Turn;
use crate::domain::TurnEvent;
use crate::domain::Usage;
use crate::engine::gateway::Fit;
use crate::engine::gateway::RunningTurn;
use crate::engine::gateway::Told;
use crate::services::conversations::TakenConversation;

/// A response that has begun.
#[derive(Debug)]
pub struct Created {
    /// Where it is being made.
    pub making: Making,
    /// What there is to say of the request.
    pub remarks: Remarks,
}

/// Where a response is being made.
#[derive(Debug)]
pub enum Making {
    /// Here, by whoever asks for its steps.
    Here {
        /// The response.
        run: Box<Run>,
        /// What there is to say about its turn.
        told: Told,
    },
    /// In the background.
    There {
        /// The response as it begins.
        response: Box<Response>,
        /// Its events.
        events: Follower,
        /// What there is to say about its turn, as far as that is known before it begins.
        told: Told,
    },
}

impl Responses {
    /// Begins the response that `request` asks for.
    ///
    /// # Errors
    /// When the request cannot be served, or no worker takes its turn.
    pub async fn create(
        &self,
        caller: Caller,
        request: CreateRequest,
        memory: Option<Memory>,
    ) -> Result<Created, Error> {
        let owner = self.0.keys.owner(&caller);
        let conversation = self.take_conversation(&caller, &request).await?;
        let items = conversation.as_ref().map(|taken| taken.items.clone());
        let (request, earlier) = self.gather(&owner, request, items, memory.as_ref()).await?;
        let (response, input) = (request.response.clone(), request.input.clone());
        let names = request.tool_names().clone();
        let (shows_thinking, stream) = (request.shows_thinking, request.stream);
        let (running, remarks) = self.begin(caller, request, &earlier).await?;
        let has_memory = memory.is_some();
        let keeper = Keeper {
            records: response.store.then(|| self.0.shelves.records.clone()),
            input: kept::input(&response.id, input),
            owner,
            memory,
            conversation,
            // Only a socket's memory reads it.
            earlier: if has_memory { earlier } else { Vec::new() },
        };
        let run = Run {
            writer: Writer::new(response, names, shows_thinking),
            events: running.events,
            keeper,
            stop: self.0.stop.clone(),
            cancel: CancellationToken::new(),
            explain: self.0.explain,
        };
        let making = if run.response().background {
            self.make_there(run, stream, running.told).await?
        } else {
            Making::Here {
                run: Box::new(run),
                told: running.told,
            }
        };
        Ok(Created { making, remarks })
    }

    /// How many tokens the conversation of `request` has, and what there is to say of it.
    ///
    /// # Errors
    /// When the request cannot be served.
    pub async fn count_tokens(
        &self,
        caller: Caller,
        request: CreateRequest,
    ) -> Result<(u64, Remarks), Error> {
        let owner = self.0.keys.owner(&caller);
        let items = self.conversation_items(&caller, &request).await?;
        let (request, earlier) = self.gather(&owner, request, items, None).await?;
        let (turn, remarks) = request.turn(&earlier)?;
        Ok((self.0.turns.count_tokens(caller, turn).await?, remarks))
    }

    /// The conversation of `request`, its own input included, and what there is to say of it.
    ///
    /// # Errors
    /// When it is no conversation.
    pub async fn conversation(
        &self,
        caller: &Caller,
        request: CreateRequest,
    ) -> Result<(Vec<Value>, Remarks), Error> {
        let owner = self.0.keys.owner(caller);
        let items = self.conversation_items(caller, &request).await?;
        let (request, earlier) = self.gather(&owner, request, items, None).await?;
        let input = kept::input(&request.response.id, request.input.clone());
        let remarks = request.check(&earlier)?;
        Ok((earlier.into_iter().chain(input).collect(), remarks))
    }

    /// The conversation that `request` names, taken until its response is over.
    async fn take_conversation(
        &self,
        caller: &Caller,
        request: &CreateRequest,
    ) -> Result<Option<TakenConversation>, Error> {
        let Some(name) = &request.response.conversation else {
            return Ok(None);
        };
        Ok(Some(self.0.conversations.take(caller, &name.id).await?))
    }

    /// The items of the conversation that `request` names.
    async fn conversation_items(
        &self,
        caller: &Caller,
        request: &CreateRequest,
    ) -> Result<Option<Vec<Value>>, Error> {
        let Some(name) = &request.response.conversation else {
            return Ok(None);
        };
        Ok(Some(self.0.conversations.items(caller, &name.id).await?))
    }

    /// The request, its references replaced, and what comes before it: the items of its conversation, or of the response that
    /// it goes on from.
    async fn gather(
        &self,
        owner: &str,
        mut request: CreateRequest,
        conversation: Option<Vec<Value>>,
        memory: Option<&Memory>,
    ) -> Result<(CreateRequest, Vec<Value>), Error> {
        let history = History {
            records: &self.0.shelves.records,
            owner,
            memory,
        };
        let earlier = match conversation {
            Some(items) => items,
            None => {
                history
                    .before(request.response.previous_response_id.as_deref())
                    .await?
            }
        };
        let references = request.references();
        history.dereference(&earlier, &mut request.input).await?;
        request.add_tools(&earlier, &references)?;
        Ok((request, earlier))
    }

    /// Begins the turn that answers `request`, with the remarks on it. Where no answer is to be made, the conversation may lack
    /// what Claude could answer.
    async fn begin(
        &self,
        caller: Caller,
        request: CreateRequest,
        earlier: &[Value],
    ) -> Result<(RunningTurn, Remarks), Error> {
        let (generates, is_background) = (request.generates, request.response.background);
        if !generates {
            let running = nothing(&request.response.model);
            return Ok((running, request.check(earlier)?));
        }
        let (turn, remarks) = request.turn(earlier)?;
        if !is_background {
            return Ok((self.0.turns.run(caller, turn).await?, remarks));
        }
        // What would fail only when nobody waits any more is refused at once.
        self.0.turns.resolve(caller.clone(), turn.clone()).await?;
        Ok((self.later(caller, turn).await, remarks))
    }

    /// A turn that asks for a worker only when its first event is asked for, and lets those go first for whom somebody waits.
    async fn later(&self, caller: Caller, turn: Turn) -> RunningTurn {
        let caller = Caller {
            in_background: true,
            ..caller
        };
        // A model that is left open has none of its own yet.
        let told = match self.0.turns.fit(&caller, &turn).await {
            Ok(Fit {
                left_out, repaired, ..
            }) => Told {
                left_out,
                repaired,
                ..Told::default()
            },
            Err(_) => Told::default(),
        };
        let turns = Arc::clone(&self.0.turns);
        let running = async move { turns.run(caller, turn).await.map(|running| running.events) };
        RunningTurn::new(told, Box::pin(running.into_stream().try_flatten()))
    }

    async fn make_there(&self, mut run: Run, stream: bool, told: Told) -> Result<Making, Error> {
        let response = run.response().clone();
        let owner = run.keeper.owner.clone();
        let Inner {
            shelves,
            running,
            tracker,
            ..
        } = &*self.0;
        shelves
            .unfinished
            .put(&owner, &response.id, Vec::new())
            .await?;
        Record {
            response: response.clone(),
            input: run.keeper.input.clone(),
        }
        .save(&shelves.records, &owner)
        .await?;
        let live = running.add(&owner, &response);
        run.cancel = live.cancel.clone();
        let events = live.follow(0);
        let this = self.clone();
        tracker.spawn(async move {
            this.0
                .running
                .drive(run, &live, &this.0.shelves, stream)
                .await;
        });
        Ok(Making::There {
            response: Box::new(response),
            events,
            told,
        })
    }
}

/// A turn that nobody answers.
fn nothing(model: &str) -> RunningTurn {
    let finish = Finish::new(FinishReason::Stop, Usage::default());
    let events = futures::stream::iter([Ok(TurnEvent::Finished(finish))]);
    RunningTurn::new(Told::of(model), Box::pin(events))
}
