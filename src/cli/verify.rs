//! `optidev verify audit`: checks the audit log's chains, also beside a running server.

use std::process::ExitCode;

use clap::Subcommand;

use super::{Place, complain};
use crate::app;
use crate::features::audit::{self, Report};

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
}

/// Could not be checked: neither good nor bad.
const UNKNOWN: u8 = 2;

/// Runs it against the running server's vault, or with one of its own.
pub async fn run(args: VerifyArgs) -> ExitCode {
    let VerifyCommand::Audit { json } = args.command;
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
