//! Everything that the log tells of, done once over HTTP: in the API where it has it, else with the console's forms.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use super::coverage::Canaries;
use super::receivers::{Identity, Syslog, Webhook};
use crate::assistant::{Desk, to_call, to_the_end};
use crate::containers::{member, running, wait_for};
use crate::identity::{Browser, enrol, totp};
use crate::members::{id, signed_in, submit};
use crate::support::free_port;
use crate::support::server::PASSWORD;
use crate::{preview, tokens};

/// Does everything once, and remembers what must not come out of the log.
pub struct Drive {
    pub desk: Desk,
    pub place: String,
    pub organization: String,
    pub canaries: Canaries,
}

impl Drive {
    pub async fn sinks(&mut self) -> (Webhook, Syslog, String) {
        let api = &self.desk.api;
        let sinks = format!("{}/audit-sinks", self.organization);
        let (hook, logs) = (free_port(), free_port());
        let webhook = Webhook::start(hook, 204).await;
        let syslog = Syslog::start_as(logs, &Identity::new("localhost")).await;
        let url = format!("http://127.0.0.1:{hook}/");
        let ca_pem = &syslog.ca_pem;
        let mut made = Vec::new();
        for target in [
            json!({"kind": "webhook", "url": url}),
            json!({"kind": "syslog", "host": "localhost", "port": logs, "ca_pem": ca_pem}),
            json!({"kind": "webhook", "url": "https://siem.example.com/"}),
        ] {
            let new = json!({"name": "Kept", "from_beginning": true, "target": target});
            made.push(api.post(&sinks, &new).await.expect(201).json());
        }
        let unused = format!("{sinks}/{}", made[2]["sink"]["id"].as_str().unwrap());
        let off = json!({"enabled": false});
        api.send("PATCH", &unused, |request| request.json(&off))
            .await
            .expect(200);
        api.delete(&unused).await.expect(204);
        let secret = made[0]["secret"].as_str().unwrap().to_owned();
        self.canaries.plant(secret.strip_prefix("whsec_").unwrap());
        (webhook, syslog, sinks)
    }

    pub async fn container(&mut self) {
        let body = self.canaries.plant("canary-of-a-file");
        let output = self.canaries.plant("canary-of-an-output");
        self.desk.write("kept.txt", &body).await;
        assert_eq!(self.desk.read("kept.txt").await, Some(body));
        // As it is written it stands in the command, too.
        self.desk.sh(&format!("echo {output}")).await;
        let (api, container) = (&self.desk.api, &self.desk.container);
        let terminals = format!("{container}/terminals");
        let new = json!({"cols": 80, "rows": 24});
        api.post(&terminals, &new).await.ok();
        let (_, ticket) = preview::open(api, container, 3000).await;
        let values = ticket.split(['=', '&']);
        let ticket = values.max_by_key(|value| value.len()).unwrap().to_owned();
        self.canaries.plant(ticket);
        // Stopped and started, which delivers its secrets again.
        let api = &self.desk.api;
        let nothing = json!({});
        api.post(&format!("{container}/stop"), &nothing).await.ok();
        wait_for(api, container, "stopped").await;
        api.post(&format!("{container}/start"), &nothing).await.ok();
        wait_for(api, container, "running").await;
    }

    pub async fn assistant(&mut self) {
        let message = self.canaries.plant("canary-of-a-message");
        let mut stream = self.desk.events("0").await;
        let turn = self.desk.say(&message).await;
        let (call, _) = to_call(&mut stream, "waiting").await;
        self.desk.decide(&call, "allow").await.expect(202);
        to_the_end(&mut stream).await;
        self.desk.undo(&turn).await.ok();
        let question = json!({"model": "m", "max_tokens": 9,
            "messages": [{"role": "user", "content": message}]});
        let workspace = self.desk.workspace.clone();
        let answer = self.desk.api.send("POST", "//ai/v1/messages", |request| {
            request
                .header("anthropic-version", "2023-06-01")
                .header("x-optidev-workspace", workspace)
                .json(&question)
        });
        answer.await.expect(200);
    }

