//! Codes, credentials, one-time passwords, and the limits that hold for all operations.

use std::time::Duration;

use optidev::kernel::secret::SecretBytes;
use optidev::vault::{Binding, MacPurpose, SystemPurpose, Tier, VaultClient, VaultError};

use super::harness::*;
use super::operations::{Agent, sealed};

#[tokio::test]
async fn macs_differ_by_purpose_and_stay_the_same_over_a_restart() {
    let mut vault = Vault::start().await;
    let client = vault.client();
    let mut macs = Vec::new();
    for purpose in MacPurpose::ALL {
        macs.push(client.mac(*purpose, b"data").await.unwrap());
    }
    let mut distinct = macs.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), MacPurpose::ALL.len());
    assert_ne!(
        client.mac(MacPurpose::Csrf, b"datb").await.unwrap(),
        client.mac(MacPurpose::Csrf, b"data").await.unwrap()
    );
    vault.kill();
    vault.restart();
    assert_eq!(
        client.mac(MacPurpose::ALL[0], b"data").await.unwrap(),
        macs[0]
    );
}

#[tokio::test]
async fn a_credential_opens_for_its_purpose_and_name_only() {
    let vault = Vault::start().await;
    let client = vault.client();
    let sealed = client
        .seal_system(
            SystemPurpose::UpstreamAiKey,
            "anthropic",
            value("sk-canary"),
        )
        .await
        .unwrap();
    let opened = client
        .open(SystemPurpose::UpstreamAiKey, "anthropic", &sealed)
        .await
        .unwrap();
    assert_eq!(opened.expose(), b"sk-canary");
    for purpose in SystemPurpose::ALL {
        let name = if *purpose == SystemPurpose::UpstreamAiKey {
            "gemini"
        } else {
            "anthropic"
        };
        let attempt = client.open(*purpose, name, &sealed).await;
        assert_eq!(
            attempt.err(),
            Some(VaultError::DoesNotDecrypt),
            "{purpose:?}"
        );
    }
    let recorded = vault.recorded();
    assert_eq!(recorded[0]["operation"], "open");
    assert_eq!(recorded[0]["credential"]["purpose"], "upstream_ai_key");
    assert_eq!(recorded.len(), 1 + SystemPurpose::ALL.len());
}

#[tokio::test]
async fn a_one_time_password_is_accepted_once_for_its_user() {
    let vault = Vault::start().await;
    let client = vault.client();
    let user = [3; 16];
    let (sealed, seed) = client.totp_seed(user).await.unwrap();
    let totp = totp_rs::Builder::new()
        .with_secret(totp_rs::Secret::try_from_base32(seed.expose()).unwrap())
        .build()
        .unwrap();
    let now_ms = 1_700_000_000_000;
    let code = totp.generate(1_700_000_000).to_string();
    let step = client
        .totp_verify(user, &sealed, &code, now_ms, None)
        .await
        .unwrap();
    assert_eq!(step, Some(1_700_000_000 / 30));
    assert_eq!(
        client.totp_verify(user, &sealed, &code, now_ms, step).await,
        Ok(None)
    );
    let foreign = client
        .totp_verify([4; 16], &sealed, &code, now_ms, None)
        .await;
    assert_eq!(foreign, Err(VaultError::DoesNotDecrypt));
    let mut throttled = false;
    for _ in 0..12 {
        let guess = client
            .totp_verify(user, &sealed, "000000", now_ms, step)
            .await;
        throttled |= matches!(guess, Err(VaultError::Throttled { .. }));
    }
    assert!(throttled, "guessing is slowed down");
}

#[tokio::test]
async fn reveals_are_throttled_for_each_workspace() {
    let vault = Vault::start_with(&["--reveal-burst", "3", "--reveals-per-minute", "1"]).await;
    let client = vault.client();
    let (key, sealed) = sealed(&client, &binding(Tier::Masked), "value").await;
    for _ in 0..3 {
        assert!(
            client
                .reveal(&key, &binding(Tier::Masked), &sealed)
                .await
                .is_ok()
        );
    }
    let fourth = client.reveal(&key, &binding(Tier::Masked), &sealed).await;
    let Err(VaultError::Throttled { retry_after_ms }) = fourth else {
        panic!("the fourth reveal was not throttled");
    };
    assert!(
        (50_000..=60_000).contains(&retry_after_ms),
        "{retry_after_ms}"
    );
    assert_eq!(vault.recorded()[3]["outcome"], "throttled");
    let elsewhere = Binding {
        workspace: [9; 16],
        ..binding(Tier::Masked)
    };
    let key = client.new_workspace_key([9; 16]).await.unwrap();
    let sealed = client.seal(&key, &elsewhere, value("value")).await.unwrap();
    assert!(client.reveal(&key, &elsewhere, &sealed).await.is_ok());
}

