//! Each operation, and each rule that it must hold.

use std::time::Duration;

use hpke::{
    Deserializable, Kem, OpModeR, Serializable, aead::AesGcm256, kdf::HkdfSha256,
    kem::X25519HkdfSha256,
};
use optidev::{
    kernel::secret::SecretBytes,
    vault::{
        Binding, DeliverItem, Delivery, MacPurpose, Purpose, Sealed, SystemPurpose, Tier,
        VaultClient, VaultError, WrappedKey,
    },
};

use super::harness::{Vault, WORKSPACE, binding, value};

async fn sealed(client: &VaultClient, binding: &Binding, text: &str) -> (WrappedKey, Sealed) {
    let key = client.new_workspace_key(WORKSPACE).await.unwrap();
    let sealed = client.seal(&key, binding, value(text)).await.unwrap();
    (key, sealed)
}

#[tokio::test]
async fn reveals_visible_and_masked_values_and_records_it_without_the_value() {
    let vault = Vault::start().await;
    let client = vault.client();
    for tier in [Tier::Visible, Tier::Masked] {
        let (key, sealed) = sealed(&client, &binding(tier), "hunter2-canary").await;
        let revealed = client.reveal(&key, &binding(tier), &sealed).await.unwrap();
        assert_eq!(revealed.expose(), b"hunter2-canary");
    }
    let recorded = vault.recorded();
    assert_eq!(recorded.len(), 2);
    assert_eq!(recorded[1]["operation"], "reveal");
    assert_eq!(recorded[1]["outcome"], "ok");
    assert_eq!(recorded[1]["peer_pid"], std::process::id());
    assert_eq!(recorded[1]["secrets"][0]["name"], "DATABASE_URL");
    assert_eq!(recorded[1]["secrets"][0]["tier"], "masked");
    assert_eq!(recorded[1]["secrets"][0]["workspace"], "a1".repeat(16));
    assert!(recorded[1]["time_ms"].as_i64().unwrap() > 1_700_000_000_000);
    assert!(
        !std::fs::read_to_string(&vault.record)
            .unwrap()
            .contains("hunter2")
    );
}

#[tokio::test]
async fn never_reveals_a_sensitive_value_whatever_tier_the_caller_names() {
    let vault = Vault::start().await;
    let client = vault.client();
    let (key, sealed) = sealed(&client, &binding(Tier::Sensitive), "canary").await;
    let honest = client
        .reveal(&key, &binding(Tier::Sensitive), &sealed)
        .await;
    assert!(matches!(honest, Err(VaultError::Refused { .. })));
    for claimed in [Tier::Visible, Tier::Masked] {
        let attempt = client.reveal(&key, &binding(claimed), &sealed).await;
        assert_eq!(attempt.err(), Some(VaultError::DoesNotDecrypt));
    }
    // No other way out either.
    let opened = client
        .open(SystemPurpose::UpstreamAiKey, "DATABASE_URL", &sealed)
        .await;
    assert_eq!(opened.err(), Some(VaultError::DoesNotDecrypt));
    let as_key = client
        .rewrap(WORKSPACE, &WrappedKey(sealed.0.clone()))
        .await;
    assert_eq!(as_key.err(), Some(VaultError::DoesNotDecrypt));
    let outcomes: Vec<_> = vault
        .recorded()
        .iter()
        .map(|line| line["outcome"].clone())
        .collect();
    assert_eq!(
        outcomes,
        [
            "refused",
            "does_not_decrypt",
            "does_not_decrypt",
            "does_not_decrypt"
        ]
    );
}

