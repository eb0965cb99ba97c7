//! The variables which the vault delivers, sealed to this run of the agent.
//!
//! Always holds: values are in memory only, zeroized when replaced; they reach processes that are
//! started afterwards, and no response, file or message.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Router, routing};
use zeroize::{Zeroize as _, Zeroizing};

use crate::app::App;
use crate::extract;
use crate::problem::{Problem, shown};
use crate::wire::Environment;

/// The largest sealed environment, as JSON.
const BODY_MAX: usize = 4 << 20;

/// The delivered variables.
#[derive(Default)]
pub struct Variables(Mutex<Vec<(String, Zeroizing<String>)>>);

impl Variables {
    fn replace(&self, new: Vec<(String, Zeroizing<String>)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = new;
    }

    /// Hands each variable to `give`.
    pub fn each(&self, mut give: impl FnMut(&str, &str)) {
        for (name, value) in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            give(name, value);
        }
    }
}

pub fn routes() -> Router<App> {
    Router::new().route("/v1/environment", routing::put(put))
}

async fn put(State(app): State<App>, body: Body) -> Result<StatusCode, Problem> {
    let Environment { sealed, info } = extract::json(body, BODY_MAX).await?;
    let plain = app.keys.open(&sealed, info.as_bytes()).map_err(|error| {
        Problem::unprocessable(format!("The environment was refused: {error}."))
    })?;
    // The parser's own message could quote a value, so it is not passed on.
    let parsed: BTreeMap<String, String> = serde_json::from_slice(&plain).map_err(|_| {
        Problem::unprocessable("The sealed environment is not a JSON object of strings.")
    })?;
    app.variables.replace(checked(parsed)?);
    Ok(StatusCode::NO_CONTENT)
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
