//! Groups.

use bytes::Bytes;
use devbroker::core::groups::{
    CommitCheck, CommittedOffset, GroupReply, GroupState, JoinReply, JoinRequest, Step, SyncRequest, Ticket,
};
use devbroker::core::{Core, CoreConfig, ErrorCode};

use crate::support::{Producer, at, core, with_topic};

fn request(member_id: &str, instance_id: Option<&str>) -> JoinRequest {
    JoinRequest {
        group: "g".into(),
        member_id: member_id.into(),
        instance_id: instance_id.map(Into::into),
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        session_timeout_ms: 6_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: "consumer".into(),
        protocols: vec![("range".into(), Bytes::from_static(b"meta"))],
        id_required: false,
        may_skip_assignment: false,
    }
}

fn join(core: &mut Core, member_id: &str, now_ms: i64) -> Step<JoinReply> {
    core.join_group(&request(member_id, None), now_ms)
}

fn done<T>(step: Step<T>) -> T {
    match step {
        Step::Done(reply) => reply,
        Step::Wait(ticket) => panic!("still waits with ticket {ticket}"),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "called with the step itself")]
fn ticket<T>(step: Step<T>) -> Ticket {
    match step {
        Step::Wait(ticket) => ticket,
        Step::Done(_) => panic!("was answered at once"),
    }
}

fn joined(core: &mut Core, ticket: Ticket) -> JoinReply {
    let replies = core.take_replies();
    match replies.into_iter().find(|(ready, _)| *ready == ticket) {
        Some((_, GroupReply::Join(reply))) => reply,
        other => panic!("no join reply but {other:?}"),
    }
}

