//! `patterns`: the vault gives hidden values to the redactor, and to nobody who is not.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use optidev::redactor::{HiddenItem, Load, Of, Outcome, RedactorClient, RedactorError, Unlooked};
use optidev::vault::protocol::{
    BindingRef, Buffer, PatternRef, Request, decode_reply, encode_request, split_frame,
};
use optidev::vault::{Binding, MAX_PATTERNS, Sealed, Tier, VaultClient, VaultError, WrappedKey};
use serde_json::Value;

use crate::vault::attack::attacks;
use crate::vault::harness::{OPTIDEV, WORKSPACE, binding, value};

const TOKEN: [u8; 32] = [0x5a; 32];
const OF: Of = Of {
    workspace: WORKSPACE,
    user: [0; 16],
};
const SENSITIVE: &str = "sk_live_51Hq8Zt0Yx9";

/// A vault and a redactor as the launcher starts them, or the vault alone.
struct Pair {
    folder: tempfile::TempDir,
    vault: Child,
    redactor: Option<Child>,
    _pipes: Vec<ChildStdin>,
}

const VAULT: &str = "vault --socket @/vault.sock --master @/master --record @/record --create-master --redactor-token \
                     --die-with-parent";
const REDACTOR: &str = "redactor --socket @/redactor.sock --vault @/vault.sock --vault-token --die-with-parent \
                        --require-hardening";

/// Starts a process that is told the token. `@` is the folder.
fn begin(folder: &tempfile::TempDir, command: &str) -> (Child, ChildStdin) {
    let command = command.replace('@', folder.path().to_str().unwrap());
    let mut child = Command::new(OPTIDEV)
        .args(command.split_whitespace())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    writeln!(pipe, "{}", BASE64_STANDARD.encode(TOKEN)).unwrap();
    (child, pipe)
}

