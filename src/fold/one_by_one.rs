//! Folding match by match, each in a subtransaction of its own. It finds out which match it was when a fold of all at once
//! failed, and it tries those again that are set aside.

use crate::error::Result;
use crate::fold::aside::Aside;
use crate::fold::drain::{Heaps, MAX_ROWS, Taken};
use crate::fold::feed::{Fold, Head};
use crate::fold::finalize;
use crate::fold::holders;
use crate::fold::publish::{Counted, publish};
use crate::pending::heap::{Next, OpenHeap};
use crate::pg::failure::Failure;
use crate::pg::lock::Patience;
use crate::pg::snapshot::Snapshot;
use crate::pg::spi::{Sees, Spi};
use crate::pg::subtransaction::attempt;
use pgrx::pg_sys;
use std::collections::BTreeMap;
use vote_agg_core::vote::tally::Tally;

/// So many rows of a match that is set aside are tried first. What is wrong with it mostly shows by them, and then the others
/// need not be touched: they grow all the while.
const FEW_ROWS: usize = 100;

/// Where a row lies.
type Place<'a> = (&'a OpenHeap, pg_sys::ItemPointerData);

/// Where the rows of a match lie.
type Places<'a> = Vec<Place<'a>>;

/// Folds what is committed by now, and sets the matches aside that cannot be folded.
///
/// # Errors
/// A failure that every match would have met; those of the server.
pub fn fold_all(spi: &Spi, heaps: &Heaps, fold: &Fold, aside: &mut Aside, ready: &[String]) -> Result<Taken> {
    // The fold of all at once was patient already. Many matches whose rows somebody holds would hold up all others.
    let _patience = Patience::of(1);
    let mut taken = Taken { is_silent: fold.is_silent, ..Taken::default() };
    let mut matches: BTreeMap<String, Places> = ready.iter().map(|match_id| (match_id.clone(), Places::new())).collect();
    let now = Snapshot::latest();
    let mut rows = 0;
    for (heap, first) in heaps.in_turn() {
        heap.visit(first, now.as_ptr(), |row| {
            if row.match_id.is_empty() {
                taken.anchor(std::ptr::eq(heap, heaps.current.0), row.tid);
            } else if rows == MAX_ROWS {
                taken.more = true;
                return Ok(Next::Stop);
            } else {
                rows += 1;
                matches.entry(row.match_name().into_owned()).or_default().push((heap, row.tid));
            }
            Ok(Next::Go)
        })?;
    }
    for (match_id, places) in matches {
        if !aside.holds(&match_id) {
            let is_ready = !taken.more && ready.contains(&match_id);
            match attempt(|| fold_one(spi, fold, &match_id, &places, is_ready, &now)) {
                Ok(first_at) => {
                    taken.rows += places.len() as i64;
                    taken.first(first_at);
                    continue;
                }
                Err(failure) => set_aside(spi, aside, &match_id, fold.at, failure)?,
            }
        }
        for (heap, tid) in places {
            heap.fetch(&tid, now.as_ptr(), |row| {
                if heap.delete(&tid)? {
                    heaps.aside.insert_copy(row);
                }
                Ok(())
            })?;
        }
    }
    Ok(taken)
}

/// Tries matches again that are set aside; returns what was taken of those that could be folded.
///
/// # Errors
/// As above.
pub fn try_again(spi: &Spi, heap: &OpenHeap, fold: &Fold, aside: &mut Aside, due: &[String]) -> Result<Taken> {
    let _patience = Patience::of(1);
    let mut taken = Taken { is_silent: fold.is_silent, ..Taken::default() };
    let mut matches: BTreeMap<&str, Places> = due.iter().map(|match_id| (match_id.as_str(), Places::new())).collect();
    let now = Snapshot::latest();
    let mut rows = 0;
    heap.visit(0, now.as_ptr(), |row| {
        if let Some(places) = matches.get_mut(&*row.match_name()) {
            if rows == MAX_ROWS {
                taken.more = true;
                return Ok(Next::Stop);
            }
            rows += 1;
            places.push((heap, row.tid));
        }
        Ok(Next::Go)
    })?;
    let is_whole = !taken.more;
    for (match_id, places) in matches {
        let (few, rest) = places.split_at(places.len().min(FEW_ROWS));
        let mut tried = attempt_one(spi, fold, match_id, few, &now, &mut taken);
        if tried.is_ok() && !rest.is_empty() {
            tried = attempt_one(spi, fold, match_id, rest, &now, &mut taken);
        }
        match tried {
            Ok(()) if is_whole => aside.free(spi, match_id)?,
            Ok(()) => {}
            Err(failure) => set_aside(spi, aside, match_id, fold.at, failure)?,
        }
    }
    Ok(taken)
}

/// Folds rows of one match, or none of them.
fn attempt_one(
    spi: &Spi,
    fold: &Fold,
    match_id: &str,
    places: &[Place],
    now: &Snapshot,
    taken: &mut Taken,
) -> std::result::Result<(), Failure> {
    taken.first(attempt(|| fold_one(spi, fold, match_id, places, false, now))?);
    taken.rows += places.len() as i64;
    Ok(())
}

/// Folds one match; returns when its oldest vote was recorded.
fn fold_one(spi: &Spi, fold: &Fold, match_id: &str, places: &[Place], is_ready: bool, now: &Snapshot) -> Result<Option<i64>> {
    let is_final = is_ready && finalize::stamp(spi, match_id, fold.at)?;
    if places.is_empty() && !is_final {
        return Ok(None);
    }
    let head = Head::load(spi, match_id, Sees::Now)?;
    let mut tally = Tally::new(head.teams.clone());
    for (heap, tid) in places {
        heap.fetch(tid, now.as_ptr(), |row| {
            if let Some(vote) = row.vote()?
                && heap.delete(tid)?
            {
                tally.add(&vote)?;
            }
            Ok(())
        })?;
    }
    publish(spi, fold, &[Counted { match_id, head: &head, tally: &tally, is_final }])?;
    Ok(tally.first_at())
}

fn set_aside(spi: &Spi, aside: &mut Aside, match_id: &str, at: i64, failure: Failure) -> Result<()> {
    if failure.is_everyones() {
        return Err(failure.into_report());
    }
    let reason = if failure.is_locked_out() { holders::name(spi, &failure.text)? } else { failure.text };
    aside.put(spi, match_id, at, &reason)
}
