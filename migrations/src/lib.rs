//! The schema, forward only: expand, then contract. Each migration is one concern and runs on SQLite and PostgreSQL.
//!
//! A table that holds a workspace's rows is made by [`tenant::create`], which gives it the key
//! `(workspace_id, id…)` and, on PostgreSQL, forced row level security. Never edit a migration that has
//! been released: add one.

mod m0001_identity;
mod m0002_projects;
mod m0003_secrets;
mod m0004_assistant;
mod m0006_audit;
mod m0007_invitations;
mod m0008_audit_sinks;
mod m0009_installation;
mod m0010_secret_life;
mod m0011_system_credentials;
mod m0012_delivery;
mod m0013_pods;
mod m0014_egress;
pub mod tables;
mod tenant;

pub use sea_orm_migration::MigratorTrait;
use sea_orm_migration::prelude::*;

/// All migrations in their order.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_identity::Migration),
            Box::new(m0002_projects::Migration),
            Box::new(m0003_secrets::Migration),
            Box::new(m0004_assistant::Migration),
            Box::new(m0006_audit::Migration),
            Box::new(m0007_invitations::Migration),
            Box::new(m0009_installation::Migration),
            Box::new(m0008_audit_sinks::Migration),
            Box::new(m0010_secret_life::Migration),
            Box::new(m0011_system_credentials::Migration),
            Box::new(m0012_delivery::Migration),
            Box::new(m0013_pods::Migration),
            Box::new(m0014_egress::Migration),
        ]
    }
}
