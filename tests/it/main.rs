//! The one integration-test binary: one module for each part of the product, against the real executable.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly, and at the line that is wrong"
)]
#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "the bans are for the server; tests are outside it, with clocks, tasks and clients of their own"
)]

mod access;
mod arch;
mod assistant;
mod audit;
mod broker;
mod canaries;
mod chart;
mod cluster;
mod compile_fail;
mod confinement;
mod containers;
mod e2e;
mod egress;
mod ends;
mod fuzz;
mod gateway;
mod identity;
mod limits;
mod mail;
mod members;
mod metrics;
mod objects;
mod openapi;
mod pages;
mod postgres;
mod postgres_faults;
mod postgres_policies;
mod preview;
mod projects;
mod readme;
mod recovery;
mod redactor;
mod redis;
mod replicas;
mod secrets;
mod start;
mod support;
mod survival;
mod tls;
mod tokens;
mod vault;