#[tokio::test]
async fn visible_values_use_up_no_reveals_and_a_hidden_one_does_not_pass_as_visible() {
    let vault = Vault::start_with(&["--reveal-burst", "1", "--reveals-per-minute", "1"]).await;
    let client = vault.client();
    let (visible, masked) = (binding(Tier::Visible), binding(Tier::Masked));
    let (key, shown) = sealed(&client, &visible, "shown").await;
    for _ in 0..200 {
        assert!(client.reveal(&key, &visible, &shown).await.is_ok());
    }
    assert!(vault.recorded().is_empty());
    let (key, hidden) = sealed(&client, &masked, "hidden").await;
    let claimed = client.reveal(&key, &visible, &hidden).await;
    assert_eq!(claimed.err(), Some(VaultError::DoesNotDecrypt));
    assert_eq!(vault.recorded()[0]["outcome"], "does_not_decrypt");
    assert!(client.reveal(&key, &masked, &hidden).await.is_ok());
    let second = client.reveal(&key, &masked, &hidden).await;
    assert!(matches!(second, Err(VaultError::Throttled { .. })));
}

#[tokio::test]
async fn nothing_is_opened_that_cannot_be_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let vault = Vault::start_in(folder, "/dev/full".into(), &[]).await;
    let client = vault.client();
    let (key, sealed) = sealed(&client, &binding(Tier::Masked), "value").await;
    let reveal = client.reveal(&key, &binding(Tier::Masked), &sealed).await;
    assert_eq!(reveal.err(), Some(VaultError::NotRecorded));
    let delivery = client
        .deliver(&key, vec![], Agent::new().public, "c", vec![])
        .await;
    assert_eq!(delivery.err(), Some(VaultError::NotRecorded));
    assert!(client.mac(MacPurpose::Csrf, b"data").await.is_ok());
}

#[tokio::test]
async fn sizes_are_limited_at_both_ends() {
    let vault = Vault::start().await;
    let client = vault.client();
    let key = client.new_workspace_key(WORKSPACE).await.unwrap();
    let largest = vec![b'x'; optidev::vault::MAX_VALUE];
    let bound = binding(Tier::Masked);
    let sealed = client
        .seal(&key, &bound, SecretBytes::from(largest.clone()))
        .await
        .unwrap();
    assert!(client.reveal(&key, &bound, &sealed).await.unwrap().expose() == &largest);
    let over = client
        .seal(&key, &bound, SecretBytes::from([largest, vec![0]].concat()))
        .await;
    assert!(matches!(over, Err(VaultError::TooLarge { .. })));
    let long_name = Binding {
        name: "N".repeat(2000),
        ..bound
    };
    assert!(matches!(
        client.seal(&key, &long_name, value("")).await,
        Err(VaultError::TooLarge { limit: 1024, .. })
    ));
    let beyond_a_frame = client.mac(MacPurpose::Audit, &vec![0; 17 << 20]).await;
    assert!(matches!(beyond_a_frame, Err(VaultError::TooLarge { .. })));
    assert!(
        client
            .mac(MacPurpose::Audit, &vec![0; 15 << 20])
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn an_absent_vault_is_an_error_that_says_where_it_was_looked_for() {
    let client =
        VaultClient::with_deadline("/nonexistent/vault.sock".into(), Duration::from_secs(4));
    let error = client.status().await.unwrap_err();
    assert!(
        error.to_string().contains("/nonexistent/vault.sock"),
        "{error}"
    );
    let start = std::time::Instant::now();
    assert!(client.status().await.is_err());
    assert!(
        start.elapsed() < Duration::from_millis(500),
        "a known absence fails at once"
    );
}
