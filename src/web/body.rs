//! axum's extractors with problems for rejections.

use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::kernel::{Code, Problem};

/// Path parameters. One that does not parse names nothing: 404, as for an absent thing.
pub struct Path<T>(pub T);

impl<T, S> FromRequestParts<S> for Path<T>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(_) => Err(Problem::not_found()),
        }
    }
}

/// Query parameters.
pub struct Query<T>(pub T);

impl<T, S> FromRequestParts<S> for Query<T>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(Problem::new(
                Code::BadRequest,
                format!(
                    "The query of the address is not right: {}. Correct it.",
                    rejection.body_text()
                ),
            )),
        }
    }
}

/// A JSON body, or a JSON answer.
pub struct Json<T>(pub T);

impl<T, S> FromRequest<S> for Json<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let limit = std::time::Duration::from_secs(30);
        let Ok(read) =
            tokio::time::timeout(limit, axum::Json::<T>::from_request(request, state)).await
        else {
            return Err(super::forms::too_slow());
        };
        match read {
            Ok(axum::Json(value)) => Ok(Self(value)),
            Err(JsonRejection::MissingJsonContentType(_)) => Err(Problem::new(
                Code::UnsupportedMediaType,
                "The body must be JSON. Send it with the header Content-Type: application/json.",
            )),
            Err(JsonRejection::JsonDataError(error)) => Err(Problem::new(
                Code::Unprocessable,
                format!(
                    "The body is JSON but not what this route takes: {}.",
                    error.body_text()
                ),
            )),
            Err(rejection) if rejection.status().as_u16() == 413 => Err(Problem::new(
                Code::TooLarge,
                "The body is larger than this route takes. Send less.",
            )),
            Err(rejection) => Err(Problem::new(
                Code::BadRequest,
                format!("The body is not JSON: {}.", rejection.body_text()),
            )),
        }
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}
