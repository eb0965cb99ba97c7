//! Delivery: an environment, encrypted to one start of one agent, or to one program of a person's own.

use std::collections::{BTreeMap, BTreeSet};

use hpke::{
    Deserializable, OpModeS, Serializable, aead::AesGcm256, kdf::HkdfSha256, kem::X25519HkdfSha256,
};
use zeroize::Zeroizing;

use super::{
    expand::Values,
    keys::WorkspaceKey,
    ops::{Answer, Done, Vault, check_name, refused, too_large},
};
use crate::vault::{
    protocol::{DeliverRef, MAX_FRAME},
    types::{Audience, MAX_DELIVERY, Purpose, Tier, VaultError},
};

impl Vault {
    pub(super) fn deliver(
        &self,
        audience: Audience,
        key: &[u8],
        (recipient, info): (&[u8; 32], &str),
        items: &[DeliverRef<'_>],
        extra: &[(&str, &[u8])],
    ) -> Done {
        let count = items.len() + extra.len();
        if count > MAX_DELIVERY {
            return Err(too_large("a delivery's list", count, MAX_DELIVERY));
        }
        let mut names = BTreeSet::new();
        for name in items
            .iter()
            .map(|item| item.env)
            .chain(extra.iter().map(|(name, _)| *name))
        {
            check_variable(name)?;
            if !names.insert(name) {
                return Err(refused(&format!(
                    "the variable {name} occurs twice in one delivery; keep one of them"
                )));
            }
        }
        if audience == Audience::Person {
            self.admit_to_person(items)?;
        }
        let mut values = Values::new();
        let mut unwrapped: Option<(&[u8; 16], WorkspaceKey)> = None;
        for item in items {
            if item.binding.purpose != Purpose::Environment {
                return Err(refused(&format!(
                    "{} is no secret for containers, so it is not delivered",
                    item.env
                )));
            }
            let key = match &unwrapped {
                Some((workspace, key)) if *workspace == item.binding.workspace => key,
                _ => {
                    let key = self.keys.unwrap(item.binding.workspace, key)?;
                    &unwrapped.insert((item.binding.workspace, key)).1
                }
            };
            let value = self.open_secret(key, &item.binding, item.sealed)?;
            values.put(item.env, value, item.expand);
        }
        let mut json = Json::new();
        for (name, value) in values.resolve()? {
            json.put(name, &value)?;
        }
        for (name, value) in extra {
            json.put(name, value)?;
        }
        let text = json.finish();
        let public =
            <X25519HkdfSha256 as hpke::Kem>::PublicKey::from_bytes(recipient).map_err(|_| {
                refused("the recipient's key is no X25519 key; restart the container's agent, or the command")
            })?;
        let (enc, ciphertext) = hpke::single_shot_seal::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &public,
            info.as_bytes(),
            &text,
            audience.data(),
        )
        .map_err(|_| {
            refused(
                "nothing can be encrypted to the recipient's key; restart the container's agent, or the command",
            )
        })?;
        Ok(Answer::Delivery(enc.to_bytes().into(), ciphertext))
    }

    /// What a person gets is what could be revealed to them one by one, and counts so. Claiming a weaker tier does not help:
    /// the value does not decrypt then.
    fn admit_to_person(&self, items: &[DeliverRef<'_>]) -> Result<(), VaultError> {
        let mut hidden: BTreeMap<&[u8; 16], u32> = BTreeMap::new();
        for item in items {
            match item.binding.tier {
                Tier::Visible => {}
                Tier::Masked => *hidden.entry(item.binding.workspace).or_default() += 1,
                Tier::Sensitive => {
                    return Err(refused(&format!(
                        "{} is Sensitive: it goes to containers, and nobody is shown it; leave it out",
                        item.env
                    )));
                }
            }
        }
        for (workspace, count) in hidden {
            self.count_reveals(workspace, count)?;
        }
        Ok(())
    }
}

/// Most bytes of the JSON: what is made of it has to fit a frame.
const MAX_JSON: usize = MAX_FRAME - 4096;

/// A JSON object of texts, written into a buffer that is wiped.
struct Json(Zeroizing<Vec<u8>>);

impl Json {
    fn new() -> Self {
        // A frame bounds what can come in, and escapes at most double typical text; growing by hand
        // below keeps unwiped copies from staying behind.
        let mut text = Zeroizing::new(Vec::with_capacity(4096));
        text.push(b'{');
        Self(text)
    }

    fn put(&mut self, name: &str, value: &[u8]) -> Result<(), VaultError> {
        let text = std::str::from_utf8(value)
            .ok()
            .filter(|text| !text.contains('\0'))
            .ok_or_else(|| {
                refused(&format!(
                    "the value of {name} is no text, so it cannot be an environment variable; store it encoded, such as in base64"
                ))
            })?;
        // Six bytes for a control character is the longest that JSON makes of one.
        self.reserve((name.len() + text.len()) * 6 + 8);
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        let written = serde_json::to_writer(&mut *self.0, name).and_then(|()| {
            self.0.push(b':');
            serde_json::to_writer(&mut *self.0, text)
        });
        written.map_err(|_| refused("the environment cannot be written as JSON"))?;
        // Said here, before more is written: escapes make a value up to six times as long.
        if self.0.len() > MAX_JSON {
            return Err(too_large("the delivery", self.0.len(), MAX_JSON));
        }
        Ok(())
    }

    fn reserve(&mut self, more: usize) {
        let needed = self.0.len() + more;
        if needed > self.0.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.next_power_of_two()));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
    }

    fn finish(mut self) -> Zeroizing<Vec<u8>> {
        self.reserve(1);
        self.0.push(b'}');
        self.0
    }
}

fn check_variable(name: &str) -> Result<(), VaultError> {
    check_name(name)?;
    if name.contains(['=', '\0']) {
        return Err(refused(&format!(
            "{name:?} is no name of an environment variable: it must not hold = or NUL"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hpke::{OpModeR, aead::AesGcm128};

    fn hex_bytes(text: &str) -> Vec<u8> {
        (0..text.len() / 2)
            .map(|at| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).unwrap())
            .collect()
    }

    #[test]
    fn hpke_follows_rfc_9180() {
        // Appendix A.1.1: base mode, X25519, HKDF-SHA256; the appendix has AES-128-GCM for this KEM.
        type Kem = X25519HkdfSha256;
        let secret = hex_bytes("4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8");
        let enc = hex_bytes("37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431");
        let ciphertext = hex_bytes(
            "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a",
        );
        let text = hpke::single_shot_open::<AesGcm128, HkdfSha256, Kem>(
            &OpModeR::Base,
            &<Kem as hpke::Kem>::PrivateKey::from_bytes(&secret).unwrap(),
            &<Kem as hpke::Kem>::EncappedKey::from_bytes(&enc).unwrap(),
            b"Ode on a Grecian Urn",
            &ciphertext,
            b"Count-0",
        )
        .unwrap();
        assert_eq!(text, b"Beauty is truth, truth beauty");
    }

    #[test]
    fn the_environment_is_json_whatever_it_holds() {
        let mut json = Json::new();
        let long = "\u{1}".repeat(100_000);
        json.put("A", b"").unwrap();
        json.put("B", long.as_bytes()).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&json.finish()).unwrap();
        assert_eq!(value, serde_json::json!({"A": "", "B": long}));
    }
}
