//! Accesses that repeat: reading many files is one access, told once in a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Action, entry};
use crate::authz::Credential;
use crate::context::Ctx;
use crate::kernel::Problem;
use crate::store::{Grant, OrganizationGrant, Permission};

/// An access that goes on is told again after this long.
const AGAIN_MS: i64 = 10 * 60 * 1_000;
/// Accesses that are remembered; beyond that, one is told more often than needed.
const MOST: usize = 10_000;

/// Who did what to which object, and when that was last told.
type Told = HashMap<Key, i64>;

type Key = (String, Action, String);

fn key(ctx: &Ctx, action: Action, object: impl ToString) -> Key {
    let who = match ctx.actor.credential() {
        Credential::Session(id) => id.to_string(),
        Credential::Token(id, _) => id.to_string(),
    };
    (who, action, object.to_string())
}

/// Remembers which accesses were told lately. Each replica tells for itself. Cheap to clone.
#[derive(Clone, Default)]
pub struct Lately(Arc<Mutex<Told>>);

impl Lately {
    /// Records an access that changes nothing, unless the same credential's same access to the same object was recorded
    /// within ten minutes.
    ///
    /// # Errors
    /// When the entry cannot be written: then nothing may be given.
    pub async fn note<P: Permission>(
        &self,
        ctx: &Ctx,
        grant: &Grant<P>,
        action: Action,
        object: impl ToString,
    ) -> Result<(), Problem> {
        let key = key(ctx, action, object);
        if !self.told(&key, ctx.now_ms()) {
            let tx = ctx.services.store.scoped(grant).await?;
            tx.commit(entry(ctx, action, &key.2, "")).await?;
            // After it is durable: what could not be told is not remembered as told.
            self.remember(key, ctx.now_ms());
        }
        Ok(())
    }

    /// As [`Self::note`], for what belongs to an organization as a whole.
    ///
    /// # Errors
    /// When the entry cannot be written: then nothing may be given.
    pub async fn note_organization(
        &self,
        ctx: &Ctx,
        grant: &OrganizationGrant,
        action: Action,
        object: impl ToString,
    ) -> Result<(), Problem> {
        let key = key(ctx, action, object);
        if !self.told(&key, ctx.now_ms()) {
            let tx = ctx.services.store.organization(grant).await?;
            tx.commit(entry(ctx, action, &key.2, "")).await?;
            self.remember(key, ctx.now_ms());
        }
        Ok(())
    }

    fn told(&self, key: &Key, now_ms: i64) -> bool {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.get(key).is_some_and(|at| now_ms - at < AGAIN_MS)
    }

    fn remember(&self, key: Key, now_ms: i64) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= MOST {
            told.retain(|_, at| now_ms - *at < AGAIN_MS);
        }
        if told.len() >= MOST {
            told.clear();
        }
        told.insert(key, now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(object: usize) -> Key {
        ("ses".into(), Action::ContainerRead, object.to_string())
    }

    #[test]
    fn an_access_is_told_again_after_a_while_and_memory_is_bounded() {
        let lately = Lately::default();
        assert!(!lately.told(&key(1), 0));
        lately.remember(key(1), 0);
        assert!(lately.told(&key(1), AGAIN_MS - 1));
        assert!(!lately.told(&key(1), AGAIN_MS));
        assert!(!lately.told(&key(2), 1));
        for object in 0..3 * MOST {
            lately.remember(key(object), 5);
        }
        assert!(lately.0.lock().unwrap().len() <= MOST);
    }
}
