//! Prepares what the executable carries: the agent, as a static binary, and the pages' files.
//!
//! Gives the crate `OPTIDEV_AGENT_BINARY`, the path of the agent, for `include_bytes!(env!(...))`. The
//! agent is built by a second cargo in a target folder of its own, because its flags (a static libc) and
//! its profile differ from the server's. What always holds: that cargo sees neither this build's
//! per-package variables nor clippy's wrapper, it reads the same lockfile, and it needs no network.
#![expect(
    clippy::disallowed_methods,
    reason = "a build script is told everything by its environment"
)]

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the pages' build writes last, so its presence means that the folder is whole.
const ASSET_MANIFEST: &str = "assets/dist/manifest.json";

/// Everything that the agent is built from, beside the compiler.
const AGENT_INPUTS: [&str; 5] = [
    "agent/src",
    "agent/Cargo.toml",
    "Cargo.toml",
    "Cargo.lock",
    "rust-toolchain.toml",
];

fn main() {
    if let Err(error) = prepare() {
        // Cargo prints this line as the build's error and fails.
        println!("cargo::error={error}");
    }
}

fn prepare() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=assets/dist");
    for input in AGENT_INPUTS {
        println!("cargo::rerun-if-changed={input}");
    }
    if !Path::new(ASSET_MANIFEST).is_file() {
        return Err(format!("{ASSET_MANIFEST} is missing: run `make assets` first, it builds the pages' scripts and styles").into());
    }
    let agent = build_agent()?;
    println!("cargo::rustc-env=OPTIDEV_AGENT_BINARY={}", agent.display());
    Ok(())
}

/// Builds the agent and answers the path of a copy in `OUT_DIR`, which changes only when the agent does.
fn build_agent() -> Result<PathBuf, Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let triple = env::var("TARGET")?;
    let optimised = env::var("PROFILE")? == "release";
    // One folder per variant: cargo would otherwise overwrite one with the other at the same path.
    let variant = if optimised { "release" } else { "dev" };
    let target_dir = target_dir(&out)?.join("agent").join(variant);

    let mut cargo = Command::new(env::var("CARGO")?);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(belongs_to_this_build) {
            cargo.env_remove(&name);
        }
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static");
    if !optimised {
        // Whole-program optimisation takes most of the time and shows nothing in a development build.
        cargo.env("CARGO_PROFILE_AGENT_LTO", "off");
        cargo.env("CARGO_PROFILE_AGENT_CODEGEN_UNITS", "16");
        cargo.env("CARGO_PROFILE_AGENT_OPT_LEVEL", "1");
    }
    // Frozen: the outer build has already locked and fetched everything that the agent needs.
    cargo.args([
        "build",
        "--frozen",
        "--package",
        "optidev-agent",
        "--bin",
        "optidev-agent",
        "--profile",
        "agent",
    ]);
    cargo
        .args(["--target", &triple, "--target-dir"])
        .arg(&target_dir);
    let output = cargo
        .output()
        .map_err(|error| format!("cargo could not be started to build the agent: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "the agent did not compile ({}); `cargo build -p optidev-agent` shows the same: {}",
            output.status,
            one_line(&output.stderr)
        )
        .into());
    }
    let built = target_dir.join(triple).join("agent").join("optidev-agent");
    let copy = out.join("optidev-agent");
    copy_if_different(&built, &copy)?;
    Ok(copy)
}

/// Whether a variable describes this package or this build's compiler, and so must not reach the agent's.
fn belongs_to_this_build(name: &str) -> bool {
    const PREFIXES: [&str; 6] = [
        "CARGO_PKG_",
        "CARGO_CFG_",
        "CARGO_FEATURE_",
        "CARGO_MANIFEST_",
        "CARGO_BUILD_TARGET",
        "DEP_",
    ];
    const NAMES: [&str; 17] = [
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_BUILD_RUSTFLAGS",
        "CARGO_TARGET_DIR",
        "CARGO_PRIMARY_PACKAGE",
        "CLIPPY_ARGS",
        "DEBUG",
        "HOST",
        "NUM_JOBS",
        "OPT_LEVEL",
        "OUT_DIR",
        "PROFILE",
        "RUSTC",
        "RUSTC_LINKER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTDOC",
        "RUSTFLAGS",
        "TARGET",
    ];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || NAMES.contains(&name)
}

/// The folder that this build writes to, whichever way it was chosen: cargo marks it as a cache.
fn target_dir(out: &Path) -> Result<&Path, Box<dyn Error>> {
    let marked = out
        .ancestors()
        .find(|folder| folder.join("CACHEDIR.TAG").is_file());
    // OUT_DIR is <target>/<profile>/build/<package>/out.
    marked
        .or_else(|| out.ancestors().nth(4))
        .ok_or_else(|| format!("no target folder above {}", out.display()).into())
}

/// Leaves an equal file untouched, so that cargo does not compile again what includes it.
fn copy_if_different(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    let new = fs::read(from)
        .map_err(|error| format!("the built agent {} cannot be read: {error}", from.display()))?;
    if fs::read(to).ok().as_deref() != Some(new.as_slice()) {
        fs::write(to, new)
            .map_err(|error| format!("the agent cannot be written to {}: {error}", to.display()))?;
    }
    Ok(())
}

/// Cargo's error lines in one, because a build script's message ends at the first newline.
fn one_line(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let errors: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("error") || line.starts_with("-->"))
        .take(12)
        .collect();
    if errors.is_empty() {
        text.lines().rev().take(5).collect::<Vec<_>>().join(" | ")
    } else {
        errors.join(" | ")
    }
}
