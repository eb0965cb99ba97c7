//! Password sign-in, the second step, and confirming that one is still there.

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::guesses::{NARROW, WIDE};
use super::sessions::{self, NewSession, Stage};
use super::{guesses, password, second_factor};
use crate::authz::accounts::{account, login_session};
use crate::authz::{Credential, Recognized};
use crate::context::{Ctx, Services};
use crate::features::audit::{self, Action, Stranger};
use crate::features::members::normal_email;
use crate::kernel::{Code, Problem, SecretString, SessionId, UserId};
use crate::metrics;
use crate::shared::Subject;
use crate::store::{Entry, SystemPurpose};
use crate::web::{Anonymous, admission};

/// What a right password leads to.
pub struct SignedIn {
    /// The cookie to set.
    pub session: NewSession,
    /// Whether the second factor comes next.
    pub second_factor_next: bool,
}

/// Counts a step of signing in.
pub fn counted<T>(method: &'static str, result: &Result<T, Problem>) {
    let outcome = match result {
        Ok(_) => "accepted",
        Err(problem) => match problem.code {
            Code::Forbidden => "refused",
            Code::RateLimited => "rate_limited",
            Code::Unavailable => "unavailable",
            _ => "failed",
        },
    };
    metrics::sign_in(method, outcome);
}

/// Checks address and password and opens a session.
///
/// # Errors
/// `forbidden` with one sentence for a wrong address and a wrong password alike; `rate_limited`.
pub async fn with_password(
    from: &Anonymous,
    email: &str,
    secret: SecretString,
) -> Result<SignedIn, Problem> {
    let services = &from.services;
    let now = services.clock.now_ms();
    if email.len() > 254 {
        return Err(wrong_password());
    }
    let email = normal_email(email);
    let block = admission::block(&from.address);
    let keys = [
        (format!("account {email} from {block}"), NARROW),
        (format!("account {email}"), WIDE),
        (format!("address {block}"), WIDE),
    ];
    let guess = guesses::take(services, &keys).await?;
    let tx = services.store.system(SystemPurpose::SignInRead).await?;
    let person = tx
        .one(account::Entity::find().filter(account::Column::Email.eq(&email)))
        .await?;
    drop(tx);
    let fits =
        password::verify(secret, person.as_ref().map(|row| row.password_hash.clone())).await?;
    let (Some(person), true) = (&person, fits) else {
        tracing::warn!(
            address = from.address,
            request_id = from.request_id,
            "sign-in failed"
        );
        refused(from, person.map(|row| row.id), "password").await?;
        return Err(wrong_password());
    };
    guess.right(services).await;
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
    let detail = if second_factor_next {
        "password; the second factor comes next"
    } else {
        "password"
    };
    let organizations = audit::organizations_of(&tx, person.id).await?;
    let entry = audit::by_stranger(
        services,
        stranger(from),
        person.id,
        Action::SessionOpen,
        session.id,
        detail,
    );
    tx.commit(&organizations, entry).await?;
    Ok(SignedIn {
        session,
        second_factor_next,
    })
}

/// Checks the second factor of a session that lacks it.
///
/// # Errors
/// `forbidden` when the code does not fit or was used; `rate_limited`.
pub async fn with_code(from: &Anonymous, known: &Recognized, code: &str) -> Result<(), Problem> {
    let services = &from.services;
    let Credential::Session(session) = known.actor.credential() else {
        return Err(Problem::not_found());
    };
    let now = services.clock.now_ms();
    let keys = [(format!("second factor {}", known.actor.user()), NARROW)];
    let guess = guesses::take(services, &keys).await?;
    let accepted = second_factor::accept(services, known.actor.user(), code).await?;
    let user = known.actor.user();
    if !accepted {
        refused(from, Some(user), "second factor").await?;
        return Err(wrong_code());
    }
    guess.right(services).await;
    let tx = services.store.system(SystemPurpose::SignInWrite).await?;
    sessions::advance(&tx, *session, now).await?;
    let organizations = audit::organizations_of(&tx, user).await?;
    let entry = audit::by_stranger(
        services,
        stranger(from),
        user,
        Action::SessionSecondFactor,
        session,
        "authenticator app",
    );
    tx.commit(&organizations, entry).await?;
    services.changed(Subject::Account(user));
    Ok(())
}

