//! Secrets: sealed by clients, their versions, many at once, `.env` files, references, one's own, and their end.

mod cli;
mod delivery;
mod delivery_rights;
mod env_files;
mod own;
mod project_scope;
mod references;
mod run;
mod values;
mod versions;

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hpke::{
    Deserializable, Kem, OpModeS, Serializable, aead::AesGcm256, kdf::HkdfSha256,
    kem::X25519HkdfSha256,
};
use serde_json::{Value, json};

use crate::containers::owner;
use crate::support::api::Api;
use crate::support::server::Server;

/// Within this time the server has looked for secrets that end, a slow machine included.
pub const ROUND: Duration = Duration::from_secs(120);

const VISIBLE: u8 = 1;
const MASKED: u8 = 2;
const SENSITIVE: u8 = 3;

pub fn now_ms() -> i64 {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// A server with Ada, and the path of her workspace's secrets.
async fn place() -> (Server, Api, String) {
    let server = Server::start().await;
    let api = owner(&server).await;
    let secrets = format!("/workspaces/{}/secrets", api.workspace().await);
    (server, api, secrets)
}

/// What a client does with the submission key.
fn seal(key: &Value, name: &str, tier: u8, text: &str) -> Value {
    let bytes = |field: &str| {
        BASE64_STANDARD
            .decode(key[field].as_str().unwrap())
            .unwrap()
    };
    let mut data = bytes("data_prefix");
    for field in [name.as_bytes(), &[1], &[tier]] {
        data.extend((field.len() as u64).to_be_bytes());
        data.extend_from_slice(field);
    }
    let public = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(&bytes("public_key")).unwrap();
    let (enc, ciphertext) = hpke::single_shot_seal::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
        &OpModeS::Base,
        &public,
        key["info"].as_str().unwrap().as_bytes(),
        text.as_bytes(),
        &data,
    )
    .unwrap();
    json!({
        "root": key["root"],
        "enc": BASE64_STANDARD.encode(enc.to_bytes()),
        "ciphertext": BASE64_STANDARD.encode(ciphertext),
    })
}

async fn patch(api: &Api, path: &str, body: Value) -> crate::support::api::Answer {
    api.send("PATCH", path, |request| request.json(&body)).await
}

fn detail(problem: &Value) -> String {
    problem["detail"].as_str().unwrap().to_owned()
}
