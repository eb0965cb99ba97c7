//! The executable: parse, dispatch, and say what went wrong.

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
