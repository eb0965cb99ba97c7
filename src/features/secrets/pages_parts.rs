//! What the pages of secrets share: the scope that each is about, with its addresses, and the form of a value.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::api::InScope;
use super::model::{DeliveredAs, Scope, Tier};
use super::overview::{self, Around, Relation};
use super::rules::expiry_complaint;
use super::set::{NewSecret, Value};
use crate::authz::{PermissionId, Role};
use crate::features::members;
use crate::kernel::{Code, Problem, ProjectId, SecretString, WorkspaceId};
use crate::web::{Chrome, FieldError, PageCtx, time};

/// A scope of a workspace, as addresses name it.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Whose secrets.
    pub scope: Scope,
}

impl Place {
    /// From the address of a page.
    ///
    /// # Errors
    /// `unprocessable` when scope and project do not go together.
    pub fn asked(workspace: WorkspaceId, asked: &InScope) -> Result<Self, Problem> {
        let scope = asked.scope()?;
        Ok(Self { workspace, scope })
    }

    fn with(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    /// The list.
    pub fn list(self) -> String {
        format!(
            "/workspaces/{}/secrets{}",
            self.workspace,
            self.scope.query()
        )
    }

    /// What is below the list: a secret by the name that it has, or one of the other pages.
    pub fn at(self, below: &str) -> String {
        let (workspace, query) = (self.workspace, self.scope.query());
        format!("/workspaces/{workspace}/secrets/{below}{query}")
    }

    /// Something that is done with a secret of this name.
    pub fn of(self, name: &str, act: &str) -> String {
        self.at(&format!("{name}/{act}"))
    }

    /// The API below the workspace's secrets.
    pub fn api(self, below: &str) -> String {
        format!("/api/v1{}", self.at(below))
    }

    /// The API's list.
    pub fn api_list(self) -> String {
        format!("/api/v1{}", self.list())
    }
}

/// A way to another page.
pub struct Link {
    /// What it says.
    pub text: String,
    /// Where it leads; empty for a text alone.
    pub href: String,
    /// Whether it is the page that is shown.
    pub current: bool,
}

/// A scope as its pages show it to somebody.
pub struct View {
    /// Which.
    pub place: Place,
    around: Around,
    role: Role,
}

impl View {
    /// With what pages have around them.
    ///
    /// # Errors
    /// 404 for a workspace, or a project, that is not there.
    pub async fn open(page: &PageCtx, place: Place) -> Result<(Self, Chrome), Problem> {
        let chip = members::workspace_chip(&page.ctx, place.workspace).await?;
        let role = chip.role.parse().map_err(Problem::internal)?;
        let around = overview::around(&page.ctx, place.workspace).await?;
        let view = Self {
            place,
            around,
            role,
        };
        if view.project().is_some_and(str::is_empty) {
            return Err(Problem::not_found());
        }
        Ok((view, Chrome::of(page, Some(chip), "secrets")))
    }

    /// Whether they may set and delete here.
    pub fn may_write(&self) -> bool {
        self.may(PermissionId::SecretsWrite)
    }

    /// Whether they may see masked values here.
    pub fn may_reveal(&self) -> bool {
        self.may(PermissionId::SecretsReveal)
    }

    /// Whether they may have secrets of their own.
    pub fn may_own(&self) -> bool {
        self.role.allows(PermissionId::SecretsOwn)
    }

    fn may(&self, shared: PermissionId) -> bool {
        match self.place.scope {
            Scope::Workspace | Scope::Project(_) => self.role.allows(shared),
            Scope::Own => self.may_own(),
        }
    }

    /// The scope's word.
    pub fn word(&self) -> &'static str {
        match self.place.scope {
            Scope::Workspace => "workspace",
            Scope::Project(_) => "project",
            Scope::Own => "own",
        }
    }

    /// The project's name, when it is one's.
    pub fn project(&self) -> Option<&str> {
        let project = self.place.scope.project()?;
        Some(self.around.project_name(project))
    }

    /// The scopes that a person may look at, but for projects'.
    pub fn scopes(&self) -> Vec<Link> {
        let mut links = vec![self.link("Workspace", Scope::Workspace)];
        if self.may_own() || self.place.scope == Scope::Own {
            links.push(self.link("Mine", Scope::Own));
        }
        links
    }

    /// Each project.
    pub fn projects(&self) -> Vec<Link> {
        let projects = self.around.projects.iter();
        projects
            .map(|project| self.link(&project.name, Scope::Project(project.id)))
            .collect()
    }

    fn link(&self, text: &str, scope: Scope) -> Link {
        Link {
            text: text.to_owned(),
            href: self.place.with(scope).list(),
            current: scope == self.place.scope,
        }
    }

