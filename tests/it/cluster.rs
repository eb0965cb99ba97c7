//! The cluster's client against a real Kubernetes, under the controller's own account with the chart's rights and admission
//! policies. `make test-cluster` prepares the cluster with scripts/cluster-lab and runs these, one after the other.
//!
//! `scale` is apart: it wants fake nodes (`cluster kwok up 10`), leaves a thousand namespaces that take a while to go, and so comes
//! last. `live` wants an installation of the chart.

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
