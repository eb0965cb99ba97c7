//! What can be done with projects.

use sea_orm::ActiveValue::Set;
use tracing::Instrument;

use super::import::Upload;
use super::model::{self, Project, Source, StoredSource, project};
use super::{archive, store};
use crate::authz::permission::{ProjectsRead, ProjectsWrite};
use crate::context::{Ctx, Services};
use crate::features::audit::{self, Action};
use crate::features::secrets;
use crate::kernel::{Code, Page, Problem, ProjectId, WorkspaceId};
use crate::store::{Entries, Grant, Permission, ScopedRead, StoreError};

/// All projects of the workspace, newest first.
///
/// # Errors
/// 404, 403.
pub async fn list(ctx: &Ctx, workspace: WorkspaceId) -> Result<Page<Project>, Problem> {
    let grant = ctx.authorize::<ProjectsRead>(workspace).await?;
    let tx = ctx.services.store.scoped_read(&grant).await?;
    Ok(Page::whole(
        store::list(&tx)
            .await?
            .into_iter()
            .map(Project::from)
            .collect(),
    ))
}

/// One project.
///
/// # Errors
/// 404, 403.
pub async fn get(ctx: &Ctx, workspace: WorkspaceId, id: ProjectId) -> Result<Project, Problem> {
    let grant = ctx.authorize::<ProjectsRead>(workspace).await?;
    let tx = ctx.services.store.scoped_read(&grant).await?;
    Ok(store::find(&tx, id)
        .await?
        .ok_or_else(Problem::not_found)?
        .into())
}

/// Where a project's code comes from, for whoever brings it into a container.
///
/// # Errors
/// 404 when the grant's workspace has no such project.
pub async fn source_of<P: Permission>(
    services: &Services,
    grant: &Grant<P>,
    id: ProjectId,
) -> Result<(Project, StoredSource), Problem> {
    let tx = services.store.scoped_read(grant).await?;
    let row = store::find(&tx, id).await?.ok_or_else(Problem::not_found)?;
    let archive = match &row.object_key {
        Some(key) => Some(archive::stored(tx.workspace(), key)?),
        None => None,
    };
    let source = match (row.source_kind.as_str(), &row.source_url, archive) {
        ("git", Some(url), _) => StoredSource::Git {
            url: url.clone(),
            branch: row.source_branch.clone(),
        },
        ("archive", _, Some(key)) => StoredSource::Archive {
            key: key.0,
            format: key.1,
        },
        _ => StoredSource::Empty,
    };
    Ok((row.into(), source))
}

/// Makes a project from an empty folder or a git address.
///
/// # Errors
/// `unprocessable` naming the value that is not right; `conflict` when the workspace is full.
pub async fn create(
    ctx: &Ctx,
    workspace: WorkspaceId,
    name: &str,
    source: Source,
) -> Result<Project, Problem> {
    let grant = ctx.authorize::<ProjectsWrite>(workspace).await?;
    check(name, &source)?;
    if matches!(source, Source::Archive {}) {
        return Err(Problem::new(
            Code::Unprocessable,
            "source: an archive is uploaded to …/projects/import, not named here.",
        ));
    }
    let id = ProjectId::new(&ctx.services.clock, &ctx.services.rng);
    insert(ctx, &grant, id, name, source, None, None).await
}

/// Makes a project from an archive that passed inspection.
///
/// # Errors
/// As [`create`].
pub async fn import(
    ctx: &Ctx,
    workspace: WorkspaceId,
    name: &str,
    upload: Upload,
) -> Result<Project, Problem> {
    // On its own: whoever asked may go away meanwhile, and what was kept would be nobody's.
    let work = keep_and_insert(ctx.clone(), workspace, name.to_owned(), upload);
    let work = ctx.services.tasks.spawn(work.in_current_span());
    work.await.map_err(Problem::internal)?
}

async fn keep_and_insert(
    ctx: Ctx,
    workspace: WorkspaceId,
    name: String,
    upload: Upload,
) -> Result<Project, Problem> {
    let may = async || {
        ctx.require_valid().await?;
        ctx.authorize::<ProjectsWrite>(workspace).await
    };
    // The upload took as long as it took.
    may().await?;
    check(&name, &Source::Archive {})?;
    let services = &ctx.services;
    let id = ProjectId::new(&services.clock, &services.rng);
    let framework = upload.framework.clone();
    let key = archive::key(workspace, id, upload.format)?;
    let made = async {
        services.objects.put(&key, upload.path()).await?;
        // And so did this.
        let grant = may().await?;
        let (source, key) = (Source::Archive {}, Some(key.as_str().to_owned()));
        insert(&ctx, &grant, id, &name, source, key, framework).await
    }
    .await;
    if made.is_err() {
        // No row names it, so nobody would ever remove it; and storage that answered too late may have it all the same.
        archive::remove(services, key).await;
    }
    made
}

