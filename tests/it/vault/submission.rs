//! Values that clients encrypt to the vault: what may be done with them, and what the server that carries them may not
//! change on the way. And values that refer to each other, on their way to an agent.

use hpke::{
    Deserializable, Kem, OpModeS, Serializable, aead::AesGcm256, kdf::HkdfSha256,
    kem::X25519HkdfSha256,
};
use optidev::vault::{
    Binding, DeliverItem, MAX_VARIABLE, Purpose, SUBMISSION_INFO, Submission, SubmissionKey, Tier,
    VaultClient, VaultError, WrappedKey, submission_data,
};

use super::harness::{Vault, WORKSPACE, binding, value};
use super::operations::Agent;

/// What a client means a value for.
#[derive(Clone)]
struct Meant {
    install: [u8; 16],
    workspace: [u8; 16],
    name: &'static str,
    purpose: Purpose,
    tier: Tier,
}

impl Meant {
    /// The same as [`binding`] of `tier`.
    async fn of(client: &VaultClient, tier: Tier) -> Self {
        Self {
            install: client.status().await.unwrap().install,
            workspace: WORKSPACE,
            name: "DATABASE_URL",
            purpose: Purpose::Environment,
            tier,
        }
    }

    /// As the console does it: HPKE in base mode, by another user of the crate than the vault's.
    fn encrypt(&self, to: &SubmissionKey, value: &[u8]) -> Submission {
        let data = submission_data(
            &self.install,
            &self.workspace,
            self.name,
            self.purpose,
            self.tier,
        );
        encrypt(to, SUBMISSION_INFO, &data, value)
    }
}

fn encrypt(to: &SubmissionKey, info: &[u8], data: &[u8], value: &[u8]) -> Submission {
    let public = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(&to.public).unwrap();
    let (enc, ciphertext) = hpke::single_shot_seal::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
        &OpModeS::Base,
        &public,
        info,
        value,
        data,
    )
    .unwrap();
    Submission {
        root: to.root,
        enc: enc.to_bytes().into(),
        ciphertext,
    }
}

#[tokio::test]
async fn seals_what_a_client_encrypted_and_the_additional_data_is_the_documented_one() {
    let vault = Vault::start().await;
    let client = vault.client();
    let key = client.new_workspace_key(WORKSPACE).await.unwrap();
    let to = client.submission_key().await.unwrap();
    assert_eq!(client.submission_key().await.unwrap(), to, "it stays");
    let meant = Meant::of(&client, Tier::Masked).await;
    let submission = meant.encrypt(&to, b"canary of a client");
    let bound = binding(Tier::Masked);
    let sealed = client
        .seal_submitted(&key, &bound, &submission)
        .await
        .unwrap();
    let revealed = client.reveal(&key, &bound, &sealed).await.unwrap();
    assert_eq!(revealed.expose(), b"canary of a client");

    // Written out, because clients in other languages write it too.
    let mut data = Vec::new();
    data.extend([0, 0, 0, 0, 0, 0, 0, 16]);
    data.extend(meant.install);
    data.extend([0, 0, 0, 0, 0, 0, 0, 16]);
    data.extend(WORKSPACE);
    data.extend(b"\0\0\0\0\0\0\0\x0cDATABASE_URL");
    data.extend([0, 0, 0, 0, 0, 0, 0, 1, 1]);
    data.extend([0, 0, 0, 0, 0, 0, 0, 1, 2]);
    let by_hand = encrypt(&to, b"optidev secret submission 1", &data, b"x");
    assert!(client.seal_submitted(&key, &bound, &by_hand).await.is_ok());
    // Another version of the protocol is another `info`.
    let other = encrypt(&to, b"optidev secret submission 2", &data, b"x");
    let refused = client.seal_submitted(&key, &bound, &other).await;
    assert_eq!(refused.err(), Some(VaultError::DoesNotDecrypt));
    assert!(
        !std::fs::read_to_string(&vault.record)
            .unwrap()
            .contains("canary of a client")
    );
}

