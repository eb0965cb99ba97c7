//! The rule: whether a connection may be made, from the three lists that have a say. Pure.
//!
//! What a workspace may reach is what the installation allows and what the workspace added, and of that only what is within
//! its organization's ceiling, where there is one.

use super::host::{Host, Target};
use super::policy::AllowList;
use super::refusal::Refusal;

/// What a workspace and its organization say.
#[derive(Debug, Default)]
pub struct Rules {
    /// What the workspace adds to the installation's list; none when the operator takes no additions.
    pub additions: Option<AllowList>,
    /// What the organization allows at most; none when it set no ceiling.
    pub ceiling: Option<AllowList>,
}

/// Whose list let a connection through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// The operator's. What they open beyond public addresses is open to it.
    Installation,
    /// The workspace's alone: public addresses only, whatever the operator opened for others.
    Workspace,
}

/// Whether `target` may be connected to, as far as name and port go: by a `tunnel`, whose content nobody judges, or by
/// plain requests.
///
/// # Errors
/// The refusal names the list that said no, and who can change it.
pub fn judge(
    installation: &AllowList,
    rules: &Rules,
    target: &Target,
    tunnel: bool,
) -> Result<Listed, Refusal> {
    let added = |check: fn(&AllowList, &Target) -> bool| {
        let additions = rules.additions.as_ref();
        // A workspace cannot list an address; a row that says so all the same opens nothing.
        matches!(target.host, Host::Name(_)) && additions.is_some_and(|list| check(list, target))
    };
    if !installation.allows(target) && !added(AllowList::allows) {
        return Err(match (&target.host, &rules.additions) {
            (Host::Address(_), _) => Refusal::AddressNotListed(target.clone()),
            (Host::Name(_), None) => Refusal::NotListed(target.clone()),
            (Host::Name(_), Some(_)) => Refusal::ListedNowhere(target.clone()),
        });
    }
    if let Some(ceiling) = &rules.ceiling
        && !ceiling.allows(target)
    {
        return Err(Refusal::BeyondCeiling(target.clone()));
    }
    if !tunnel {
        return Ok(if installation.allows(target) {
            Listed::Installation
        } else {
            Listed::Workspace
        });
    }
    let listed = if installation.allows_tunnel(target) {
        Listed::Installation
    } else if added(AllowList::allows_tunnel) {
        Listed::Workspace
    } else {
        return Err(Refusal::PlainTunnel(target.clone()));
    };
    if let Some(ceiling) = &rules.ceiling
        && !ceiling.allows_tunnel(target)
    {
        return Err(Refusal::TunnelBeyondCeiling(target.clone()));
    }
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[&str]) -> AllowList {
        let entries: Vec<String> = entries.iter().map(|&entry| entry.to_owned()).collect();
        AllowList::parse(&entries).unwrap()
    }

    fn rules(additions: Option<&[&str]>, ceiling: Option<&[&str]>) -> Rules {
        Rules {
            additions: additions.map(list),
            ceiling: ceiling.map(list),
        }
    }

    fn outcome(rules: &Rules, target: &str, tunnel: bool) -> Result<Listed, &'static str> {
        let (host, port) = target.rsplit_once(':').unwrap();
        let target = Target {
            host: Host::parse(host).unwrap(),
            port: port.parse().unwrap(),
        };
        let installation = list(&["npm.example", "git.example:22", "10.0.0.1:8080"]);
        judge(&installation, rules, &target, tunnel).map_err(|refusal| refusal.reason())
    }

    const BY_OPERATOR: Result<Listed, &str> = Ok(Listed::Installation);
    const BY_WORKSPACE: Result<Listed, &str> = Ok(Listed::Workspace);

    #[test]
    fn without_rules_the_installation_alone_decides() {
        let none = Rules::default();
        assert_eq!(outcome(&none, "npm.example:443", true), BY_OPERATOR);
        assert_eq!(outcome(&none, "10.0.0.1:8080", true), BY_OPERATOR);
        assert_eq!(outcome(&none, "own.example:443", true), Err("not_listed"));
        assert_eq!(outcome(&none, "npm.example:80", true), Err("plain_tunnel"));
        assert_eq!(
            outcome(&none, "10.0.0.2:80", false),
            Err("address_not_listed")
        );
    }

    #[test]
    fn a_workspace_adds_names_with_their_ports_and_no_addresses() {
        let rules = rules(
            Some(&[
                "own.example",
                "*.wide.example:8443",
                "10.0.0.2:443",
                "npm.example:22",
            ]),
            None,
        );
        for (target, tunnel, expected) in [
            ("own.example:443", true, BY_WORKSPACE),
            ("own.example:80", false, BY_WORKSPACE),
            ("own.example:80", true, Err("plain_tunnel")),
            ("own.example:22", true, Err("not_listed")),
            ("a.wide.example:8443", true, BY_WORKSPACE),
            ("a.wide.example:443", true, Err("not_listed")),
            ("wide.example:8443", true, Err("not_listed")),
            ("10.0.0.2:443", true, Err("address_not_listed")),
            // What both list is the operator's; at another port of the same name it is not.
            ("npm.example:443", true, BY_OPERATOR),
            ("npm.example:22", true, BY_WORKSPACE),
        ] {
            assert_eq!(outcome(&rules, target, tunnel), expected, "{target}");
        }
    }

    #[test]
    fn the_ceiling_holds_for_the_operators_list_and_for_additions() {
        let rules = rules(
            Some(&["own.example", "in.corp.example", "in.corp.example:80"]),
            Some(&["*.corp.example", "npm.example:443"]),
        );
        let mut wrong = Vec::new();
        for (target, tunnel, expected) in [
            ("npm.example:443", true, BY_OPERATOR),
            ("npm.example:80", false, Err("beyond_ceiling")),
            ("git.example:22", true, Err("beyond_ceiling")),
            ("10.0.0.1:8080", true, Err("beyond_ceiling")),
            ("own.example:443", true, Err("beyond_ceiling")),
            ("in.corp.example:443", true, BY_WORKSPACE),
            ("in.corp.example:80", false, BY_WORKSPACE),
            // The addition names the port, the ceiling does not.
            ("in.corp.example:80", true, Err("beyond_ceiling")),
            // A ceiling opens nothing.
            ("other.corp.example:443", true, Err("not_listed")),
        ] {
            let found = outcome(&rules, target, tunnel);
            if found != expected {
                wrong.push((target, tunnel, found));
            }
        }
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn a_refusal_names_the_list_and_who_can_change_it() {
        let target = Target {
            host: Host::parse("a.example").unwrap(),
            port: 443,
        };
        let said = |rules: &Rules| {
            judge(&list(&[]), rules, &target, true)
                .unwrap_err()
                .to_string()
        };
        let text = said(&Rules::default());
        assert!(text.contains("allow-list of this installation. Ask its operator"));
        let text = said(&rules(Some(&[]), None));
        assert!(
            text.contains("this workspace's own") && text.contains("an admin of the workspace")
        );
        let text = said(&rules(Some(&["a.example"]), Some(&["b.example"])));
        assert!(text.contains("ceiling") && text.contains("an owner of the organization"));
    }
}
