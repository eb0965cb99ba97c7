//! What can be done with conversations.

use std::sync::Arc;

use serde_json::json;

use super::super::Ai;
use super::super::key::{KeyError, SETTING};
use super::begin::Begin;
use super::hub::Live;
use super::model::{ALLOWED_AT_FIRST, AiStatus, EventBody, Session, State, Verdict};
use super::pen::Pen;
use super::prompt::Project;
use super::rows::session;
use super::store::{self, Message};
use super::undo;
use super::workbench::Workbench;
use super::{history, workbench};
use crate::authz::permission::{AssistantUse, ContainersUse};
use crate::clients::agent::AgentError;
use crate::context::Ctx;
use crate::features::audit::{self, Action};
use crate::features::containers::{Identity, Standing};
use crate::features::{containers, projects};
use crate::kernel::{
    AssistantSessionId, Code, ContainerId, Problem, ProjectId, TurnId, WorkspaceId,
};
use crate::store::{Grant, Unaudited};

/// Longest message, in bytes.
const LONGEST_MESSAGE: usize = 200_000;
/// Longest title, in characters.
const LONGEST_TITLE: usize = 80;
/// Numbers that are skipped after an interrupted turn: events that listeners saw and the database did not get.
const LOST: i64 = 1_000;

/// Whether the assistant can be used, and what is missing.
///
/// # Errors
/// 404, 403; `unavailable` while the vault does not answer.
pub async fn status(ctx: &Ctx, ai: &Ai, workspace: WorkspaceId) -> Result<AiStatus, Problem> {
    ctx.authorize::<AssistantUse>(workspace).await?;
    let ready = match ai.upstream.ready().await {
        Ok(()) => true,
        Err(KeyError::NotConfigured | KeyError::File(_)) => false,
        // No setting is missing: it goes by itself.
        Err(KeyError::Vault(cause)) => return Err(cause.into()),
        Err(KeyError::Store(cause)) => return Err(cause.into()),
    };
    Ok(AiStatus {
        ready,
        missing_setting: (!ready).then_some(SETTING),
        model: ctx.services.config.ai.model.clone(),
    })
}

/// Begins a conversation about a project, in the caller's own container of the same workspace.
pub async fn create(
    ctx: &Ctx,
    ai: &Ai,
    workspace: WorkspaceId,
    project: ProjectId,
    container: ContainerId,
) -> Result<Session, Problem> {
    let grant = grants(ctx, workspace).await?;
    projects::source_of(&ctx.services, &grant, project).await?;
    let mine = containers::list(ctx, &ai.controller, workspace).await?;
    if !mine.iter().any(|one| one.id == container && one.mine) {
        return Err(Problem::not_found());
    }
    let tx = ctx.services.store.scoped(&grant).await?;
    let row = session::Model {
        workspace_id: grant.workspace(),
        id: AssistantSessionId::new(&ctx.services.clock, &ctx.services.rng),
        owner_id: grant.user(),
        project_id: project,
        container_id: container,
        title: String::new(),
        allowed_tools: ALLOWED_AT_FIRST.to_owned(),
        created_at_ms: ctx.now_ms(),
    };
    let row = store::insert_session(&tx, row).await?;
    let entry = audit::entry(
        ctx,
        Action::AssistantSessionCreate,
        row.id,
        project.to_string(),
    );
    tx.commit(entry).await?;
    Ok(view(ai, row))
}

/// The caller's conversations, newest first.
pub async fn list(
    ctx: &Ctx,
    ai: &Ai,
    workspace: WorkspaceId,
    project: Option<ProjectId>,
) -> Result<Vec<Session>, Problem> {
    let grant = grants(ctx, workspace).await?;
    let tx = ctx.services.store.scoped_read(&grant).await?;
    let rows = store::list_sessions(&tx, grant.user(), project).await?;
    Ok(rows.into_iter().map(|row| view(ai, row)).collect())
}

/// One of the caller's conversations.
pub async fn get(
    ctx: &Ctx,
    ai: &Ai,
    workspace: WorkspaceId,
    id: AssistantSessionId,
) -> Result<Session, Problem> {
    let (_, row) = find(ctx, workspace, id).await?;
    Ok(view(ai, row))
}