#[tokio::test]
async fn refuses_a_ciphertext_that_was_moved() {
    let vault = Vault::start().await;
    let client = vault.client();
    let here = binding(Tier::Masked);
    let (key, sealed) = sealed(&client, &here, "value").await;
    let other_key = client.new_workspace_key([0xcc; 16]).await.unwrap();
    let second_key = client.new_workspace_key(WORKSPACE).await.unwrap();
    let elsewhere = [
        Binding {
            workspace: [0xcc; 16],
            ..here.clone()
        },
        Binding {
            secret: [0; 16],
            ..here.clone()
        },
        Binding {
            version: 2,
            ..here.clone()
        },
        Binding {
            name: "DATABASE_URl".to_owned(),
            ..here.clone()
        },
        Binding {
            name: "DATABASE_URL\0".to_owned(),
            ..here.clone()
        },
        Binding {
            purpose: Purpose::Integration,
            ..here.clone()
        },
        Binding {
            tier: Tier::Visible,
            ..here.clone()
        },
    ];
    for elsewhere in elsewhere {
        for key in [&key, &other_key] {
            let attempt = client.reveal(key, &elsewhere, &sealed).await;
            assert_eq!(
                attempt.err(),
                Some(VaultError::DoesNotDecrypt),
                "{elsewhere:?}"
            );
        }
    }
    for key in [&other_key, &second_key] {
        let attempt = client.reveal(key, &here, &sealed).await;
        assert_eq!(attempt.err(), Some(VaultError::DoesNotDecrypt));
    }
    assert!(client.reveal(&key, &here, &sealed).await.is_ok());
    // Another installation has another master and another id.
    let other = Vault::start().await;
    let attempt = other.client().reveal(&key, &here, &sealed).await;
    assert_eq!(attempt.err(), Some(VaultError::DoesNotDecrypt));
}

#[tokio::test]
async fn refuses_one_flipped_bit_anywhere() {
    let vault = Vault::start().await;
    let client = vault.client();
    let (key, sealed) = sealed(&client, &binding(Tier::Masked), "value").await;
    for bit in 0..sealed.0.len() * 8 {
        let mut flipped = sealed.clone();
        flipped.0[bit / 8] ^= 1 << (bit % 8);
        let attempt = client.reveal(&key, &binding(Tier::Masked), &flipped).await;
        assert_eq!(
            attempt.err(),
            Some(VaultError::DoesNotDecrypt),
            "bit {bit} of the value"
        );
    }
    for bit in 0..key.0.len() * 8 {
        let mut flipped = key.clone();
        flipped.0[bit / 8] ^= 1 << (bit % 8);
        let attempt = client
            .reveal(&flipped, &binding(Tier::Masked), &sealed)
            .await;
        assert_eq!(
            attempt.err(),
            Some(VaultError::DoesNotDecrypt),
            "bit {bit} of the key"
        );
    }
}

#[tokio::test]
async fn a_rewrapped_key_opens_what_the_old_one_sealed_and_no_other_workspace_can_rewrap_it() {
    let vault = Vault::start().await;
    let client = vault.client();
    let (key, sealed) = sealed(&client, &binding(Tier::Masked), "value").await;
    let again = client.rewrap(WORKSPACE, &key).await.unwrap();
    assert_ne!(again, key);
    assert!(
        client
            .reveal(&again, &binding(Tier::Masked), &sealed)
            .await
            .is_ok()
    );
    let foreign = client.rewrap([0; 16], &key).await;
    assert_eq!(foreign.err(), Some(VaultError::DoesNotDecrypt));
}

struct Agent {
    private: <X25519HkdfSha256 as Kem>::PrivateKey,
    public: [u8; 32],
}

impl Agent {
    fn new() -> Self {
        let (private, public) = X25519HkdfSha256::gen_keypair();
        Self {
            private,
            public: public.to_bytes().into(),
        }
    }

    /// Opens as RFC 9180 says for a receiver in base mode.
    fn open(&self, delivery: &Delivery, info: &str) -> Option<serde_json::Value> {
        let enc = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(&delivery.enc).ok()?;
        let text = hpke::single_shot_open::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &self.private,
            &enc,
            info.as_bytes(),
            &delivery.ciphertext,
            &[],
        )
        .ok()?;
        Some(serde_json::from_slice(&text).unwrap())
    }
}

