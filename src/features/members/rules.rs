//! Who may change whose membership: pure rules over what was read in the transaction of the change.

use crate::authz::{PermissionId, Role};
use crate::kernel::{Code, Problem};

/// A change of one membership.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    /// The role of whoever asks.
    pub by: Role,
    /// Whether they ask for themselves.
    pub own: bool,
    /// The role that the member has.
    pub from: Role,
    /// The role that they are to have; none ends the membership.
    pub to: Option<Role>,
    /// Whether the member is a service account.
    pub service: bool,
    /// How many persons are owners now.
    pub owners: usize,
}

impl Change {
    /// Whether it may be made.
    ///
    /// # Errors
    /// `forbidden` when the role does not reach it, `conflict` when it would leave no owner, `unprocessable` when a
    /// service account cannot be what is asked for.
    pub fn check(self) -> Result<(), Problem> {
        if self.service && self.to == Some(Role::Owner) {
            return Err(Problem::new(
                Code::Unprocessable,
                "role: a service account cannot be an owner. Choose admin, user or viewer.",
            ));
        }
        let leaves = self.own && self.to.is_none();
        if self.touches_owners() && self.by != Role::Owner {
            return Err(Problem::new(
                Code::Forbidden,
                "Only an owner of the workspace changes who its owners are. Ask one of them.",
            ));
        }
        if !leaves && !matches!(self.by, Role::Owner | Role::Admin) {
            return Err(Problem::new(
                Code::Forbidden,
                "Only owners and admins change members. Ask one of them.",
            ));
        }
        if self.from == Role::Owner && self.to != Some(Role::Owner) && self.owners <= 1 {
            return Err(Problem::new(
                Code::Conflict,
                "A workspace always has an owner, and this is the last one. Make somebody else an owner first.",
            ));
        }
        Ok(())
    }

    /// Whether it makes or unmakes an owner: a stricter permission.
    pub fn touches_owners(self) -> bool {
        self.from == Role::Owner || self.to == Some(Role::Owner)
    }
}

/// Whether somebody with the role `by` may invite somebody to be `to`.
pub fn may_invite(by: Role, to: Role) -> bool {
    let needed = if to == Role::Owner {
        PermissionId::OwnersManage
    } else {
        PermissionId::MembersManage
    };
    by.allows(needed)
}

/// Whether giving the role `to` is for somebody who is there, and not for a token alone: who has it gives rights to others.
pub fn needs_presence(to: Role) -> bool {
    to.allows(PermissionId::MembersManage)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every(mut look: impl FnMut(Change)) {
        for by in Role::ALL {
            for from in Role::ALL {
                for to in Role::ALL.map(Some).into_iter().chain([None]) {
                    for (own, service, owners) in [
                        (false, false, 1),
                        (false, false, 2),
                        (true, false, 1),
                        (true, false, 2),
                        (false, true, 1),
                    ] {
                        let from = if own { by } else { from };
                        look(Change {
                            by,
                            own,
                            from,
                            to,
                            service,
                            owners,
                        });
                    }
                }
            }
        }
    }

    #[test]
    fn nobody_but_owners_touches_owners_and_nobody_raises_themselves() {
        every(|change| {
            if change.check().is_err() {
                return;
            }
            if change.touches_owners() {
                assert_eq!(change.by, Role::Owner, "{change:?}");
            }
            if change.own
                && let Some(to) = change.to
            {
                let rank = |role| Role::ALL.iter().position(|known| *known == role);
                assert!(rank(to) >= rank(change.from), "{change:?}");
            }
        });
    }

    #[test]
    fn the_last_owner_stays() {
        every(|change| {
            if change.owners == 1 && change.from == Role::Owner && change.to != Some(Role::Owner) {
                assert!(change.check().is_err(), "{change:?}");
            }
        });
    }

    #[test]
    fn nobody_invites_above_themselves() {
        for by in Role::ALL {
            for to in Role::ALL {
                let expected = match by {
                    Role::Owner => true,
                    Role::Admin => to != Role::Owner,
                    Role::User | Role::Viewer => false,
                };
                assert_eq!(may_invite(by, to), expected, "{by:?} {to:?}");
            }
        }
    }

    #[test]
    fn users_and_viewers_only_leave() {
        every(|change| {
            if matches!(change.by, Role::User | Role::Viewer) && change.check().is_ok() {
                assert!(change.own && change.to.is_none(), "{change:?}");
            }
        });
    }
}
