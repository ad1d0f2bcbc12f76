//! The folder: one transaction in steps, between which anything may happen. See `src/fold/once.rs`, `src/fold/finalize.rs` and
//! `src/pending/low_water.rs`.

use crate::names::Names;
use crate::protocol::{Fault, Protocol, Writers};
use crate::world::{Block, Close, Fold, Mark, SLACK, STEP, State, World};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// Begins or goes on, with the anchor in a new block or in the last one.
    Go {
        new_block: bool,
    },
    /// Takes no more of what is pending, as after `MAX_ROWS`.
    StopEarly,
    Abort,
}

/// The parts of a fold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Part {
    /// Lists the writers that are left: those that the next mark waits for, and those of the other heap. Looks whether every session
    /// was told of the close, and then which may still vote in the closed match.
    Look,
    Drain,
    /// Calls the match final, moves the mark, appends an anchor.
    Change,
    /// Who holds the heap after the anchor.
    List,
    Commit,
    /// The sums are committed before the deletes: not allowed.
    CommitSums,
    /// The sessions are told of a turn, the locks released.
    Tell,
}

/// The parts in order, those together that may be taken for one instant. The looks: names never come back, and what the mark, the
/// turn and the match get from them are three things. The drain and what follows: a commit of others in between is as one after it.
/// So is all of that between the list and the commit.
type Parts = &'static [&'static [Part]];

const fn parts(fault: Option<Fault>) -> Parts {
    use Part::{Change, Commit, CommitSums, Drain, List, Look, Tell};
    match fault {
        Some(Fault::DrainsBeforeItLooks) => &[&[Drain], &[Look, Change], &[List, Commit], &[Tell]],
        Some(Fault::ListsBeforeTheAnchor) => &[&[Look], &[Drain, List], &[Change, Commit], &[Tell]],
        Some(Fault::CommitsSumsFirst) => &[&[Look], &[Drain, Change], &[List, CommitSums], &[Commit], &[Tell]],
        _ => &[&[Look], &[Drain, Change], &[List, Commit], &[Tell]],
    }
}

/// What the folder can do.
pub fn steps(protocol: &Protocol, world: &World, steps: &mut Vec<Step>) {
    let Some(fold) = &world.fold else { return steps.push(Step::Go { new_block: false }) };
    let next = parts(protocol.fault)[usize::from(fold.done)];
    steps.push(Step::Go { new_block: false });
    if next.contains(&Part::Tell) {
        return;
    }
    steps.push(Step::Abort);
    if next.contains(&Part::Drain) {
        steps.push(Step::StopEarly);
    }
    let current = &world.heaps[usize::from(fold.state.current)];
    if next.contains(&Part::Change) && current.end > 0 && current.end < protocol.blocks {
        steps.push(Step::Go { new_block: true });
    }
}

/// Takes a step.
pub fn take(protocol: &Protocol, world: &mut World, step: Step) {
    let mut fold = world.fold.unwrap_or(Fold::of(world.state));
    let new_block = match step {
        Step::Abort => return world.fold = None,
        Step::StopEarly => {
            fold.stops_early = true;
            false
        }
        Step::Go { new_block } => new_block,
    };
    let parts = parts(protocol.fault);
    loop {
        for part in parts[usize::from(fold.done)] {
            fold.run(protocol, world, *part, new_block);
        }
        fold.done += 1;
        match parts.get(usize::from(fold.done)) {
            None => return world.fold = None,
            Some([Part::Tell]) if !fold.turns => return world.fold = None,
            Some([Part::List, ..]) if fold.anchor.is_none() => {}
            Some(_) => return world.fold = Some(fold),
        }
    }
}

impl Fold {
    const fn of(state: State) -> Self {
        Self {
            done: 0,
            state,
            writers_are_gone: false,
            other_is_left: false,
            is_ready: false,
            waiting: None,
            taken: 0,
            stops_early: false,
            is_final: false,
            found: [0; 2],
            deleted: [0; 2],
            anchor: None,
            listed: Names::NONE,
            turns: false,
        }
    }

    fn run(&mut self, protocol: &Protocol, world: &mut World, part: Part, new_block: bool) {
        match part {
            Part::Look => {
                self.look_at_writers(protocol, world);
                self.look_at_match(protocol, world);
            }
            Part::Drain => World::heaps_in_use(&self.state).for_each(|heap| self.drain(world, heap)),
            Part::Change if self.stops_early => {}
            Part::Change => self.change(protocol, world, new_block),
            Part::List => self.listed = world.holders(self.state.current),
            Part::CommitSums => world.totals |= self.taken,
            Part::Commit => self.commit(protocol, world),
            Part::Tell => {}
        }
    }

    fn look_at_writers(&mut self, protocol: &Protocol, world: &World) {
        let state = &self.state;
        let holders = world.holders(state.current);
        self.writers_are_gone = state.sized.is_some() && protocol.are_gone(world, state.waiting, state.start, holders);
        let others = world.holders(1 - state.current);
        self.other_is_left = !state.drained && (others == Names::NONE || protocol.fault == Some(Fault::CallsItDrainedAtOnce));
    }

