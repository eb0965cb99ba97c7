//! The executable: parse, dispatch, and say what went wrong.

use std::process::ExitCode;

use optidev::kernel::wiping::Wiping;

/// What is freed is wiped, in the server, the vault and the launcher.
#[global_allocator]
static ALLOCATOR: Wiping = Wiping;

fn main() -> ExitCode {
    match optidev::cli::run() {
        Ok(code) => code,
        Err(error) => {
            optidev::cli::complain(&error);
            ExitCode::FAILURE
        }
    }
}
