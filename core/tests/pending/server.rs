//! The rest of the server: a match is closed, others vote and are taken back, VACUUM, and crashes.

use crate::names::Names;
use crate::protocol::{Protocol, Writers};
use crate::world::{Close, Heap, Name, Phase, VOTES, World};
use crate::writer;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// The close of the match is committed.
    Close,
    /// The sessions are told of the close, its lock is released.
    TellClose,
    /// A vote that is taken back at once leaves a block more.
    Grow,
    /// VACUUM gives a block back. It takes them one by one, since an old snapshot may keep the others.
    Truncate(u8),
    /// VACUUM FULL or CLUSTER.
    Rewrite(u8),
    /// One backend crashes, and all others go with it. The postmaster, its start time and the files stay.
    CrashBackends,
    /// A restart, a crash of the machine, or the promotion of a synchronous standby. Blocks without a row of a transaction that
    /// survives may be missing after it.
    CrashServer { is_shorter: bool },
}

/// What the server can do.
pub fn steps(protocol: &Protocol, world: &World, steps: &mut Vec<Step>) {
    match world.game.close {
        Close::NotYet if protocol.closes => steps.push(Step::Close),
        Close::NotYet => {}
        Close::Visible => steps.push(Step::TellClose),
        Close::Over => {}
    }
    if world.heaps[usize::from(world.state.current)].end < protocol.blocks {
        steps.push(Step::Grow);
    }
    for heap in 0..2 {
        // Both need a lock that no writer and no folder leaves them.
        if world.fold.is_none() && world.holders(heap) == Names::NONE {
            if world.heaps[usize::from(heap)].end > world.least_end(heap) {
                steps.push(Step::Truncate(heap));
            }
            if world.rewrites < protocol.rewrites {
                steps.push(Step::Rewrite(heap));
            }
        }
    }
    if world.crashes < protocol.crashes {
        steps.extend([Step::CrashBackends, Step::CrashServer { is_shorter: false }, Step::CrashServer { is_shorter: true }]);
    }
}

/// Takes a step.
pub fn take(protocol: &Protocol, world: &mut World, step: Step) {
    match step {
        Step::Close => world.game.close = Close::Visible,
        Step::TellClose => world.game.close = Close::Over,
        Step::Grow => world.heaps[usize::from(world.state.current)].end += 1,
        Step::Truncate(heap) => world.heaps[usize::from(heap)].end -= 1,
        Step::Rewrite(heap) => rewrite(world, heap),
        Step::CrashBackends => crash(world),
        Step::CrashServer { is_shorter } => {
            crash(world);
            if protocol.writers == Writers::OfAServerRun {
                world.start += 1;
            }
            for heap in 0..2 {
                if is_shorter {
                    world.heaps[usize::from(heap)].end = world.least_end(heap);
                }
            }
        }
    }
}

/// All live rows move to the beginning of another file.
fn rewrite(world: &mut World, heap: u8) {
    world.rewrites += 1;
    for vote in world.votes.iter_mut().filter(|vote| vote.row_in(heap).is_some()) {
        vote.block = Some(0);
    }
    let Heap { anchors, file, .. } = world.heaps[usize::from(heap)];
    world.heaps[usize::from(heap)] = Heap { end: 0, anchors: u8::from(anchors != 0), file: file + 1 };
    world.heaps[usize::from(heap)].end = world.least_end(heap);
}

/// The server's memory is made anew: no session of before is left, prepared transactions are read back from disk with their locks.
fn crash(world: &mut World) {
    world.crashes += 1;
    world.fold = None;
    for vote in 0..VOTES as u8 {
        match world.votes[usize::from(vote)].phase {
            Phase::Unborn | Phase::Over => {}
            Phase::Prepared => world.votes[usize::from(vote)].name = Some(Name::ReadBack(vote)),
            Phase::Hasty(_) | Phase::Looked(_) | Phase::Written => writer::end(world, vote, false),
        }
    }
    world.sessions.iter_mut().for_each(|session| session.begun_now = 0);
    if world.game.close == Close::Visible {
        world.game.close = Close::Over;
    }
}