/// Confirms password (and second factor) of a person who is signed in, so that the next ten minutes count as fresh.
///
/// # Errors
/// `forbidden` when they do not fit; `rate_limited`.
pub async fn again(ctx: &Ctx, secret: SecretString, code: &str) -> Result<(), Problem> {
    let services = &ctx.services;
    let now = ctx.now_ms();
    let keys = [(format!("again {}", ctx.actor.user()), NARROW)];
    let guess = guesses::take(services, &keys).await?;
    let session: SessionId = match ctx.actor.credential() {
        Credential::Session(id) => *id,
        Credential::Token(..) => return Err(Problem::not_found()),
    };
    let tx = services.store.system(SystemPurpose::SignInRead).await?;
    let person = tx
        .one(account::Entity::find_by_id(ctx.actor.user()))
        .await?
        .ok_or_else(Problem::not_found)?;
    drop(tx);
    let fits = password::verify(secret, Some(person.password_hash)).await?;
    if !fits
        || (person.totp_sealed.is_some()
            && !second_factor::accept(services, person.id, code).await?)
    {
        let user = ctx.actor.user();
        let entry = audit::entry(ctx, Action::SignInRefused, user, "confirmation");
        tell(services, user, entry).await?;
        return Err(Problem::new(
            Code::Forbidden,
            "This does not fit. Check the password and the code, and try again.",
        ));
    }
    guess.right(services).await;
    let tx = services.store.system(SystemPurpose::SignInWrite).await?;
    sessions::advance(&tx, session, now).await?;
    let organizations = audit::organizations_of(&tx, ctx.actor.user()).await?;
    let entry = audit::entry(ctx, Action::SessionConfirm, session, "");
    tx.commit(&organizations, entry).await?;
    services.changed(Subject::Account(ctx.actor.user()));
    Ok(())
}

/// Whether the person has a second factor.
///
/// # Errors
/// When the database does not answer.
pub async fn has_second_factor(ctx: &Ctx) -> Result<bool, Problem> {
    let tx = ctx.services.store.system(SystemPurpose::SignInRead).await?;
    let person = tx
        .one(account::Entity::find_by_id(ctx.actor.user()))
        .await?
        .ok_or_else(Problem::not_found)?;
    Ok(person.totp_sealed.is_some())
}

/// Ends the session that asks.
///
/// # Errors
/// When the database does not answer.
pub async fn out(ctx: &Ctx) -> Result<(), Problem> {
    if let Credential::Session(id) = ctx.actor.credential() {
        let tx = ctx
            .services
            .store
            .system(SystemPurpose::SignInWrite)
            .await?;
        tx.delete_where::<login_session::Entity>(login_session::Column::Id.eq(*id))
            .await?;
        let organizations = audit::organizations_of(&tx, ctx.actor.user()).await?;
        let entry = audit::entry(ctx, Action::SessionEnd, id, "");
        tx.commit(&organizations, entry).await?;
        ctx.services.changed(Subject::Account(ctx.actor.user()));
    }
    Ok(())
}

fn stranger(from: &Anonymous) -> Stranger<'_> {
    Stranger {
        address: &from.address,
        request_id: &from.request_id,
    }
}

/// Records a failed try. One of an address that nobody has is recorded too, with the installation: writing takes time,
/// and time must not tell which addresses are known.
async fn refused(
    from: &Anonymous,
    account: Option<UserId>,
    what: &'static str,
) -> Result<(), Problem> {
    let services = &from.services;
    // Of no account, the reading of organizations finds nothing, as long as it takes.
    let user = account.unwrap_or_else(|| UserId::new(&services.clock, &services.rng));
    let object = account.map_or_else(|| "an unknown address".to_owned(), |id| id.to_string());
    let mut entry = audit::by_stranger(
        services,
        stranger(from),
        user,
        Action::SignInRefused,
        object,
        what,
    );
    entry.actor = account;
    tell(services, user, entry).await
}

/// Writes an entry with which nothing else changes, to the logs of all organizations of `user`.
async fn tell(services: &Services, user: UserId, entry: Entry) -> Result<(), Problem> {
    let tx = services.store.system(SystemPurpose::SignInWrite).await?;
    let organizations = audit::organizations_of(&tx, user).await?;
    tx.commit(&organizations, entry).await?;
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
