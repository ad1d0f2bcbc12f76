//! What the model knows: two heaps, sessions, transactions of one vote each, one match, the folder's state, and a fold in progress.
//!
//! A block of a heap holds any number of rows, and any row may go to any block that rule 1 of `src/pending` allows.
//! So the model does more than PostgreSQL does, never less. Dead rows are not kept: an aborted or folded row leaves only its block.

use crate::names::Names;

pub type Block = u8;

/// How far below the end of a heap a writer may append, and the least step of a mark. In the code 128 and 16.
pub const SLACK: Block = 1;
pub const STEP: Block = 1;

pub const SESSIONS: usize = 2;
/// The most transactions that a session begins.
pub const ATTEMPTS: usize = 2;
pub const VOTES: usize = SESSIONS * ATTEMPTS;

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct World {
    pub heaps: [Heap; 2],
    pub sessions: [Session; SESSIONS],
    pub votes: [Vote; VOTES],
    pub game: Match,
    /// The newest committed row of `fold_log`.
    pub state: State,
    /// The votes that are in the totals, as bits.
    pub totals: u8,
    pub fold: Option<Fold>,
    /// What the postmaster's start time tells apart: a crash of a backend leaves it as it is.
    pub start: u8,
    pub crashes: u8,
    pub turned: u8,
    pub rewrites: u8,
}

#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Heap {
    /// Its size in blocks.
    pub end: Block,
    /// Blocks with a live anchor, as bits.
    pub anchors: u8,
    /// How often it has got another file.
    pub file: u8,
}

#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Session {
    /// Its transactions until now; in this life of the server.
    pub begun: u8,
    pub begun_now: u8,
    /// The vote of the transaction that it is in.
    pub vote: Option<u8>,
}

/// A transaction with one vote.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Vote {
    pub phase: Phase,
    pub name: Option<Name>,
    /// The heap that it writes to, and has locked.
    pub heap: u8,
    pub has_lock: bool,
    /// Where its row is, as long as that is not dead.
    pub block: Option<Block>,
    pub is_committed: bool,
}

#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Phase {
    #[default]
    Unborn,
    /// Has looked at the end before it locked the heap: not allowed.
    Hasty(Block),
    /// Knows that the heap's turn has come, that the match is open, and the lowest block that it may append to.
    Looked(Block),
    Written,
    Prepared,
    Over,
}

impl Vote {
    /// Its row in `heap`.
    pub fn row_in(&self, heap: u8) -> Option<Block> {
        self.block.filter(|_| self.heap == heap)
    }

    /// Its row is dead.
    pub const fn bury(&mut self) {
        (self.heap, self.block) = (0, None);
    }
}

/// A name of a transaction in `pg_locks`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Name {
    /// `session/number`, from 1 in each life of the server.
    Session(u8, u8),
    /// `-1/xid`, read back from disk.
    ReadBack(u8),
}

#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Match {
    pub close: Close,
    /// Writers that may hold votes from before the close, listed at this start.
    pub waiting: Option<(Names, u8)>,
    /// The votes that were counted when it was called final.
    pub is_final: Option<u8>,
}

/// The transaction that closes the match.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Close {
    /// Nobody sees it yet. Whether it was begun, or prepared before a crash, is the same to all others.
    #[default]
    NotYet,
    /// Committed for everybody to see; the sessions are not told, its lock is still there.
    Visible,
    Over,
}

impl Match {
    /// Does a new snapshot show the match closed?
    pub fn is_closed(&self) -> bool {
        self.close != Close::NotYet
    }
}

/// A row of `fold_log`.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct State {
    pub current: u8,
    pub drained: bool,
    pub marks: [Mark; 2],
    /// The end of the anchor on which the next mark will stand.
    pub sized: Option<Block>,
    pub waiting: Names,
    pub start: u8,
}

#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Mark {
    pub file: u8,
    pub block: Block,
}

/// A fold in its transaction.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Fold {
    /// How many of its parts are done.
    pub done: u8,
    /// Its row of `fold_log`.
    pub state: State,
    pub writers_are_gone: bool,
    pub other_is_left: bool,
    pub is_ready: bool,
    /// The match's new list.
    pub waiting: Option<Names>,
    /// Votes whose rows it has deleted, as bits.
    pub taken: u8,
    /// It leaves the rest to the next one.
    pub stops_early: bool,
    pub is_final: bool,
    /// Anchors that it has found, and those that it has deleted, by heap, as bits.
    pub found: [u8; 2],
    pub deleted: [u8; 2],
    /// The block of the anchor that it has appended, and the holders of the heap after that.
    pub anchor: Option<Block>,
    pub listed: Names,
    /// It has given the turn to the other heap.
    pub turns: bool,
}

impl World {
    /// Nobody has voted yet.
    pub fn new() -> Self {
        Self {
            heaps: Default::default(),
            sessions: Default::default(),
            votes: Default::default(),
            game: Match::default(),
            state: State::default(),
            totals: 0,
            fold: None,
            start: 1,
            crashes: 0,
            turned: 0,
            rewrites: 0,
        }
    }

    /// The first block of a heap that can hold rows that count, by a row of `fold_log`.
    pub fn first_block(&self, state: &State, heap: u8) -> Block {
        let mark = state.marks[usize::from(heap)];
        if mark.file == self.heaps[usize::from(heap)].file { mark.block } else { 0 }
    }

    /// The votes that a reader's or folder's new snapshot finds in a heap from its mark on, as bits.
    pub fn pending(&self, state: &State, heap: u8) -> u8 {
        let first = self.first_block(state, heap);
        let is_pending = |vote: &Vote| vote.is_committed && vote.row_in(heap).is_some_and(|block| block >= first);
        bits(self.votes.iter().map(is_pending))
    }

    /// The votes whose commit was acknowledged, or will be.
    pub fn committed(&self) -> u8 {
        bits(self.votes.iter().map(|vote| vote.is_committed))
    }

    /// The heaps that may hold votes.
    pub fn heaps_in_use(state: &State) -> impl Iterator<Item = u8> + use<> {
        (!state.drained).then_some(1 - state.current).into_iter().chain([state.current])
    }

    /// Is a turn of the heaps seen that the sessions are not told of?
    pub fn turns(&self) -> bool {
        self.fold.is_some_and(|fold| fold.turns)
    }

    /// Who holds a heap for writing, but for the fold.
    pub fn holders(&self, heap: u8) -> Names {
        self.votes.iter().filter(|vote| vote.has_lock && vote.heap == heap).filter_map(|vote| vote.name).collect()
    }

    /// The least size of a heap with all its rows.
    pub fn least_end(&self, heap: u8) -> Block {
        let anchors = 8 - self.heaps[usize::from(heap)].anchors.leading_zeros() as Block;
        self.votes.iter().filter_map(|vote| vote.row_in(heap)).map(|block| block + 1).fold(anchors, Block::max)
    }
}

/// Bits, the first one lowest.
pub fn bits(values: impl Iterator<Item = bool>) -> u8 {
    values.enumerate().fold(0, |bits, (number, is_set)| bits | (u8::from(is_set) << number))
}
