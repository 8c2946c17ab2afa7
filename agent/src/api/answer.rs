//! Answers: errors with their status, and what an audit record says beside the call itself.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use edge_model::{Class, Error};
use serde::Serialize;

/// What a handler adds to the audit record of its call.
#[derive(Debug, Clone, Default)]
pub(crate) struct AuditDetail {
    pub(crate) actor: String,
    pub(crate) resource_id: String,
    pub(crate) resource_name: String,
    pub(crate) message: String,
    pub(crate) reason: String,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
}

/// An error as an answer.
pub(crate) struct Refusal(pub(crate) Error);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.class.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if self.0.class == Class::Internal {
            tracing::error!("internal error: {}", self.0);
        }
        let detail = AuditDetail { reason: self.0.to_string(), ..AuditDetail::default() };
        let mut response = (status, Json(self.0)).into_response();
        response.extensions_mut().insert(detail);
        response
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

/// What handlers return.
pub(crate) type Answer = Result<Response, Refusal>;

/// An answer of 200.
pub(crate) fn ok<T: Serialize>(value: T) -> Answer {
    Ok(Json(value).into_response())
}

/// An answer of 202.
pub(crate) fn accepted<T: Serialize>(value: T) -> Answer {
    Ok((StatusCode::ACCEPTED, Json(value)).into_response())
}

/// An answer of 204.
pub(crate) fn nothing() -> Answer {
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// An answer with what the audit record says about it.
pub(crate) fn with_detail(answer: Answer, detail: AuditDetail) -> Answer {
    answer.map(|mut response| {
        response.extensions_mut().insert(detail);
        response
    })
}
