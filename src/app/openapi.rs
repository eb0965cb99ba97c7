//! What every operation of the API's document has, said in one place: who may ask, what can go wrong, and a name of its
//! own. The rest is said beside each handler.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;
use axum::http::StatusCode;
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    Components, ContentBuilder, HeaderBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder,
    Schema,
};

use crate::kernel::Code;

const PROBLEM: &str = "application/problem+json";

/// Completes the document.
///
/// # Errors
/// When two operations have the same name, or one has no summary.
pub fn complete(mut document: OpenApi) -> anyhow::Result<OpenApi> {
    let components = document.components.get_or_insert_with(Components::new);
    components
        .schemas
        .insert("Problem".to_owned(), RefOr::T(problem()));
    for (name, words) in HEADERS {
        let header = HeaderBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
            .description(Some(words));
        components
            .headers
            .insert(name.to_owned(), RefOr::T(header.build()));
    }
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("odv_…")
        .description(Some(
            "A token, made on the account page. Its scopes and its user's role both bound what it may do.",
        ));
    components.add_security_scheme("token", SecurityScheme::Http(bearer.build()));
    let cookie = ApiKeyValue::with_description(
        "__Host-optidev",
        "The console's session. What is not GET needs the page's `X-CSRF-Token` with it.",
    );
    components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    document.security = Some(
        ["token", "session"]
            .map(|scheme| SecurityRequirement::new(scheme, [""; 0]))
            .into(),
    );
    let mut names = BTreeSet::new();
    for (path, item) in &mut document.paths.paths {
        for (reads, operation) in operations(item) {
            name(operation);
            let id = operation.operation_id.clone().unwrap_or_default();
            ensure!(
                operation
                    .summary
                    .as_ref()
                    .is_some_and(|text| !text.is_empty()),
                "{path}: {id} has no summary: write a doc comment on its handler"
            );
            ensure!(
                names.insert(id.clone()),
                "{path}: another operation is {id}, too: give one of them an operation_id"
            );
            // What is inside a container is there while it runs.
            let inside = path.contains("{container}/");
            answer(operation, reads, inside);
        }
    }
    Ok(document)
}

/// The operations of a path, and whether each only reads.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (bool, &mut Operation)> {
    [
        (true, item.get.as_mut()),
        (false, item.put.as_mut()),
        (false, item.post.as_mut()),
        (false, item.delete.as_mut()),
        (false, item.patch.as_mut()),
    ]
    .into_iter()
    .filter_map(|(reads, operation)| Some((reads, operation?)))
}

/// Handlers of different things have the same name, so the thing comes first: `projects_list`.
fn name(operation: &mut Operation) {
    let tag = operation.tags.iter().flatten().next();
    let tag = tag.map(|tag| tag.to_lowercase().replace(' ', "_"));
    if let (Some(tag), Some(id)) = (tag, &mut operation.operation_id) {
        *id = format!("{tag}_{id}");
    }
}

/// Adds the problems that any such operation can answer. What its handler says of a status stays.
fn answer(operation: &mut Operation, reads: bool, inside: bool) {
    let parameters = operation.parameters.iter().flatten();
    let (in_path, in_query): (Vec<_>, Vec<_>) = parameters.partition(
        |one| matches!(one, RefOr::T(one) if matches!(one.parameter_in, ParameterIn::Path)),
    );
    let (in_path, body) = (!in_path.is_empty(), operation.request_body.is_some());
    let asks = body || in_path || !in_query.is_empty();
    let possible = [
        (Code::BadRequest, asks),
        (Code::Unauthenticated, true),
        (Code::Forbidden, true),
        (Code::NotFound, in_path),
        (Code::Conflict, !reads || inside),
        (Code::TooLarge, body),
        (Code::UnsupportedMediaType, body),
        (Code::Misdirected, true),
        (Code::Unprocessable, asks),
        (Code::RateLimited, true),
        (Code::Internal, true),
        (Code::BadGateway, inside),
        (Code::Unavailable, true),
    ];
    let answers = &mut operation.responses.responses;
    for (code, _) in possible.into_iter().filter(|(_, possible)| *possible) {
        answers
            .entry(code.status().to_string())
            .or_insert_with(|| RefOr::T(said(code.title())));
    }
    for (status, answer) in answers {
        let RefOr::T(answer) = answer else { continue };
        if answer.description.is_empty() {
            // OpenAPI asks for words: those of the status, where the handler has none.
            let code = status.parse::<StatusCode>().ok();
            let words = code.and_then(|code| code.canonical_reason());
            answer.description = words.unwrap_or("Answer").to_owned();
        }
        if is_error(status) && answer.content.is_empty() {
            *answer = said(&answer.description);
        }
        let told = match status.as_str() {
            "401" => Some("WWW-Authenticate"),
            "429" | "503" => Some("Retry-After"),
            _ => None,
        };
        for name in told.into_iter().chain(["RateLimit", "RateLimit-Policy"]) {
            answer
                .headers
                .entry(name.to_owned())
                .or_insert_with(|| RefOr::Ref(Ref::new(format!("#/components/headers/{name}"))));
        }
    }
}

