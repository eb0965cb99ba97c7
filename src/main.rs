//! The executable: parse, dispatch, and say what went wrong.

fn main() -> anyhow::Result<()> {
    optidev::cli::run()
}
