//! What a person or a program is told when something did not work (RFC 9457).

use std::borrow::Cow;
use std::time::Duration;

/// Machine-readable kind of a problem. Each has one HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The request cannot be understood.
    BadRequest,
    /// Nobody is signed in, or the credential is no longer good.
    Unauthenticated,
    /// Signed in, but the role or the token's scopes do not allow it.
    Forbidden,
    /// The act needs a sign-in that is less than ten minutes old.
    ReauthenticationRequired,
    /// Absent, or not for the caller to see: the two look the same.
    NotFound,
    /// The method does not exist for this path.
    MethodNotAllowed,
    /// The state of the thing does not allow the act.
    Conflict,
    /// `If-Match` or `If-None-Match` did not hold.
    PreconditionFailed,
    /// The body is larger than the limit.
    TooLarge,
    /// The body's media type is not one that this route takes.
    UnsupportedMediaType,
    /// The `Host` is not one of this server's names.
    Misdirected,
    /// Understood, but a value is not acceptable.
    Unprocessable,
    /// Too many requests.
    RateLimited,
    /// A fault of the server; the log has the details under the request id.
    Internal,
    /// Something behind the server did not answer well.
    BadGateway,
    /// A needed part is away for the moment.
    Unavailable,
}

impl Code {
    /// Every code, as the API's document lists them.
    pub const ALL: [Self; 16] = [
        Self::BadRequest,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::ReauthenticationRequired,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::PreconditionFailed,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::Misdirected,
        Self::Unprocessable,
        Self::RateLimited,
        Self::Internal,
        Self::BadGateway,
        Self::Unavailable,
    ];

    /// The HTTP status of this code.
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden | Self::ReauthenticationRequired => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Conflict => 409,
            Self::PreconditionFailed => 412,
            Self::TooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::Misdirected => 421,
            Self::Unprocessable => 422,
            Self::RateLimited => 429,
            Self::Internal => 500,
            Self::BadGateway => 502,
            Self::Unavailable => 503,
        }
    }

    /// The word in the problem's `code` field.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::ReauthenticationRequired => "reauthentication_required",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Conflict => "conflict",
            Self::PreconditionFailed => "precondition_failed",
            Self::TooLarge => "too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::Misdirected => "misdirected",
            Self::Unprocessable => "unprocessable",
            Self::RateLimited => "rate_limited",
            Self::Internal => "internal",
            Self::BadGateway => "bad_gateway",
            Self::Unavailable => "unavailable",
        }
    }

    /// A short title for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "Bad request",
            Self::Unauthenticated => "Sign in first",
            Self::Forbidden => "Not allowed",
            Self::ReauthenticationRequired => "Confirm that it is you",
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "Method not allowed",
            Self::Conflict => "Conflict",
            Self::PreconditionFailed => "Changed meanwhile",
            Self::TooLarge => "Too large",
            Self::UnsupportedMediaType => "Unsupported media type",
            Self::Misdirected => "Not the name of this server",
            Self::Unprocessable => "Not acceptable as it is",
            Self::RateLimited => "Too many requests",
            Self::Internal => "Internal error",
            Self::BadGateway => "Bad gateway",
            Self::Unavailable => "Not available right now",
        }
    }
}

/// A problem to tell: its code and one or two sentences that say what happened, which value, and what to do.
#[derive(Debug, Clone)]
pub struct Problem {
    /// The kind of problem.
    pub code: Code,
    /// For the person; never holds a secret or the inside of a fault.
    pub detail: Cow<'static, str>,
    /// For the log only: the chain of causes of a 5xx.
    pub cause: Option<String>,
    /// After which time the same request may be taken (RFC 9110, section 10.2.3).
    pub retry_after: Option<Duration>,
}

impl Problem {
    /// A problem of `code` with a sentence for the person.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            cause: None,
            retry_after: None,
        }
    }

    /// The one answer for absent and for foreign things.
    pub fn not_found() -> Self {
        Self::new(
            Code::NotFound,
            "There is nothing here, or it is not yours to see. Check the address.",
        )
    }

    /// One try too many; the next may come after `wait`.
    pub fn rate_limited(detail: impl Into<Cow<'static, str>>, wait: Duration) -> Self {
        Self {
            retry_after: Some(wait),
            ..Self::new(Code::RateLimited, detail)
        }
    }

    /// A fault of the server: the person is told a request id only, the log gets the cause.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        Self {
            code: Code::Internal,
            detail: "Something went wrong on the server. Tell the operator the request id.".into(),
            cause: Some(cause.to_string()),
            retry_after: None,
        }
    }

    /// A part behind the server is away.
    pub fn unavailable(
        detail: impl Into<Cow<'static, str>>,
        cause: impl std::fmt::Display,
    ) -> Self {
        Self {
            code: Code::Unavailable,
            detail: detail.into(),
            cause: Some(cause.to_string()),
            retry_after: None,
        }
    }
}
