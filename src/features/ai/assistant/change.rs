//! Changes of files: a checkpoint first, then the change, then its diff.

use bytes::Bytes;

use super::edit;
use super::job::Job;
use super::model::EventBody;
use super::path::ProjectPath;
use super::pen::Pen;
use super::rows::checkpoint;
use super::store;
use super::tools::text_file;
use super::workbench::{Workbench, sentence};
use crate::clients::agent::AgentError;
use crate::kernel::{CheckpointId, Problem};
use crate::store::Unaudited;

/// Does a `write` or `edit`; gives the text for the model.
///
/// # Errors
/// The inner error is a sentence for the model; the outer one ends the turn.
pub async fn perform(
    pen: &mut Pen,
    bench: &dyn Workbench,
    call: &str,
    job: &Job,
) -> Result<Result<String, String>, Problem> {
    let (path, before, after) = match plan(bench, job).await {
        Ok(planned) => planned,
        Err(message) => return Ok(Err(message)),
    };
    // What was there is durable before it is gone.
    let (row, fresh) = checkpoint(pen, path, before.as_ref().map(|(content, _)| content)).await?;
    let expected = before.as_ref().map(|(_, etag)| etag.as_str());
    let etag = match bench
        .write(path.whole(), Bytes::from(after.clone()), expected)
        .await
    {
        Ok(etag) => etag,
        Err(error) => {
            // Refused is not written: there is nothing to undo, and a later try begins with the file as it is then.
            if fresh
                && matches!(
                    error,
                    AgentError::Refused {
                        status: 400..500,
                        ..
                    }
                )
            {
                let tx = pen.tx().await?;
                store::delete_checkpoint(&tx, &row).await?;
                tx.commit_unaudited(Unaudited::Transcript).await?;
            }
            return Ok(Err(match error {
                AgentError::Refused { status: 412, .. } => format!(
                    "{:?} was changed by somebody else meanwhile. Read it again.",
                    path.relative()
                ),
                error => sentence(&error),
            }));
        }
    };
    // A file that somebody else changed between two changes of the turn keeps the old tag: undoing would lose theirs,
    // and is refused.
    if fresh || expected == Some(row.etag_after.as_str()) {
        let tx = pen.tx().await?;
        store::set_etag_after(&tx, &row, etag).await?;
        tx.commit_unaudited(Unaudited::Transcript).await?;
    }
    let created = before.is_none();
    let old = before.as_ref().map(|(content, _)| content.as_ref());
    let diff = edit::unified(path.relative(), old, &after);
    pen.tell(EventBody::Diff {
        call_id: call.to_owned(),
        path: path.relative().to_owned(),
        diff,
        created,
    })
    .await?;
    let word = if created { "Made" } else { "Changed" };
    Ok(Ok(format!(
        "{word} {} ({} bytes).",
        path.relative(),
        after.len()
    )))
}

type Planned<'a> = (&'a ProjectPath, Option<(Bytes, String)>, String);

/// The file as it is, and as it is to be.
async fn plan<'a>(bench: &dyn Workbench, job: &'a Job) -> Result<Planned<'a>, String> {
    match job {
        Job::Write { path, content } => {
            let before = bench
                .read(path.whole())
                .await
                .map_err(|error| sentence(&error))?;
            Ok((path, before, content.clone()))
        }
        Job::Edit {
            path,
            old,
            new,
            every,
        } => {
            let (text, etag) = text_file(bench, path).await?;
            let after = edit::replace(&text, old, new, *every)?;
            Ok((path, Some((Bytes::from(text), etag)), after))
        }
        _ => Err("This tool changes no file.".to_owned()),
    }
}

/// Keeps what was there before the turn's first change of this path; says whether this is the first.
async fn checkpoint(
    pen: &Pen,
    path: &ProjectPath,
    before: Option<&Bytes>,
) -> Result<(checkpoint::Model, bool), Problem> {
    let tx = pen.tx().await?;
    if let Some(row) =
        store::find_checkpoint(&tx, pen.session(), pen.turn(), path.relative()).await?
    {
        return Ok((row, false));
    }
    let row = checkpoint::Model {
        workspace_id: tx.workspace(),
        id: CheckpointId::new(&pen.services().clock, &pen.services().rng),
        session_id: pen.session(),
        turn_id: pen.turn(),
        path: path.relative().to_owned(),
        existed: before.is_some(),
        content: before.map(|content| content.to_vec()),
        etag_after: String::new(),
    };
    store::insert_checkpoint(&tx, row.clone()).await?;
    tx.commit_unaudited(Unaudited::Transcript).await?;
    Ok((row, true))
}
