//! A client of the public API: a bearer token, JSON in and out, and short words for what a test expects.

use std::net::SocketAddr;
use std::sync::{Arc, Once};

use reqwest::header::{ETAG, HeaderMap};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;

use super::events::EventStream;

/// Who asks: a base address and, unless anonymous, a token.
#[derive(Debug, Clone)]
pub struct Api {
    base: String,
    token: Option<String>,
    http: Client,
    way: Option<Way>,
}

/// How a server is reached whose name no resolver knows and whose certificate this machine does not trust.
#[derive(Debug, Clone)]
pub struct Way {
    pub address: SocketAddr,
    /// With the authority, and nobody else's.
    pub tls: Arc<rustls::ClientConfig>,
}

/// What the server answered, read whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// `GET /api/v1/me`, for messages.
    pub asked: String,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Api {
    /// A client without a token of the server at `base` (`http://127.0.0.1:8080`). Follows no redirect.
    pub fn anonymous(base: &str) -> Self {
        Self {
            base: base.trim_end_matches('/').to_owned(),
            token: None,
            http: http_client(),
            way: None,
        }
    }

    /// As [`Self::anonymous`], for a server at `base` (`https://optidev.test:8443`) that is reached by `way`.
    pub fn by_way(base: &str, way: Way) -> Self {
        let name = url::Url::parse(base).unwrap();
        let http = client_builder()
            .resolve(name.host_str().unwrap(), way.address)
            .tls_backend_preconfigured((*way.tls).clone())
            .build()
            .unwrap();
        Self {
            http,
            way: Some(way),
            ..Self::anonymous(base)
        }
    }

    /// The same server, asked with `token`.
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    /// `http://127.0.0.1:8080`
    pub fn base(&self) -> &str {
        &self.base
    }

    /// How the server is reached, if not by its name.
    pub fn way(&self) -> Option<&Way> {
        self.way.as_ref()
    }

    /// The token, without `Bearer`.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// A request to be completed by the test. `path` starting with `/api/` or another root is taken as it is when it
    /// starts with `//`; otherwise it is below `/api/v1`.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = match path.strip_prefix("//") {
            Some(rest) => format!("{}/{rest}", self.base),
            None => format!("{}/api/v1{path}", self.base),
        };
        let request = self.http.request(method, url);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, |request| request).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, |request| request).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, |request| request.json(body)).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, |request| request.json(body)).await
    }

    /// A raw body; `kind` is its Content-Type.
    pub async fn post_bytes(&self, path: &str, kind: &str, body: Vec<u8>) -> Answer {
        self.send("POST", path, |request| {
            request.header("content-type", kind).body(body)
        })
        .await
    }

    pub async fn put_bytes(&self, path: &str, body: Vec<u8>) -> Answer {
        self.send("PUT", path, |request| {
            request
                .header("content-type", "application/octet-stream")
                .body(body)
        })
        .await
    }

    /// Any method, with whatever `complete` adds: headers, queries, bodies.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        complete: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Answer {
        let asked = format!("{method} {path}");
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = complete(self.request(method, path)).build().unwrap();
        let response = self.http.execute(request).await;
        let response = response.unwrap_or_else(|error| panic!("{asked}: no answer: {error:?}"));
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response
            .bytes()
            .await
            .unwrap_or_else(|error| panic!("{asked}: the answer broke off: {error:?}"));
        Answer {
            asked,
            status,
            headers,
            body: body.to_vec(),
        }
    }

    /// Follows a `text/event-stream`.
    pub async fn events(&self, path: &str) -> EventStream {
        let response = self
            .request(Method::GET, path)
            .header("accept", "text/event-stream")
            .send()
            .await;
        let response = response.unwrap_or_else(|error| panic!("GET {path}: no answer: {error:?}"));
        let status = response.status().as_u16();
        assert_eq!(
            status,
            200,
            "GET {path}: {}",
            response.text().await.unwrap_or_default()
        );
        EventStream::new(path, response)
    }

    /// The first workspace of the token's user.
    pub async fn workspace(&self) -> String {
        let me = self.get("/me").await.ok();
        me["workspaces"][0]["id"]
            .as_str()
            .unwrap_or_else(|| panic!("no workspace in {me}"))
            .to_owned()
    }

    /// The id of the first organization that this account owns or has a workspace in.
    pub async fn organization(&self) -> String {
        let listed = self.get("/organizations").await.ok();
        listed["items"][0]["id"]
            .as_str()
            .unwrap_or_else(|| panic!("no organization in {listed}"))
            .to_owned()
    }
}

impl Answer {
    /// This answer, when its status is `status`.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(
            self.status,
            status,
            "{} answered {}: {}",
            self.asked,
            self.status,
            self.text()
        );
        self
    }

    /// The JSON of a 2xx answer; null when it has no body.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert!(
            (200..300).contains(&self.status),
            "{} answered {}: {}",
            self.asked,
            self.status,
            self.text()
        );
        if self.body.is_empty() {
            Value::Null
        } else {
            self.json()
        }
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("{} answered no JSON ({error}): {}", self.asked, self.text())
        })
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Checks that this is the problem `code` of RFC 9457, whole and with its media type; answers its body.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(
            self.status,
            status,
            "{} answered {}: {}",
            self.asked,
            self.status,
            self.text()
        );
        let kind = self
            .headers
            .get("content-type")
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or_default();
        assert!(
            kind.starts_with("application/problem+json"),
            "{} answered a problem as {kind:?}",
            self.asked
        );
        let problem = self.json();
        assert_eq!(problem["code"], code, "{} answered {problem}", self.asked);
        assert_eq!(
            problem["status"], status,
            "{} answered {problem}",
            self.asked
        );
        for field in ["type", "title", "request_id"] {
            assert!(
                problem[field].as_str().is_some_and(|text| !text.is_empty()),
                "{}: no {field} in {problem}",
                self.asked
            );
        }
        problem
    }

    /// The ETag, quotes included.
    #[track_caller]
    pub fn etag(&self) -> String {
        let tag = self
            .headers
            .get(ETAG)
            .unwrap_or_else(|| panic!("{} answered no ETag", self.asked));
        tag.to_str().unwrap().to_owned()
    }
}

/// The one HTTP client of the tests: no redirect is followed, no proxy is used, cookies are the test's business.
pub fn http_client() -> Client {
    client_builder().build().unwrap()
}

fn client_builder() -> reqwest::ClientBuilder {
    static PROVIDER: Once = Once::new();
    // reqwest is built without a crypto library of its own, and asks for one even for plain HTTP.
    PROVIDER.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
}
