//! A scope of one's own: then a table would be everybody's.
use optidev::store::ScopeId;

#[derive(Clone, Copy)]
struct Everything;

impl From<Everything> for sea_orm::Value {
    fn from(_: Everything) -> Self {
        sea_orm::Value::Bool(Some(true))
    }
}

impl ScopeId for Everything {} //~ E0277: the trait bound `Everything: store::scope::sealed::Sealed` is not satisfied

fn main() {}
