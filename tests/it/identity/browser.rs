//! A browser for tests: forms and links, without script.

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, StatusCode};
use serde_json::Value;

use crate::support::api::http_client;

/// A browser without script: keeps one cookie, sends forms with the page's token.
#[derive(Clone)]
pub struct Browser {
    base: String,
    http: Client,
    cookie: Option<String>,
}

impl Browser {
    pub fn new(base: &str) -> Self {
        Self {
            base: base.to_owned(),
            http: http_client(),
            cookie: None,
        }
    }

    /// The cookie of the session, as the browser sends it.
    pub fn cookie(&self) -> &str {
        self.cookie.as_deref().unwrap()
    }

    pub fn has_cookie(&self) -> bool {
        self.cookie.is_some()
    }

    /// Status, address that it points to, body.
    pub async fn get(&mut self, path: &str) -> (StatusCode, String, String) {
        let request = self.http.get(format!("{}{path}", self.base));
        self.send(request.header("accept", "text/html")).await
    }

    pub async fn post(
        &mut self,
        path: &str,
        fields: &[(&str, &str)],
    ) -> (StatusCode, String, String) {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let request = self
            .http
            .post(format!("{}{path}", self.base))
            .header("accept", "text/html")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        self.send(request).await
    }

    /// As [`Self::post`], in the form that uploads have.
    pub async fn post_multipart(
        &mut self,
        path: &str,
        fields: &[(&str, &str)],
    ) -> (StatusCode, String, String) {
        let mut body = String::new();
        for (name, value) in fields {
            body += &format!(
                "--line\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            );
        }
        body += "--line--\r\n";
        let request = self
            .http
            .post(format!("{}{path}", self.base))
            .header("accept", "text/html")
            .header("content-type", "multipart/form-data; boundary=line")
            .body(body);
        self.send(request).await
    }

    /// What the session gets from the API, as a page's script asks it: with the token of a page.
    pub async fn api(&mut self, method: &str, path: &str, body: Option<&Value>) -> (u16, String) {
        let page = self.get("/account").await.2;
        let mut request = self
            .http
            .request(
                method.parse().unwrap(),
                format!("{}/api/v1{path}", self.base),
            )
            .header("x-csrf-token", field(&page, "csrf_token"));
        if let Some(body) = body {
            request = request.json(body);
        }
        let (status, _, text) = self.send(request).await;
        (status.as_u16(), text)
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) -> (StatusCode, String, String) {
        let request = match &self.cookie {
            Some(cookie) => request.header(COOKIE, cookie),
            None => request,
        };
        let response = request.send().await.unwrap();
        for cookie in response.headers().get_all(SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            assert!(
                cookie.contains("Secure") && cookie.contains("HttpOnly"),
                "{cookie}"
            );
            self.cookie = Some(cookie.split(';').next().unwrap().to_owned());
        }
        let to = response
            .headers()
            .get(LOCATION)
            .map(|to| to.to_str().unwrap().to_owned());
        let status = response.status();
        (
            status,
            to.unwrap_or_default(),
            response.text().await.unwrap(),
        )
    }
}

/// The value of a hidden field of a page.
pub fn field(page: &str, name: &str) -> String {
    let marker = format!("name=\"{name}\" value=\"");
    let start = page
        .find(&marker)
        .unwrap_or_else(|| panic!("no field {name} in {page}"))
        + marker.len();
    let end = page[start..].find('"').unwrap() + start;
    page[start..end]
        .replace("&#43;", "+")
        .replace("&#x2b;", "+")
        .replace("&#61;", "=")
        .replace("&#x3d;", "=")
}
