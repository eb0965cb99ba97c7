//! What tokens reach: of one person who may do everything, each with some scopes only.

use super::table::OPERATIONS;
use super::{Names, ask, refusal};
use crate::support::server::Server;

/// Ada's own tokens, each without one scope.
pub async fn limited(server: &Server, names: &Names) {
    let all = [
        "projects",
        "containers",
        "secrets",
        "secrets:reveal",
        "ai",
        "members",
        "audit",
        "organization",
        "account",
    ];
    for lacking in all {
        // Without a scope that has the lacking one's half that only looks.
        let others = |scope: &&str| !scope.starts_with(lacking);
        let others: Vec<_> = all.into_iter().filter(others).collect();
        let api = server.api("ada@example.com", &others.join(",")).await;
        for operation in OPERATIONS {
            if operation.scopes.contains(&lacking) {
                let refused = refusal(&ask(&api, operation, names).await, 403);
                let detail = refused["detail"].as_str().unwrap();
                assert!(detail.contains(lacking), "{}: {detail}", operation.path);
            } else if operation.method == "GET"
                && operation.scopes.iter().all(|scope| others.contains(scope))
            {
                let answer = ask(&api, operation, names).await;
                assert_ne!(answer.status, 403, "{}: {}", answer.asked, answer.text());
            }
        }
    }
}

/// Ada's own tokens that only look: each reaches what its scope shows, and changes nothing at all, although she may.
pub async fn looking(server: &Server, names: &Names) {
    let scopes = [
        "read",
        "projects:read",
        "containers:read",
        "secrets:read",
        "members:read",
        "audit:read",
    ];
    for scope in scopes {
        let api = server.api("ada@example.com", scope).await;
        let mut reached = 0;
        for operation in OPERATIONS {
            let shown = match operation.reading_scope() {
                Some(needed) => scope == "read" || scope == needed,
                None => operation.method == "GET" && operation.scopes.is_empty(),
            };
            let answer = ask(&api, operation, names).await;
            if shown {
                assert_eq!(
                    answer.status,
                    200,
                    "{scope}: {}: {}",
                    answer.asked,
                    answer.text()
                );
                reached += usize::from(!operation.scopes.is_empty());
            } else {
                assert_eq!(answer.status, 403, "{scope}: {}", answer.asked);
                refusal(&answer, 403);
            }
        }
        assert!(reached > 0, "{scope} reaches nothing");
    }
}