    pub async fn secrets(&mut self) {
        let secrets = format!("{}/secrets", self.place);
        for tier in ["visible", "masked", "sensitive"] {
            let value = self.canaries.plant(format!("canary-that-is-{tier}"));
            let description = self.canaries.plant(format!("canary-about-{tier}"));
            let body = json!({"tier": tier, "value": value, "description": description});
            let path = format!("{secrets}/{}", tier.to_uppercase());
            self.desk.api.put(&path, &body).await.expect(200);
        }
        self.desk.api.get(&secrets).await.expect(200);
        let mut browser = signed_in(&self.desk.server, "ada@example.com").await;
        let path = format!("{secrets}/MASKED/reveal");
        let (status, revealed) = browser.api("POST", &path, None).await;
        assert_eq!(status, 200);
        assert!(revealed.contains("canary-that-is-masked"));
        self.secret_life(&secrets).await;
        let taken = format!("{secrets}/run");
        let program = optidev::vault::Recipient::generate();
        let public_key = BASE64_STANDARD.encode(program.public());
        let taking = self.desk.server.api("ada@example.com", "secrets:reveal");
        let asked = json!({"public_key": public_key});
        taking.await.post(&taken, &asked).await.expect(200);
        let gone = format!("{secrets}/VISIBLE");
        self.desk.api.delete(&gone).await.expect(204);
        let named = self.desk.api.get(&self.place).await.ok();
        for (verb, body) in [
            ("rotate-key", json!({})),
            ("shred-all", json!({"name": named["name"]})),
        ] {
            let path = format!("{secrets}/{verb}");
            let (status, said) = browser.api("POST", &path, Some(&body)).await;
            assert!((200..300).contains(&status), "{verb}: {status} {said}");
        }
        // Set after everything was shredded, so that it is there when the server looks for what ends.
        let in_a_day = crate::secrets::now_ms() + 24 * 60 * 60 * 1_000;
        let value = self.canaries.plant("canary-that-ends-in-a-day");
        let ends = json!({"tier": "masked", "value": value, "expires_at_ms": in_a_day});
        let place = format!("{secrets}/ENDS");
        self.desk.api.put(&place, &ends).await.expect(200);
        let new = json!({"name": "Gone", "source": {"kind": "empty"}});
        let projects = format!("{}/projects", self.place);
        let made = self.desk.api.post(&projects, &new).await.expect(201).json();
        let one = format!("{projects}/{}", made["id"].as_str().unwrap());
        self.desk.api.delete(&one).await.expect(204);
    }

    /// Changed, gone back, and exported.
    async fn secret_life(&mut self, secrets: &str) {
        let again = self.canaries.plant("canary-that-is-second");
        let api = &self.desk.api;
        let set = json!({"tier": "masked", "value": again});
        api.put(&format!("{secrets}/MASKED"), &set)
            .await
            .expect(200);
        let stricter = json!({"tier": "sensitive"});
        let masked = format!("{secrets}/MASKED");
        api.send("PATCH", &masked, |request| request.json(&stricter))
            .await
            .expect(200);
        let back = json!({"version": 1});
        api.post(&format!("{masked}/rollback"), &back).await.ok();
        api.get(&format!("{secrets}/export")).await.expect(200);
    }

    pub async fn people(&mut self) {
        let Self {
            desk,
            place,
            organization,
            canaries,
        } = self;
        let (server, ada) = (&desk.server, &desk.api);
        let mut browser = signed_in(server, "ada@example.com").await;
        // Invited: one joins, one is taken back.
        let invitations = format!("{place}/invitations");
        let mut made = Vec::new();
        for email in ["new@example.com", "never@example.com"] {
            let invite = json!({"email": email, "role": "user"});
            made.push(ada.post(&invitations, &invite).await.expect(201).json());
        }
        let link = made[0]["link"].as_str().unwrap();
        let link = link[link.find("/invitations/").unwrap()..].to_owned();
        canaries.plant(link.rsplit('/').next().unwrap());
        let password = canaries.plant("canary horse battery staple 77");
        let fields = [("name", "New"), ("password", password.as_str())];
        let joined = Browser::new(&server.url()).post(&link, &fields).await;
        assert_eq!(joined.0, 303, "{}", joined.2);
        let never = made[1]["invitation"]["id"].as_str().unwrap();
        ada.delete(&format!("{invitations}/{never}"))
            .await
            .expect(204);
        // Members: one leaves, one is removed, one loses a container with the right to it.
        let vic = member(server, ada, "vic@example.com", "viewer").await;
        vic.post(&format!("{place}/leave"), &json!({}))
            .await
            .expect(204);
        let amy = member(server, ada, "amy@example.com", "admin").await;
        let amy = id(&amy).await;
        let page = organization.clone();
        for act in ["add", "remove"] {
            let action = format!("{organization}/owners/{amy}/{act}");
            let (status, _, text) = submit(&mut browser, &page, &action, &[]).await;
            assert_eq!(status, 303, "{act}: {text}");
        }
        ada.delete(&format!("{place}/members/{amy}"))
            .await
            .expect(204);
        let cat = member(server, ada, "cat@example.com", "user").await;
        running(&cat).await;
        let viewer = json!({"role": "viewer"});
        let path = format!("{place}/members/{}", id(&cat).await);
        ada.send("PATCH", &path, |request| request.json(&viewer))
            .await
            .ok();
        // A service account and its token, and a token of one's own.
        let accounts = format!("{place}/service-accounts");
        let bot = json!({"name": "Bot", "role": "user"});
        let bot = ada.post(&accounts, &bot).await.expect(201).json();
        let one = format!("{accounts}/{}", bot["id"].as_str().unwrap());
        canaries.plant(tokens::make(&mut browser, &one, "CI", "projects", "30").await);
        let renamed = json!({"name": "Robot"});
        ada.send("PATCH", &one, |request| request.json(&renamed))
            .await
            .ok();
        ada.delete(&one).await.expect(204);
        canaries
            .plant(tokens::make(&mut browser, "/account/tokens", "Build", "projects", "30").await);
        let listed = ada.get("/tokens").await.ok();
        let mut items = listed["items"].as_array().unwrap().iter();
        let build = items.find(|token| token["name"] == "Build").unwrap();
        let build = build["id"].as_str().unwrap();
        ada.delete(&format!("/tokens/{build}")).await.expect(204);
    }