    fn look_at_match(&mut self, protocol: &Protocol, world: &World) {
        if !world.game.is_closed() || world.game.is_final.is_some() {
            return;
        }
        let is_told = world.game.close == Close::Over || protocol.fault == Some(Fault::ListsBeforeSessionsAreTold);
        let holders = world.holders(0).with(world.holders(1));
        match world.game.waiting {
            Some((waiting, start)) if protocol.is_valid(world, start) => {
                self.is_ready = protocol.are_gone(world, waiting, start, holders);
            }
            _ if is_told => self.waiting = Some(holders),
            _ => {}
        }
    }

    fn drain(&mut self, world: &World, heap: u8) {
        self.taken |= world.pending(&self.state, heap);
        let below = (1 << world.first_block(&self.state, heap)) - 1;
        self.found[usize::from(heap)] = world.heaps[usize::from(heap)].anchors & !below;
    }

    fn change(&mut self, protocol: &Protocol, world: &mut World, new_block: bool) {
        self.is_final = self.is_ready && world.game.is_final.is_none();
        let current = usize::from(self.state.current);
        if self.other_is_left {
            self.deleted[1 - current] = self.found[1 - current];
            self.state.drained = true;
            self.state.marks[1 - current] = Mark::default(); // nobody reads it
        }
        let file = world.heaps[current].file;
        let is_this_file = self.state.marks[current].file == file || protocol.fault == Some(Fault::ForgetsTheFile);
        match self.state.sized {
            Some(sized) if is_this_file && self.writers_are_gone => {
                let kept = if protocol.fault == Some(Fault::DeletesTheAnchorEarly) { 0 } else { 1 << (sized - 1) };
                self.deleted[current] = self.found[current] & !kept;
                let slack = if protocol.fault == Some(Fault::HasNoSlack) { 0 } else { SLACK };
                self.state.marks[current] = Mark { file, block: sized - slack };
                self.forget_waiting();
            }
            Some(_) if !is_this_file || !protocol.is_valid(world, self.state.start) => self.forget_waiting(),
            _ => {}
        }
        let mark = world.first_block(&self.state, self.state.current);
        let end = world.heaps[current].end;
        if self.state.sized.is_none() && end >= mark + SLACK + STEP {
            let block = self.append_anchor(world, new_block);
            self.state.sized = Some(block + 1);
            self.state.start = protocol.start(world);
            self.state.marks[current] = Mark { file, block: mark };
        }
        // Of no more use: states that differ in nothing else are one.
        (self.writers_are_gone, self.other_is_left, self.is_ready, self.found) = (false, false, false, [0; 2]);
    }

    fn append_anchor(&mut self, world: &mut World, new_block: bool) -> Block {
        let end = &mut world.heaps[usize::from(self.state.current)].end;
        *end += Block::from(new_block);
        self.anchor = Some(*end - 1);
        *end - 1
    }

    fn commit(&mut self, protocol: &Protocol, world: &mut World) {
        if self.anchor.is_some() {
            self.state.waiting = self.listed;
        }
        let current = usize::from(self.state.current);
        let is_big = world.heaps[current].end >= protocol.turn_size;
        let may_turn = self.state.drained && !self.stops_early && world.turned < protocol.turns;
        self.turns = may_turn && is_big && world.heaps[1 - current].end == 0;
        for (heap, deleted) in world.heaps.iter_mut().zip(self.deleted) {
            heap.anchors &= !deleted;
        }
        world.heaps[current].anchors |= self.anchor.map_or(0, |block| 1 << block);
        if self.turns {
            world.turned += 1;
            self.state.current = 1 - self.state.current;
            self.state.marks[1 - current] = Mark { file: world.heaps[1 - current].file, block: 0 };
            self.state.drained = false;
            self.forget_waiting();
        }
        world.state = self.state;
        world.totals |= self.taken;
        for (number, vote) in world.votes.iter_mut().enumerate() {
            if self.taken & (1 << number) != 0 {
                vote.bury();
            }
        }
        if let Some(waiting) = self.waiting {
            world.game.waiting = Some((waiting, protocol.start(world)));
        }
        if self.is_final {
            world.game.waiting = None;
            world.game.is_final = Some(world.totals);
        }
    }

    const fn forget_waiting(&mut self) {
        self.state.sized = None;
        self.state.waiting = Names::NONE;
        self.state.start = 0;
    }
}

impl Protocol {
    /// What a list says of the server's start.
    fn start(&self, world: &World) -> u8 {
        match self.writers {
            Writers::OfAServerRun => world.start,
            Writers::ByTheRule => 0,
        }
    }

    /// Does a list of that start still say something?
    fn is_valid(&self, world: &World, start: u8) -> bool {
        match self.writers {
            Writers::OfAServerRun => start == world.start,
            Writers::ByTheRule => true,
        }
    }

    fn are_gone(&self, world: &World, listed: Names, start: u8, holders: Names) -> bool {
        match self.writers {
            Writers::OfAServerRun => start == world.start && listed.are_gone_by_name(holders),
            Writers::ByTheRule => listed.are_gone(holders),
        }
    }
}