#[tokio::test]
async fn a_value_that_was_meant_for_anything_else_is_refused() {
    let vault = Vault::start().await;
    let client = vault.client();
    let key = client.new_workspace_key(WORKSPACE).await.unwrap();
    let to = client.submission_key().await.unwrap();
    let meant = Meant::of(&client, Tier::Sensitive).await;
    let bound = binding(Tier::Sensitive);
    let other_install = Vault::start()
        .await
        .client()
        .status()
        .await
        .unwrap()
        .install;
    let elsewhere = [
        (
            "install",
            Meant {
                install: other_install,
                ..meant.clone()
            },
        ),
        (
            "workspace",
            Meant {
                workspace: [0xcc; 16],
                ..meant.clone()
            },
        ),
        (
            "name",
            Meant {
                name: "DATABASE_URl",
                ..meant.clone()
            },
        ),
        (
            "a longer name",
            Meant {
                name: "DATABASE_URL2",
                ..meant.clone()
            },
        ),
        (
            "purpose",
            Meant {
                purpose: Purpose::Integration,
                ..meant.clone()
            },
        ),
        (
            "tier",
            Meant {
                tier: Tier::Visible,
                ..meant.clone()
            },
        ),
        (
            "tier",
            Meant {
                tier: Tier::Masked,
                ..meant.clone()
            },
        ),
    ];
    for (what, elsewhere) in elsewhere {
        let submission = elsewhere.encrypt(&to, b"canary");
        let refused = client.seal_submitted(&key, &bound, &submission).await;
        assert_eq!(refused.err(), Some(VaultError::DoesNotDecrypt), "{what}");
    }
    // The other way round: what a server would do that wants to see a Sensitive value.
    let submission = meant.encrypt(&to, b"canary");
    let weaker = [Tier::Visible, Tier::Masked].map(binding);
    let renamed = Binding {
        name: "OTHER".to_owned(),
        ..bound.clone()
    };
    let integration = Binding {
        purpose: Purpose::Integration,
        ..bound.clone()
    };
    for wrong in weaker.iter().chain([&renamed, &integration]) {
        let refused = client.seal_submitted(&key, wrong, &submission).await;
        assert_eq!(refused.err(), Some(VaultError::DoesNotDecrypt), "{wrong:?}");
    }
    // With the key of the other workspace, so that its own is not what refuses.
    let (foreign, other) = (
        [0xcc; 16],
        Binding {
            workspace: [0xcc; 16],
            ..bound.clone()
        },
    );
    let foreign = client.new_workspace_key(foreign).await.unwrap();
    let refused = client.seal_submitted(&foreign, &other, &submission).await;
    assert_eq!(refused.err(), Some(VaultError::DoesNotDecrypt));
    let refused = client.seal_submitted(&foreign, &bound, &submission).await;
    assert_eq!(refused.err(), Some(VaultError::DoesNotDecrypt));
    assert!(
        client
            .seal_submitted(&key, &bound, &submission)
            .await
            .is_ok()
    );
    // To the key of another installation, and by a number that no root key has.
    let stranger = Vault::start().await;
    let strange = meant.encrypt(&stranger.client().submission_key().await.unwrap(), b"x");
    let refused = client.seal_submitted(&key, &bound, &strange).await;
    assert_eq!(refused.err(), Some(VaultError::DoesNotDecrypt));
    for root in [0, to.root + 1, u32::MAX] {
        let numbered = Submission {
            root,
            ..submission.clone()
        };
        let refused = client.seal_submitted(&key, &bound, &numbered).await;
        assert_eq!(
            refused.err(),
            Some(VaultError::DoesNotDecrypt),
            "root key {root}"
        );
    }
}

#[tokio::test]
async fn one_flipped_bit_of_a_submission_is_refused() {
    let vault = Vault::start().await;
    let client = vault.client();
    let key = client.new_workspace_key(WORKSPACE).await.unwrap();
    let to = client.submission_key().await.unwrap();
    let meant = Meant::of(&client, Tier::Sensitive).await;
    let bound = binding(Tier::Sensitive);
    let submission = meant.encrypt(&to, b"canary");
    for bit in 0..submission.ciphertext.len() * 8 {
        let mut flipped = submission.clone();
        flipped.ciphertext[bit / 8] ^= 1 << (bit % 8);
        let refused = client.seal_submitted(&key, &bound, &flipped).await;
        assert_eq!(refused.err(), Some(VaultError::DoesNotDecrypt), "bit {bit}");
    }
    for bit in 0..256 {
        let mut flipped = submission.clone();
        flipped.enc[bit / 8] ^= 1 << (bit % 8);
        let refused = client.seal_submitted(&key, &bound, &flipped).await;
        // X25519 ignores the highest bit of a point, but HPKE takes the bytes themselves into the key.
        assert_eq!(
            refused.err(),
            Some(VaultError::DoesNotDecrypt),
            "bit {bit} of the key"
        );
    }
    for short in 0..submission.ciphertext.len() {
        let cut = Submission {
            ciphertext: submission.ciphertext[..short].to_vec(),
            ..submission.clone()
        };
        let refused = client.seal_submitted(&key, &bound, &cut).await;
        assert_eq!(
            refused.err(),
            Some(VaultError::DoesNotDecrypt),
            "{short} bytes"
        );
    }
    // Points of low order give a shared secret that everybody knows.
    let known = Submission {
        enc: [0; 32],
        ..submission
    };
    let refused = client.seal_submitted(&key, &bound, &known).await;
    assert_eq!(refused.err(), Some(VaultError::DoesNotDecrypt));
}

