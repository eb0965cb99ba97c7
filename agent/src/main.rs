//! The agent's executable; everything is in the library.

fn main() -> std::process::ExitCode {
    optidev_agent::cli::main()
}
