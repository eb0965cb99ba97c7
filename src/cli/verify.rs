//! `optidev verify audit`: checks the audit log's chains. `optidev verify isolation`: has the controller prove that pods are
//! apart. Both also beside a running server.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Subcommand;

use super::{Place, complain};
use crate::app;
use crate::config::RuntimeKind;
use crate::features::audit::{self, Report};
use crate::features::containers::pods::{self, Proof};

/// Checks what is kept.
#[derive(clap::Args)]
pub struct VerifyArgs {
    #[command(subcommand)]
    command: VerifyCommand,
    #[command(flatten)]
    place: Place,
}

#[derive(Subcommand)]
enum VerifyCommand {
    /// Check every entry of the audit log: its content, its place, and that none is missing. Ends with 0 when all is as
    /// it was written, 1 when something is not, 2 when it could not be checked.
    Audit {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Have the controller prove between real pods that containers reach neither each other nor anything else that is
    /// forbidden, and that what is allowed is reached. Ends with 0 when that holds, 1 when it does not, 2 when no proof came.
    Isolation {
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// Show the last proof and make no new one.
        #[arg(long)]
        last: bool,
    },
}

/// How long a proof is waited for: the controller gives each of its pods two minutes.
const PATIENCE: Duration = Duration::from_secs(400);
/// Could not be checked: neither good nor bad.
const UNKNOWN: u8 = 2;

/// Runs it against the running server's vault, or with one of its own.
pub async fn run(args: VerifyArgs) -> ExitCode {
    let json = match args.command {
        VerifyCommand::Audit { json } => json,
        VerifyCommand::Isolation { json, last } => return isolation(&args.place, json, last).await,
    };
    match check(&args.place).await {
        Ok(report) => {
            tell(&report, json);
            ExitCode::from(u8::from(report.wrong > 0))
        }
        Err(error) => {
            complain(&error.context("the audit log could not be checked"));
            ExitCode::from(UNKNOWN)
        }
    }
}

async fn check(place: &Place) -> anyhow::Result<Report> {
    let offline = app::offline(place.load()?, &place.absolute_data_dir()?).await?;
    let report = audit::verify(&offline.services).await;
    offline.close().await;
    Ok(report?)
}

async fn isolation(place: &Place, json: bool, last: bool) -> ExitCode {
    match prove(place, last).await {
        Ok(proof) => {
            tell_proof(&proof, json);
            ExitCode::from(u8::from(!proof.proven))
        }
        Err(error) => {
            complain(&error.context("isolation was not proven"));
            ExitCode::from(UNKNOWN)
        }
    }
}

async fn prove(place: &Place, last: bool) -> anyhow::Result<Proof> {
    let loaded = place.load()?;
    if loaded.config.runtime.kind != RuntimeKind::Kubernetes {
        bail!(
            "containers of this installation do not run in pods: each start proves its isolation by itself, and shows it \
             among its steps"
        );
    }
    let offline = app::offline(loaded, &place.absolute_data_dir()?).await?;
    let services = &offline.services;
    let asked = services.clock.now_ms();
    let proof = async {
        if !last {
            pods::ask_for_proof(&services.store, asked).await?;
        }
        let since = Instant::now();
        loop {
            let proof = pods::last_proof(&services.store).await?;
            match proof {
                Some(proof) if last || proof.checked_at_ms >= asked => return Ok(proof),
                None if last => bail!("no proof has been made yet: leave --last out to have one made"),
                _ => {}
            }
            if since.elapsed() > PATIENCE {
                bail!(
                    "no proof came within {} s: is `optidev controller` running, and what does its log say?",
                    PATIENCE.as_secs()
                );
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
    .await;
    offline.close().await;
    proof
}

#[expect(clippy::print_stdout, reason = "the command's answer")]
fn tell_proof(proof: &Proof, json: bool) {
    if json {
        println!("{}", serde_json::json!(proof));
        return;
    }
    for tried in &proof.found.tried {
        let verdict = if tried.holds { "ok" } else { "WRONG" };
        println!(
            "{verdict:5} {} {}: has to be {}: {}",
            tried.name, tried.address, tried.expected, tried.detail
        );
    }
    if let Some(problem) = &proof.found.problem {
        println!("{problem}");
    }
    let verdict = if proof.proven { "proven" } else { "NOT proven" };
    println!(
        "isolation is {verdict}; network policies are enforced by: {}",
        proof.enforcer
    );
}

#[expect(clippy::print_stdout, reason = "the command's answer")]
fn tell(report: &Report, json: bool) {
    if json {
        println!("{}", serde_json::json!(report));
        return;
    }
    for finding in &report.findings {
        match finding.seq {
            Some(seq) => println!("{} entry {seq}: {}", finding.organization, finding.what),
            None => println!("{}: {}", finding.organization, finding.what),
        }
    }
    let told = report.findings.len() as u64;
    if told < report.wrong {
        println!("and {} more", report.wrong - told);
    }
    let verdict = match report.wrong {
        0 => "all is as it was written".to_owned(),
        1 => "1 thing is wrong".to_owned(),
        wrong => format!("{wrong} things are wrong"),
    };
    println!(
        "{} entries in {} chains: {verdict}",
        report.entries, report.chains
    );
}
