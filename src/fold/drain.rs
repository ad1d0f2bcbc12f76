//! Taking committed votes out of pending, summed by match: all matches at once, which is how almost every fold goes.

use crate::error::Result;
use crate::fold::aside::Aside;
use crate::fold::feed::Head;
use crate::pending::heap::{Next, OpenHeap};
use crate::pg::snapshot::Snapshot;
use crate::pg::spi::{Sees, Spi};
use pgrx::pg_sys;
use std::collections::{BTreeMap, BTreeSet};
use vote_agg_core::vote::tally::Tally;

/// The most rows that one fold takes, and the most distinct sums after which it takes no more, so that the feed keeps moving
/// through a backlog. A sum costs about four times as much as a row: it is an update of two tables and their indexes.
pub const MAX_ROWS: i64 = 1_000_000;
const MAX_SUMS: usize = 200_000;

/// Of so many rows the matches are loaded with one statement: what a statement costs besides its rows is most of it.
const ROWS_AHEAD: usize = 10_000;

/// The open heaps, and the block from which on each is read.
pub struct Heaps<'a> {
    /// `None` where it is drained.
    pub other: Option<(&'a OpenHeap, u32)>,
    pub current: (&'a OpenHeap, u32),
    /// Where votes of matches wait that are set aside.
    pub aside: &'a OpenHeap,
}

impl<'a> Heaps<'a> {
    /// Those that take turns, the older one first.
    pub fn in_turn(&self) -> impl Iterator<Item = (&'a OpenHeap, u32)> {
        self.other.into_iter().chain([self.current])
    }
}

/// What a fold took out of pending.
#[derive(Default)]
pub struct Taken {
    pub rows: i64,
    /// When the oldest vote was recorded.
    pub first_at: Option<i64>,
    /// There is more than one fold takes.
    pub more: bool,
    /// Nobody was notified of it.
    pub is_silent: bool,
    /// The anchors that lie in the other heap, and in the current one.
    pub others_anchors: Vec<pg_sys::ItemPointerData>,
    pub anchors: Vec<pg_sys::ItemPointerData>,
}

impl Taken {
    /// Notes an anchor that was met in the heap.
    pub fn anchor(&mut self, is_current: bool, tid: pg_sys::ItemPointerData) {
        (if is_current { &mut self.anchors } else { &mut self.others_anchors }).push(tid);
    }

    /// Notes when a match's oldest vote was recorded.
    pub fn first(&mut self, at: Option<i64>) {
        self.first_at = self.first_at.into_iter().chain(at).min();
    }
}

/// What was taken out of pending, by match.
#[derive(Default)]
pub struct Drained {
    pub matches: BTreeMap<String, (Head, Tally)>,
    pub taken: Taken,
    /// Matches that are loaded already.
    heads: BTreeMap<String, Head>,
    /// Distinct arrivals of all matches.
    sums: usize,
}

impl Drained {
    /// Takes out of the heaps what is committed by now. Votes of matches that are set aside go to the others of theirs.
    ///
    /// # Errors
    /// XX000 naming a pending row that no vote can have written; 22003 when a sum leaves 64 bits.
    pub fn take(spi: &Spi, heaps: &Heaps, aside: &Aside) -> Result<Self> {
        let mut drained = Self { heads: heads_ahead(spi, heaps, aside)?, ..Self::default() };
        for (heap, first) in heaps.in_turn() {
            let is_current = std::ptr::eq(heap, heaps.current.0);
            drained.take_from(spi, heap, first, is_current, heaps.aside, aside)?;
        }
        for (_, tally) in drained.matches.values() {
            drained.taken.first(tally.first_at());
        }
        Ok(drained)
    }

    fn take_from(
        &mut self,
        spi: &Spi,
        heap: &OpenHeap,
        first: u32,
        is_current: bool,
        elsewhere: &OpenHeap,
        aside: &Aside,
    ) -> Result<()> {
        let now = Snapshot::latest();
        let mut last: Option<(String, Head, Tally)> = None;
        heap.visit(first, now.as_ptr(), |row| {
            if row.match_id.is_empty() {
                self.taken.anchor(is_current, row.tid);
                return Ok(Next::Go);
            }
            if self.taken.rows == MAX_ROWS || self.sums >= MAX_SUMS {
                self.taken.more = true;
                return Ok(Next::Stop);
            }
            if aside.holds_row(row) {
                if heap.delete(&row.tid)? {
                    elsewhere.insert_copy(row);
                }
                return Ok(Next::Go);
            }
            let Some(vote) = row.vote()? else { return Ok(Next::Go) };
            if !heap.delete(&row.tid)? {
                return Ok(Next::Go);
            }
            // Neighbours are mostly of one match: it is kept at hand.
            if last.as_ref().is_none_or(|(match_id, ..)| match_id.as_bytes() != row.match_id) {
                if let Some((match_id, head, tally)) = last.take() {
                    self.matches.insert(match_id, (head, tally));
                }
                let match_id = row.match_name();
                self.change(spi, &match_id)?;
                last = self.matches.remove_entry(&*match_id).map(|(match_id, (head, tally))| (match_id, head, tally));
            }
            if let Some((_, _, tally)) = &mut last {
                let before = tally.distinct();
                tally.add(&vote)?;
                self.sums += tally.distinct() - before;
            }
            self.taken.rows += 1;
            Ok(Next::Go)
        })?;
        if let Some((match_id, head, tally)) = last {
            self.matches.insert(match_id, (head, tally));
        }
        Ok(())
    }

    /// Begins to change a match.
    ///
    /// # Errors
    /// XX000 when its newest feed row makes no sense.
    pub fn change(&mut self, spi: &Spi, match_id: &str) -> Result<()> {
        if !self.matches.contains_key(match_id) {
            let head = self.heads.remove(match_id).map_or_else(|| Head::load(spi, match_id, Sees::Now), Ok)?;
            let tally = Tally::new(head.teams.clone());
            self.matches.insert(match_id.to_owned(), (head, tally));
        }
        Ok(())
    }
}

/// The matches of the first rows.
fn heads_ahead(spi: &Spi, heaps: &Heaps, aside: &Aside) -> Result<BTreeMap<String, Head>> {
    let now = Snapshot::latest();
    let (mut rows, mut names) = (0, BTreeSet::new());
    for (heap, first) in heaps.in_turn() {
        heap.visit(first, now.as_ptr(), |row| {
            if !row.match_id.is_empty() && !aside.holds_row(row) && !names.contains(&*row.match_name()) {
                names.insert(row.match_name().into_owned());
            }
            rows += 1;
            Ok(if rows < ROWS_AHEAD { Next::Go } else { Next::Stop })
        })?;
    }
    Head::load_all(spi, names.into_iter().collect())
}
