//! Somebody else's name on a request.
use optidev::authz::Actor;
use optidev::kernel::UserId;

fn become_them(mut actor: Actor, victim: UserId) -> Actor {
    actor.user = victim; //~ E0616: field `user` of struct `Actor` is private
    actor
}

fn main() {
    let _ = become_them;
}
