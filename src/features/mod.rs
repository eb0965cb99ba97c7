//! Layer 4: one folder for each thing that OptiDev does.

pub mod egress;
