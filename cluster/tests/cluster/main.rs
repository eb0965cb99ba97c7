//! Against a real cluster: `lab/setup.sh` prepares it, KUBECONFIG is the admin's. The controller itself always runs with
//! its own account, under rbac.yaml and vap.yaml.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests fail loudly"
)]

mod account;
mod drift;
mod ends;
mod lab;
mod lease;
mod reasons;
mod starts;
mod volumes;
