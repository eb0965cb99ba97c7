//! One-time passwords of an authenticator app (RFC 6238). The seed lives in the vault; a step is accepted once.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, Condition, EntityTrait};

use crate::authz::accounts::account;
use crate::context::{Ctx, Services};
use crate::features::audit::{self, Action};
use crate::kernel::{Code, Problem, SecretString, UserId};
use crate::store::{SystemPurpose, Unaudited};
use crate::vault::{Sealed, VaultError};

/// What the page shows once while the person sets up their app.
pub struct Enrolment {
    /// The picture to scan, as a data address.
    pub qr_data_uri: String,
    /// The seed in base32, for typing.
    pub secret_text: String,
    /// The sealed seed; kept by the page in a hidden field until a first code proves that the app has it.
    pub sealed: String,
}

/// Starts an enrolment: nothing changes until [`enrol`].
///
/// # Errors
/// A conflict when a second factor is on already.
pub async fn begin(ctx: &Ctx) -> Result<Enrolment, Problem> {
    ctx.require_fresh()?;
    let tx = ctx.services.store.system(SystemPurpose::SignInRead).await?;
    let person = tx
        .one(account::Entity::find_by_id(ctx.actor.user()))
        .await?
        .ok_or_else(Problem::not_found)?;
    drop(tx);
    if person.totp_sealed.is_some() {
        return Err(is_on_already());
    }
    let (sealed, seed) = ctx
        .services
        .vault
        .totp_seed(ctx.actor.user().bytes())
        .await?;
    picture(ctx.actor.email(), &seed, &sealed)
}

/// The seed as a picture and as text; the vault gives it out this once.
fn picture(email: &str, seed: &SecretString, sealed: &Sealed) -> Result<Enrolment, Problem> {
    let label: String = url::form_urlencoded::byte_serialize(email.as_bytes()).collect();
    let address = format!(
        "otpauth://totp/OptiDev:{label}?secret={}&issuer=OptiDev&algorithm=SHA1&digits=6&period=30",
        seed.expose()
    );
    let code = qrcode::QrCode::new(address.as_bytes()).map_err(Problem::internal)?;
    let svg = code
        .render::<qrcode::render::svg::Color<'_>>()
        .min_dimensions(200, 200)
        .dark_color(qrcode::render::svg::Color("#000000"))
        .light_color(qrcode::render::svg::Color("#ffffff"))
        .build();
    Ok(Enrolment {
        qr_data_uri: format!("data:image/svg+xml;base64,{}", STANDARD.encode(svg)),
        secret_text: seed.expose().clone(),
        sealed: STANDARD.encode(&sealed.0),
    })
}

/// Turns the second factor on after a first right code.
///
/// # Errors
/// `forbidden` when the code does not fit.
pub async fn enrol(ctx: &Ctx, sealed: &str, code: &str) -> Result<(), Problem> {
    ctx.require_fresh()?;
    let sealed = STANDARD.decode(sealed).map(Sealed).map_err(|_| {
        Problem::new(
            Code::BadRequest,
            "The form is incomplete. Load the page again.",
        )
    })?;
    let services = &ctx.services;
    let user = ctx.actor.user();
    let step = services
        .vault
        .totp_verify(user.bytes(), &sealed, code.trim(), ctx.now_ms(), None)
        .await
        .map_err(|error| match error {
            // The form holds what it was given; or the master was rotated since, and its old root key is gone.
            VaultError::DoesNotDecrypt => Problem::new(
                Code::BadRequest,
                "This page is too old. Load it again, and scan the new picture.",
            ),
            error => error.into(),
        })?;
    let Some(step) = step else {
        return Err(Problem::new(
            Code::Forbidden,
            "This code does not fit. Scan the new picture, check the clock of your phone, and type the code it shows.",
        ));
    };
    let tx = services.store.system(SystemPurpose::SignInWrite).await?;
    // The seed lay in a page since before: it goes under the root key that a rotation of the master finds it under.
    tx.hold_root().await?;
    let sealed = services.vault.rewrap_totp(user.bytes(), &sealed).await?;
    let values = account::ActiveModel {
        totp_sealed: Set(Some(sealed.0)),
        totp_last_step: Set(Some(step)),
        ..Default::default()
    };
    // An enrolment that was begun twice ends once: the second would replace the first app silently.
    let without = Condition::all()
        .add(account::Column::Id.eq(user))
        .add(account::Column::TotpSealed.is_null());
    if tx.update_where::<account::Entity>(without, values).await? != 1 {
        return Err(is_on_already());
    }
    let organizations = audit::organizations_of(&tx, user).await?;
    let entry = audit::entry(ctx, Action::SecondFactorEnable, user, "authenticator app");
    tx.commit(&organizations, entry).await?;
    Ok(())
}

/// Turns the second factor off; its app's codes open nothing any more.
///
/// # Errors
/// `reauthentication_required`, which asks for a code of the app, too; a conflict when there is none.
pub async fn disable(ctx: &Ctx) -> Result<(), Problem> {
    ctx.require_fresh()?;
    let user = ctx.actor.user();
    let tx = ctx
        .services
        .store
        .system(SystemPurpose::SignInWrite)
        .await?;
    let with = Condition::all()
        .add(account::Column::Id.eq(user))
        .add(account::Column::TotpSealed.is_not_null());
    let values = account::ActiveModel {
        totp_sealed: Set(None),
        totp_last_step: Set(None),
        ..Default::default()
    };
    if tx.update_where::<account::Entity>(with, values).await? != 1 {
        return Err(Problem::new(
            Code::Conflict,
            "This account has no second factor.",
        ));
    }
    let organizations = audit::organizations_of(&tx, user).await?;
    let entry = audit::entry(ctx, Action::SecondFactorDisable, user, "authenticator app");
    tx.commit(&organizations, entry).await?;
    Ok(())
}

fn is_on_already() -> Problem {
    Problem::new(
        Code::Conflict,
        "This account has a second factor already. It stays as it is.",
    )
}

/// Whether `code` is right now, and uses its time step up.
///
/// # Errors
/// When the vault or the database does not answer.
pub async fn accept(services: &Services, user: UserId, code: &str) -> Result<bool, Problem> {
    let tx = services.store.system(SystemPurpose::SignInRead).await?;
    let Some(person) = tx.one(account::Entity::find_by_id(user)).await? else {
        return Ok(false);
    };
    drop(tx);
    let Some(sealed) = person.totp_sealed.map(Sealed) else {
        return Ok(false);
    };
    let now = services.clock.now_ms();
    let step = services
        .vault
        .totp_verify(
            user.bytes(),
            &sealed,
            code.trim(),
            now,
            person.totp_last_step,
        )
        .await?;
    let Some(step) = step else { return Ok(false) };
    let tx = services.store.system(SystemPurpose::SignInWrite).await?;
    // The row decides between two that show the same code at once.
    let unused = Condition::all().add(account::Column::Id.eq(user)).add(
        Condition::any()
            .add(account::Column::TotpLastStep.is_null())
            .add(account::Column::TotpLastStep.lt(step)),
    );
    let values = account::ActiveModel {
        totp_last_step: Set(Some(step)),
        ..Default::default()
    };
    let won = tx.update_where::<account::Entity>(unused, values).await? == 1;
    tx.commit_unaudited(Unaudited::UsedUp).await?;
    Ok(won)
}
