//! `docs/openapi.json` and a reference page, from the table of routes that the agent serves by.

use std::fmt::Write;

use edge_model::api::access::Role;
use edge_model::api::routes::{Access, Body, ROUTES, Route, RouteId};
use edge_model::{Context, Error, Result};
use edge_planner::take_over;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value as Json, json};

/// The document, in OpenAPI 3.1 (<https://spec.openapis.org/oas/v3.1.0>), whose schemas are JSON Schema 2020-12.
///
/// # Errors
/// When it cannot be printed.
pub(crate) fn document() -> Result<String> {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut generator = settings.into_generator();
    let error = generator.subschema_for::<Error>().to_value();
    let mut paths: Map<String, Json> = Map::new();
    for route in ROUTES {
        let operation = operation(route, &mut generator, &error);
        if let Json::Object(methods) = paths.entry(route.path).or_insert_with(|| json!({})) {
            methods.insert(route.method.name().to_lowercase(), operation);
        }
    }
    let schemas = generator.take_definitions(true);
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Edge agent",
            "version": "1",
            "description": "The API of one host, on the Unix socket /run/edge/agent.sock. Root needs no token; everybody else sends the one that a login gives.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": { "type": "apiKey", "in": "header", "name": "Authorization" },
            },
        },
    });
    Ok(serde_json::to_string_pretty(&document).context("cannot print the API's document")? + "\n")
}

fn operation(route: &Route, generator: &mut SchemaGenerator, error: &Json) -> Json {
    let mut operation = json!({
        "operationId": operation_id(route.id),
        "summary": route.summary,
        "description": describe_access(route.access),
        "parameters": parameters(route),
        "responses": {
            route.success.to_string(): answer(route.answer, generator),
            "default": {
                "description": "What happened, and what to do",
                "content": { "application/json": { "schema": error } },
            },
        },
    });
    if let Body::Json(schema) = route.request {
        operation["requestBody"] = json!({
            "required": true,
            "content": { "application/json": { "schema": schema(generator).to_value() } },
        });
    }
    if route.access != Access::Anybody {
        operation["security"] = json!([{ "token": [] }]);
    }
    operation
}

fn operation_id(id: RouteId) -> String {
    let name = format!("{id:?}");
    name[..1].to_lowercase() + &name[1..]
}

fn describe_access(access: Access) -> String {
    match access {
        Access::Anybody => "Everybody may call this.".into(),
        Access::Session => "Takes a login.".into(),
        Access::Console => "For whoever stands in front of the host; the agent says when.".into(),
        Access::AtLeast(Role::Viewer) => {
            "Takes the role viewer, which everybody on the host has unless edge.console.viewWithoutLogin is false."
                .into()
        }
        Access::AtLeast(role) => format!("Takes the role {role}."),
    }
}

fn parameters(route: &Route) -> Vec<Json> {
    let in_path = route.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Json> = in_path
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } }))
        .collect();
    parameters.extend(route.query.iter().map(|parameter| {
        json!({
            "name": parameter.name,
            "in": "query",
            "description": parameter.description,
            "required": parameter.required,
            "schema": { "type": "string" },
        })
    }));
    if route.changes() {
        parameters.push(json!({
            "name": "Idempotency-Key",
            "in": "header",
            "description": "The same key with the same request gives the same answer, and nothing is done twice",
            "required": false,
            "schema": { "type": "string", "minLength": 1, "maxLength": 128 },
        }));
    }
    parameters
}

fn answer(body: Body, generator: &mut SchemaGenerator) -> Json {
    let content = match body {
        Body::Nothing => return json!({ "description": "Done" }),
        Body::Json(schema) => json!({ "application/json": { "schema": schema(generator).to_value() } }),
        Body::Events(schema) => json!({ "text/event-stream": { "schema": schema(generator).to_value() } }),
        Body::Binary(media) => json!({ media: {} }),
    };
    json!({ "description": "Done", "content": content })
}

/// The page that people read.
pub(crate) fn page() -> String {
    let mut text = String::from(
        "# The agent's API: all routes\n\n<!-- Generated by `cargo xtask generate` from the table of routes. -->\n\n\
         HTTP on the Unix socket `/run/edge/agent.sock`. How to use it: [the API](../api.md). Types: \
         [OpenAPI](../openapi.json).\n\n| route | role | what it does |\n|---|---|---|\n",
    );
    for route in ROUTES {
        let role = match route.access {
            Access::Anybody => "everybody".into(),
            Access::Session => "any login".into(),
            Access::Console => "the host's console".into(),
            Access::AtLeast(role) => role.to_string(),
        };
        let _ = writeln!(text, "| `{} {}` | {role} | {} |", route.method.name(), route.path, route.summary);
    }
    let _ = write!(
        text,
        "\n## What may interrupt what\n\nOne operation changes the host at a time. A row runs, a column is asked for.\n\n{}",
        take_over::table()
    );
    text
}
