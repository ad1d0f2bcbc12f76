//! Taking committed votes out of pending, summed by match.

use crate::error::{Result, refused};
use crate::fold::feed::Head;
use crate::pending::heap::{Next, OpenHeap};
use crate::pg::snapshot::Snapshot;
use crate::pg::spi::{Sees, Spi};
use pgrx::pg_sys;
use std::collections::BTreeMap;
use vote_agg_core::vote::tally::Tally;

/// The most rows that one fold takes, and the most distinct sums after which it takes no more, so that the feed keeps moving
/// through a backlog. A sum costs about four times as much as a row: it is an update of two tables and their indexes.
const MAX_ROWS: i64 = 1_000_000;
const MAX_SUMS: usize = 200_000;

/// What was taken out of pending.
#[derive(Default)]
pub struct Drained {
    pub matches: BTreeMap<String, (Head, Tally)>,
    pub rows: i64,
    /// Distinct arrivals of all matches.
    sums: usize,
    pub more: bool,
    pub anchors: Vec<pg_sys::ItemPointerData>,
}

impl Drained {
    /// Takes out of a heap what is committed by now.
    pub fn take(&mut self, spi: &Spi, heap: &OpenHeap, first: u32) -> Result<()> {
        let now = Snapshot::latest();
        let mut last: Option<(String, Head, Tally)> = None;
        heap.visit(first, now.as_ptr(), |row| {
            let Some(vote) = row.vote()? else {
                self.anchors.push(row.tid);
                return Ok(Next::Go);
            };
            if self.rows == MAX_ROWS || self.sums >= MAX_SUMS {
                self.more = true;
                return Ok(Next::Stop);
            }
            if !heap.delete(&row.tid)? {
                return Ok(Next::Go);
            }
            // Neighbours are mostly of one match: it is kept at hand.
            if last.as_ref().is_none_or(|(match_id, ..)| match_id.as_bytes() != row.match_id) {
                if let Some((match_id, head, tally)) = last.take() {
                    self.matches.insert(match_id, (head, tally));
                }
                let match_id = String::from_utf8_lossy(row.match_id);
                self.change(spi, &match_id)?;
                last = self.matches.remove_entry(&*match_id).map(|(match_id, (head, tally))| (match_id, head, tally));
            }
            if let Some((_, _, tally)) = &mut last {
                let before = tally.distinct();
                tally.add(&vote).map_err(refused)?;
                self.sums += tally.distinct() - before;
            }
            self.rows += 1;
            Ok(Next::Go)
        })?;
        if let Some((match_id, head, tally)) = last {
            self.matches.insert(match_id, (head, tally));
        }
        Ok(())
    }

    /// Begins to change a match.
    pub fn change(&mut self, spi: &Spi, match_id: &str) -> Result<()> {
        if !self.matches.contains_key(match_id) {
            let head = Head::load(spi, match_id, Sees::Now)?;
            let tally = Tally::new(head.teams.clone());
            self.matches.insert(match_id.to_owned(), (head, tally));
        }
        Ok(())
    }

    /// When the oldest vote was recorded.
    pub fn first_at(&self) -> Option<i64> {
        self.matches.values().filter_map(|(_, tally)| tally.first_at()).min()
    }
}
