//! OptiDev as people use it, installed in a cluster by scripts/cluster-install: what holds of it between its containers, while they
//! misbehave, while servers are killed, replaced and rolled back, and while the node itself ends. OPTIDEV_INSTALLED names the file that
//! the script wrote.

mod bombs;
mod isolation;
mod killed;
mod node;
mod refusals;
mod steps;
mod upgrade;
