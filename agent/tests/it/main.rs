//! The agent as its server sees it: the real executable, over its Unix socket.

mod archives;
mod delivered;
mod exec;
mod files;
mod ports;
mod projects;
mod search;
mod support;
mod terminals;
