//! Whether what outlives its request still holds: terminals, watches, previews, streams of events.
//!
//! What always holds: one check for all of them. It reads the database, not what a stream was opened with: the
//! credential is good, its holder is a member whose role allows it, and a container that was entered is still theirs and,
//! as a pod, behind its network policies.
//! A session that was not used for too long or has reached its age is no good credential either.

use std::marker::PhantomData;
use std::time::Duration;

use super::model::{Identity, Wanted};
use super::{pods, store};
use crate::authz::{AuthzError, Credential, authorize_user_now};
use crate::config::RuntimeKind;
use crate::context::{Ctx, Services};
use crate::kernel::{UserId, WorkspaceId};
use crate::store::Permission;

/// Time from one check to the next, when nothing is said to have changed.
const EVERY: Duration = Duration::from_millis(900);
/// Longest time for a check; a database that is silent counts as one that failed.
const CHECK: Duration = Duration::from_secs(2);
/// Checks that could not be made before it counts as ended.
const PATIENCE: u32 = 5;

/// What something open rests on: a credential of somebody who may do `P` in a workspace.
pub struct Standing<P> {
    services: Services,
    credential: Credential,
    user: UserId,
    workspace: WorkspaceId,
    /// A container that they entered.
    entered: Option<Identity>,
    permission: PhantomData<fn() -> P>,
}

impl<P> Clone for Standing<P> {
    fn clone(&self) -> Self {
        Self {
            services: self.services.clone(),
            credential: self.credential.clone(),
            entered: self.entered,
            permission: PhantomData,
            ..*self
        }
    }
}

impl<P: Permission> Standing<P> {
    /// Of the caller in `workspace`.
    pub fn new(ctx: &Ctx, workspace: WorkspaceId) -> Self {
        Self {
            services: ctx.services.clone(),
            credential: ctx.actor.credential().clone(),
            user: ctx.actor.user(),
            workspace,
            entered: None,
            permission: PhantomData,
        }
    }

    /// Of the owner of `who` inside that container.
    pub fn inside(services: &Services, credential: &Credential, who: Identity) -> Self {
        Self {
            services: services.clone(),
            credential: credential.clone(),
            user: who.owner,
            workspace: who.workspace,
            entered: Some(who),
            permission: PhantomData,
        }
    }

    /// Whether it holds; `None` when that cannot be told now.
    pub async fn holds(&self) -> Option<bool> {
        tokio::time::timeout(CHECK, self.look()).await.ok()?
    }

    /// Returns when it does not hold any more, cannot be told for a while, or the server stops. For what would else stay
    /// open as long as its client likes.
    pub async fn ended(self) {
        tokio::select! {
            () = self.services.shutdown.cancelled() => {}
            () = self.watch() => {}
        }
    }

    /// As [`Standing::ended`], while the server stops too: for what comes to an end by itself and is let finish then.
    pub async fn lost(self) {
        self.watch().await;
    }

    async fn watch(&self) {
        let mut ear = self.services.shared.revocations.ear();
        let mut patience = Patience::default();
        loop {
            // At once when something of its user has changed, and soon when nobody says anything.
            let _ = tokio::time::timeout(EVERY, ear.about(self.user)).await;
            if patience.is_over(self.holds().await) {
                return;
            }
        }
    }

    async fn look(&self) -> Option<bool> {
        let services = &self.services;
        let valid = services.credentials.still_valid(&self.credential).await;
        if !valid.ok()? {
            return Some(false);
        }
        match authorize_user_now::<P>(&services.store, self.user, self.workspace).await {
            Ok(_) => {}
            Err(AuthzError::Store(_)) => return None,
            Err(_) => return Some(false),
        }
        let Some(who) = self.entered else {
            return Some(true);
        };
        let row = store::scan_one(&services.store, who.container).await.ok()?;
        let theirs = row.is_some_and(|row| {
            row.owner_id == self.user
                && row.workspace_id == self.workspace
                && row.wanted() != Wanted::Deleted
        });
        if !theirs || services.config.runtime.kind != RuntimeKind::Kubernetes {
            return Some(theirs);
        }
        // One that is cut off, until its network policies are back.
        let present = pods::present(services, who.container).await;
        Some(present.ok()?.is_some())
    }
}

/// Counts checks that could not be made.
#[derive(Default)]
struct Patience {
    unknown: u32,
}

impl Patience {
    /// Whether it has ended, after another check's answer.
    fn is_over(&mut self, holds: Option<bool>) -> bool {
        self.unknown = match holds {
            Some(_) => 0,
            None => self.unknown + 1,
        };
        holds == Some(false) || self.unknown >= PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many checks were made before the end.
    fn checks(answers: &[Option<bool>]) -> usize {
        let mut patience = Patience::default();
        let end = answers.iter().position(|answer| patience.is_over(*answer));
        end.expect("it should have ended") + 1
    }

    #[test]
    fn a_no_ends_at_once_and_errors_only_when_they_last() {
        const OFF: Option<bool> = None;
        assert_eq!(checks(&[Some(true), Some(false)]), 2);
        assert_eq!(checks(&[OFF; 5]), 5);
        let now_and_then = [
            OFF,
            OFF,
            OFF,
            OFF,
            Some(true),
            OFF,
            OFF,
            OFF,
            OFF,
            Some(true),
            Some(false),
        ];
        assert_eq!(checks(&now_and_then), now_and_then.len());
    }
}
