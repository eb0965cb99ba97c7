//! The steps of a start, shown while they happen.

use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::features::containers::model::{Observed, State, StepName, StepState, pending_steps};
use crate::features::containers::runtime::Steps;

/// Reports one start. Steps may overlap.
pub struct Progress<'a> {
    observed: &'a watch::Sender<Observed>,
    started: Instant,
    begun: [Option<Instant>; StepName::OF_PODS.len()],
}

impl<'a> Progress<'a> {
    /// A start of these steps begins. `reason` says why, when it is not the owner who asked.
    pub fn begin(
        observed: &'a watch::Sender<Observed>,
        steps: &[StepName],
        reason: Option<String>,
    ) -> Self {
        observed.send_modify(|observed| {
            observed.state = State::Starting;
            observed.reason = reason;
            observed.steps = pending_steps(steps);
            observed.start_duration_ms = None;
            observed.started_at_ms = None;
        });
        Self {
            observed,
            started: Instant::now(),
            begun: Default::default(),
        }
    }

    /// Whatever runs has failed.
    pub fn failed(&mut self, message: &str) {
        let begun = self.begun;
        self.observed.send_modify(|observed| {
            for step in observed
                .steps
                .iter_mut()
                .filter(|step| step.state == StepState::Running)
            {
                let since = begun.get(step.name as usize).copied().flatten();
                step.duration_ms = since.map(|since| ms(since.elapsed()));
                step.state = StepState::Failed;
                step.message = Some(message.to_owned());
            }
        });
    }

    /// Since the start began, in milliseconds.
    pub fn elapsed_ms(&self) -> i64 {
        ms(self.started.elapsed())
    }

    fn set(
        &self,
        name: StepName,
        state: StepState,
        duration_ms: Option<i64>,
        message: Option<String>,
    ) {
        self.observed.send_modify(|observed| {
            if let Some(step) = observed.steps.iter_mut().find(|step| step.name == name) {
                step.state = state;
                step.duration_ms = duration_ms;
                step.message = message;
            }
        });
    }
}

impl Steps for Progress<'_> {
    fn enter(&mut self, step: StepName) {
        if let Some(begun) = self.begun.get_mut(step as usize) {
            *begun = Some(Instant::now());
        }
        self.set(step, StepState::Running, None, None);
    }

    fn note(&mut self, step: StepName, message: Option<String>) {
        self.observed.send_if_modified(|observed| {
            let noted = observed.steps.iter_mut().find(|one| one.name == step);
            match noted {
                Some(step) if step.message != message => {
                    step.message = message;
                    true
                }
                _ => false,
            }
        });
    }

    fn done(&mut self, step: StepName, message: Option<String>) {
        let since = self
            .begun
            .get(step as usize)
            .copied()
            .flatten()
            .unwrap_or(self.started);
        self.set(step, StepState::Done, Some(ms(since.elapsed())), message);
    }
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
