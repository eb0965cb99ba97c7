//! From a cookie or a token to an [`Actor`]: keyed hash, database, and a cache of at most a second.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sea_orm::{ActiveValue, ColumnTrait, EntityTrait, QueryFilter};
use sha2::{Digest, Sha256};

use super::accounts::{account, api_token, login_session};
use super::{Actor, ActorKind, Credential, Scope};
use crate::kernel::{Clock, Problem, Rng, UserId};
use crate::store::{Store, StoreError, SystemPurpose, Unaudited};
use crate::vault::{MacPurpose, VaultClient, VaultError};

/// How long an answer of the database is believed.
const CACHE_MS: i64 = 1_000;
/// How stale the time of last use may become before it is written.
const TOUCH_MS: i64 = 60_000;
/// How long it is remembered that a credential was good once, for [`Credentials::token_was_good`].
const GOOD_MS: i64 = 15 * 60_000;
/// Credentials that this is remembered of at most.
const GOOD: usize = 50_000;
/// What every API token starts with, so that scanners can recognise it.
pub const TOKEN_PREFIX: &str = "odv_";

/// Why nobody could be recognised: not that the credential is wrong, but that it could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum RecognizeError {
    /// The vault did not compute the keyed hash.
    #[error("the keyed hash of the credential could not be computed")]
    Vault(#[from] VaultError),
    /// The database failed.
    #[error("reading the credential failed")]
    Store(#[from] StoreError),
}

impl From<RecognizeError> for Problem {
    fn from(error: RecognizeError) -> Self {
        match error {
            RecognizeError::Vault(cause) => cause.into(),
            RecognizeError::Store(cause) => cause.into(),
        }
    }
}

const SESSION: &[u8] = b"session";
const TOKEN: &[u8] = b"token";

/// What was recognised lately and when, by a hash of the credential.
type Cache = HashMap<[u8; 32], (i64, Recognized)>;

/// Limits of a session, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct SessionLimits {
    /// Ends when not used for this long.
    pub idle_ms: i64,
    /// Ends after this long whatever happens.
    pub absolute_ms: i64,
}

/// A session that was recognised, which may still lack its second factor.
#[derive(Debug, Clone)]
pub struct Recognized {
    /// Who it is.
    pub actor: Actor,
    /// Whether the second factor is still to be shown: then the session is good for that and nothing else.
    pub awaiting_second_factor: bool,
    /// The token that forms of this session carry.
    pub csrf: String,
}

/// Recognises sessions and tokens. Cheap to clone.
#[derive(Clone)]
pub struct Credentials {
    store: Store,
    vault: VaultClient,
    clock: Clock,
    limits: SessionLimits,
    cache: Arc<Mutex<Cache>>,
    /// When which credential was last found good, by the same hash. Nothing is allowed by it.
    good: Arc<Mutex<HashMap<[u8; 32], i64>>>,
    /// Grows with each [`Credentials::forget`], so that a look-up that began before it is not kept.
    epoch: Arc<AtomicU64>,
}

impl Credentials {
    /// Recognises credentials of `store` with the vault's keyed hashes.
    pub fn new(store: Store, vault: VaultClient, clock: Clock, limits: SessionLimits) -> Self {
        Self {
            store,
            vault,
            clock,
            limits,
            cache: Arc::default(),
            good: Arc::default(),
            epoch: Arc::default(),
        }
    }

    /// How long sessions last.
    pub fn limits(&self) -> SessionLimits {
        self.limits
    }

    /// Whose session this cookie value belongs to, if it is alive.
    ///
    /// # Errors
    /// [`RecognizeError`] when it could not be checked.
    pub async fn session(
        &self,
        cookie: &str,
        address: &str,
    ) -> Result<Option<Recognized>, RecognizeError> {
        if cookie.len() != 43 {
            return Ok(None);
        }
        self.cached(SESSION, cookie, address, self.look_up_session(cookie))
            .await
    }

    /// Whose API token this is, if it is alive.
    ///
    /// # Errors
    /// [`RecognizeError`] when it could not be checked.
    pub async fn token(
        &self,
        token: &str,
        address: &str,
    ) -> Result<Option<Recognized>, RecognizeError> {
        if !is_well_formed(token) {
            return Ok(None);
        }
        self.cached(TOKEN, token, address, self.look_up_token(token))
            .await
    }