/// What stands in the head of answers.
const HEADERS: [(&str, &str); 4] = [
    (
        "WWW-Authenticate",
        "`Bearer`: the scheme that is asked for.",
    ),
    (
        "Retry-After",
        "After how many seconds it is worth trying again, where that is known.",
    ),
    (
        "RateLimit",
        "What is left of the limit that is nearest to its end, and in how many seconds all of it is back, such as \
         `\"token\";r=1499;t=1`. Absent where nothing is limited.",
    ),
    (
        "RateLimit-Policy",
        "The limits that the request counted for, such as `\"account\";q=3000;w=60, \"token\";q=1500;w=60`: so many \
         requests in so many seconds. Absent where nothing is limited.",
    ),
];

fn is_error(status: &str) -> bool {
    status.starts_with(['4', '5'])
}

fn said(description: &str) -> Response {
    let schema = RefOr::Ref(Ref::from_schema_name("Problem"));
    ResponseBuilder::new()
        .description(description)
        .content(PROBLEM, ContentBuilder::new().schema(Some(schema)).build())
        .build()
}

/// The body of every answer that is no success, as `web::problem` writes it.
fn problem() -> Schema {
    let fields = BTreeMap::from([
        (
            "type",
            (
                Type::String,
                "Always `about:blank`: `code` says what it is.",
            ),
        ),
        ("title", (Type::String, "The kind of problem, for people.")),
        ("status", (Type::Integer, "The HTTP status.")),
        (
            "code",
            (
                Type::String,
                "The kind of problem, for programs, such as `not_found` or `reauthentication_required`.",
            ),
        ),
        (
            "detail",
            (
                Type::String,
                "What happened, which value, and what to do, for people.",
            ),
        ),
        (
            "request_id",
            (Type::String, "To be told to the operator: the log has it."),
        ),
    ]);
    let whole = ObjectBuilder::new().description(Some("A problem, as RFC 9457 has them."));
    let whole = fields
        .into_iter()
        .fold(whole, |whole, (field, (kind, words))| {
            let schema = ObjectBuilder::new()
                .schema_type(SchemaType::Type(kind))
                .enum_values((field == "code").then(|| Code::ALL.map(Code::as_str)))
                .description(Some(words));
            whole.property(field, schema).required(field)
        });
    Schema::Object(whole.build())
}

#[cfg(test)]
mod tests {
    use super::*;
    use utoipa::openapi::path::{HttpMethod, OperationBuilder, PathsBuilder};
    use utoipa::openapi::{Info, OpenApiBuilder};

    fn document(operations: &[(&str, &str, Option<&str>)]) -> OpenApi {
        let paths = operations
            .iter()
            .fold(PathsBuilder::new(), |paths, (path, id, summary)| {
                let operation = OperationBuilder::new()
                    .tag("Things")
                    .operation_id(Some(*id))
                    .summary(*summary);
                paths.path(*path, PathItem::new(HttpMethod::Get, operation))
            });
        OpenApiBuilder::new()
            .info(Info::new("x", "1"))
            .paths(paths)
            .build()
    }

    #[test]
    fn an_operation_without_words_or_with_the_name_of_another_is_refused() {
        assert!(
            complete(document(&[
                ("/a", "list", Some("A")),
                ("/b", "read", Some("B"))
            ]))
            .is_ok()
        );
        for wrong in [
            document(&[("/a", "list", None)]),
            document(&[("/a", "list", Some(""))]),
            document(&[("/a", "list", Some("A")), ("/b", "list", Some("B"))]),
        ] {
            assert!(complete(wrong).is_err());
        }
    }
}
