//! `optidev doctor`

use std::process::ExitCode;

use super::{Place, complain};
use crate::app;

/// Looks at what this machine has.
#[derive(clap::Args)]
pub struct DoctorArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Ends with 0 when all that is needed is there.
#[expect(clippy::print_stdout, reason = "the command's answer")]
pub async fn run(args: DoctorArgs) -> ExitCode {
    let examined =
        async { app::examine(args.place.load()?, &args.place.absolute_data_dir()?).await };
    let checks = match examined.await {
        Ok(checks) => checks,
        Err(error) => {
            complain(&error);
            return ExitCode::FAILURE;
        }
    };
    let good = checks.iter().all(|check| check.ok || !check.needed);
    if args.json {
        println!("{}", serde_json::json!({"ok": good, "checks": checks}));
    } else {
        for check in checks {
            let word = if check.ok { "ok" } else { "missing" };
            println!("{word:8} {}: {}", check.name, check.found);
            if !check.ok {
                println!("         {}", check.remedy);
            }
        }
    }
    ExitCode::from(u8::from(!good))
}