    /// Whether a credential that was recognised earlier still is: for terminals and sockets that outlive a request.
    ///
    /// # Errors
    /// [`RecognizeError`] when it could not be checked.
    pub async fn still_valid(&self, credential: &Credential) -> Result<bool, RecognizeError> {
        let tx = self.store.system(SystemPurpose::SignInRead).await?;
        let now = self.clock.now_ms();
        Ok(match credential {
            Credential::Session(id) => tx
                .one(login_session::Entity::find_by_id(*id))
                .await?
                .is_some_and(|row| self.alive(&row, now)),
            Credential::Token(id, _) => tx
                .one(api_token::Entity::find_by_id(*id))
                .await?
                .is_some_and(|row| row.expires_at_ms.is_none_or(|end| end > now)),
        })
    }

    /// Forgets what is remembered of those whom `meant` names, so that an ended or changed session is seen at once.
    pub fn forget(&self, meant: impl Fn(UserId) -> bool) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        self.cache
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, (_, known)| !meant(known.actor.user));
    }

    async fn cached(
        &self,
        kind: &[u8],
        value: &str,
        address: &str,
        look_up: impl Future<Output = Result<Option<Recognized>, RecognizeError>>,
    ) -> Result<Option<Recognized>, RecognizeError> {
        let key = key(kind, value);
        let now = self.clock.now_ms();
        let hit = {
            let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
            cache
                .get(&key)
                .filter(|(at, _)| now - at < CACHE_MS)
                .map(|(_, known)| known.clone())
        };
        let mut known = match hit {
            Some(known) => known,
            None => {
                let epoch = self.epoch.load(Ordering::SeqCst);
                let found = look_up.await?;
                self.remember(key, now, found.is_some());
                let Some(known) = found else {
                    return Ok(None);
                };
                let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
                cache.retain(|_, (at, _)| now - *at < CACHE_MS);
                if self.epoch.load(Ordering::SeqCst) == epoch {
                    cache.insert(key, (now, known.clone()));
                }
                known
            }
        };
        known.actor.address = address.to_owned();
        Ok(Some(known))
    }

    /// Whether this session's cookie was good lately. It may have ended since: that tells only whom it is worth asking
    /// the database about while somebody at the same address tries out many.
    pub fn session_was_good(&self, cookie: &str) -> bool {
        self.was_good(&key(SESSION, cookie))
    }

    /// As [`Credentials::session_was_good`], of a token.
    pub fn token_was_good(&self, token: &str) -> bool {
        self.was_good(&key(TOKEN, token))
    }

    fn was_good(&self, key: &[u8; 32]) -> bool {
        let now = self.clock.now_ms();
        let good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        good.get(key).is_some_and(|at| now - at < GOOD_MS)
    }

    fn remember(&self, key: [u8; 32], now: i64, is_good: bool) {
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_good {
            good.remove(&key);
            return;
        }
        if good.len() >= GOOD {
            good.retain(|_, at| now - *at < GOOD_MS);
        }
        if good.len() < GOOD {
            good.insert(key, now);
        }
    }

    fn alive(&self, row: &login_session::Model, now: i64) -> bool {
        now - row.last_seen_ms < self.limits.idle_ms
            && now - row.created_at_ms < self.limits.absolute_ms
    }

    async fn look_up_session(&self, cookie: &str) -> Result<Option<Recognized>, RecognizeError> {
        let hash = self
            .vault
            .mac(MacPurpose::SessionToken, cookie.as_bytes())
            .await?;
        let now = self.clock.now_ms();
        let tx = self.store.system(SystemPurpose::SignInRead).await?;
        let query = login_session::Entity::find()
            .filter(login_session::Column::TokenHash.eq(hash.to_vec()));
        let Some(row) = tx.one(query).await?.filter(|row| self.alive(row, now)) else {
            return Ok(None);
        };
        let Some(person) = tx.one(account::Entity::find_by_id(row.account_id)).await? else {
            return Ok(None);
        };
        drop(tx);
        if now - row.last_seen_ms > TOUCH_MS {
            let tx = self.store.system(SystemPurpose::SignInWrite).await?;
            let touched = login_session::ActiveModel {
                last_seen_ms: ActiveValue::Set(now),
                ..Default::default()
            };
            tx.update_where::<login_session::Entity>(login_session::Column::Id.eq(row.id), touched)
                .await?;
            tx.commit_unaudited(Unaudited::LastSeen).await?;
        }
        let csrf = self.vault.mac(MacPurpose::Csrf, &row.id.bytes()).await?;
        Ok(Some(Recognized {
            actor: actor(person, Credential::Session(row.id), row.authenticated_at_ms),
            awaiting_second_factor: row.stage != "active",
            csrf: URL_SAFE_NO_PAD.encode(csrf),
        }))
    }

    async fn look_up_token(&self, token: &str) -> Result<Option<Recognized>, RecognizeError> {
        let hash = self
            .vault
            .mac(MacPurpose::ApiToken, token.as_bytes())
            .await?;
        let now = self.clock.now_ms();
        let tx = self.store.system(SystemPurpose::SignInRead).await?;
        let query =
            api_token::Entity::find().filter(api_token::Column::TokenHash.eq(hash.to_vec()));
        let Some(row) = tx
            .one(query)
            .await?
            .filter(|row| row.expires_at_ms.is_none_or(|end| end > now))
        else {
            return Ok(None);
        };
        let Some(person) = tx.one(account::Entity::find_by_id(row.account_id)).await? else {
            return Ok(None);
        };
        drop(tx);
        if row.last_used_ms.is_none_or(|used| now - used > TOUCH_MS) {
            let tx = self.store.system(SystemPurpose::SignInWrite).await?;
            let touched = api_token::ActiveModel {
                last_used_ms: ActiveValue::Set(Some(now)),
                ..Default::default()
            };
            tx.update_where::<api_token::Entity>(api_token::Column::Id.eq(row.id), touched)
                .await?;
            tx.commit_unaudited(Unaudited::LastSeen).await?;
        }
        let scopes: Vec<Scope> = row
            .scopes
            .split(' ')
            .filter_map(|word| word.parse().ok())
            .collect();
        Ok(Some(Recognized {
            actor: actor(person, Credential::Token(row.id, scopes), 0),
            awaiting_second_factor: false,
            csrf: String::new(),
        }))
    }
}