impl Drop for Pair {
    fn drop(&mut self) {
        for child in [Some(&mut self.vault), self.redactor.as_mut()]
            .into_iter()
            .flatten()
        {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Pair {
    fn start(with_redactor: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (vault, pipe) = begin(&folder, VAULT);
        let mut pair = Self {
            folder,
            vault,
            redactor: None,
            _pipes: vec![pipe],
        };
        if with_redactor {
            let (redactor, pipe) = begin(&pair.folder, REDACTOR);
            pair.redactor = Some(redactor);
            pair._pipes.push(pipe);
            pair.wait("redactor.sock");
        }
        pair.wait("vault.sock");
        pair
    }

    fn restart_vault(&mut self) {
        let (vault, pipe) = begin(&self.folder, VAULT);
        self.vault = vault;
        self._pipes.push(pipe);
        self.wait("vault.sock");
    }

    fn wait(&self, socket: &str) {
        let begun = Instant::now();
        while UnixStream::connect(self.folder.path().join(socket)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(10), "{socket}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn client(&self) -> VaultClient {
        VaultClient::new(self.folder.path().join("vault.sock"))
    }

    fn redactor(&self) -> RedactorClient {
        RedactorClient::new(self.folder.path().join("redactor.sock"))
    }

    fn connect(&self) -> Raw {
        Raw(UnixStream::connect(self.folder.path().join("vault.sock")).unwrap())
    }

    fn record(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("record")).unwrap();
        assert!(!text.contains(SENSITIVE));
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// A connection to the vault without the client's own rules.
struct Raw(UnixStream);

impl Raw {
    fn ask(&mut self, request: &Request<'_>) -> Result<Vec<Vec<u8>>, VaultError> {
        self.0
            .write_all(encode_request(1, request).unwrap().as_slice())
            .unwrap();
        let mut buffer = Buffer::default();
        loop {
            if let Some((body, _)) = split_frame(buffer.as_slice()).unwrap() {
                let (_, reply) = decode_reply(body).unwrap();
                let mut reader = reply?;
                return Ok(reader
                    .list("values", |r| Ok(r.bytes("value")?.to_vec()))
                    .unwrap_or_default());
            }
            let count = self.0.read(buffer.grow(4096)).unwrap();
            buffer.truncate_tail(4096 - count);
            assert_ne!(count, 0, "the vault hung up");
        }
    }

    fn patterns(
        &mut self,
        key: &WrappedKey,
        items: &[(&Binding, &Sealed)],
    ) -> Result<Vec<Vec<u8>>, VaultError> {
        let items = items.iter().map(|(binding, sealed)| PatternRef {
            binding: BindingRef::from(*binding),
            sealed: &sealed.0,
        });
        self.ask(&Request::Patterns {
            key: &key.0,
            items: items.collect(),
        })
    }
}

fn refusal(done: Result<Vec<Vec<u8>>, VaultError>) -> String {
    match done {
        Err(VaultError::Refused { reason }) => reason,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn hidden_values_go_to_whoever_shows_the_token_and_to_nobody_else() {
    let pair = Pair::start(false);
    let client = pair.client();
    let key = client.new_workspace_key(WORKSPACE).await.unwrap();
    let bound = binding(Tier::Sensitive);
    let sealed = client.seal(&key, &bound, value(SENSITIVE)).await.unwrap();

    // The server, before and after it has tried a token of its own.
    let mut server = pair.connect();
    assert!(refusal(server.patterns(&key, &[(&bound, &sealed)])).contains("redactor alone"));
    for token in [[0; 32], [0x5b; 32]] {
        assert!(
            refusal(server.ask(&Request::Redactor { token: &token }))
                .contains("not the redactor's token")
        );
        refusal(server.patterns(&key, &[(&bound, &sealed)]));
    }

    let mut redactor = pair.connect();
    redactor.ask(&Request::Redactor { token: &TOKEN }).unwrap();
    let got = redactor.patterns(&key, &[(&bound, &sealed)]).unwrap();
    assert_eq!(got, [SENSITIVE.as_bytes()]);
    // It is not the server any more, on this connection.
    let reveal = Request::Reveal {
        key: &key.0,
        binding: BindingRef::from(&bound),
        sealed: &sealed.0,
    };
    assert!(refusal(redactor.ask(&reveal)).contains("nothing else"));
    refusal(redactor.ask(&Request::NewWorkspaceKey {
        workspace: &WORKSPACE,
    }));

    // What holds for every value holds here: it opens as what it was sealed as, and in its own workspace.
    let moved = |change: &dyn Fn(&mut Binding)| {
        let mut moved = bound.clone();
        change(&mut moved);
        moved
    };
    for other in [
        moved(&|b| b.tier = Tier::Masked),
        moved(&|b| b.name.push('X')),
        moved(&|b| b.version += 1),
        moved(&|b| b.workspace[0] ^= 1),
        moved(&|b| b.secret[0] ^= 1),
    ] {
        let done = redactor.patterns(&key, &[(&other, &sealed)]);
        assert!(
            matches!(done, Err(VaultError::DoesNotDecrypt)),
            "{other:?}: {done:?}"
        );
    }
    let visible = moved(&|b| b.tier = Tier::Visible);
    assert!(refusal(redactor.patterns(&key, &[(&visible, &sealed)])).contains("Visible"));
    let elsewhere = moved(&|b| b.workspace[0] ^= 1);
    let both = [(&bound, &sealed), (&elsewhere, &sealed)];
    assert!(refusal(redactor.patterns(&key, &both)).contains("one workspace"));
    let many = vec![(&bound, &sealed); MAX_PATTERNS + 1];
    assert!(matches!(
        redactor.patterns(&key, &many),
        Err(VaultError::TooLarge { .. })
    ));

    // All of it is in the record, what was refused as well.
    let told = |operation: &str, outcome: &str| {
        let lines = pair.record();
        let lines = lines
            .iter()
            .filter(|line| line["operation"] == operation && line["outcome"] == outcome);
        lines.count()
    };
    assert_eq!(
        (told("redactor", "ok"), told("redactor", "refused")),
        (1, 2)
    );
    assert_eq!(
        (told("patterns", "ok"), told("patterns", "does_not_decrypt")),
        (1, 5)
    );
    assert_eq!(told("patterns", "refused"), 5);
}

#[tokio::test]
async fn a_vault_that_was_told_of_no_redactor_knows_none() {
    let vault = crate::vault::harness::Vault::start().await;
    let mut raw = Raw(UnixStream::connect(vault.socket()).unwrap());
    assert!(refusal(raw.ask(&Request::Redactor { token: &TOKEN })).contains("no redactor"));
    assert!(refusal(raw.ask(&Request::Redactor { token: &[0; 32] })).contains("no redactor"));
}

async fn load(client: &VaultClient, values: &[(&str, &str)]) -> Load {
    let key = client.new_workspace_key(WORKSPACE).await.unwrap();
    let mut hidden = Vec::new();
    for (number, (name, text)) in values.iter().enumerate() {
        let mut bound = binding(Tier::Sensitive);
        bound.name = (*name).to_owned();
        bound.secret[14..].copy_from_slice(&u16::try_from(number).unwrap().to_be_bytes());
        let sealed = client.seal(&key, &bound, value(text)).await.unwrap();
        hidden.push(HiddenItem {
            name: bound.name,
            secret: bound.secret,
            version: bound.version,
            purpose: bound.purpose,
            tier: bound.tier,
            sealed,
        });
    }
    Load {
        of: OF,
        state: [1; 32],
        key,
        current: hidden.len(),
        hidden,
    }
}

#[tokio::test]
async fn the_redactor_learns_from_the_vault_and_answers_texts_only() {
    let mut pair = Pair::start(true);
    let (client, redactor) = (pair.client(), pair.redactor());
    assert_eq!(redactor.missing().await.unwrap(), Vec::<String>::new());
    let text = format!("{{\"a\":\"{SENSITIVE}\"}}");
    let redact = |state: [u8; 32]| {
        let (redactor, text) = (redactor.clone(), text.clone());
        async move { redactor.redact(&OF, &state, text.as_bytes()).await.unwrap() }
    };
    assert_eq!(redact([1; 32]).await, Outcome::NotLoaded);
    let values = [
        ("STRIPE_KEY", SENSITIVE),
        ("PIN", "1234"),
        ("MODE", "production"),
    ];
    let mut learnt = load(&client, &values).await;
    let unlooked = redactor.load(&learnt).await.unwrap();
    let short = ("PIN".to_owned(), Unlooked::TooShort);
    let common = ("MODE".to_owned(), Unlooked::TooCommon);
    assert!(
        unlooked.contains(&short) && unlooked.contains(&common),
        "{unlooked:?}"
    );
    let Outcome::Redacted { body, found } = redact([1; 32]).await else {
        panic!("not found");
    };
    assert_eq!(&body[..], b"{\"a\":\"$STRIPE_KEY\"}");
    assert_eq!(found, [("STRIPE_KEY".to_owned(), 1)]);
    assert_eq!(redact([2; 32]).await, Outcome::NotLoaded);

    // A ciphertext of elsewhere teaches it nothing, and what it knew stays.
    learnt.hidden[0].sealed.0[40] ^= 1;
    learnt.state = [3; 32];
    let Err(RedactorError::Failed(why)) = redactor.load(&learnt).await else {
        panic!("a broken value was learnt");
    };
    assert!(!why.contains(SENSITIVE));
    assert_eq!(redact([3; 32]).await, Outcome::NotLoaded);
    assert!(matches!(redact([1; 32]).await, Outcome::Redacted { .. }));

    // Without its vault it learns nothing; when that was started again, the next lesson goes over a new connection. There are
    // more values than are asked for at once.
    learnt.hidden[0].sealed.0[40] ^= 1;
    let many: Vec<(String, String)> = (0..300)
        .map(|number| {
            (
                format!("NAME_{number}"),
                format!("value-number-{number}-{SENSITIVE}"),
            )
        })
        .collect();
    let many: Vec<(&str, &str)> = many
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    let mut learnt = load(&client, &many).await;
    learnt.state = [4; 32];
    pair.vault.kill().unwrap();
    pair.vault.wait().unwrap();
    assert!(redactor.load(&learnt).await.is_err());
    pair.restart_vault();
    redactor.load(&learnt).await.unwrap();
    let text = format!("[\"value-number-299-{SENSITIVE}\"]");
    let done = redactor
        .redact(&OF, &[4; 32], text.as_bytes())
        .await
        .unwrap();
    let Outcome::Redacted { body, .. } = done else {
        panic!("not found");
    };
    assert_eq!(&body[..], b"[\"$NAME_299\"]");
}

#[tokio::test]
async fn nonsense_on_its_socket_disturbs_nobody() {
    let pair = Pair::start(true);
    let socket = pair.folder.path().join("redactor.sock");
    for junk in [
        &b"\xff\xff\xff\xff"[..],
        b"\x00\x00\x00\x00",
        b"\x00\x00\x00\x0a\x01\x00\x00\x00\x00\x00\x00\x00\x00\x63",
        b"\x00\x00\x00\x04\x01\x02\x03\x04",
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(junk).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        // It answers that it does not understand, or hangs up.
        let _ = stream.read_to_end(&mut answer);
    }
    // Connections that say nothing hold no place that others need.
    let _silent: Vec<UnixStream> = (0..20)
        .map(|_| UnixStream::connect(&socket).unwrap())
        .collect();
    assert_eq!(
        pair.redactor().missing().await.unwrap(),
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn its_own_user_can_neither_read_nor_trace_it() {
    if crate::vault::attack::is_root() {
        // Root's own rights are not what is tested; `apart` runs it as another user, with the same attacks.
        return;
    }
    let pair = Pair::start(true);
    let pid = pair.redactor.as_ref().unwrap().id();
    let folder = tempfile::tempdir().unwrap();
    for (name, possible) in attacks(folder.path(), None, pid) {
        assert!(!possible, "{name} is possible");
    }
}
