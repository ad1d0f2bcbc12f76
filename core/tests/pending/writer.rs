//! Writers: a session begins a transaction, which appends one vote, and commits, is taken back, or is prepared and ended later by
//! somebody else. See `src/session` and `src/write`.
//!
//! Two things take one instant here that take some time in the server. A commit releases its locks as it is seen: in the server the
//! locks go a moment later, which can only make others wait. A writer locks the heap and looks at its end: in the server it looks
//! later, and so never sees a heap that is shorter.

use crate::protocol::{Fault, Protocol};
use crate::world::{ATTEMPTS, Block, Close, Name, Phase, SESSIONS, SLACK, VOTES, World};

/// A step of a writer, with the number of its session or of its vote.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// Begins a transaction: locks the current heap, accepts messages, and looks whether the match is open and where the heap ends.
    Begin(u8, Memory),
    /// Locks the heap at last.
    Lock(u8),
    Append(u8, Block),
    Commit(u8),
    Abort(u8),
    Prepare(u8),
}

/// A session may remember whose turn it is, and that the match is open, from any time until it is told of a change. So the model
/// keeps no memories: as long as a change is seen and not told, a session knows what is now or what was before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Memory {
    Fresh,
    Old,
}

/// What writers can do.
pub fn steps(protocol: &Protocol, world: &World, steps: &mut Vec<Step>) {
    let may_remember = world.turns() || world.game.close == Close::Visible || protocol.fault == Some(Fault::GoesByItsMemory);
    for (number, session) in (0..SESSIONS as u8).zip(&world.sessions) {
        if session.vote.is_none() && session.begun < protocol.attempts[usize::from(number)] {
            if !world.game.is_closed() {
                steps.push(Step::Begin(number, Memory::Fresh));
            }
            if may_remember {
                steps.push(Step::Begin(number, Memory::Old));
            }
        }
    }
    for (number, vote) in (0..VOTES as u8).zip(&world.votes) {
        match vote.phase {
            Phase::Unborn | Phase::Over => {}
            Phase::Hasty(_) => steps.push(Step::Lock(number)),
            Phase::Looked(lowest) => {
                let last = world.heaps[usize::from(vote.heap)].end.min(protocol.blocks - 1);
                steps.extend((lowest..=last).map(|block| Step::Append(number, block)));
            }
            Phase::Written => steps.extend([Step::Commit(number), Step::Abort(number), Step::Prepare(number)]),
            Phase::Prepared => steps.extend([Step::Commit(number), Step::Abort(number)]),
        }
    }
}

/// Takes a step. `None`: the match is closed.
pub fn take(protocol: &Protocol, world: &mut World, step: Step) -> Option<()> {
    match step {
        Step::Begin(session, memory) => return begin(protocol, world, session, memory),
        Step::Lock(vote) => {
            let vote = &mut world.votes[usize::from(vote)];
            if let Phase::Hasty(lowest) = vote.phase {
                (vote.phase, vote.has_lock) = (Phase::Looked(lowest), true);
            }
        }
        Step::Append(vote, block) => {
            let vote = &mut world.votes[usize::from(vote)];
            (vote.phase, vote.block) = (Phase::Written, Some(block));
            let end = &mut world.heaps[usize::from(vote.heap)].end;
            *end = (*end).max(block + 1);
        }
        Step::Commit(vote) => end(world, vote, true),
        Step::Abort(vote) => end(world, vote, false),
        Step::Prepare(vote) => {
            world.votes[usize::from(vote)].phase = Phase::Prepared;
            world.sessions[usize::from(session_of(vote))].vote = None;
        }
    }
    Some(())
}

fn begin(protocol: &Protocol, world: &mut World, number: u8, memory: Memory) -> Option<()> {
    let (is_old, is_deaf) = (memory == Memory::Old, protocol.fault == Some(Fault::GoesByItsMemory));
    let takes_it_for_open = !world.game.is_closed() || is_old && (world.game.close == Close::Visible || is_deaf);
    let current = world.state.current;
    let heap = if is_old && (world.turns() || is_deaf && world.turned > 0) { 1 - current } else { current };
    if !takes_it_for_open {
        return None;
    }
    let session = &mut world.sessions[usize::from(number)];
    let vote = number * ATTEMPTS as u8 + session.begun;
    session.begun += 1;
    session.begun_now += 1;
    session.vote = Some(vote);
    let lowest = world.heaps[usize::from(heap)].end.saturating_sub(SLACK);
    let vote = &mut world.votes[usize::from(vote)];
    vote.name = Some(Name::Session(number, session.begun_now));
    vote.heap = heap;
    let is_hasty = protocol.fault == Some(Fault::LooksBeforeItLocks);
    (vote.phase, vote.has_lock) = if is_hasty { (Phase::Hasty(lowest), false) } else { (Phase::Looked(lowest), true) };
    if session.begun == protocol.attempts[usize::from(number)] {
        session.begun_now = 0; // of no more use
    }
    Some(())
}

/// Ends a transaction.
pub fn end(world: &mut World, vote: u8, is_committed: bool) {
    let session = &mut world.sessions[usize::from(session_of(vote))];
    if session.vote == Some(vote) {
        session.vote = None;
    }
    let vote = &mut world.votes[usize::from(vote)];
    (vote.phase, vote.name, vote.has_lock, vote.is_committed) = (Phase::Over, None, false, is_committed);
    if !is_committed {
        vote.bury();
    }
}

const fn session_of(vote: u8) -> u8 {
    vote / ATTEMPTS as u8
}
