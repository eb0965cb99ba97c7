//! Changing one's own password.

use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, Condition, EntityTrait};

use super::guesses::NARROW;
use super::{guesses, password, sessions};
use crate::authz::accounts::account;
use crate::context::Ctx;
use crate::features::audit::{self, Action};
use crate::kernel::{Code, Problem, SecretString};
use crate::shared::Subject;
use crate::store::SystemPurpose;

/// Changes the caller's password, who shows the current one, and ends all their other sessions. API tokens stay.
///
/// # Errors
/// `unprocessable` naming the field, `current` or `password`; `rate_limited` after too many wrong ones.
pub async fn change(ctx: &Ctx, current: SecretString, secret: SecretString) -> Result<(), Problem> {
    let (services, user) = (&ctx.services, ctx.actor.user());
    // The same tries as for confirming: else whoever finds an open browser could guess here, too.
    let keys = [(format!("again {user}"), NARROW)];
    let guess = guesses::take(services, &keys).await?;
    let tx = services.store.system(SystemPurpose::SignInRead).await?;
    let person = tx
        .one(account::Entity::find_by_id(user))
        .await?
        .ok_or_else(Problem::not_found)?;
    drop(tx);
    let same = current.expose() == secret.expose();
    if !password::verify(current, Some(person.password_hash.clone())).await? {
        return Err(wrong("current: This is not your password. Try again."));
    }
    guess.right(services).await;
    if same {
        return Err(wrong("password: This is the current one. Choose another."));
    }
    if let Some(message) = password::complaint(&secret, ctx.actor.email()) {
        return Err(wrong(format!("password: {message}")));
    }
    let hash = password::hash(secret, services.rng).await?;
    let tx = services.store.system(SystemPurpose::SignInWrite).await?;
    // Of two that change it at once, one does: the other showed a password that is the current one no more.
    let unchanged = Condition::all()
        .add(account::Column::Id.eq(user))
        .add(account::Column::PasswordHash.eq(person.password_hash));
    let values = account::ActiveModel {
        password_hash: Set(hash),
        ..Default::default()
    };
    if tx
        .update_where::<account::Entity>(unchanged, values)
        .await?
        != 1
    {
        return Err(wrong(
            "current: The password was changed meanwhile. Try again.",
        ));
    }
    let ended = sessions::delete_others(&tx, ctx).await?;
    let organizations = audit::organizations_of(&tx, user).await?;
    let detail = format!("other sessions ended: {ended}");
    let entry = audit::entry(ctx, Action::PasswordChange, user, detail);
    tx.commit(&organizations, entry).await?;
    services.changed(Subject::Account(user));
    Ok(())
}

fn wrong(detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(Code::Unprocessable, detail)
}
