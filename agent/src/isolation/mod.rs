//! The gate: nothing is served, and nothing starts, before the container's isolation is proven.
//!
//! Where the runtime leaves no network (the Unix socket), there is nothing to prove and the gate is open. In a pod the agent
//! probes what must be blocked and what must be reachable. Until that holds it answers `hello`, `shutdown` and `isolation`
//! only. A later run that fails ends nothing here, which is the server's to decide; but no process is started any more and
//! no value is taken, until a run succeeds.
//!
//! Always holds: what is not proven is refused. `processes::environment`, which every start of a process needs, asks the
//! gate, so that no new way to start one can go past it.

mod dns;
mod interface;
mod plan;
mod probe;
#[cfg(test)]
mod tests;

use std::sync::PoisonError;
use std::sync::{Arc, RwLock};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use axum::{Json, Router, routing};

use crate::app::App;
use crate::problem::Problem;
use crate::wire::{Isolation, ProbeResult};
pub use plan::Plan;

/// What is answered without a proof. `isolation` is among them, because it is how a proof can come about.
const OPEN: [&str; 3] = ["/v1/hello", "/v1/shutdown", "/v1/isolation"];

/// Whether the container is shown to be isolated.
pub struct Gate(Option<Probing>);

struct Probing {
    plan: Plan,
    found: RwLock<Found>,
    /// One run at a time: they would be in each other's way, and the last to end would win.
    turn: tokio::sync::Mutex<()>,
}

struct Found {
    last: Isolation,
    /// Some run of this agent succeeded.
    ever: bool,
}

impl Gate {
    /// For a runtime that leaves no network.
    pub fn open() -> Self {
        Self(None)
    }

    /// Shut until `plan` is proven.
    pub fn shut(plan: Plan) -> Self {
        Self(Some(Probing {
            plan,
            found: RwLock::new(Found {
                last: Isolation {
                    proven: false,
                    checked_at_ms: 0,
                    took_ms: 0,
                    probes: Vec::new(),
                },
                ever: false,
            }),
            turn: tokio::sync::Mutex::new(()),
        }))
    }

    /// What the last run found; `None` when there is nothing to prove.
    pub fn last(&self) -> Option<Isolation> {
        self.0
            .as_ref()
            .map(|probing| probing.read(|found| found.last.clone()))
    }

    /// Runs the probes, and answers what they found.
    pub async fn check(&self) -> Option<Isolation> {
        let probing = self.0.as_ref()?;
        let _turn = probing.turn.lock().await;
        let new = probing.plan.prove().await;
        let mut found = probing
            .found
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        found.ever |= new.proven;
        found.last = new.clone();
        drop(found);
        if !new.proven {
            eprintln!("optidev-agent: isolation-unproven: {}", failed(&new));
        }
        Some(new)
    }

    /// # Errors
    /// Isolation was never proven.
    fn may_serve(&self) -> Result<(), Problem> {
        self.require(|found| found.ever)
    }

    /// Whether a process may be started, or a value be taken.
    ///
    /// # Errors
    /// The last run of the probes failed, or none has succeeded yet.
    pub fn may_start(&self) -> Result<(), Problem> {
        self.require(|found| found.last.proven)
    }

    fn require(&self, holds: impl FnOnce(&Found) -> bool) -> Result<(), Problem> {
        let Some(probing) = &self.0 else {
            return Ok(());
        };
        probing.read(|found| {
            if holds(found) {
                Ok(())
            } else {
                Err(unproven(&found.last))
            }
        })
    }
}

impl Probing {
    fn read<T>(&self, look: impl FnOnce(&Found) -> T) -> T {
        look(&self.found.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn unproven(last: &Isolation) -> Problem {
    let detail = if last.checked_at_ms == 0 {
        "This container's isolation is being probed; ask again in a moment.".to_owned()
    } else {
        format!(
            "This container's isolation is not proven, so nothing is started in it: {}. Ask who runs OptiDev to look at the cluster's network policies.",
            failed(last)
        )
    };
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "isolation-unproven",
        "Isolation unproven",
        detail,
    )
}

/// The probes whose expectation does not hold, in words.
fn failed(found: &Isolation) -> String {
    let failed = found.probes.iter().filter(|probe| !probe.holds());
    let words = failed.map(|probe| {
        let ProbeResult {
            name,
            address,
            expected,
            observed,
            detail,
        } = probe;
        let (expected, observed) = (format!("{expected:?}"), format!("{observed:?}"));
        let (expected, observed) = (expected.to_lowercase(), observed.to_lowercase());
        let at = if address.is_empty() { "" } else { " at " };
        format!("{name}{at}{address} should be {expected} and is {observed} ({detail})")
    });
    words.collect::<Vec<_>>().join("; ")
}

/// A middleware of axum around every route: what is not in [`OPEN`] needs a proof.
pub async fn guard(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if !OPEN.contains(&request.uri().path()) {
        app.gate.may_serve()?;
    }
    Ok(next.run(request).await)
}

pub fn routes() -> Router<App> {
    Router::new().route("/v1/isolation", routing::post(check))
}

async fn check(State(app): State<App>) -> Result<Json<Isolation>, Problem> {
    let running = Arc::clone(&app);
    // A task of its own: what it finds counts also when the server has gone away.
    let run = app.tasks.spawn(async move { running.gate.check().await });
    let found = run
        .await
        .map_err(|error| Problem::internal(format!("The probes failed: {error}")))?;
    found.map(Json).ok_or_else(|| {
        Problem::not_found("This container has no network, so there is nothing to probe.")
    })
}