/// Under which a credential is remembered.
fn key(kind: &[u8], value: &str) -> [u8; 32] {
    Sha256::new()
        .chain_update(kind)
        .chain_update([0])
        .chain_update(value)
        .finalize()
        .into()
}

fn actor(person: account::Model, credential: Credential, authenticated_at_ms: i64) -> Actor {
    let user: UserId = person.id;
    Actor {
        user,
        kind: if person.kind == "service" {
            ActorKind::Service
        } else {
            ActorKind::Person
        },
        name: person.name,
        email: person.email.unwrap_or_default(),
        credential,
        authenticated_at_ms,
        address: String::new(),
    }
}

/// A new session cookie value: 256 random bits in 43 characters.
pub fn new_session_value(rng: &Rng) -> String {
    URL_SAFE_NO_PAD.encode(rng.bytes::<32>())
}

/// A new API token: prefix, 256 random bits, and a checksum so that scanners can tell it from chance.
pub fn new_token(rng: &Rng) -> String {
    let body = URL_SAFE_NO_PAD.encode(rng.bytes::<32>());
    format!("{TOKEN_PREFIX}{body}{}", checksum(&body))
}

/// Six characters of SHA-256 of the token's body.
fn checksum(body: &str) -> String {
    let digest: [u8; 32] = Sha256::digest(body).into();
    URL_SAFE_NO_PAD.encode(digest).chars().take(6).collect()
}

fn is_well_formed(token: &str) -> bool {
    token
        .strip_prefix(TOKEN_PREFIX)
        .and_then(|rest| rest.split_at_checked(43))
        .is_some_and(|(body, sum)| checksum(body) == sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_carries_its_checksum() {
        let token = new_token(&Rng);
        assert!(is_well_formed(&token));
        let mut wrong = token.clone().into_bytes();
        wrong[10] = if wrong[10] == b'A' { b'B' } else { b'A' };
        assert!(!is_well_formed(&String::from_utf8(wrong).unwrap()));
        assert!(!is_well_formed(&token[..token.len() - 1]));
    }
}