#[tokio::test]
async fn delivers_every_tier_to_the_agents_key_only() {
    let vault = Vault::start().await;
    let client = vault.client();
    let key = client.new_workspace_key(WORKSPACE).await.unwrap();
    let texts = [
        "plain",
        "quote \" backslash \\ newline \n tab \t",
        "käse 🧀 \u{1}",
    ];
    let mut items = Vec::new();
    for (number, (text, tier)) in texts.iter().zip(Tier::ALL).enumerate() {
        let env = format!("SECRET_{number}");
        let binding = Binding {
            name: env.clone(),
            ..binding(*tier)
        };
        let sealed = client.seal(&key, &binding, value(text)).await.unwrap();
        items.push(DeliverItem {
            env,
            binding,
            sealed,
        });
    }
    let agent = Agent::new();
    let extra = || vec![("EXTRA".to_owned(), value("extra"))];
    let delivery = client
        .deliver(&key, items.clone(), agent.public, "ctr_1", extra())
        .await
        .unwrap();
    let expected = serde_json::json!({
        "SECRET_0": texts[0], "SECRET_1": texts[1], "SECRET_2": texts[2], "EXTRA": "extra",
    });
    assert_eq!(agent.open(&delivery, "ctr_1"), Some(expected));
    assert_eq!(
        agent.open(&delivery, "ctr_2"),
        None,
        "info binds it to the container"
    );
    assert_eq!(Agent::new().open(&delivery, "ctr_1"), None);
    let line = &vault.recorded()[0];
    assert_eq!(line["operation"], "deliver");
    assert_eq!(line["secrets"].as_array().unwrap().len(), 3);
    assert_eq!(line["delivery"]["info"], "ctr_1");
    assert_eq!(line["delivery"]["extra"][0], "EXTRA");
    assert!(!line.to_string().contains("backslash"));

    let empty = client
        .deliver(&key, vec![], agent.public, "x", vec![])
        .await
        .unwrap();
    assert_eq!(agent.open(&empty, "x"), Some(serde_json::json!({})));

    // One bad item, and nothing is delivered.
    let mut moved = items.clone();
    moved[1].binding.tier = Tier::Visible;
    let attempt = client
        .deliver(&key, moved, agent.public, "ctr_1", vec![])
        .await;
    assert_eq!(attempt.err(), Some(VaultError::DoesNotDecrypt));
    let mut twice = items.clone();
    twice.push(items[0].clone());
    let refusals = [
        client.deliver(&key, twice, agent.public, "c", vec![]).await,
        client
            .deliver(
                &key,
                vec![],
                agent.public,
                "c",
                vec![("A=B".to_owned(), value(""))],
            )
            .await,
        client
            .deliver(
                &key,
                vec![],
                agent.public,
                "c",
                vec![(String::new(), value(""))],
            )
            .await,
        client
            .deliver(
                &key,
                vec![],
                agent.public,
                "c",
                vec![("A".to_owned(), value("a\0b"))],
            )
            .await,
        client
            .deliver(
                &key,
                vec![],
                agent.public,
                "c",
                vec![("A".to_owned(), SecretBytes::from([0xff].as_slice()))],
            )
            .await,
        // Everybody's key: anyone could open it.
        client.deliver(&key, items, [0; 32], "c", vec![]).await,
    ];
    for refusal in refusals {
        assert!(
            matches!(refusal, Err(VaultError::Refused { .. })),
            "{refusal:?}"
        );
    }
}

#[tokio::test]
async fn an_integrations_secret_is_not_delivered_to_a_container() {
    let vault = Vault::start().await;
    let client = vault.client();
    let binding = Binding {
        purpose: Purpose::Integration,
        ..binding(Tier::Sensitive)
    };
    let (key, sealed) = sealed(&client, &binding, "value").await;
    let item = DeliverItem {
        env: "A".to_owned(),
        binding,
        sealed,
    };
    let attempt = client
        .deliver(&key, vec![item], Agent::new().public, "c", vec![])
        .await;
    assert!(matches!(attempt, Err(VaultError::Refused { .. })));
}

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
