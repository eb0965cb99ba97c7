//! Stored values that the vault seals anew without showing them: what may change about one, and what may not.

use optidev::vault::{Binding, Purpose, Sealed, SystemPurpose, Tier, VaultError};

use super::harness::{Vault, WORKSPACE, binding, value};
use super::operations::sealed;

#[tokio::test]
async fn a_stored_value_moves_to_a_stricter_tier_and_never_to_a_weaker_one() {
    let vault = Vault::start().await;
    let client = vault.client();
    for (at, from) in Tier::ALL.iter().enumerate() {
        let (key, stored) = sealed(&client, &binding(*from), "canary").await;
        for (to_at, to) in Tier::ALL.iter().enumerate() {
            let target = Binding {
                version: 2,
                ..binding(*to)
            };
            let moved = client
                .reseal((&key, &binding(*from)), &stored, (&key, &target))
                .await;
            if to_at < at {
                assert!(
                    matches!(moved, Err(VaultError::Refused { .. })),
                    "{from:?} {to:?}"
                );
                continue;
            }
            let revealed = client.reveal(&key, &target, &moved.unwrap()).await;
            if *to == Tier::Sensitive {
                assert!(matches!(revealed, Err(VaultError::Refused { .. })));
            } else {
                assert_eq!(revealed.unwrap().expose(), b"canary");
            }
        }
        // A lie about the tier that it has does not help either.
        let lie = client
            .reseal(
                (&key, &binding(Tier::Visible)),
                &stored,
                (&key, &binding(Tier::Visible)),
            )
            .await;
        assert_eq!(lie.is_ok(), *from == Tier::Visible, "{from:?}");
    }
}

#[tokio::test]
async fn a_stored_value_stays_with_its_workspace_secret_name_and_purpose() {
    let vault = Vault::start().await;
    let client = vault.client();
    let from = binding(Tier::Masked);
    let (key, stored) = sealed(&client, &from, "canary").await;
    let foreign = client.new_workspace_key([0xcc; 16]).await.unwrap();
    let elsewhere = [
        Binding {
            workspace: [0xcc; 16],
            ..from.clone()
        },
        Binding {
            secret: [0; 16],
            ..from.clone()
        },
        Binding {
            name: "OTHER".to_owned(),
            ..from.clone()
        },
        Binding {
            purpose: Purpose::Integration,
            ..from.clone()
        },
    ];
    for to in elsewhere {
        for with in [&key, &foreign] {
            let moved = client.reseal((&key, &from), &stored, (with, &to)).await;
            assert!(matches!(moved, Err(VaultError::Refused { .. })), "{to:?}");
        }
        // Said to have been there before: then it does not decrypt.
        for with in [&key, &foreign] {
            let moved = client.reseal((with, &to), &stored, (with, &to)).await;
            assert_eq!(moved.err(), Some(VaultError::DoesNotDecrypt), "{to:?}");
        }
    }
    let moved = client
        .reseal((&key, &from), &stored, (&foreign, &from))
        .await;
    assert_eq!(moved.err(), Some(VaultError::DoesNotDecrypt));
}

#[tokio::test]
async fn a_rollback_is_a_new_version_and_the_old_envelope_is_not_the_new_one() {
    let vault = Vault::start().await;
    let client = vault.client();
    let first = binding(Tier::Masked);
    let (key, stored) = sealed(&client, &first, "the first").await;
    let third = Binding {
        version: 3,
        ..first.clone()
    };
    let back = client
        .reseal((&key, &first), &stored, (&key, &third))
        .await
        .unwrap();
    let revealed = client.reveal(&key, &third, &back).await.unwrap();
    assert_eq!(revealed.expose(), b"the first");
    for (bound, envelope) in [(&third, &stored), (&first, &back)] {
        let swapped = client.reveal(&key, bound, envelope).await;
        assert_eq!(swapped.err(), Some(VaultError::DoesNotDecrypt));
    }
    // Rotation of the workspace's key: from the old one to a new one of the same workspace.
    let fresh = client.new_workspace_key(WORKSPACE).await.unwrap();
    let rotated = client
        .reseal((&key, &first), &stored, (&fresh, &first))
        .await
        .unwrap();
    assert!(client.reveal(&fresh, &first, &rotated).await.is_ok());
    let old = client.reveal(&key, &first, &rotated).await;
    assert_eq!(old.err(), Some(VaultError::DoesNotDecrypt));
}

#[tokio::test]
async fn system_credentials_and_seeds_are_rewrapped_for_what_they_were_sealed_for_only() {
    let vault = Vault::start().await;
    let client = vault.client();
    let (purpose, name) = (SystemPurpose::Smtp, "main");
    let stored = client
        .seal_system(purpose, name, value("password"))
        .await
        .unwrap();
    let again = client.rewrap_system(purpose, name, &stored).await.unwrap();
    assert_ne!(again, stored);
    let opened = client.open(purpose, name, &again).await.unwrap();
    assert_eq!(opened.expose(), b"password");
    for (other, name) in [
        (SystemPurpose::Sms, "main"),
        (SystemPurpose::Smtp, "mair"),
        (SystemPurpose::Smtp, ""),
    ] {
        let refused = client.rewrap_system(other, name, &stored).await;
        assert_eq!(refused.err(), Some(VaultError::DoesNotDecrypt), "{name}");
    }
    let (seed, _) = client.totp_seed([1; 16]).await.unwrap();
    let again = client.rewrap_totp([1; 16], &seed).await.unwrap();
    assert_ne!(again, seed);
    let code = |sealed: Sealed, user: [u8; 16]| {
        let client = client.clone();
        async move { client.totp_verify(user, &sealed, "000000", 0, None).await }
    };
    assert!(code(again.clone(), [1; 16]).await.is_ok());
    assert_eq!(
        code(again, [2; 16]).await.err(),
        Some(VaultError::DoesNotDecrypt)
    );
    let refused = client.rewrap_totp([2; 16], &seed).await;
    assert_eq!(refused.err(), Some(VaultError::DoesNotDecrypt));
    // Neither is a way to make the one out of the other, or out of a workspace's secret.
    let crossed = client.rewrap_totp([1; 16], &stored).await;
    assert_eq!(crossed.err(), Some(VaultError::DoesNotDecrypt));
    let crossed = client.rewrap_system(purpose, name, &seed).await;
    assert_eq!(crossed.err(), Some(VaultError::DoesNotDecrypt));
    let (_, secret) = sealed(&client, &binding(Tier::Sensitive), "canary").await;
    let crossed = client.rewrap_system(purpose, name, &secret).await;
    assert_eq!(crossed.err(), Some(VaultError::DoesNotDecrypt));
}
