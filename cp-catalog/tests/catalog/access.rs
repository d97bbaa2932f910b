//! Privileges: who may ask for what, and that nobody is locked out.

use crate::common::*;
use cp_catalog::*;
use cp_seam::ControlPlaneStateMachine;

pub(crate) const OPERATE: Privileges = Privileges { read: false, operate: true, force: false };
const READ: Privileges = Privileges { read: true, operate: false, force: false };

pub(crate) fn name(client: &str) -> ClientName {
    ClientName::new(client).unwrap()
}

pub(crate) fn grant(client: &str, privileges: Privileges) -> MembershipCommand {
    MembershipCommand::Grant { client: name(client), privileges }
}

fn missing(client: &str, privilege: Privilege) -> Verdict {
    Verdict::Refused(Refusal::Access(AccessRefusal::MissingPrivilege {
        principal: Principal::Client(name(client)),
        privilege,
    }))
}

#[test]
fn without_grants_everybody_operates_and_nobody_forces() {
    let (mut node, range) = library_at(2);
    let drain = MembershipCommand::Drain { member: node.life("c") };
    assert!(node.run_of("anyone", drain).is_done());
    let force = OwnershipCommand::Force { range, to: id("b"), reason: "why".to_owned() };
    assert_eq!(node.run_of("anyone", force), missing("anyone", Privilege::Force));
}

#[test]
fn the_first_grant_closes_the_cluster() {
    let mut node = Node::new(founded_at(2));
    assert_eq!(node.refused_by("ann", grant("bob", READ)), Refusal::Access(AccessRefusal::FirstGrant));
    assert_eq!(
        node.refused_by("ann", grant("bob", OPERATE)),
        Refusal::Access(AccessRefusal::FirstGrant),
        "she would lock herself out"
    );
    assert!(node.run_of("ann", grant("bob", Privileges::default())).is_done(), "there is nothing to take back");
    assert!(node.run_of("ann", grant("ann", OPERATE)).is_done());
    let drain = MembershipCommand::Drain { member: node.life("c") };
    assert_eq!(node.run_of("bob", drain.clone()), missing("bob", Privilege::Operate));
    assert!(node.run_of("ann", grant("bob", READ)).is_done());
    assert_eq!(node.run_of("bob", drain.clone()), missing("bob", Privilege::Operate));
    assert!(node.run_of("ann", drain).is_done());
    let catalog = node.catalog();
    let reads = |client: &str| catalog.may(&Principal::Client(name(client)), Privilege::Read);
    assert!(reads("ann").is_ok() && reads("bob").is_ok());
    assert!(matches!(
        reads("eve"),
        Err(Refusal::Access(AccessRefusal::MissingPrivilege { privilege: Privilege::Read, .. }))
    ));
    assert!(catalog.may(&Principal::Member(id("a")), Privilege::Read).is_ok());
    assert_eq!(catalog.violations(), vec![]);
}

#[test]
fn the_last_operator_stays() {
    let mut node = Node::new(founded_at(2));
    node.done(grant("ann", OPERATE));
    assert_eq!(
        node.refused_by("ann", grant("ann", Privileges::default())),
        Refusal::Access(AccessRefusal::LastOperator { client: name("ann") })
    );
    assert_eq!(
        node.refused_by("ann", grant("ann", READ)),
        Refusal::Access(AccessRefusal::LastOperator { client: name("ann") })
    );
    node.done(grant("bob", OPERATE));
    assert!(node.run_of("ann", grant("ann", Privileges::default())).is_done());
    assert_eq!(node.catalog().grants().map(|(client, _)| client.to_string()).collect::<Vec<_>>(), ["bob"]);
}

/// A member changes what concerns itself; with its certificate nobody runs the cluster.
#[test]
fn a_member_speaks_for_itself_alone() {
    let mut node = Node::new(founded_at(2));
    node.done(grant("ann", OPERATE));
    let catalog = node.catalog();
    let member = Principal::Member(id("a"));
    let of = |name: &str| MembershipCommand::SetAddresses { member: life(&catalog, name), addresses: addresses(name) };
    assert_eq!(catalog.may_ask(&member, &of("a").into()), Ok(()));
    assert!(catalog.may_ask(&member, &of("b").into()).is_err());
    assert!(catalog.may_ask(&member, &MembershipCommand::Drain { member: life(&catalog, "a") }.into()).is_err());
}