/// Sends a message: a turn begins, and goes on after this request.
pub async fn send(
    ctx: &Ctx,
    ai: &Ai,
    workspace: WorkspaceId,
    id: AssistantSessionId,
    text: String,
) -> Result<TurnId, Problem> {
    let (grant, row) = find(ctx, workspace, id).await?;
    if text.trim().is_empty() || text.len() > LONGEST_MESSAGE {
        return Err(Problem::new(
            Code::Unprocessable,
            format!(
                "The message has {} bytes; it must have from 1 to {LONGEST_MESSAGE}, and not only white space.",
                text.len()
            ),
        ));
    }
    match ai.upstream.ready().await {
        Ok(()) => {}
        Err(KeyError::Vault(cause)) => return Err(cause.into()),
        Err(KeyError::Store(cause)) => return Err(cause.into()),
        Err(KeyError::NotConfigured | KeyError::File(_)) => {
            return Err(Problem::new(
                Code::Conflict,
                format!(
                    "The assistant is not ready: the setting {SETTING} is missing, or its file holds no key. Ask the operator to set it, or to run `optidev vault credential set upstream_ai_key`."
                ),
            ));
        }
    }
    let (project, bench) = place(ctx, ai, &grant, &row).await?;
    let live = open(ctx, ai, &grant, id).await?;
    let turn = TurnId::new(&ctx.services.clock, &ctx.services.rng);
    let cancel = ctx.services.shutdown.child_token();
    let running = live.begin(turn, cancel.clone()).ok_or_else(|| {
        Problem::new(
            Code::Conflict,
            "The assistant is still at work in this session. Wait for it, or stop it first.",
        )
    })?;
    let begin = Begin {
        entry: audit::entry(ctx, Action::AssistantTurn, id, turn.to_string()),
        title: row.title.is_empty().then(|| title(&text)),
        text,
        pen: Pen::new(
            ctx.services.clone(),
            workspace,
            grant.user(),
            id,
            turn,
            live,
        ),
        bench,
        project,
        allowed: row
            .allowed_tools
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
        cancel,
        standing: Standing::inside(
            &ctx.services,
            ctx.actor.credential(),
            Identity {
                workspace,
                container: row.container_id,
                owner: grant.user(),
            },
        ),
    };
    // No waiting between the session's being busy and the task: a client that goes away changes nothing any more.
    let written = begin.start(Arc::clone(&ai.upstream), running);
    let stopping = |cause| {
        Problem::unavailable(
            "The server is stopping. Send the message again in a few seconds.",
            cause,
        )
    };
    written.await.map_err(stopping)??;
    Ok(turn)
}

/// Stops the running turn, if one runs.
pub async fn stop(
    ctx: &Ctx,
    ai: &Ai,
    workspace: WorkspaceId,
    id: AssistantSessionId,
) -> Result<(), Problem> {
    find(ctx, workspace, id).await?;
    if let Some(live) = ai.hub.get(id) {
        live.stop();
    }
    Ok(())
}

/// Decides about a call that waits.
pub async fn decide(
    ctx: &Ctx,
    ai: &Ai,
    workspace: WorkspaceId,
    id: AssistantSessionId,
    call: &str,
    verdict: Verdict,
) -> Result<(), Problem> {
    let (grant, _) = find(ctx, workspace, id).await?;
    let decision = match verdict {
        Verdict::Allow => "allowed",
        Verdict::AllowAlways => "allowed from now on",
        Verdict::Deny => "denied",
    };
    audit::note(ctx, &grant, Action::AssistantDecision, id, decision).await?;
    if ai
        .hub
        .get(id)
        .is_some_and(|live| live.decide(call, verdict))
    {
        return Ok(());
    }
    Err(Problem::new(
        Code::Conflict,
        "No such call waits for a decision: it was decided already, or its turn has ended. Look at the conversation again.",
    ))
}

/// Undoes the file changes of a turn; gives the files.
pub async fn undo(
    ctx: &Ctx,
    ai: &Ai,
    workspace: WorkspaceId,
    id: AssistantSessionId,
    turn: TurnId,
) -> Result<Vec<String>, Problem> {
    let (grant, row) = find(ctx, workspace, id).await?;
    let (project, bench) = place(ctx, ai, &grant, &row).await?;
    let live = open(ctx, ai, &grant, id).await?;
    // Busy like a turn: no turn may change files meanwhile.
    let running = live
        .begin(turn, tokio_util::sync::CancellationToken::new())
        .ok_or_else(|| {
            Problem::new(
                Code::Conflict,
                "The assistant is at work in this session. Wait for it, or stop it first.",
            )
        })?;
    let tx = ctx.services.store.scoped_read(&grant).await?;
    let latest = store::latest_changed_turn(&tx, id).await?;
    let rows = store::checkpoints(&tx, id, turn).await?;
    drop(tx);
    undoable(latest, turn)?;
    let files = undo::undo(bench.as_ref(), &project.folder, &rows)
        .await
        .map_err(|error| Problem::new(Code::Conflict, sentence(&error.to_string())))?;
    let tx = ctx.services.store.scoped(&grant).await?;
    store::delete_checkpoints(&tx, id, turn).await?;
    let note = format!(
        "(The user undid the file changes of an earlier turn. These files are as they were before it: {})",
        files.join(", ")
    );
    store::append_message(
        &tx,
        id,
        turn,
        &Message {
            role: "user",
            content: vec![json!({ "type": "text", "text": note })],
        },
    )
    .await?;
    tx.commit(audit::entry(
        ctx,
        Action::AssistantUndo,
        id,
        turn.to_string(),
    ))
    .await?;
    let mut pen = Pen::new(
        ctx.services.clone(),
        workspace,
        grant.user(),
        id,
        turn,
        live,
    );
    pen.end(EventBody::Undone {
        files: files.clone(),
    });
    drop(running);
    pen.flush().await?;
    Ok(files)
}

