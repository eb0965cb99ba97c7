//! Undoing a turn: all of its files are as it left them, and are put back; or none is touched.

use bytes::Bytes;

use super::rows::checkpoint;
use super::workbench::{Workbench, sentence};
use crate::clients::agent::AgentError;

/// Why a turn was not undone. No file was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UndoError {
    /// A file is not as the turn left it.
    #[error(
        "the file {0} is not as this turn left it, so nothing was undone. Undo that change first, or edit the file yourself."
    )]
    Changed(String),
    /// The container did not do it.
    #[error("nothing was undone: {0}")]
    Container(String),
}

/// A file and how it is put back.
struct Step<'a> {
    whole: String,
    row: &'a checkpoint::Model,
    /// As it is now: content and tag; `None` when it is not there.
    now: Option<(Bytes, String)>,
}

/// Puts the files back; gives their paths.
///
/// # Errors
/// [`UndoError`]: every file is then as it was.
pub async fn undo(
    bench: &dyn Workbench,
    folder: &str,
    rows: &[checkpoint::Model],
) -> Result<Vec<String>, UndoError> {
    let mut steps = Vec::new();
    for row in rows {
        let whole = format!("{folder}/{}", row.path);
        let now = bench
            .read(&whole)
            .await
            .map_err(|error| UndoError::Container(sentence(&error)))?;
        let as_before = match &now {
            Some((content, _)) => row.existed && row.content.as_deref() == Some(content.as_ref()),
            None => !row.existed,
        };
        if as_before {
            continue;
        }
        // An empty tag means that the server ended during the change: then nobody knows what the turn left.
        if now
            .as_ref()
            .is_none_or(|(_, etag)| row.etag_after.is_empty() || *etag != row.etag_after)
        {
            return Err(UndoError::Changed(row.path.clone()));
        }
        steps.push(Step { whole, row, now });
    }
    for (at, step) in steps.iter().enumerate() {
        if let Err(error) = put_back(bench, step).await {
            // Somebody was faster, or the container went away: what was put back goes forward again.
            for done in steps.iter().take(at) {
                forward(bench, done).await;
            }
            return Err(match error {
                AgentError::Refused { status: 412, .. } => {
                    UndoError::Changed(step.row.path.clone())
                }
                other => UndoError::Container(sentence(&other)),
            });
        }
    }
    Ok(rows.iter().map(|row| row.path.clone()).collect())
}

async fn put_back(bench: &dyn Workbench, step: &Step<'_>) -> Result<(), AgentError> {
    match &step.row.content {
        Some(content) if step.row.existed => {
            let expected = step.now.as_ref().map(|(_, etag)| etag.as_str());
            bench
                .write(&step.whole, Bytes::from(content.clone()), expected)
                .await
                .map(|_| ())
        }
        _ => bench.delete(&step.whole).await,
    }
}

async fn forward(bench: &dyn Workbench, step: &Step<'_>) {
    let Some((content, _)) = &step.now else {
        return;
    };
    let tag = match bench.read(&step.whole).await {
        Ok(there) => there.map(|(_, etag)| etag),
        Err(_) => return,
    };
    if let Err(error) = bench
        .write(&step.whole, content.clone(), tag.as_deref())
        .await
    {
        tracing::warn!(%error, "a file could not be put forward again after a failed undo");
    }
}
