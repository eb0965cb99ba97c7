//! A turn: the model answers, its tools are used, until it has no more to do.
//!
//! What always holds: the conversation in the database can be continued at any moment, however the turn ends. A tool
//! call that was answered by nobody is answered by [`super::history`]. A turn goes on when the page that began it is closed,
//! and ends with what it was begun with: the session or token (signed out of, revoked, or too old), the membership, the
//! right to the assistant, the container. Whoever has all that by other means sends the message again.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::super::upstream::Upstream;
use super::super::usage::Usage;
use super::call::{self, Outcome};
use super::hub::Running;
use super::job::Job;
use super::model::{CallState, EventBody, Tool, Verdict};
use super::pen::Pen;
use super::prompt::{self, Project};
use super::reply::{Call, Reply};
use super::store::{self, Message};
use super::tools::{self, LONGEST_OUTPUT};
use super::workbench::Workbench;
use super::{change, history};
use crate::authz::permission::AssistantUse;
use crate::features::containers::Standing;
use crate::kernel::Problem;
use crate::store::Unaudited;

/// Most answers of the model in one turn.
const ROUNDS: usize = 40;

/// What the conversation says when a right has ended.
const LOST: &str = "The assistant stopped, because the session or token that asked it has ended, or the right to it. Write a \
                    message to go on.";

/// Everything that a turn works with.
pub struct Turn {
    /// Writes what happens.
    pub pen: Pen,
    /// Where the tools act.
    pub bench: Arc<dyn Workbench>,
    /// What the model is told.
    pub project: Project,
    /// The conversation, the user's new message included.
    pub history: Vec<Message>,
    /// What need not be asked.
    pub allowed: BTreeSet<String>,
    /// Ends the turn early.
    pub cancel: CancellationToken,
    /// What the turn rests on.
    pub standing: Standing<AssistantUse>,
    /// Cancelled when that does not hold any more.
    pub lost: CancellationToken,
}

/// How a call ended.
struct Answered {
    output: String,
    state: CallState,
}

impl Turn {
    /// Runs to the end. What goes wrong is told to the listeners. `running` keeps the session busy, until [`Pen::end`]
    /// or until this future is dropped.
    pub async fn run(mut self, upstream: Arc<Upstream>, running: Running) {
        let mut usage = Usage::default();
        let (standing, cancel, lost) = (
            self.standing.clone(),
            self.cancel.clone(),
            self.lost.clone(),
        );
        let ended = {
            let mut rounds = std::pin::pin!(self.rounds(&upstream, &mut usage));
            tokio::select! {
                ended = &mut rounds => ended,
                () = standing.lost() => {
                    lost.cancel();
                    cancel.cancel();
                    // To a state in which the conversation can be continued.
                    rounds.await
                }
            }
        };
        if self.lost.is_cancelled() {
            self.pen.emit(EventBody::Error {
                message: LOST.to_owned(),
            });
        }
        let stop_reason = match ended {
            Ok(Ok(stop_reason)) => stop_reason,
            Ok(Err(message)) => {
                self.pen.emit(EventBody::Error { message });
                "error".to_owned()
            }
            Err(problem) => {
                tracing::error!(cause = problem.cause, detail = %problem.detail, "a turn of the assistant failed");
                self.pen.emit(EventBody::Error {
                    message: problem.detail.into_owned(),
                });
                "error".to_owned()
            }
        };
        tracing::info!(
            target: "ai.usage",
            workspace = %self.pen.workspace(),
            user = %self.pen.owner(),
            via = "assistant",
            input_tokens = usage.input_tokens,
            output_tokens = usage.output_tokens,
            cache_read_tokens = usage.cache_read_tokens,
            cache_write_tokens = usage.cache_write_tokens,
        );
        let done = EventBody::Done {
            stop_reason,
            input_tokens: usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens,
            output_tokens: usage.output_tokens,
            files: self.files().await.unwrap_or_default(),
        };
        self.pen.end(done);
        if let Err(problem) = self.pen.flush().await {
            tracing::error!(
                cause = problem.cause,
                "the end of a turn could not be written"
            );
        }
        drop(running);
    }

