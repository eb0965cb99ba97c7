//! The readable page: made from the document itself, so that it cannot say anything else.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::Response;
use serde_json::Value;

use super::Document;
use crate::context::Services;
use crate::features::members;
use crate::kernel::Problem;
use crate::web::{Anonymous, Chrome, PageCtx, html};

/// Operations on one kind of thing.
#[derive(Clone)]
pub struct Group {
    name: String,
    operations: Vec<Operation>,
}

#[derive(Clone)]
struct Operation {
    method: String,
    path: String,
    summary: String,
    description: String,
    parameters: Vec<Parameter>,
    request: Option<String>,
    responses: Vec<Answer>,
}

#[derive(Clone)]
struct Parameter {
    name: String,
    place: String,
    required: bool,
    kind: String,
    description: String,
}

#[derive(Clone)]
struct Answer {
    status: String,
    description: String,
}

fn text(value: &Value, key: &str) -> String {
    value
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// The operations of a document by tag.
pub fn groups(document: &Value) -> Vec<Group> {
    let mut groups: BTreeMap<String, Vec<Operation>> = BTreeMap::new();
    let paths = document
        .get("paths")
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let tag = list(operation, "tags")
                .next()
                .and_then(Value::as_str)
                .unwrap_or("Other")
                .to_owned();
            groups
                .entry(tag)
                .or_default()
                .push(read(document, path, method, operation));
        }
    }
    groups
        .into_iter()
        .map(|(name, operations)| Group { name, operations })
        .collect()
}

fn read(document: &Value, path: &str, method: &str, operation: &Value) -> Operation {
    let parameters = list(operation, "parameters").map(|parameter| Parameter {
        name: text(parameter, "name"),
        place: text(parameter, "in"),
        required: parameter
            .get("required")
            .and_then(Value::as_bool)
            .unwrap_or(false),
        kind: parameter
            .get("schema")
            .map(|schema| outline(document, schema, 0))
            .unwrap_or_default(),
        description: text(parameter, "description"),
    });
    let request = operation
        .get("requestBody")
        .and_then(|body| body.get("content"))
        .and_then(Value::as_object)
        .and_then(|content| content.iter().next())
        .map(|(kind, content)| {
            let shape = content
                .get("schema")
                .map(|schema| outline(document, schema, 0))
                .unwrap_or_default();
            if kind == "application/json" {
                shape
            } else {
                format!("{kind}: raw bytes")
            }
        });
    let responses = operation
        .get("responses")
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    let responses = responses.map(|(status, answer)| {
        let shape = answer
            .get("content")
            .and_then(Value::as_object)
            // Problems have one shape, which the page's introduction tells.
            .and_then(|content| {
                content
                    .iter()
                    .find(|(kind, _)| *kind != "application/problem+json")
            })
            .and_then(|(_, content)| content.get("schema"))
            .map(|schema| outline(document, schema, 0))
            .unwrap_or_default();
        let words = text(answer, "description");
        Answer {
            status: status.clone(),
            description: format!("{words} {shape}").trim().to_owned(),
        }
    });
    Operation {
        method: method.to_owned(),
        path: path.to_owned(),
        summary: text(operation, "summary"),
        description: text(operation, "description"),
        parameters: parameters.collect(),
        request,
        responses: responses.collect(),
    }
}

/// A schema in a form like `{ name: string, value: string | null }`.
fn outline(document: &Value, schema: &Value, depth: usize) -> String {
    // Only a bound for schemas that contain themselves.
    if depth > 8 {
        return "…".to_owned();
    }
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let pointer = reference.trim_start_matches('#');
        return document
            .pointer(pointer)
            .map(|target| outline(document, target, depth + 1))
            .unwrap_or_default();
    }
    for key in ["oneOf", "anyOf", "allOf"] {
        let parts: Vec<String> = list(schema, key)
            .map(|part| outline(document, part, depth + 1))
            .collect();
        if !parts.is_empty() {
            return parts.join(if key == "allOf" { " & " } else { " | " });
        }
    }
    if schema.get("enum").is_some() {
        return list(schema, "enum")
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" | ");
    }
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        let fields = properties
            .iter()
            .map(|(name, field)| format!("{name}: {}", outline(document, field, depth + 1)));
        return format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "));
    }
    match schema.get("type") {
        Some(Value::String(kind)) if kind == "array" => {
            let items = schema
                .get("items")
                .map(|items| outline(document, items, depth + 1))
                .unwrap_or_default();
            format!("[{items}]")
        }
        Some(Value::String(kind)) => kind.clone(),
        Some(Value::Array(kinds)) => kinds
            .iter()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join(" | "),
        _ => String::new(),
    }
}

#[derive(Template)]
#[template(path = "docs/api.html")]
struct Page {
    chrome: Chrome,
    groups: Vec<Group>,
    version: String,
}

/// Signed in or not: the page has the navigation of whoever reads it.
pub struct Reader(Chrome);

impl FromRequestParts<Services> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, services: &Services) -> Result<Self, Problem> {
        if let Ok(page) = PageCtx::from_request_parts(parts, services).await {
            let mine = members::memberships(services, page.ctx.actor.user()).await?;
            let chip = match mine.first() {
                Some(first) => Some(members::workspace_chip(&page.ctx, first.id).await?),
                None => None,
            };
            return Ok(Self(Chrome::of(&page, chip, "docs")));
        }
        match Anonymous::from_request_parts(parts, services).await {
            Ok(from) => Ok(Self(Chrome::bare(from.nonce))),
            Err(never) => match never {},
        }
    }
}

/// `GET /api/docs`
pub async fn show(
    Reader(chrome): Reader,
    Extension(document): Extension<Arc<Document>>,
) -> Result<Response, Problem> {
    html(&Page {
        chrome,
        groups: document.groups.clone(),
        version: document.version.clone(),
    })
}
