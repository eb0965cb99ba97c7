//! The cluster's client against a real Kubernetes, under the controller's own account with the chart's rights and admission
//! policies. `make test-cluster` prepares the cluster with scripts/cluster-lab and runs these, one after the other.

mod account;
mod drift;
mod ends;
mod lab;
mod lease;
mod reasons;
mod scale;
mod starts;
mod volumes;
