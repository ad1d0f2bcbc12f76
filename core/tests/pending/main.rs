//! The protocol of pending votes, explored whole within bounds. There are two sessions, one folder, and two heaps that take turns;
//! crashes of both kinds, prepared transactions that others end, and VACUUM; a match that is closed and becomes final. The rules and their reasons stand in
//! docs/design/low-water.md. Here a checker looks at every order of their steps.
//!
//! Blocks are few and [`world::SLACK`] is 1, so that all of it happens within three blocks.

mod folder;
mod names;
mod protocol;
mod server;
mod world;
mod writer;

use protocol::{EXACT, FINAL, Fault, LOW_WATER, Protocol, Writers};
use stateright::{Checker, HasDiscoveries, Model};

/// Every kind of step, but for rewrites of a heap.
const WHOLE: Protocol = Protocol {
    writers: Writers::ByTheRule,
    fault: None,
    blocks: 3,
    turn_size: 3,
    attempts: [1, 1],
    closes: true,
    turns: 1,
    crashes: 2,
    rewrites: 0,
};

/// Explores all states. Those that ought to be reached are among its properties.
fn holds(protocol: Protocol) {
    let checker = protocol.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!("{} states", checker.unique_state_count());
    checker.assert_properties();
}

/// Explores until a state is found in which a property does not hold.
fn breaks(protocol: Protocol, property: &'static str) {
    let is_found = HasDiscoveries::AnyOf([property].into());
    let checker = protocol.checker().threads(2).finish_when(is_found).spawn_bfs().join();
    assert!(checker.discovery(property).is_some(), "not found: {property}, with {protocol:?}");
}

#[test]
fn the_protocol_holds() {
    holds(WHOLE);
}

/// Names of before a crash come again after it.
#[test]
fn it_holds_with_more_transactions_than_names() {
    holds(Protocol { attempts: [2, 1], turns: 0, crashes: 1, ..WHOLE });
}

#[test]
fn it_holds_when_heaps_get_other_files() {
    holds(Protocol { rewrites: 1, turns: 0, crashes: 1, ..WHOLE });
}

/// A session votes twice and the heaps take turns twice. Minutes: for `make soak`.
#[test]
#[ignore = "takes minutes"]
fn it_holds_within_wider_bounds() {
    holds(Protocol { attempts: [2, 1], ..WHOLE });
    holds(Protocol { turns: 2, ..WHOLE });
    holds(Protocol { blocks: 4, ..WHOLE });
}

/// The postmaster's start time does not tell of the crash of one backend, after which a prepared vote has another name.
#[test]
fn a_list_for_one_run_of_the_server_loses_a_vote() {
    breaks(Protocol { writers: Writers::OfAServerRun, crashes: 1, ..WHOLE }, EXACT);
}

#[test]
fn a_list_for_one_run_of_the_server_changes_a_final_total() {
    breaks(Protocol { writers: Writers::OfAServerRun, crashes: 1, ..WHOLE }, FINAL);
}

/// Each part of the protocol is needed, and the checker sees that it is.
#[test]
fn no_part_can_be_left_out() {
    for (fault, property) in [
        (Fault::HasNoSlack, LOW_WATER),
        (Fault::DeletesTheAnchorEarly, LOW_WATER),
        (Fault::ListsBeforeTheAnchor, LOW_WATER),
        (Fault::DrainsBeforeItLooks, EXACT),
        (Fault::DrainsBeforeItLooks, FINAL),
        (Fault::ListsBeforeSessionsAreTold, FINAL),
        (Fault::CallsItDrainedAtOnce, LOW_WATER),
        (Fault::CommitsSumsFirst, EXACT),
        (Fault::ForgetsTheFile, LOW_WATER),
        (Fault::LooksBeforeItLocks, LOW_WATER),
        (Fault::GoesByItsMemory, FINAL),
    ] {
        breaks(
            Protocol { fault: Some(fault), crashes: 1, rewrites: u8::from(fault == Fault::ForgetsTheFile), ..WHOLE },
            property,
        );
    }
}
