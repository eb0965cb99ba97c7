//! The agent as its server sees it: the real executable, over its Unix socket, and as in a pod over TLS.

mod archives;
mod delivered;
mod exec;
mod files;
mod pod;
mod ports;
mod projects;
mod search;
mod support;
mod terminals;
