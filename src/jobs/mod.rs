//! Layer 3: periodic work.
//!
//! What always holds: a job that fails is logged and tried again at its next time; none keeps the server from stopping.
//! A job may run on two replicas at once and must be right all the same.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::context::Services;
use crate::kernel::Problem;

/// A replica that dies at work is followed by another one after this time.
const LEASE: Duration = Duration::from_secs(60);

type Running = Pin<Box<dyn Future<Output = Result<(), Problem>> + Send>>;

/// Something to do again and again.
pub struct Job {
    name: &'static str,
    every: Duration,
    run: Box<dyn Fn(Services) -> Running + Send + Sync>,
}

impl Job {
    /// Does `run` each `every`, the first time after a part of it that chance decides, so that replicas spread.
    pub fn new<F>(
        name: &'static str,
        every: Duration,
        run: impl Fn(Services) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), Problem>> + Send + 'static,
    {
        Self {
            name,
            every,
            run: Box::new(move |services| Box::pin(run(services))),
        }
    }
}

/// Starts all jobs; they end when the server is to stop.
pub fn start(services: &Services, jobs: Vec<Job>) {
    for job in jobs {
        services.tasks.spawn(work(services.clone(), job));
    }
}

async fn work(services: Services, job: Job) {
    let chance = f64::from(u32::from_le_bytes(services.rng.bytes::<4>())) / f64::from(u32::MAX);
    let mut wait = job.every.mul_f64(chance);
    loop {
        tokio::select! {
            () = services.shutdown.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        wait = job.every;
        // Where replicas share a lock, one of them does this round. While nobody can tell, each does.
        let lock = services
            .shared
            .locks
            .take(&format!("job {}", job.name), LEASE)
            .await;
        let held = match lock {
            Ok(Some(held)) => Some(held),
            Ok(None) => continue,
            Err(_) => None,
        };
        let running = (job.run)(services.clone());
        let ended = tokio::select! {
            () = services.shutdown.cancelled() => return,
            ended = running => ended,
        };
        if let Some(held) = held {
            held.release().await;
        }
        if let Err(problem) = ended {
            tracing::warn!(
                job = job.name,
                cause = problem.cause.as_deref().unwrap_or(&problem.detail),
                "a job failed and is tried again later"
            );
        }
    }
}