fn sync(core: &mut Core, member: &JoinReply, assignments: &[(&str, &'static str)], now_ms: i64) -> Step<ErrorOrBytes> {
    let request = SyncRequest {
        group: "g".into(),
        member_id: member.member_id.clone(),
        instance_id: None,
        generation: member.generation,
        protocol_type: None,
        protocol: None,
        assignments: assignments
            .iter()
            .map(|(id, given)| ((*id).into(), Bytes::from_static(given.as_bytes())))
            .collect(),
    };
    match core.sync_group(&request, now_ms) {
        Step::Done(reply) => Step::Done(reply.error.map_or(Ok(reply.assignment), Err)),
        Step::Wait(ticket) => Step::Wait(ticket),
    }
}

type ErrorOrBytes = Result<Bytes, ErrorCode>;

/// One member, stable.
fn alone(core: &mut Core, now_ms: i64) -> JoinReply {
    let member = done(join(core, "", now_ms));
    let id = member.member_id.clone();
    assert_eq!(done(sync(core, &member, &[(&id, "all")], now_ms)), Ok(Bytes::from_static(b"all")));
    member
}

/// Two members, stable: the leader first.
fn pair(core: &mut Core, now_ms: i64) -> (JoinReply, JoinReply) {
    let first = alone(core, now_ms);
    let waits = ticket(join(core, "", now_ms));
    let first = done(join(core, &first.member_id, now_ms));
    let second = joined(core, waits);
    let (leader, follower) = if first.leader == first.member_id { (first, second) } else { (second, first) };
    assert_eq!(leader.members.len(), 2);
    assert!(follower.members.is_empty());
    let waiting = ticket(sync(core, &follower, &[], now_ms));
    let given = [(&*leader.member_id, "a"), (&*follower.member_id, "b")];
    assert_eq!(done(sync(core, &leader, &given, now_ms)), Ok(Bytes::from_static(b"a")));
    let replies = core.take_replies();
    let Some((_, GroupReply::Sync(reply))) = replies.into_iter().find(|(ready, _)| *ready == waiting) else { panic!() };
    assert_eq!(reply.assignment, Bytes::from_static(b"b"));
    (leader, follower)
}

fn heartbeat(core: &mut Core, member: &JoinReply, now_ms: i64) -> Result<(), ErrorCode> {
    core.heartbeat("g", &member.member_id, None, member.generation, now_ms)
}

#[test]
fn two_members_share_a_generation_and_its_assignments() {
    let mut core = core();
    let (leader, follower) = pair(&mut core, 0);
    assert_eq!((leader.generation, follower.generation), (2, 2));
    assert_eq!(heartbeat(&mut core, &leader, 1), Ok(()));
    assert_eq!(core.group("g").unwrap().state, GroupState::Stable);
}

#[test]
fn a_newcomer_must_come_back_with_the_id_that_it_was_given() {
    let mut core = core();
    let mut request = request("", None);
    request.id_required = true;
    let refused = done(core.join_group(&request, 0));
    assert_eq!(refused.error, Some(ErrorCode::MemberIdRequired));
    let member = done(join(&mut core, &refused.member_id, 1));
    assert_eq!((member.error, member.member_id), (None, refused.member_id));
    let stranger = done(join(&mut core, "somebody", 2));
    assert_eq!(stranger.error, Some(ErrorCode::UnknownMemberId));
}

#[test]
fn an_id_that_nobody_comes_back_with_delays_a_rebalance_only_for_its_session() {
    let mut core = core();
    let mut newcomer = request("", None);
    newcomer.id_required = true;
    newcomer.session_timeout_ms = 1_000;
    done(core.join_group(&newcomer, 0));
    let waits = ticket(join(&mut core, "", 0));
    core.tick(999);
    assert!(core.take_replies().is_empty());
    core.tick(1_000);
    assert_eq!(joined(&mut core, waits).members.len(), 1);
}

#[test]
fn a_silent_member_is_removed_and_the_others_told() {
    let mut core = core();
    let (leader, follower) = pair(&mut core, 0);
    heartbeat(&mut core, &leader, 3_000).unwrap();
    core.tick(5_999);
    assert_eq!(heartbeat(&mut core, &leader, 5_999), Ok(()));
    core.tick(6_000);
    assert_eq!(heartbeat(&mut core, &leader, 6_001), Err(ErrorCode::RebalanceInProgress));
    assert_eq!(heartbeat(&mut core, &follower, 6_001), Err(ErrorCode::UnknownMemberId));
    let again = done(join(&mut core, &leader.member_id, 6_002));
    assert_eq!((again.generation, again.members.len()), (3, 1));
}

#[test]
fn a_member_that_does_not_rejoin_in_time_is_left_behind() {
    let mut core = core();
    let (leader, follower) = pair(&mut core, 0);
    let waits = ticket(join(&mut core, &leader.member_id, 100));
    for now_ms in (100..10_100).step_by(1_000) {
        let told = heartbeat(&mut core, &follower, now_ms);
        assert_eq!(told, Err(ErrorCode::RebalanceInProgress));
        core.tick(now_ms);
    }
    core.tick(10_100);
    assert_eq!(joined(&mut core, waits).members.len(), 1);
    assert_eq!(heartbeat(&mut core, &follower, 10_101), Err(ErrorCode::UnknownMemberId));
}

#[test]
fn a_member_that_leaves_starts_a_rebalance_at_once() {
    let mut core = core();
    let (leader, follower) = pair(&mut core, 0);
    core.leave_group("g", &follower.member_id, None, 1).unwrap();
    assert_eq!(heartbeat(&mut core, &leader, 2), Err(ErrorCode::RebalanceInProgress));
    let left = core.leave_group("g", &follower.member_id, None, 3);
    assert_eq!(left, Err(ErrorCode::UnknownMemberId));
    core.leave_group("g", &leader.member_id, None, 4).unwrap();
    assert_eq!(core.group("g").unwrap().state, GroupState::Empty);
}

#[test]
fn members_without_a_common_assignor_do_not_share_a_group() {
    let mut core = core();
    alone(&mut core, 0);
    let mut other = request("", None);
    other.protocols = vec![("sticky".into(), Bytes::new())];
    assert_eq!(done(core.join_group(&other, 1)).error, Some(ErrorCode::InconsistentGroupProtocol));
}

#[test]
fn the_assignor_is_the_one_that_all_know_and_most_prefer() {
    let mut core = core();
    let known = |names: &[&str]| names.iter().map(|name| ((*name).into(), Bytes::new())).collect::<Vec<_>>();
    let mut first = request("", None);
    first.protocols = known(&["sticky", "range", "old"]);
    let member = done(core.join_group(&first, 0));
    assert_eq!(member.protocol.as_deref(), Some("sticky"));
    let mut second = request("", None);
    second.protocols = known(&["range", "sticky"]);
    let waiting = ticket(core.join_group(&second, 1));
    let mut third = request("", None);
    third.protocols = known(&["range", "sticky"]);
    ticket(core.join_group(&third, 1));
    first.member_id = member.member_id;
    done(core.join_group(&first, 2));
    assert_eq!(joined(&mut core, waiting).protocol.as_deref(), Some("range"));
}

#[test]
fn a_static_member_comes_back_without_a_rebalance_and_the_one_before_is_fenced() {
    let mut core = core();
    let first = done(core.join_group(&request("", Some("slot")), 0));
    let id = first.member_id.clone();
    done(sync(&mut core, &first, &[(&id, "all")], 0)).unwrap();
    let second = done(core.join_group(&request("", Some("slot")), 1));
    assert_eq!((second.error, second.generation), (None, first.generation));
    assert_ne!(second.member_id, first.member_id);
    assert_ne!(second.leader, second.member_id, "an older client must not assign anew");
    assert_eq!(core.heartbeat("g", &id, Some("slot"), 1, 2), Err(ErrorCode::FencedInstanceId));
    assert_eq!(core.heartbeat("g", &second.member_id, Some("slot"), 1, 2), Ok(()));
    assert_eq!(done(sync(&mut core, &second, &[], 3)), Ok(Bytes::from_static(b"all")));
    let mut newer = request("", Some("slot"));
    newer.may_skip_assignment = true;
    let third = done(core.join_group(&newer, 4));
    assert!(third.skip_assignment && third.leader == third.member_id);
}

#[test]
fn what_a_static_member_wants_is_looked_at_only_when_it_joins_again() {
    let mut core = core();
    let first = done(core.join_group(&request("", Some("slot")), 0));
    done(sync(&mut core, &first, &[(&first.member_id, "all")], 0)).unwrap();
    let mut wants_more = request("", Some("slot"));
    wants_more.protocols = vec![("range".into(), Bytes::from_static(b"more"))];
    let second = done(core.join_group(&wants_more, 1));
    assert_eq!((second.error, second.generation), (None, first.generation), "it came back");
    done(sync(&mut core, &second, &[], 2)).unwrap();
    let again = done(core.join_group(&request(&second.member_id, Some("slot")), 3));
    assert_eq!(again.generation, first.generation + 1);
}

#[test]
fn a_static_member_that_waits_in_a_rebalance_is_answered_when_it_is_replaced() {
    let mut core = with_topic(CoreConfig { initial_rebalance_delay_ms: 1_000, ..CoreConfig::default() }, &[]);
    let waiting = ticket(core.join_group(&request("", Some("slot")), 0));
    let successor = ticket(core.join_group(&request("", Some("slot")), 1));
    assert_eq!(joined(&mut core, waiting).error, Some(ErrorCode::FencedInstanceId));
    core.tick(1_000);
    assert_eq!(joined(&mut core, successor).error, None);
}

#[test]
fn offsets_are_taken_from_the_present_generation_only() {
    let mut core = core();
    let offsets = [(at(0), CommittedOffset { offset: 1, leader_epoch: -1, metadata: None })];
    let (leader, _) = pair(&mut core, 0);
    let check = |generation: i32, id: &str| CommitCheck { member_id: id.into(), instance_id: None, generation };
    let mut commit = |check: &CommitCheck| core.commit_offsets("g", check, &offsets, 1);
    assert_eq!(commit(&check(leader.generation, &leader.member_id)), Ok(()));
    assert_eq!(commit(&check(leader.generation - 1, &leader.member_id)), Err(ErrorCode::IllegalGeneration));
    assert_eq!(commit(&check(leader.generation, "stranger")), Err(ErrorCode::UnknownMemberId));
    assert_eq!(commit(&CommitCheck::none()), Err(ErrorCode::UnknownMemberId));
    let transactional = Producer::transactional(&mut core, "tx", 0);
    core.add_offsets_to_transaction("tx", transactional.identity, "g", 1).unwrap();
    let mut commit =
        |check: &CommitCheck| core.commit_offsets_in_transaction("tx", transactional.identity, "g", check, &offsets, 1);
    assert_eq!(commit(&check(leader.generation - 1, &leader.member_id)), Err(ErrorCode::IllegalGeneration));
    assert_eq!(commit(&check(leader.generation, "stranger")), Err(ErrorCode::UnknownMemberId));
    assert_eq!(commit(&CommitCheck::none()), Ok(()), "Kafka lets a commit through that names no member");
}

#[test]
fn a_deleted_topic_takes_its_offsets_along() {
    let mut core = core();
    let offsets = [(at(0), CommittedOffset { offset: 1, leader_epoch: -1, metadata: None })];
    core.commit_offsets("g", &CommitCheck::none(), &offsets, 0).unwrap();
    let id = core.topic("t").unwrap().id;
    core.delete_topic("t").unwrap();
    assert_eq!(core.committed_offset("g", &at(0), true), Ok(None));
    core.create_topic("t", Some(1), std::collections::BTreeMap::new(), false).unwrap();
    assert_ne!(core.topic("t").unwrap().id, id);
}
