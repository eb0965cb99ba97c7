//! `optidev admin`: accounts and tokens, for automation on the host.

use clap::Subcommand;
use serde_json::json;

use super::{Place, told};
use crate::app;
use crate::authz::{Role, Scope};
use crate::features::identity::{self, Addition};
use crate::kernel::{SecretString, WorkspaceId};

/// Accounts and tokens.
#[derive(clap::Args)]
pub struct AdminArgs {
    #[command(subcommand)]
    command: AdminCommand,
    #[command(flatten)]
    place: Place,
}

#[derive(Subcommand)]
enum AdminCommand {
    /// Make an owner with an organization and a workspace of their own.
    CreateOwner {
        /// Address to sign in with.
        #[arg(long)]
        email: String,
        /// Display name.
        #[arg(long)]
        name: String,
        /// Name of the organization.
        #[arg(long, default_value = "My organization")]
        organization: String,
        /// Name of its first workspace.
        #[arg(long, default_value = "My workspace")]
        workspace: String,
        /// Read the password from standard input.
        #[arg(long, required = true)]
        password_stdin: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Add somebody to a workspace, with a new account or, by --existing, with the one that they have.
    AddMember {
        /// The workspace's id.
        #[arg(long)]
        workspace: WorkspaceId,
        /// Address to sign in with.
        #[arg(long)]
        email: String,
        /// Display name of a new account.
        #[arg(long, required_unless_present = "existing")]
        name: Option<String>,
        /// owner, admin, user or viewer.
        #[arg(long)]
        role: Role,
        /// Read the password of a new account from standard input.
        #[arg(long, required_unless_present = "existing")]
        password_stdin: bool,
        /// Add the account that the address has already; its name and its password stay.
        #[arg(long, conflicts_with_all = ["name", "password_stdin"])]
        existing: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make an API token; it is printed once.
    Token {
        /// The account's address.
        #[arg(long)]
        user: String,
        /// What the token is for, separated by commas, such as all, projects, secrets, or secrets:reveal, which all does not include.
        #[arg(long, value_delimiter = ',', required = true)]
        scopes: Vec<Scope>,
        /// A name to recognise it by.
        #[arg(long, default_value = "made on the host")]
        name: String,
        /// Days until it ends; without it, it does not.
        #[arg(long)]
        expires_in_days: Option<u32>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Runs it against the running server's data, or by itself.
pub async fn run(args: AdminArgs) -> anyhow::Result<()> {
    let loaded = args.place.load()?;
    let offline = app::offline(loaded, &args.place.absolute_data_dir()?).await?;
    let services = &offline.services;
    match args.command {
        AdminCommand::CreateOwner {
            email,
            name,
            organization,
            workspace,
            password_stdin: _,
            json,
        } => {
            let made =
                identity::create_owner(services, email, name, password()?, organization, workspace)
                    .await
                    .map_err(told)?;
            let words = format!("made {} in {}", made.user_id, made.workspace_id);
            print(json, &serde_json::to_value(made)?, &words);
        }
        AdminCommand::AddMember {
            workspace,
            email,
            name,
            role,
            password_stdin: _,
            existing,
            json,
        } => {
            let who = match name {
                Some(name) if !existing => Addition::New(name, password()?),
                _ => Addition::Existing,
            };
            let user = identity::add_member(services, workspace, &email, role, who)
                .await
                .map_err(told)?;
            let mut words = format!("{user} is a member of {workspace}");
            if existing {
                words.push_str("; the account was there already, and no password was set");
            }
            print(
                json,
                &json!({"user_id": user, "workspace_id": workspace, "existing": existing}),
                &words,
            );
        }
        AdminCommand::Token {
            user,
            scopes,
            name,
            expires_in_days,
            json,
        } => {
            let ends =
                expires_in_days.map(|days| services.clock.now_ms() + i64::from(days) * 86_400_000);
            let token = identity::create_token(services, &user, &name, &scopes, ends)
                .await
                .map_err(told)?;
            print(json, &json!({"token": token}), &token);
        }
    }
    offline.close().await;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the command's answer")]
fn print(json: bool, value: &serde_json::Value, words: &str) {
    if json {
        println!("{value}");
    } else {
        println!("{words}");
    }
}

/// The password on standard input.
fn password() -> anyhow::Result<SecretString> {
    super::first_line("password")
}
