//! A server and a workspace, for commands that ask its API from anywhere.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use axum::http::Method;
use serde::Deserialize;

use crate::clients::api::{ApiClient, ApiError};
use crate::kernel::{ProjectId, SecretString, WorkspaceId};

/// The variable that holds the token.
pub const TOKEN: &str = "OPTIDEV_TOKEN";

/// Which server, as whom, and in which workspace. The token is in OPTIDEV_TOKEN, or in a file.
#[derive(clap::Args)]
pub struct RemoteArgs {
    /// The server's address.
    #[arg(long, value_name = "URL", env = "OPTIDEV_URL", global = true)]
    server: Option<String>,
    /// A file that holds the API token, in place of the variable OPTIDEV_TOKEN.
    #[arg(long, value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,
    /// The workspace's id; not needed by who has one only.
    #[arg(long, value_name = "ID", env = "OPTIDEV_WORKSPACE", global = true)]
    workspace: Option<WorkspaceId>,
    /// Certificates to trust the server by, in PEM, in place of the system's.
    #[arg(long, value_name = "FILE", env = "OPTIDEV_CA_FILE", global = true)]
    ca_file: Option<PathBuf>,
}

/// A workspace on a server.
pub struct Remote {
    /// The server.
    pub api: ApiClient,
    /// The workspace.
    pub workspace: WorkspaceId,
}

#[derive(Deserialize)]
struct List<T> {
    items: Vec<T>,
}

#[derive(Deserialize)]
struct Named<I> {
    id: I,
    name: String,
}

#[derive(Deserialize)]
struct ProjectNamed {
    id: ProjectId,
    name: String,
    slug: String,
}

impl RemoteArgs {
    /// Finds out what was not given.
    ///
    /// # Errors
    /// What is missing and how to give it.
    pub async fn open(self) -> anyhow::Result<Remote> {
        let Some(server) = self.server else {
            bail!("say which server: --server https://..., or the variable OPTIDEV_URL");
        };
        let token = token(self.token_file.as_deref())?;
        let ca = match &self.ca_file {
            Some(path) => Some(read(path)?),
            None => None,
        };
        let api = ApiClient::new(&server, token, ca.as_deref())?;
        let workspace = match self.workspace {
            Some(workspace) => workspace,
            None => only(&api).await?,
        };
        Ok(Remote { api, workspace })
    }
}

impl Remote {
    /// The path of the workspace's secrets, with `more` at its end.
    #[must_use]
    pub fn secrets(&self, more: &str) -> String {
        format!("/workspaces/{}/secrets{more}", self.workspace)
    }

    /// A project by its id, its folder or its name.
    ///
    /// # Errors
    /// When none or several are meant.
    pub async fn project(&self, asked: &str) -> anyhow::Result<ProjectId> {
        if let Ok(id) = asked.parse() {
            return Ok(id);
        }
        let path = format!("/workspaces/{}/projects", self.workspace);
        let found: List<ProjectNamed> = self
            .api
            .ask(Method::GET, &path, None)
            .await
            .with_context(|| format!("looking up the project {asked}; or give its id"))?;
        let by_folder = found.items.iter().find(|project| project.slug == asked);
        if let Some(project) = by_folder {
            return Ok(project.id);
        }
        let by_name = found.items.iter().filter(|project| project.name == asked);
        match by_name.collect::<Vec<_>>().as_slice() {
            [project] => Ok(project.id),
            [] => bail!("there is no project {asked:?} in {}", self.workspace),
            several => bail!(
                "{} projects are called {asked:?}; give the id of one",
                several.len()
            ),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "an argument would be seen by everybody on the machine"
)]
fn token(file: Option<&Path>) -> anyhow::Result<SecretString> {
    let text = match file {
        Some(path) => String::from_utf8(read(path)?)
            .with_context(|| format!("{} is no text", path.display()))?,
        None => std::env::var(TOKEN).unwrap_or_default(),
    };
    let token = SecretString::from(text.trim().to_owned());
    if token.expose().is_empty() {
        bail!("say as whom: an API token in the variable {TOKEN}, or in a file with --token-file");
    }
    Ok(token)
}

/// What a file holds.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("reading {}", path.display()))
}

/// The only workspace that the token's account is in.
async fn only(api: &ApiClient) -> anyhow::Result<WorkspaceId> {
    let listed: Result<List<Named<WorkspaceId>>, ApiError> =
        api.ask(Method::GET, "/workspaces", None).await;
    let listed = listed.context("looking up the workspace; or give it with --workspace")?;
    match listed.items.as_slice() {
        [one] => Ok(one.id),
        [] => bail!("the token's account is in no workspace"),
        several => {
            let names = several
                .iter()
                .map(|one| format!("{} ({})", one.id, one.name));
            let names: Vec<String> = names.collect();
            bail!(
                "say which workspace, with --workspace: {}",
                names.join(", ")
            )
        }
    }
}
