//! OptiDev with the workspace left out of every SELECT, for the test that asks what PostgreSQL's policies hold back then.
//! Built with the feature `no-scope-filter` alone, which no release build takes.

fn main() -> std::process::ExitCode {
    match optidev::cli::run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            optidev::cli::complain(&error);
            std::process::ExitCode::FAILURE
        }
    }
}