    pub async fn second_factor(&mut self) {
        let server = &self.desk.server;
        member(server, &self.desk.api, "bob@example.com", "user").await;
        let mut browser = signed_in(server, "bob@example.com").await;
        let seed = enrol(&mut browser).await;
        self.canaries.plant(&seed);
        let mut other = signed_in(server, "bob@example.com").await;
        let code = totp(&seed, 1);
        let place = "/sign-in/second-factor";
        let (status, _, text) = submit(&mut other, place, place, &[("code", &code)]).await;
        assert_eq!(status, 303, "{text}");
        let off = "/account/second-factor/disable";
        let (status, _, text) = submit(&mut other, "/account", off, &[]).await;
        assert_eq!(status, 303, "{text}");
        let new = self.canaries.plant("canary-that-is-the-new-password");
        let form = [("current", PASSWORD), ("password", new.as_str())];
        let (status, _, text) = submit(&mut other, "/account", "/account/password", &form).await;
        assert_eq!(status, 303, "{text}");
    }

    /// A workspace that is made, changed, handed over and deleted, and the organization's name.
    pub async fn workspaces(&mut self) {
        let (server, ada) = (&self.desk.server, &self.desk.api);
        let list = format!("{}/workspaces", self.organization);
        let made = ada
            .post(&list, &json!({"name": "Second"}))
            .await
            .expect(201)
            .json();
        let second = made["id"].as_str().unwrap();
        let place = format!("/workspaces/{second}");
        for path in [&place, &self.organization] {
            let name = json!({"name": "Renamed"});
            ada.send("PATCH", path, |request| request.json(&name))
                .await
                .ok();
        }
        for (path, name) in [(&place, "additions"), (&self.organization, "ceiling")] {
            let hosts = json!({name: ["files.example.com"]});
            ada.put(&format!("{path}/egress"), &hosts).await.ok();
        }
        let arguments = [
            "add-member",
            "--workspace",
            second,
            "--email",
            "heir@example.com",
            "--name",
            "Heir",
            "--role",
            "admin",
            "--password-stdin",
        ];
        server.admin(&arguments, PASSWORD).await;
        let heir = id(&server.api("heir@example.com", "all").await).await;
        let mut browser = signed_in(server, "ada@example.com").await;
        let page = format!("{place}/settings");
        let to = format!("{place}/transfer");
        let (status, _, text) = submit(&mut browser, &page, &to, &[("to", &heir)]).await;
        assert_eq!(status, 303, "{text}");
        let mut browser = signed_in(server, "heir@example.com").await;
        let delete = format!("{place}/delete");
        let (status, _, text) = submit(&mut browser, &page, &delete, &[("name", "Renamed")]).await;
        assert_eq!(status, 303, "{text}");
    }

    /// Refused, signed in, confirmed, out, and ended from elsewhere; and the end of the container.
    pub async fn sessions(&mut self) {
        let Self { desk, canaries, .. } = self;
        let wrong = canaries.plant("canary-that-is-the-wrong-password");
        let fields = [("email", "ada@example.com"), ("password", wrong.as_str())];
        let refused = Browser::new(&desk.server.url())
            .post("/sign-in", &fields)
            .await;
        assert_eq!(refused.0, 403);
        let mut browser = signed_in(&desk.server, "ada@example.com").await;
        let cookie = browser.cookie().split_once('=').unwrap().1.to_owned();
        canaries.plant(cookie);
        let place = "/account/reauthenticate";
        let again = [("password", PASSWORD)];
        let (status, _, text) = submit(&mut browser, place, place, &again).await;
        assert_eq!(status, 303, "{text}");
        let (status, _, text) = submit(&mut browser, "/account", "/sign-out", &[]).await;
        assert_eq!(status, 303, "{text}");
        signed_in(&desk.server, "ada@example.com").await;
        let listed = desk.api.get("/sessions").await.ok();
        let one = listed["items"][0]["id"].as_str().unwrap();
        desk.api
            .delete(&format!("/sessions/{one}"))
            .await
            .expect(204);
        let gone = desk.api.delete(&desk.container).await;
        assert!(matches!(gone.status, 202 | 204), "{}", gone.text());
    }
}
