//! The protocol as a model for the checker: its variants, its steps, and what must hold in every state.

use crate::world::{Block, Close, Name, Phase, SESSIONS, SLACK, STEP, State, World};
use crate::{folder, server, writer};
use stateright::{Model, Property};

/// How the folder knows that those who may still write are gone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Writers {
    /// As the code once did: their names are gone, in a run of the server that the postmaster's start time tells apart.
    OfAServerRun,
    /// By `vote_agg_core::writers::are_gone`.
    ByTheRule,
}

/// A part of the protocol that is left out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// The mark moves to the end of the anchor.
    HasNoSlack,
    /// The anchor goes when its mark comes.
    DeletesTheAnchorEarly,
    ListsBeforeTheAnchor,
    DrainsBeforeItLooks,
    ListsBeforeSessionsAreTold,
    CallsItDrainedAtOnce,
    CommitsSumsFirst,
    /// The mark of another file counts.
    ForgetsTheFile,
    /// A writer looks at the heap's end before it locks the heap.
    LooksBeforeItLocks,
    /// A writer accepts no messages once it has the lock.
    GoesByItsMemory,
}

/// A variant of the protocol, and the bounds within which it is explored.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    pub writers: Writers,
    pub fault: Option<Fault>,
    /// The most blocks of a heap, and from how many on it gives the turn to the other.
    pub blocks: Block,
    pub turn_size: Block,
    /// How many transactions each session begins.
    pub attempts: [u8; SESSIONS],
    pub closes: bool,
    /// The most turns, crashes and rewrites of a heap.
    pub turns: u8,
    pub crashes: u8,
    pub rewrites: u8,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    Writer(writer::Step),
    Folder(folder::Step),
    Server(server::Step),
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let (mut writers, mut folders, mut servers) = (Vec::new(), Vec::new(), Vec::new());
        writer::steps(self, world, &mut writers);
        folder::steps(self, world, &mut folders);
        server::steps(self, world, &mut servers);
        actions.extend(writers.into_iter().map(Action::Writer));
        actions.extend(folders.into_iter().map(Action::Folder));
        actions.extend(servers.into_iter().map(Action::Server));
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = *world;
        match action {
            Action::Writer(step) => writer::take(self, &mut next, step)?,
            Action::Folder(step) => folder::take(self, &mut next, step),
            Action::Server(step) => server::take(self, &mut next, step),
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(EXACT, |_, world: &World| is_exact(world)),
            Property::always(LOW_WATER, |_, world: &World| is_low_water_right(world)),
            Property::always(FINAL, |_, world: &World| is_final_kept(world)),
            Property::always(RESTS, |protocol, world: &World| !is_quiet(world) || comes_to_rest(protocol, world)),
            // What must be reached, where the bounds allow it: else the exploration says nothing.
            Property::sometimes("a mark moves", |_, world: &World| world.state.marks.iter().any(|mark| mark.block > 1)),
            Property::sometimes("all turns are taken", |protocol: &Self, world: &World| world.turned == protocol.turns),
            Property::sometimes("an end waits for a vote that was read back from disk", |_, world: &World| {
                world.votes.iter().any(|vote| matches!(vote.name, Some(Name::ReadBack(_)))) && world.game.waiting.is_some()
            }),
            Property::sometimes("a match with two votes is final after all crashes", |protocol: &Self, world: &World| {
                world.game.is_final.is_some_and(|votes| votes.count_ones() > 1) && world.crashes == protocol.crashes
            }),
            Property::sometimes("all heaps are rewritten", |protocol: &Self, world: &World| world.rewrites == protocol.rewrites),
        ]
    }
}

pub const EXACT: &str = "what is read is what was committed, each vote once";
pub const LOW_WATER: &str = "no row that may still count is below a mark or in a drained heap";
pub const FINAL: &str = "a final total does not change";
pub const RESTS: &str = "once everybody is gone, folds come to an end with everything";

fn is_exact(world: &World) -> bool {
    let pending = World::heaps_in_use(&world.state).map(|heap| world.pending(&world.state, heap)).fold(0, |all, of| all | of);
    world.totals & pending == 0 && world.totals | pending == world.committed()
}

fn is_low_water_right(world: &World) -> bool {
    world.votes.iter().filter_map(|vote| vote.block.map(|block| (vote.heap, block))).all(|(heap, block)| {
        World::heaps_in_use(&world.state).any(|used| used == heap) && block >= world.first_block(&world.state, heap)
    })
}

fn is_final_kept(world: &World) -> bool {
    world.game.is_final.is_none_or(|votes| votes == world.totals && votes == world.committed())
}

fn is_quiet(world: &World) -> bool {
    world.fold.is_none()
        && matches!(world.game.close, Close::NotYet | Close::Over)
        && world.votes.iter().all(|vote| matches!(vote.phase, Phase::Unborn | Phase::Over))
}

/// Folds alone, one after the other, fold all votes, call the match final, move the mark to the end and leave the other heap empty.
fn comes_to_rest(protocol: &Protocol, world: &World) -> bool {
    let mut world = *world;
    loop {
        let before: (State, _, u8) = (world.state, world.game, world.totals);
        folder::take(protocol, &mut world, folder::Step::Go { new_block: false });
        while world.fold.is_some() {
            folder::take(protocol, &mut world, folder::Step::Go { new_block: false });
        }
        if before == (world.state, world.game, world.totals) {
            let state = &world.state;
            let end = world.heaps[usize::from(state.current)].end;
            return world.totals == world.committed()
                && (world.game.is_final.is_some() || world.game.close == Close::NotYet)
                && state.drained
                && end < world.first_block(state, state.current) + SLACK + STEP;
        }
    }
}