/// Whether the actor may import here, asked before an upload is read.
///
/// # Errors
/// 404, 403, `conflict` when the workspace is full or archives are not kept here, or `unprocessable` for the name.
pub async fn may_import(ctx: &Ctx, workspace: WorkspaceId, name: &str) -> Result<(), Problem> {
    let grant = ctx.authorize::<ProjectsWrite>(workspace).await?;
    ctx.services.objects.require()?;
    check(name, &Source::Archive {})?;
    refuse_when_full(&ctx.services.store.scoped_read(&grant).await?).await
}

/// Deletes a project with its secrets and its stored archive; folders in containers stay, and no other project gets their name.
///
/// # Errors
/// 404 when it is not there; `forbidden` when it has secrets that the caller may not delete.
pub async fn delete(ctx: &Ctx, workspace: WorkspaceId, id: ProjectId) -> Result<(), Problem> {
    let grant = ctx.authorize::<ProjectsWrite>(workspace).await?;
    // To make and delete projects is less than to delete secrets.
    let with_secrets = secrets::may_write(ctx, workspace).await?;
    let tx = ctx.services.store.scoped(&grant).await?;
    let row = store::lock(&tx, id).await?.ok_or_else(Problem::not_found)?;
    let secrets = secrets::delete_with_project(ctx, &tx, id, with_secrets).await?;
    store::delete(&tx, id).await?;
    let mut entries = Entries::from(audit::entry(ctx, Action::ProjectDelete, id, row.name));
    if let Some(secrets) = secrets {
        entries = entries.and_all(secrets);
    }
    tx.commit(entries).await?;
    if let Some(key) = row.object_key {
        match archive::stored(workspace, &key) {
            Ok((key, _)) => archive::remove(&ctx.services, key).await,
            // The row is gone; what it named was not this workspace's.
            Err(problem) => tracing::warn!(cause = problem.cause, "an archive was not removed"),
        }
    }
    Ok(())
}

fn check(name: &str, source: &Source) -> Result<(), Problem> {
    if let Some(message) = model::name_complaint(name) {
        return Err(Problem::new(
            Code::Unprocessable,
            format!("name: {message}"),
        ));
    }
    if let Source::Git { url, branch } = source
        && let Some((field, message)) = model::git_complaint(url, branch.as_deref())
    {
        return Err(Problem::new(
            Code::Unprocessable,
            format!("{field}: {message}"),
        ));
    }
    Ok(())
}

async fn refuse_when_full(tx: &ScopedRead) -> Result<(), Problem> {
    if store::count(tx).await? < model::MOST {
        return Ok(());
    }
    Err(Problem::new(
        Code::Conflict,
        format!(
            "The workspace has {} projects, which is the most it can have. Delete one that is not needed any more.",
            model::MOST
        ),
    ))
}

async fn insert(
    ctx: &Ctx,
    grant: &Grant<ProjectsWrite>,
    id: ProjectId,
    name: &str,
    source: Source,
    object_key: Option<String>,
    framework: Option<String>,
) -> Result<Project, Problem> {
    let (kind, url, branch) = match source {
        Source::Git { url, branch } => {
            ("git", Some(url), branch.filter(|branch| !branch.is_empty()))
        }
        Source::Archive {} => ("archive", None, None),
        Source::Empty {} => ("empty", None, None),
    };
    let tx = ctx.services.store.scoped(grant).await?;
    refuse_when_full(&tx).await?;
    let slug = store::give_slug(&tx, &model::slug_of(name))
        .await
        .map_err(|error| match error {
            StoreError::Duplicate => Problem::new(
                Code::Conflict,
                "Somebody else made a project of the same name just now. Try again.",
            ),
            other => other.into(),
        })?;
    let row = tx
        .insert(project::ActiveModel {
            workspace_id: Set(tx.workspace()),
            id: Set(id),
            name: Set(name.trim().to_owned()),
            slug: Set(slug),
            source_kind: Set(kind.to_owned()),
            source_url: Set(url),
            source_branch: Set(branch),
            object_key: Set(object_key),
            framework: Set(framework),
            created_by: Set(ctx.actor.user()),
            created_at_ms: Set(ctx.now_ms()),
        })
        .await?;
    tx.commit(audit::entry(ctx, Action::ProjectCreate, id, kind))
        .await?;
    Ok(row.into())
}
