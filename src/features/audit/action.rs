//! What the log can tell: the closed list of actions, which the console's filter and the documents show.

macro_rules! actions {
    ($($name:ident $word:literal $about:literal;)*) => {
        /// What was done.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "about() says it for each")]
        pub enum Action { $($name,)* }

        impl Action {
            /// All actions.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// `feature.verb`, as in the database and the API.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// For people.
            pub fn about(self) -> &'static str {
                match self { $(Self::$name => $about,)* }
            }
        }
    };
}

actions! {
    OrganizationCreate "organization.create" "Made an organization";
    OrganizationUpdate "organization.update" "Changed an organization";
    OrganizationOwnerAdd "organization.owner_add" "Made somebody an owner of the organization";
    OrganizationOwnerRemove "organization.owner_remove" "Ended somebody's ownership of the organization";
    WorkspaceCreate "workspace.create" "Made a workspace";
    WorkspaceUpdate "workspace.update" "Changed a workspace";
    WorkspaceDelete "workspace.delete" "Deleted a workspace";
    EgressCeiling "egress.ceiling" "Set what the organization's workspaces may reach at most";
    EgressAdditions "egress.additions" "Set which hosts the workspace adds to what its containers may reach";
    MemberAdd "members.add" "Added a member";
    MemberRole "members.role" "Changed a member's role";
    MemberRemove "members.remove" "Removed a member";
    MemberLeave "members.leave" "Left the workspace";
    OwnershipTransfer "members.transfer" "Handed the workspace over";
    InvitationCreate "invitations.create" "Invited somebody";
    InvitationRevoke "invitations.revoke" "Took an invitation back";
    InvitationAccept "invitations.accept" "Accepted an invitation";
    ServiceAccountCreate "service_accounts.create" "Made a service account";
    ServiceAccountUpdate "service_accounts.update" "Changed a service account";
    ServiceAccountDelete "service_accounts.delete" "Deleted a service account";
    TokenCreate "tokens.create" "Made an API token";
    TokenRevoke "tokens.revoke" "Revoked an API token";
    AccountCreate "account.create" "Made an account";
    PasswordChange "account.password_change" "Changed the password";
    SecondFactorEnable "account.second_factor_enable" "Turned the second factor on";
    SecondFactorDisable "account.second_factor_disable" "Turned the second factor off";
    SessionOpen "session.open" "Signed in";
    SessionSecondFactor "session.second_factor" "Showed the second factor";
    SessionConfirm "session.confirm" "Confirmed who they are";
    SessionEnd "session.end" "Signed out";
    SessionRevoke "session.revoke" "Ended a session";
    SignInRefused "session.refused" "Failed to sign in";
    ProjectCreate "projects.create" "Made a project";
    ProjectDelete "projects.delete" "Deleted a project";
    ContainerCreate "containers.create" "Made a container";
    ContainerStart "containers.start" "Started a container";
    ContainerStop "containers.stop" "Stopped a container";
    ContainerDelete "containers.delete" "Deleted a container";
    ContainerStopped "containers.stopped" "Stopped a container whose owner may not have it any more";
    ContainerTerminal "containers.terminal" "Opened a terminal";
    ContainerExec "containers.exec" "Ran a command";
    ContainerFileWrite "containers.file_write" "Changed a file";
    ContainerRead "containers.read" "Looked into a container: files, ports, terminals";
    ContainerPreview "containers.preview" "Opened a preview";
    ContainerCheckout "containers.checkout" "Brought a project into a container";
    SecretSet "secrets.set" "Set a secret";
    SecretChange "secrets.change" "Changed what is said of a secret, or its tier";
    SecretRollback "secrets.rollback" "Went back to an earlier version of a secret";
    SecretExport "secrets.export" "Exported secrets";
    SecretExpire "secrets.expire" "Was reminded that a secret ends";
    SecretDelete "secrets.delete" "Deleted a secret";
    SecretReveal "secrets.reveal" "Revealed a secret";
    SecretRun "secrets.run" "Took secrets for a program outside of containers";
    SecretRead "secrets.read" "Read visible values of secrets";
    SecretDeliver "secrets.deliver" "Delivered secrets to a container";
    WorkspaceKeyRotate "secrets.rotate_key" "Gave the workspace's secrets a new key";
    SecretsShred "secrets.shred" "Shredded all secrets of the workspace";
    AssistantSessionCreate "assistant.session_create" "Began a conversation with the assistant";
    AssistantTurn "assistant.turn" "Asked the assistant";
    AssistantDecision "assistant.decision" "Decided what the assistant may do";
    AssistantUndo "assistant.undo" "Undid what the assistant did";
    GatewayUse "ai.gateway" "Used the AI gateway";
    CredentialSet "vault.credential_set" "Gave a credential of the installation to the vault";
    CredentialDelete "vault.credential_delete" "Deleted a credential of the installation";
    MasterRotate "vault.rotate_master" "Gave the vault a new master secret";
    AuditExport "audit.export" "Exported the audit log";
    AuditRead "audit.read" "Read the audit log";
    AuditSinkCreate "audit.sink_create" "Set where the audit log is carried to";
    AuditSinkUpdate "audit.sink_update" "Changed where the audit log is carried to";
    AuditSinkDelete "audit.sink_delete" "Ended carrying the audit log somewhere";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_unique_and_of_one_form() {
        let mut seen = std::collections::BTreeSet::new();
        for action in Action::ALL {
            let word = action.as_str();
            assert!(seen.insert(word), "{word} comes twice");
            let (feature, verb) = word.split_once('.').expect("feature.verb");
            for part in [feature, verb] {
                assert!(
                    !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c == '_'),
                    "{word}"
                );
            }
        }
    }
}