    async fn files(&self) -> Result<Vec<String>, Problem> {
        let tx = self.pen.tx().await?;
        let rows = store::checkpoints(&tx, self.pen.session(), self.pen.turn()).await?;
        Ok(rows.into_iter().map(|row| row.path).collect())
    }

    /// The inner result is the stop reason, or a sentence that says what went wrong.
    async fn rounds(
        &mut self,
        upstream: &Upstream,
        usage: &mut Usage,
    ) -> Result<Result<String, String>, Problem> {
        let (model, max_tokens) = {
            let config = &self.pen.services().config.ai;
            (config.model.clone(), config.max_output_tokens)
        };
        for _ in 0..ROUNDS {
            let body = prompt::request(&model, max_tokens, &self.project, &self.history);
            let outcome = call::ask(upstream, &body, &mut self.pen, &self.cancel).await?;
            let reply = match outcome {
                Outcome::Whole(reply) => reply,
                Outcome::Stopped(reply) => {
                    usage.add(reply.usage);
                    self.keep(reply.content(true)).await?;
                    return Ok(Ok("stopped".to_owned()));
                }
                Outcome::Failed(reply, message) => {
                    usage.add(reply.usage);
                    self.keep(reply.content(true)).await?;
                    return Ok(Err(message));
                }
            };
            usage.add(reply.usage);
            self.keep(reply.content(false)).await?;
            let calls = reply.calls();
            if calls.is_empty() {
                return Ok(Ok(stop_reason(&reply)));
            }
            // A limit of tokens may have cut the last call: all are answered, none is done by halves.
            let cut = reply.stop_reason.as_deref() != Some("tool_use");
            self.answer(calls, cut).await?;
            if self.cancel.is_cancelled() {
                return Ok(Ok("stopped".to_owned()));
            }
            if cut {
                return Ok(Ok(stop_reason(&reply)));
            }
        }
        self.pen.emit(EventBody::Error {
            message: format!(
                "The assistant paused after {ROUNDS} steps. Write a message to let it go on."
            ),
        });
        Ok(Ok("round_limit".to_owned()))
    }

    /// Keeps what the assistant said, if anything.
    async fn keep(&mut self, content: Vec<Value>) -> Result<(), Problem> {
        if content.is_empty() {
            return self.pen.flush().await;
        }
        let message = Message {
            role: "assistant",
            content,
        };
        self.pen.message(&message).await?;
        self.history.push(message);
        Ok(())
    }

    /// Does all calls of an answer, in their order, and gives the model their results.
    async fn answer(&mut self, calls: Vec<Call>, cut: bool) -> Result<(), Problem> {
        let mut results = Vec::new();
        for one in calls {
            let answered = if self.cancel.is_cancelled() {
                Answered {
                    output: history::STOPPED.to_owned(),
                    state: CallState::Failed,
                }
            } else if cut {
                let output = "The answer was cut off at its limit of tokens, so no tool was used."
                    .to_owned();
                Answered {
                    output,
                    state: CallState::Failed,
                }
            } else {
                self.one(&one).await?
            };
            let shown = Some(tools::shorten(&answered.output));
            self.pen
                .tell(call_event(&one, answered.state, shown))
                .await?;
            let is_error = answered.state != CallState::Done;
            results.push(json!({
                "type": "tool_result",
                "tool_use_id": one.id,
                "content": if answered.output.is_empty() { "(nothing)" } else { &answered.output },
                "is_error": is_error,
            }));
        }
        let message = Message {
            role: "user",
            content: results,
        };
        self.pen.message(&message).await?;
        self.history.push(message);
        Ok(())
    }

