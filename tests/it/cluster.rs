//! The cluster's client against a real Kubernetes, under the controller's own account with the chart's rights and admission
//! policies. `make test-cluster` prepares the cluster with scripts/cluster-lab and runs these, one after the other; those of
//! `live` run on an installation by scripts/cluster-install.
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
