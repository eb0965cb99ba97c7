//! An installation of the chart in a real cluster, with real agents in real pods. [`site`] is told which.

mod bombs;
mod isolation;
mod refusals;
mod site;