    /// How the secret of this name stands to those of the same name in other scopes.
    pub fn notes(&self, name: &str) -> Vec<Link> {
        let relations = self.around.relations(self.place.scope, name);
        let link = |text: String, scope: Scope| Link {
            text,
            href: self.place.with(scope).at(name),
            current: false,
        };
        let projects = |first: ProjectId, more: usize| match more {
            0 => format!("project {}", self.around.project_name(first)),
            more => format!("{} projects", more + 1),
        };
        let note = |relation: Relation| match relation {
            Relation::ForWorkspace => {
                link("In place of the workspace's".to_owned(), Scope::Workspace)
            }
            Relation::ForProject(first, more) => {
                let text = format!("In place of the one of {}", projects(first, more));
                link(text, Scope::Project(first))
            }
            Relation::OwnInstead => link(
                "Your container gets your own instead".to_owned(),
                Scope::Own,
            ),
            Relation::ProjectInstead(first, more) => {
                let text = format!("Another one in {}", projects(first, more));
                link(text, Scope::Project(first))
            }
        };
        relations.into_iter().map(note).collect()
    }
}

/// A value that a form sets.
#[derive(Deserialize)]
pub struct ValueForm {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub tier: String,
    /// Absent when the page sealed it.
    #[serde(default)]
    value: String,
    pub description: Option<String>,
    /// A day; empty when the end is not known.
    #[serde(default)]
    pub expires: String,
    /// Present when references are to be put in.
    pub expand: Option<String>,
    /// Empty for what it is, or is without a choice.
    #[serde(default)]
    pub delivered_as: String,
    /// The names that a sealed value refers to.
    #[serde(default)]
    references: String,
    /// What the page's script puts in the place of the value, as in the API.
    #[serde(default)]
    root: String,
    #[serde(default)]
    enc: String,
    #[serde(default)]
    ciphertext: String,
}

impl ValueForm {
    /// What is to be set under a name.
    ///
    /// # Errors
    /// `unprocessable` with what is not right.
    pub fn take(&mut self, name: String, now_ms: i64) -> Result<NewSecret, Problem> {
        let sealed = !self.enc.is_empty();
        Ok(NewSecret {
            name,
            tier: tier(&self.tier)?,
            value: self.take_value()?,
            description: self.description.clone(),
            expires_at_ms: expiry(&self.expires, now_ms)?,
            expand: self.expand.as_ref().map(|_| true),
            references: sealed.then(|| super::model::words(&self.references)),
            delivered_as: delivered_as(&self.delivered_as)?,
        })
    }

    fn take_value(&mut self) -> Result<Value, Problem> {
        if self.enc.is_empty() {
            let value = std::mem::take(&mut self.value);
            return Ok(Value::Plain(SecretString::from(value)));
        }
        let root = self.root.parse().unwrap_or_default();
        Value::sealed(root, &self.enc, &self.ciphertext).map_err(unprocessable)
    }
}

/// A tier that a form names.
///
/// # Errors
/// `unprocessable` for any other word.
pub fn tier(word: &str) -> Result<Tier, Problem> {
    match word {
        "visible" | "masked" | "sensitive" => Ok(Tier::stored(word)),
        other => Err(unprocessable(format!(
            "tier: {other:?} is not a tier. Choose one of the three."
        ))),
    }
}

/// How a form wants it delivered; none for an empty field.
///
/// # Errors
/// `unprocessable` for any other word.
pub fn delivered_as(word: &str) -> Result<Option<DeliveredAs>, Problem> {
    match word {
        "" => Ok(None),
        "environment" | "file" | "both" => Ok(Some(DeliveredAs::stored(word))),
        other => Err(unprocessable(format!(
            "delivered_as: {other:?} is no way to deliver a secret. Choose one of the three."
        ))),
    }
}

/// The last moment of a day that a form names; none for an empty field.
///
/// # Errors
/// `unprocessable` for what is no day to come.
pub fn expiry(day: &str, now_ms: i64) -> Result<Option<i64>, Problem> {
    let day = day.trim();
    if day.is_empty() {
        return Ok(None);
    }
    let end = time::end_of_day(day);
    if end.is_none() || expiry_complaint(end, now_ms).is_some() {
        return Err(unprocessable(format!(
            "expires: {day:?} is not a day of the next hundred years. Write it as {}, in UTC.",
            time::day(now_ms.saturating_add(90 * 24 * 60 * 60 * 1_000))
        )));
    }
    Ok(end)
}

/// A form is not right: `field: what is wrong`.
pub fn unprocessable(message: String) -> Problem {
    Problem::new(Code::Unprocessable, message)
}

/// What the form's page shows beside its fields; other problems have a page of their own.
///
/// # Errors
/// The problem, when it is not about what the form says.
pub fn mistakes(problem: Problem) -> Result<Vec<FieldError>, Problem> {
    let about_the_form = matches!(
        problem.code,
        Code::Unprocessable | Code::Conflict | Code::TooLarge
    );
    if !about_the_form {
        return Err(problem);
    }
    let fields = [
        "name",
        "value",
        "tier",
        "description",
        "expires",
        "references",
        "delivered_as",
        "version",
    ];
    Ok(vec![FieldError::of(&problem, &fields, "")])
}

/// A page that says what is wrong with its form.
pub fn refused(mut page: Response) -> Response {
    *page.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    page
}

/// The end of a form that did what it is for.
pub fn to(address: &str) -> Response {
    Redirect::to(address).into_response()
}
