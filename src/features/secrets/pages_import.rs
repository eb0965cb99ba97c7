//! The pages that take a `.env` file: ask for it, show what it would change, and set it.
//!
//! With script the page reads the file itself and sends sealed values to the API. Without, the text goes through here: it is
//! in the page that shows the difference, and comes back with the confirmation. Nothing of it is kept in between.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::extract::multipart::Field;
use axum::response::Response;

use super::api::InScope;
use super::env_file::{self, ImportPreview, ImportState};
use super::model::Tier;
use super::pages_parts::{Place, View, mistakes, refused, tier, to, unprocessable};
use super::rules;
use super::set::{self, NewSecret, Value};
use crate::kernel::{Code, Problem, SecretString, WorkspaceId};
use crate::web::{Chrome, FieldError, PageCtx, PageForm, PageMultipart, Path, Query, html};

/// Most bytes of a file: with all of it encoded, a form has to stay below what a body may have.
const MOST_BYTES: usize = 512 * 1024;

/// A line of what was read, and what would become of it.
struct Row {
    line: usize,
    name: String,
    /// A word for the state, as `data-state` has it.
    state: &'static str,
    /// That of the secret that is there; empty where none is.
    tier: &'static str,
    /// Why it is not taken.
    message: Option<String>,
    /// Whether it can be set.
    settable: bool,
    taken: bool,
    /// What was chosen for a new one; empty for what all new ones get.
    chosen: String,
}

/// What was read.
struct Difference {
    text: SecretString,
    rows: Vec<Row>,
    settable: usize,
    new: usize,
    refused: usize,
    /// The tier of new ones.
    tier: String,
}

#[derive(Template)]
#[template(path = "secrets/import.html")]
struct Page {
    chrome: Chrome,
    view: View,
    reserved: String,
    difference: Option<Difference>,
    errors: Vec<FieldError>,
}

/// `GET /workspaces/{workspace}/secrets/import`
pub async fn ask(
    page: PageCtx,
    Path(workspace): Path<WorkspaceId>,
    Query(asked): Query<InScope>,
) -> Result<Response, Problem> {
    let place = Place::asked(workspace, &asked)?;
    set::may_set(&page.ctx, workspace, place.scope).await?;
    show(&page, place, None, Vec::new()).await
}

async fn show(
    page: &PageCtx,
    place: Place,
    difference: Option<Difference>,
    errors: Vec<FieldError>,
) -> Result<Response, Problem> {
    let (view, chrome) = View::open(page, place).await?;
    html(&Page {
        chrome,
        view,
        reserved: rules::reserved(),
        difference,
        errors,
    })
}

/// `POST /workspaces/{workspace}/secrets/import`
pub async fn check(
    Path(workspace): Path<WorkspaceId>,
    Query(asked): Query<InScope>,
    PageMultipart { page, mut fields }: PageMultipart,
) -> Result<Response, Problem> {
    let place = Place::asked(workspace, &asked)?;
    set::may_set(&page.ctx, workspace, place.scope).await?;
    let (mut typed, mut file) = (None, None);
    while let Some(field) = fields.next_field().await.map_err(broken)? {
        match field.name().unwrap_or_default() {
            "text" => typed = Some(read(field).await?),
            "file" => file = Some(read(field).await?),
            _ => {}
        }
    }
    let given = |text: &SecretString| !text.expose().trim().is_empty();
    let Some(text) = file.filter(given).or(typed.filter(given)) else {
        let problem = unprocessable("text: Choose a file, or paste its text.".to_owned());
        return wrong(&page, place, None, problem).await;
    };
    match env_file::preview(&page.ctx, workspace, place.scope, text.expose()).await {
        Ok(preview) => {
            let difference = Difference::of(preview, text, &Choice::default());
            show(&page, place, Some(difference), Vec::new()).await
        }
        Err(problem) => wrong(&page, place, None, problem).await,
    }
}

async fn wrong(
    page: &PageCtx,
    place: Place,
    difference: Option<Difference>,
    problem: Problem,
) -> Result<Response, Problem> {
    let mut errors = mistakes(problem)?;
    for error in &mut errors {
        if let Some(message) = error.message.strip_prefix("text: ") {
            (error.field, error.message) = ("text".to_owned(), message.to_owned());
        }
    }
    Ok(refused(show(page, place, difference, errors).await?))
}

fn broken(error: axum::extract::multipart::MultipartError) -> Problem {
    Problem::new(
        Code::BadRequest,
        format!("The form broke off: {}. Send it again.", error.body_text()),
    )
}

async fn read(mut field: Field<'_>) -> Result<SecretString, Problem> {
    let mut bytes = zeroize::Zeroizing::new(Vec::new());
    while let Some(chunk) = field.chunk().await.map_err(broken)? {
        if bytes.len() + chunk.len() > MOST_BYTES {
            return Err(Problem::new(
                Code::TooLarge,
                format!("The text is longer than {MOST_BYTES} bytes. Import it in parts."),
            ));
        }
        bytes.extend_from_slice(&chunk);
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) if !text.contains('\0') => Ok(SecretString::from(text)),
        _ => Err(Problem::new(
            Code::BadRequest,
            "The file is not UTF-8 text, or holds a NUL character. Choose a .env file.",
        )),
    }
}