/// Only the latest turn whose changes stand can be undone: those before it are below it.
pub(super) fn undoable(latest: Option<TurnId>, turn: TurnId) -> Result<(), Problem> {
    match latest {
        Some(latest) if latest == turn => Ok(()),
        Some(latest) if latest > turn => Err(Problem::new(
            Code::Conflict,
            format!("A later turn, {latest}, changed files too. Undo that one first."),
        )),
        _ => Err(Problem::new(
            Code::Conflict,
            "This turn changed no files, or was undone already: there is nothing to undo.",
        )),
    }
}

/// The session made alive, for whoever listens to it or writes in it. What a restart of the server interrupted is
/// brought to an end first.
pub async fn open(
    ctx: &Ctx,
    ai: &Ai,
    grant: &Grant<AssistantUse>,
    id: AssistantSessionId,
) -> Result<Arc<Live>, Problem> {
    if let Some(live) = ai.hub.get(id) {
        return Ok(live);
    }
    let tx = ctx.services.store.scoped(grant).await?;
    // Somebody may have been faster while this transaction waited for theirs.
    if let Some(live) = ai.hub.get(id) {
        return Ok(live);
    }
    let last = store::last_event(&tx, id).await?;
    let mut sequence = last.as_ref().map_or(0, |last| last.sequence);
    if let Some(last) = last
        && !matches!(
            last.event.body,
            EventBody::Done { .. } | EventBody::Undone { .. }
        )
    {
        let turn = last.event.turn;
        if let Some(message) = history::repair(&store::messages(&tx, id).await?) {
            store::append_message(&tx, id, turn, &message).await?;
        }
        let files = store::checkpoints(&tx, id, turn)
            .await?
            .into_iter()
            .map(|row| row.path)
            .collect();
        sequence += LOST;
        let message = "The server was restarted while the assistant worked, so this turn was interrupted. Write a message to go on.";
        let ends = [
            EventBody::Error {
                message: message.to_owned(),
            },
            EventBody::Done {
                stop_reason: "interrupted".to_owned(),
                input_tokens: 0,
                output_tokens: 0,
                files,
            },
        ];
        let logged: Vec<_> = (sequence + 1..)
            .zip(ends)
            .map(|(sequence, body)| super::model::Logged {
                sequence,
                at_ms: ctx.now_ms(),
                event: super::model::Event { turn, body },
            })
            .collect();
        sequence += 2;
        store::append_events(&tx, id, &logged).await?;
        tx.commit_unaudited(Unaudited::Transcript).await?;
    }
    Ok(ai.hub.open(id, sequence))
}

/// The session, if it is the caller's.
pub async fn find(
    ctx: &Ctx,
    workspace: WorkspaceId,
    id: AssistantSessionId,
) -> Result<(Grant<AssistantUse>, session::Model), Problem> {
    let grant = grants(ctx, workspace).await?;
    let tx = ctx.services.store.scoped_read(&grant).await?;
    let row = store::find_session(&tx, id, grant.user())
        .await?
        .ok_or_else(Problem::not_found)?;
    Ok((grant, row))
}

/// The assistant acts inside a container, so a token needs the scope of that, too.
async fn grants(ctx: &Ctx, workspace: WorkspaceId) -> Result<Grant<AssistantUse>, Problem> {
    ctx.authorize::<ContainersUse>(workspace).await?;
    ctx.authorize::<AssistantUse>(workspace).await
}

/// The project, and the running container with the project in it.
async fn place(
    ctx: &Ctx,
    ai: &Ai,
    grant: &Grant<AssistantUse>,
    row: &session::Model,
) -> Result<(Project, Arc<dyn Workbench>), Problem> {
    let (project, _) = projects::source_of(&ctx.services, grant, row.project_id).await?;
    // The turn has its entry, and so does undoing it.
    let recorded = containers::Access::Recorded;
    let (workspace, container) = (grant.workspace(), row.container_id);
    let entered = containers::enter(ctx, &ai.controller, workspace, container, recorded).await?;
    let bench: Arc<dyn Workbench> = Arc::new(entered.agent);
    match bench.list(&project.folder).await {
        Ok(_) => {}
        Err(AgentError::Refused { status: 404, .. }) => {
            return Err(Problem::new(
                Code::Conflict,
                format!(
                    "The project {:?} is not in the container yet. Open it there first.",
                    project.name
                ),
            ));
        }
        Err(error) => return Err(Problem::new(Code::Conflict, workbench::sentence(&error))),
    }
    let project = Project {
        name: project.name,
        framework: project.framework,
        folder: project.folder,
    };
    Ok((project, bench))
}

fn view(ai: &Ai, row: session::Model) -> Session {
    Session {
        state: ai.hub.get(row.id).map_or(State::Idle, |live| live.state()),
        id: row.id,
        project_id: row.project_id,
        container_id: row.container_id,
        title: row.title,
        created_at_ms: row.created_at_ms,
    }
}

/// The beginning of the first line.
fn title(text: &str) -> String {
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or_default();
    if line.chars().count() <= LONGEST_TITLE {
        return line.to_owned();
    }
    let mut short: String = line.chars().take(LONGEST_TITLE - 1).collect();
    short.push('…');
    short
}

/// With a capital letter, as people read it.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}
