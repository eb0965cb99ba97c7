//! The shape of every list in the API.

use serde::Serialize;

/// One page of a list: the items, and where the next page starts.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Page<T> {
    /// The items of this page, in the list's order.
    pub items: Vec<T>,
    /// Opaque cursor of the next page, or null when this is the last one.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// A list that fits into one page.
    pub fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }
}