#[tokio::test]
async fn values_that_cannot_be_variables_are_refused_though_only_the_vault_sees_them() {
    let vault = Vault::start().await;
    let client = vault.client();
    let key = client.new_workspace_key(WORKSPACE).await.unwrap();
    let to = client.submission_key().await.unwrap();
    let mut meant = Meant::of(&client, Tier::Sensitive).await;
    let mut bound = binding(Tier::Sensitive);
    let long = vec![b'x'; MAX_VARIABLE + 1];
    for bad in [b"".as_slice(), b"a\0b", b"\xff\xfe", &long] {
        let submission = meant.encrypt(&to, bad);
        let refused = client.seal_submitted(&key, &bound, &submission).await;
        let expected = matches!(
            refused,
            Err(VaultError::Refused { .. } | VaultError::TooLarge { .. })
        );
        assert!(expected, "{} bytes: {refused:?}", bad.len());
    }
    let longest = meant.encrypt(&to, &long[1..]);
    assert!(client.seal_submitted(&key, &bound, &longest).await.is_ok());
    // An integration's credential is no variable and may be any bytes.
    meant.purpose = Purpose::Integration;
    bound.purpose = Purpose::Integration;
    let bytes = meant.encrypt(&to, b"\xff\0");
    assert!(client.seal_submitted(&key, &bound, &bytes).await.is_ok());
}

async fn items(
    client: &VaultClient,
    key: &WrappedKey,
    values: &[(&str, &str, bool)],
) -> Vec<DeliverItem> {
    let mut items = Vec::new();
    for (name, text, expand) in values {
        let binding = Binding {
            name: (*name).to_owned(),
            ..binding(Tier::Sensitive)
        };
        let sealed = client.seal(key, &binding, value(text)).await.unwrap();
        items.push(DeliverItem {
            env: (*name).to_owned(),
            binding,
            sealed,
            expand: *expand,
        });
    }
    items
}

#[tokio::test]
async fn references_are_resolved_on_the_way_to_the_agent_and_a_circle_is_refused_by_name() {
    let vault = Vault::start().await;
    let client = vault.client();
    let key = client.new_workspace_key(WORKSPACE).await.unwrap();
    let agent = Agent::new();
    let values = [
        ("URL", "postgres://app:${PASS}@db/$${PASS}", true),
        ("PASS", "p${PASS}w", false),
        ("PLAIN", "${URL}", false),
    ];
    let all = items(&client, &key, &values).await;
    let delivery = client
        .deliver(&key, all, agent.public, "ctr", vec![])
        .await
        .unwrap();
    let expected = serde_json::json!({
        "URL": "postgres://app:p${PASS}w@db/${PASS}", "PASS": "p${PASS}w", "PLAIN": "${URL}",
    });
    assert_eq!(agent.open(&delivery, "ctr"), Some(expected));

    let circle = [
        ("A", "canary ${B}", true),
        ("B", "${C}", true),
        ("C", "${A}", true),
    ];
    let all = items(&client, &key, &circle).await;
    let refused = client.deliver(&key, all, agent.public, "ctr", vec![]).await;
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("A -> B -> C -> A"), "{message}");
    assert!(!message.contains("canary"), "{message}");
    let gap = items(&client, &key, &[("A", "canary ${NOT_HERE}", true)]).await;
    let refused = client.deliver(&key, gap, agent.public, "ctr", vec![]).await;
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("A refers to NOT_HERE"), "{message}");
    assert!(!message.contains("canary"), "{message}");
    let record = std::fs::read_to_string(&vault.record).unwrap();
    assert!(!record.contains("canary"), "{record}");
}