/// A name that no certificate can bear is none: granted to it, a cluster would be closed for good.
#[test]
fn a_name_that_no_certificate_bears_is_refused() {
    for bad in ["Alice", "alice.client", "", "a_b"] {
        assert!(ClientName::new(bad).is_err(), "{bad}");
    }
}

/// Whoever sees another's request id gets neither its verdict nor in its way (CP-P5).
#[test]
fn a_session_is_its_principals_alone() {
    let mut node = Node::new(founded_at(2));
    node.done(grant("ann", OPERATE));
    let id = |sequence| RequestId { client: ClientId([1; 16]), since: cp_seam::ControlPlaneLogIndex(0), sequence };
    let drain = |node: &Node, member: &str| MembershipCommand::Drain { member: node.life(member) };
    let first = drain(&node, "c");
    assert!(node.run_of_as("ann", Some(id(1)), first.clone()).is_done());
    for sequence in [1, 2] {
        let stolen = node.run_of_as("eve", Some(id(sequence)), first.clone());
        assert_eq!(stolen, Verdict::Refused(Refusal::Request(RequestRefusal::ClientIdTaken)));
    }
    let second = drain(&node, "d");
    assert!(node.run_of_as("ann", Some(id(2)), second).is_done(), "nobody was there before her");
    assert_eq!(node.catalog().violations(), vec![]);
    assert_eq!(rebuilt(&node.machine).digest(), node.machine.digest());
}

/// A member that a recovery fenced comes back when an operator admits it, not before.
#[test]
fn a_fenced_member_does_not_admit_itself() {
    let catalog = founded_at(2);
    let asked = Successor {
        cause: Cause::Forced,
        generation_id: [2; 8],
        after_generation: 0,
        survivor: id("a"),
        addresses: None,
        operator: "ann".to_owned(),
        reason: "why".to_owned(),
        at_unix_ms: 1,
        position: cp_seam::LogPosition::GENESIS,
        committed: cp_seam::ControlPlaneLogIndex(0),
    };
    let mut node = Node::new(catalog.succeed(&asked).unwrap());
    node.done(grant("ann", OPERATE));
    let catalog = node.catalog();
    let replace = |name: &str| MembershipCommand::Replace {
        member: life(&catalog, name),
        token_hash: TokenHash([1; 32]),
        reachable: everyone(&catalog),
    };
    assert!(catalog.may_ask(&Principal::Member(id("a")), &replace("a").into()).is_ok());
    assert!(catalog.may_ask(&Principal::Member(id("b")), &replace("b").into()).is_err());
}

/// What was proposed under a grant that is gone when it is applied counts for nothing.
#[test]
fn a_revoked_grant_is_checked_where_it_is_applied() {
    let mut node = Node::new(founded_at(2));
    node.done(grant("ann", OPERATE));
    node.done(grant("bob", OPERATE));
    let drain = MembershipCommand::Drain { member: node.life("c") };
    assert!(node.catalog().may_ask(&Principal::Client(name("bob")), &drain.clone().into()).is_ok());
    node.done(grant("bob", Privileges::default()));
    assert_eq!(node.run_of("bob", drain), missing("bob", Privilege::Operate));
}

/// A release that knows the command and one that does not go on alike below its level.
#[test]
fn below_its_level_a_command_is_unknown_and_leaves_nothing() {
    for level in [0, 1] {
        let (mut node, range) = library_at(level);
        let before = node.machine.digest();
        let id = RequestId { client: ClientId([1; 16]), since: cp_seam::ControlPlaneLogIndex(0), sequence: 1 };
        let force = OwnershipCommand::Force { range, to: crate::common::id("b"), reason: "why".to_owned() };
        for command in [Command::from(force), grant("ann", OPERATE).into()] {
            assert_eq!(
                node.run_as(Some(id), command),
                Verdict::Refused(Refusal::Request(RequestRefusal::UnknownCommand))
            );
        }
        assert_eq!(node.machine.digest(), before);
        let drain = MembershipCommand::Drain { member: node.life("c") };
        assert!(node.run_of("anyone", drain).is_done());
        assert_eq!(node.catalog().audit_chain(), AuditChain::default(), "no audit before its level");
    }
}

impl Node {
    /// A refusal, which changes no record but the audit.
    pub(crate) fn refused_by(&mut self, client: &str, command: impl Into<Command>) -> Refusal {
        self.run_of(client, command).into_result().unwrap_err()
    }
}
