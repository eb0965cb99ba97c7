//! What the vault delivers, sealed to this run of the agent: variables, and files for those who rather read one.
//!
//! Always holds: values are in memory only, zeroized when replaced; variables reach processes that are started
//! afterwards, files are written below one folder, and no value is in a response or message. All of a delivery is taken,
//! or nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Router, routing};
use zeroize::{Zeroize as _, Zeroizing};

use crate::app::{App, State as AppState, blocking};
use crate::extract;
use crate::home::RelPath;
use crate::problem::{Problem, shown};
use crate::secret_files::{Files, PROJECTS};
use crate::wire::{Context, Environment, FileForm};

/// The largest delivery, as JSON.
const BODY_MAX: usize = 32 << 20;

type Set = Vec<(String, Zeroizing<String>)>;

/// The delivered variables: those of each project that has its own, and the workspace's under `None`.
#[derive(Default)]
pub struct Variables {
    sets: Mutex<BTreeMap<Option<String>, Set>>,
    /// Held by the one delivery that is taken at a time.
    turn: Mutex<()>,
}

impl Variables {
    fn replace(&self, new: BTreeMap<Option<String>, Set>) {
        *self.sets.lock().unwrap_or_else(PoisonError::into_inner) = new;
    }

    /// Hands each variable of a process in `project`'s folder to `give`.
    pub fn each(&self, project: Option<&str>, mut give: impl FnMut(&str, &str)) {
        let sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        let own = project.and_then(|folder| sets.get(&Some(folder.to_owned())));
        for (name, value) in own.or_else(|| sets.get(&None)).into_iter().flatten() {
            give(name, value);
        }
    }
}

pub fn routes() -> Router<App> {
    Router::new().route("/v1/environment", routing::put(put))
}

async fn put(State(app): State<App>, body: Body) -> Result<StatusCode, Problem> {
    app.gate.may_start()?;
    let delivered: Environment = extract::json(body, BODY_MAX).await?;
    // On a thread of its own: it goes on to its end when the server goes away in the middle.
    blocking(move || take(&app, delivered)).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn take(app: &AppState, delivered: Environment) -> Result<(), Problem> {
    let turn = app.variables.turn.lock();
    let _turn = turn.unwrap_or_else(PoisonError::into_inner);
    let (mut sets, mut files) = (BTreeMap::new(), BTreeMap::new());
    let projects = delivered.projects.into_iter();
    let projects = projects.map(|(folder, context)| (Some(folder), context));
    for (project, context) in std::iter::once((None, delivered.workspace)).chain(projects) {
        if let Some(folder) = &project {
            check_folder(folder)?;
        }
        let opened = open(app, &context, project.as_deref())?;
        sets.insert(project.clone(), opened.variables);
        if !opened.files.is_empty() {
            files.insert(project, opened.files);
        }
    }
    app.secret_files.replace(&files)?;
    app.variables.replace(sets);
    Ok(())
}

fn check_folder(name: &str) -> Result<(), Problem> {
    if name.is_empty() || name.contains('/') {
        return Err(Problem::unprocessable(format!(
            "{} is not the name of a project's folder.",
            shown(name)
        )));
    }
    RelPath::parse(name).map(drop)
}

/// What a context has, as processes get it.
struct Opened {
    variables: Set,
    files: Files,
}

fn open(app: &AppState, context: &Context, project: Option<&str>) -> Result<Opened, Problem> {
    let info = context.info.as_bytes();
    let plain = app.keys.open(&context.sealed, info).map_err(|error| {
        Problem::unprocessable(format!("The environment was refused: {error}."))
    })?;
    // The parser's own message could quote a value, so it is not passed on.
    let parsed: BTreeMap<String, String> = serde_json::from_slice(&plain).map_err(|_| {
        Problem::unprocessable("The sealed environment is not a JSON object of strings.")
    })?;
    let all = checked(parsed)?;
    let names: BTreeSet<String> = all.iter().map(|(name, _)| name.clone()).collect();
    let place = app.secret_files.place(project);
    let (mut variables, mut files) = (Set::with_capacity(all.len()), Files::new());
    for (name, value) in all {
        let form = context.files.get(&name);
        if form.is_some() && project.is_none() && name == PROJECTS {
            return Err(Problem::unprocessable(format!(
                "{name} cannot be a file: the folder of projects' files has this name."
            )));
        }
        match form {
            None => variables.push((name, value)),
            Some(FileForm::Both) => {
                files.push((name.clone(), value.clone()));
                variables.push((name, value));
            }
            Some(FileForm::File) => {
                let pointer = format!("{name}_FILE");
                // A secret of that name is meant by whoever set it.
                if !names.contains(&pointer) {
                    let path = place.join(&name).to_string_lossy().into_owned();
                    variables.push((pointer, Zeroizing::new(path)));
                }
                files.push((name, value));
            }
        }
    }
    Ok(Opened { variables, files })
}

fn checked(parsed: BTreeMap<String, String>) -> Result<Vec<(String, Zeroizing<String>)>, Problem> {
    let mut variables = Vec::with_capacity(parsed.len());
    let mut refused = None;
    for (name, mut value) in parsed {
        if !is_name(&name) {
            refused = Some(format!(
                "{} cannot be the name of a variable: use letters, digits and _, not a digit first.",
                shown(&name)
            ));
            value.zeroize();
        } else if value.contains('\0') {
            refused = Some(format!(
                "The value of {name} contains a NUL byte, which no variable can hold."
            ));
            value.zeroize();
        } else {
            variables.push((name, Zeroizing::new(value)));
        }
    }
    match refused {
        Some(detail) => Err(Problem::unprocessable(detail)),
        None => Ok(variables),
    }
}

/// POSIX 8.1 names.
pub fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.len() <= 256
}
