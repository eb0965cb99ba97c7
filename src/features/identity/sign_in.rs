//! Password sign-in, the second step, and confirming that one is still there.

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::limiter::Limiter;
use super::sessions::{self, NewSession, Stage};
use super::setup::normal_email;
use super::{password, second_factor};
use crate::authz::accounts::{account, login_session};
use crate::authz::{Credential, Recognized};
use crate::context::Ctx;
use crate::kernel::{Code, Problem, SecretString, SessionId};
use crate::store::SystemPurpose;
use crate::web::Anonymous;

/// What a right password leads to.
pub struct SignedIn {
    /// The cookie to set.
    pub session: NewSession,
    /// Whether the second factor comes next.
    pub second_factor_next: bool,
}

/// Checks address and password and opens a session.
///
/// # Errors
/// `forbidden` with one sentence for a wrong address and a wrong password alike; `rate_limited`.
pub async fn with_password(
    from: &Anonymous,
    limiter: &Limiter,
    email: &str,
    secret: SecretString,
) -> Result<SignedIn, Problem> {
    let services = &from.services;
    let now = services.clock.now_ms();
    if email.len() > 254 {
        return Err(wrong_password());
    }
    let email = normal_email(email);
    let keys = [
        format!("address {}", from.address),
        format!("account {email}"),
    ];
    limiter.take(&keys, now)?;
    let tx = services.store.system(SystemPurpose::SignInRead).await?;
    let person = tx
        .one(account::Entity::find().filter(account::Column::Email.eq(&email)))
        .await?;
    drop(tx);
    let fits =
        password::verify(secret, person.as_ref().map(|row| row.password_hash.clone())).await?;
    let Some(person) = person.filter(|_| fits) else {
        tracing::warn!(
            address = from.address,
            request_id = from.request_id,
            "sign-in failed"
        );
        return Err(wrong_password());
    };
    limiter.succeeded(&keys, now);
    let second_factor_next = person.totp_sealed.is_some();
    let session = NewSession::prepare(services).await?;
    let stage = if second_factor_next {
        Stage::SecondFactor
    } else {
        Stage::Active
    };
    let tx = services.store.system(SystemPurpose::SignInWrite).await?;
    session
        .open(&tx, person.id, stage, now, &from.address, &from.user_agent)
        .await?;
    tx.commit().await?;
    Ok(SignedIn {
        session,
        second_factor_next,
    })
}

/// Checks the second factor of a session that lacks it.
///
/// # Errors
/// `forbidden` when the code does not fit or was used; `rate_limited`.
pub async fn with_code(
    from: &Anonymous,
    limiter: &Limiter,
    known: &Recognized,
    code: &str,
) -> Result<(), Problem> {
    let services = &from.services;
    let Credential::Session(session) = &known.actor.credential else {
        return Err(Problem::not_found());
    };
    let now = services.clock.now_ms();
    let keys = [format!("second factor {}", known.actor.user)];
    limiter.take(&keys, now)?;
    let accepted = second_factor::accept(services, known.actor.user, code).await?;
    if !accepted {
        return Err(wrong_code());
    }
    limiter.succeeded(&keys, now);
    let tx = services.store.system(SystemPurpose::SignInWrite).await?;
    sessions::advance(&tx, *session, now).await?;
    tx.commit().await?;
    services.credentials.forget_all();
    Ok(())
}

/// Confirms password (and second factor) of a person who is signed in, so that the next ten minutes count as fresh.
///
/// # Errors
/// `forbidden` when they do not fit; `rate_limited`.
pub async fn again(
    ctx: &Ctx,
    limiter: &Limiter,
    secret: SecretString,
    code: &str,
) -> Result<(), Problem> {
    let services = &ctx.services;
    let now = ctx.now_ms();
    let keys = [format!("account {}", ctx.actor.email)];
    limiter.take(&keys, now)?;
    let session: SessionId = match &ctx.actor.credential {
        Credential::Session(id) => *id,
        Credential::Token(..) => return Err(Problem::not_found()),
    };
    let tx = services.store.system(SystemPurpose::SignInRead).await?;
    let person = tx
        .one(account::Entity::find_by_id(ctx.actor.user))
        .await?
        .ok_or_else(Problem::not_found)?;
    drop(tx);
    let fits = password::verify(secret, Some(person.password_hash)).await?;
    if !fits
        || (person.totp_sealed.is_some()
            && !second_factor::accept(services, person.id, code).await?)
    {
        return Err(Problem::new(
            Code::Forbidden,
            "This does not fit. Check the password and the code, and try again.",
        ));
    }
    limiter.succeeded(&keys, now);
    let tx = services.store.system(SystemPurpose::SignInWrite).await?;
    sessions::advance(&tx, session, now).await?;
    tx.commit().await?;
    services.credentials.forget_all();
    Ok(())
}

/// Whether the person has a second factor.
///
/// # Errors
/// When the database does not answer.
pub async fn has_second_factor(ctx: &Ctx) -> Result<bool, Problem> {
    let tx = ctx.services.store.system(SystemPurpose::SignInRead).await?;
    let person = tx
        .one(account::Entity::find_by_id(ctx.actor.user))
        .await?
        .ok_or_else(Problem::not_found)?;
    Ok(person.totp_sealed.is_some())
}

/// Ends the session that asks.
///
/// # Errors
/// When the database does not answer.
pub async fn out(ctx: &Ctx) -> Result<(), Problem> {
    if let Credential::Session(id) = &ctx.actor.credential {
        let tx = ctx
            .services
            .store
            .system(SystemPurpose::SignInWrite)
            .await?;
        tx.delete_where::<login_session::Entity>(login_session::Column::Id.eq(*id))
            .await?;
        tx.commit().await?;
        ctx.services.credentials.forget_all();
    }
    Ok(())
}

fn wrong_password() -> Problem {
    Problem::new(
        Code::Forbidden,
        "This address and password do not fit together. Try again.",
    )
}

fn wrong_code() -> Problem {
    Problem::new(
        Code::Forbidden,
        "This code does not fit, or was used already. Wait for the next one and check the clock of your phone.",
    )
}