    async fn one(&mut self, call: &Call) -> Result<Answered, Problem> {
        let failed = |output: String| Answered {
            output,
            state: CallState::Failed,
        };
        let (tool, job) = match Job::parse(&self.project.folder, &call.name, call.input.as_ref()) {
            Ok(parsed) => parsed,
            Err(message) => return Ok(failed(message)),
        };
        if let Some(path) = job.path()
            && let Err(message) = path
                .refuse_links(self.bench.as_ref(), &self.project.folder)
                .await
        {
            return Ok(failed(message));
        }
        match self.permission(call, tool).await? {
            Some(Verdict::Allow | Verdict::AllowAlways) => {}
            Some(Verdict::Deny) => {
                let output = "The user did not allow this call. Do not try it by other means; go on without it or ask what they want.";
                return Ok(Answered {
                    output: output.to_owned(),
                    state: CallState::Denied,
                });
            }
            None => return Ok(failed(history::STOPPED.to_owned())),
        }
        // Now, and not only when it is told: nothing is done for somebody whose right ended a moment ago.
        match self.standing.holds().await {
            Some(true) => {}
            Some(false) => {
                self.lost.cancel();
                self.cancel.cancel();
                return Ok(failed(history::STOPPED.to_owned()));
            }
            None => {
                let output = "Whether the user may still do this cannot be told at the moment, so it was not done.";
                return Ok(failed(output.to_owned()));
            }
        }
        self.pen
            .tell(call_event(call, CallState::Running, None))
            .await?;
        let outcome = match &job {
            // Not cancelled in the middle: a change and its checkpoint belong together, and take milliseconds.
            Job::Write { .. } | Job::Edit { .. } => {
                change::perform(&mut self.pen, self.bench.as_ref(), &call.id, &job).await?
            }
            _ => tokio::select! {
                () = self.cancel.cancelled() => Err(history::STOPPED.to_owned()),
                outcome = tools::perform(self.bench.as_ref(), &self.project.folder, &job) => outcome,
            },
        };
        Ok(match outcome {
            Ok(output) => Answered {
                output,
                state: CallState::Done,
            },
            Err(message) => failed(message),
        })
    }

    /// Asks the user where that is needed; `None` when the turn was stopped meanwhile.
    async fn permission(&mut self, call: &Call, tool: Tool) -> Result<Option<Verdict>, Problem> {
        let Some(word) = tool.permission() else {
            return Ok(Some(Verdict::Allow));
        };
        if self.allowed.contains(word) {
            return Ok(Some(Verdict::Allow));
        }
        // Before the event, so that a quick decision finds the call waiting.
        let decision = self.pen.live().ask(&call.id);
        self.pen
            .tell(call_event(call, CallState::Waiting, None))
            .await?;
        let verdict = tokio::select! {
            () = self.cancel.cancelled() => return Ok(None),
            verdict = decision => verdict.ok(),
        };
        if verdict == Some(Verdict::AllowAlways) {
            self.allowed.insert(word.to_owned());
            let allowed: Vec<&str> = self.allowed.iter().map(String::as_str).collect();
            let tx = self.pen.tx().await?;
            store::set_allowed(&tx, self.pen.session(), allowed.join(" ")).await?;
            tx.commit_unaudited(Unaudited::Transcript).await?;
        }
        Ok(verdict)
    }
}

fn stop_reason(reply: &Reply) -> String {
    reply
        .stop_reason
        .clone()
        .unwrap_or_else(|| "end_turn".to_owned())
}

fn call_event(call: &Call, state: CallState, output: Option<String>) -> EventBody {
    EventBody::Call {
        call_id: call.id.clone(),
        tool: call.name.clone(),
        input: shown(call.input.clone().unwrap_or(Value::Null)),
        state,
        output,
    }
}

/// Arguments as the page gets them: a file's whole content is in the diff already.
fn shown(mut input: Value) -> Value {
    if let Some(object) = input.as_object_mut() {
        for value in object.values_mut() {
            if let Value::String(text) = value
                && text.len() > LONGEST_OUTPUT
            {
                *text = tools::shorten(text);
            }
        }
    }
    input
}