/// What a person chose of a difference.
struct Choice {
    /// The names that are to be set; all of them before a choice was made.
    names: Option<BTreeSet<String>>,
    /// The tier of new ones.
    tier: String,
    /// Those of single new ones.
    tiers: BTreeMap<String, String>,
}

impl Default for Choice {
    fn default() -> Self {
        Self {
            names: None,
            tier: Tier::Masked.as_str().to_owned(),
            tiers: BTreeMap::new(),
        }
    }
}

impl Choice {
    /// From a form's fields: `take` with each name, `tier`, and `tier.NAME` where it is not empty.
    fn of(fields: Vec<(String, String)>) -> (Self, SecretString) {
        let mut choice = Self {
            names: Some(BTreeSet::new()),
            ..Self::default()
        };
        let mut text = SecretString::from("");
        for (field, value) in fields {
            match (field.as_str(), field.strip_prefix("tier.")) {
                ("text", _) => text = SecretString::from(value),
                ("take", _) => choice.names.get_or_insert_default().extend([value]),
                ("tier", _) => choice.tier = value,
                (_, Some(name)) if !value.is_empty() => {
                    choice.tiers.insert(name.to_owned(), value);
                }
                _ => {}
            }
        }
        (choice, text)
    }

    fn takes(&self, name: &str) -> bool {
        self.names.as_ref().is_none_or(|names| names.contains(name))
    }

    /// The tier of a new one.
    fn tier_of(&self, name: &str) -> Result<Tier, Problem> {
        tier(self.tiers.get(name).unwrap_or(&self.tier))
    }
}

fn settable(state: ImportState) -> bool {
    matches!(
        state,
        ImportState::Added | ImportState::Changed | ImportState::NewVersion
    )
}

impl Difference {
    fn of(preview: ImportPreview, text: SecretString, choice: &Choice) -> Self {
        let entries = preview.entries.into_iter().map(|entry| Row {
            line: entry.line,
            state: match entry.state {
                ImportState::Added => "added",
                ImportState::Changed => "changed",
                ImportState::Unchanged => "unchanged",
                ImportState::NewVersion => "new_version",
                ImportState::Invalid => "invalid",
            },
            tier: entry.tier.map(Tier::as_str).unwrap_or_default(),
            message: entry.message,
            settable: settable(entry.state),
            taken: choice.takes(&entry.name),
            chosen: choice.tiers.get(&entry.name).cloned().unwrap_or_default(),
            name: entry.name,
        });
        let mistakes = preview.mistakes.into_iter().map(|mistake| Row {
            line: mistake.line,
            name: String::new(),
            state: "invalid",
            tier: "",
            message: Some(mistake.message.to_owned()),
            settable: false,
            taken: false,
            chosen: String::new(),
        });
        let mut rows: Vec<Row> = entries.chain(mistakes).collect();
        rows.sort_by_key(|row| row.line);
        let count = |state: &str| rows.iter().filter(|row| row.state == state).count();
        Self {
            text,
            settable: rows.iter().filter(|row| row.settable).count(),
            new: count("added"),
            refused: count("invalid"),
            rows,
            tier: choice.tier.clone(),
        }
    }
}

/// `POST /workspaces/{workspace}/secrets/import/confirm`
pub async fn confirm(
    Path(workspace): Path<WorkspaceId>,
    Query(asked): Query<InScope>,
    PageForm { page, form }: PageForm<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    let place = Place::asked(workspace, &asked)?;
    set::may_set(&page.ctx, workspace, place.scope).await?;
    let (choice, text) = Choice::of(form);
    let preview = env_file::preview(&page.ctx, workspace, place.scope, text.expose()).await?;
    let done = match chosen(&preview, &choice) {
        Ok(new) => set::set_many(&page.ctx, workspace, place.scope, new, Vec::new()).await,
        Err(problem) => Err(problem),
    };
    let Err(problem) = done else {
        return Ok(to(&place.list()));
    };
    let difference = Difference::of(preview, text, &choice);
    wrong(&page, place, Some(difference), problem).await
}

/// What is to be set of what was read.
fn chosen(preview: &ImportPreview, choice: &Choice) -> Result<Vec<NewSecret>, Problem> {
    let entries = preview.entries.iter();
    let entries = entries.filter(|entry| settable(entry.state) && choice.takes(&entry.name));
    let new = entries.map(|entry| {
        Ok(NewSecret {
            name: entry.name.clone(),
            tier: match entry.tier {
                Some(tier) => tier,
                None => choice.tier_of(&entry.name)?,
            },
            value: Value::Plain(SecretString::from(entry.value.as_str())),
            description: None,
            expires_at_ms: None,
            expand: None,
            references: None,
            delivered_as: None,
        })
    });
    let new = new.collect::<Result<Vec<_>, Problem>>()?;
    if new.is_empty() {
        return Err(unprocessable(
            "Nothing is chosen. Choose at least one secret to import.".to_owned(),
        ));
    }
    Ok(new)
}
