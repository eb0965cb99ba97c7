//! The cluster's client against a real Kubernetes, under the controller's own account with the chart's rights and admission
//! policies: scripts/cluster-lab prepares a cluster for these, which run one after the other (`--ignored --test-threads=1`). Those of
//! `live` run on an installation by scripts/cluster-install, and `make test-cluster` runs them.
//!
//! `scale` is apart: it wants fake nodes (`cluster kwok up 10`), leaves a thousand namespaces that take a while to go, and so comes
//! last.

mod account;
mod drift;
mod ends;
mod lab;
mod lease;
mod live;
mod reasons;
mod scale;
mod starts;
mod volumes;
