//! OptiDev with the workspace left out of every SELECT, for the test that asks what PostgreSQL's policies hold back then.
//! Built with the feature `no-scope-filter` alone, which no release build takes.

use std::process::ExitCode;

fn main() -> ExitCode {
    match optidev::cli::run() {
        Ok(code) => code,
        Err(error) => {
            optidev::cli::complain(&error);
            ExitCode::FAILURE
        }
    }
}
