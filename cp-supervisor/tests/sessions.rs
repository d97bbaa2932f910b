//! A client whose session has been forgotten goes on in a new one, where that is safe.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of tests fails the test")]

mod common;

use common::Site;
use cp_catalog::{CollectionName, GroupName, Mode, OwnershipCommand, Refusal, RequestId, RequestRefusal, Verdict};
use cp_supervisor::daemon::Engine;
use cp_supervisor::session::Session;
use futures::stream::{self, StreamExt};

fn create(name: &str) -> OwnershipCommand {
    OwnershipCommand::CreateCollection {
        collection: CollectionName::new(name).unwrap(),
        group: GroupName::new("g").unwrap(),
        mode: Mode::Hash,
    }
}

/// CP-P5: so many later requests of the session overtake what the client asks next that it is expired
/// before it was ever sent. Under its own id it stays so; what is new is asked under another.
#[test]
fn what_was_never_asked_before_is_asked_in_a_new_session() {
    let site = Site::new();
    let place = site.place(1);
    assert!(site.init(&place, Engine::COMPILED[0].name()).status.success());
    let _node = site.serve(&place, &[]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = site.client(&[&place]);
        let first = client.next_id().await.unwrap();
        let later = 1..=u64::try_from(Session::IN_FLIGHT_MAX).unwrap() + 64;
        let overtaking = later.map(|n| {
            let id = RequestId { sequence: first.sequence + 1 + n, ..first };
            client.submit_as(id, create("same"))
        });
        let overtook = stream::iter(overtaking).buffer_unordered(64).filter_map(|done| async { done.ok() });
        assert!(overtook.count().await > Session::IN_FLIGHT_MAX);

        let late = client.submit_as(first, create("late")).await.unwrap().verdict;
        let forgotten =
            |verdict: &Verdict| matches!(verdict, Verdict::Refused(Refusal::Request(RequestRefusal::Expired { .. })));
        assert!(forgotten(&late), "whether it was asked before, only its caller knows: {late}");
        let new = client.submit(create("new")).await.unwrap().verdict;
        assert!(new.is_done(), "{new}");
        assert_ne!(client.next_id().await.unwrap().client, first.client, "the session was given up");
    });
}
