//! Folding: pending votes into the aggregates, the time line and the feed, in one transaction. Also what only the
//! folder can know: where low water is, which heap takes votes, which match is final.

use crate::error::Result;
use crate::fold::aside::Aside;
use crate::fold::drain::{Drained, Heaps, Taken};
use crate::fold::feed::{self, Fold};
use crate::fold::finalize::{self, EndedMatches};
use crate::fold::history::History;
use crate::fold::publish::{Counted, publish};
use crate::fold::{ballot_retention, one_by_one, restore, retention};
use crate::pending::fold_log::FoldLog;
use crate::pending::heap::OpenHeap;
use crate::pending::low_water::{self, Writers};
use crate::pending::turn::Heap;
use crate::pg::lock::Lock;
use crate::pg::snapshot::Snapshot;
use crate::pg::spi::{self, Insert, Plan, Sees, Spi, oid, time, value};
use crate::pg::subtransaction::attempt;
use crate::pg::tables::{self, Tables};
use crate::pg::{clock, extension, transaction};
use crate::session::memory;
use crate::settings::{self, Pause};
use pgrx::{IntoDatum, pg_extern, pg_sys};

/// How often rows past their time are deleted, in microseconds.
const PRUNE_EVERY: i64 = 10_000_000;

/// How long a purge is remembered, in microseconds: a day.
const PURGES_KEPT: i64 = 86_400_000_000;

/// The same for the time line where nothing was folded since.
const PRUNE_EVERY_IDLE: i64 = 60_000_000;

thread_local! {
    // Up to the last one past its time: where the clock stepped back, older messages may look younger, and no hole may be left.
    static PRUNE_FEED: Plan = const { Plan::new(
        "WITH old AS (SELECT match_id, pg_catalog.max(seq) AS seq FROM vote_agg.feed WHERE at < $1 GROUP BY match_id)
         DELETE FROM vote_agg.feed f USING old WHERE f.match_id = old.match_id AND f.seq <= old.seq AND EXISTS
            (SELECT FROM vote_agg.feed newer WHERE newer.match_id = f.match_id AND newer.seq > f.seq)",
        &[pg_sys::TIMESTAMPTZOID]) };
    // What is forgotten of purges is remembered by the newest number, so that a root that asks late gets all matches.
    static PRUNE_PURGED: Plan = const { Plan::new(
        "WITH old AS (DELETE FROM vote_agg.purged WHERE at < $1 AND match_id <> '' RETURNING number)
         INSERT INTO vote_agg.purged (match_id, number, at)
         SELECT '', number, $1 FROM (SELECT pg_catalog.max(number) AS number FROM old) AS o WHERE number IS NOT NULL
         ON CONFLICT (match_id) DO UPDATE SET number = excluded.number, at = excluded.at",
        &[pg_sys::TIMESTAMPTZOID]) };
    static PRUNE_LOG: Plan = const { Plan::new(
        "DELETE FROM vote_agg.fold_log WHERE id < $1", &[pg_sys::INT8OID]) };
    static LOG: Insert = const { Insert::into("vote_agg.fold_log") };
}

/// See the COMMENT in sql/35-fold.sql.
#[pg_extern(sql = false)]
fn fold() -> Result<i64> {
    transaction::prevent_read_only(c"fold()");
    transaction::require_read_committed("vote_agg.fold")?;
    let (mut rows, mut tries) = (0, Tries::All);
    loop {
        let done = run(std::mem::replace(&mut tries, Tries::Due))?;
        rows += done.rows;
        if !done.more {
            return Ok(rows);
        }
        pgrx::check_for_interrupts!();
    }
}

/// Which of the matches that are set aside a fold tries again.
#[derive(Clone, Copy, Eq, PartialEq)]
pub enum Tries {
    /// Those whose pause is over.
    Due,
    /// All: somebody asks for it.
    All,
}

/// What one fold did.
#[derive(Default)]
pub struct Done {
    /// Pending rows folded.
    pub rows: i64,
    /// There is more to do at once: votes that one fold does not take, or a mark that waits for nobody.
    pub more: bool,
    /// A match had ended, and was not final yet.
    pub is_ending: bool,
    /// The heap whose turn is over holds nothing but dead rows, whose space VACUUM can give back.
    pub to_vacuum: Option<pg_sys::Oid>,
}

/// Folds once, in the current transaction. Does nothing when somebody else is folding. A match that cannot be folded is set
/// aside, and the others are folded.
///
/// # Errors
/// Failures that are no match's own: a full disk, a table of ours that is missing or edited; 55P03 where somebody holds one
/// of them. The transaction is to be rolled back then, and every row is still pending.
pub fn run(tries: Tries) -> Result<Done> {
    // Before the lock of folds, as everybody who takes both.
    extension::hold();
    if !Lock::Fold.try_for_transaction() {
        return Ok(Done::default());
    }
    // A fold that is not on disk when it is seen could be lost in a crash, and its seq given to other content.
    transaction::commit_durably();
    let tables = Tables::find()?;
    let mut state = FoldLog::newest(&tables, Snapshot::latest().as_ptr())?;
    let before = state.clone();
    let heap = |heap: Heap| OpenHeap::open(heap.of(&tables), pg_sys::RowExclusiveLock);
    let (current, other, elsewhere) = (heap(state.current)?, heap(state.current.other())?, heap(Heap::Aside)?);
    [&current, &other, &elsewhere].into_iter().try_for_each(OpenHeap::check_columns)?;

    spi::connect(|spi| {
        if state.folds == 0 && restore::is_under_way(spi)? {
            return Ok(Done::default());
        }
        let at = clock::now();
        settings::pause(Pause::FoldSized);
        // The order matters: first which writers are gone, then the snapshot that drains what they wrote.
        let writers = Writers::look(spi, &tables, &state)?;
        let ended = EndedMatches::look(spi, &tables, at)?;

        let mut aside = if state.aside > 0 { Aside::load(spi)? } else { Aside::default() };
        let due = aside.due(at, tries == Tries::All);
        let (is_ending, ready) = (ended.are_some, ended.ready(&aside));
        let heaps = Heaps {
            other: (!state.drained).then(|| (&other, other.first_block(state.mark(state.current.other())))),
            current: (&current, current.first_block(state.mark(state.current))),
            aside: &elsewhere,
        };
        let mut taken = match attempt(|| fold_together(spi, &heaps, &aside, &ready, at)) {
            Ok(taken) => taken,
            Err(failure) if failure.is_everyones() => return Err(failure.into_report()),
            // One match at least cannot be folded. The others can, unless somebody holds a whole table.
            Err(_) => {
                tables::lock_folded()?;
                one_by_one::fold_all(spi, &heaps, &begin(spi, at)?, &mut aside, &ready)?
            }
        };
        if !due.is_empty() {
            let again = one_by_one::try_again(spi, &elsewhere, &begin(spi, at)?, &mut aside, &due)?;
            taken.rows += again.rows;
            taken.first(again.first_at);
        }

        let mut is_mark_free = false;
        if !taken.more {
            if !state.drained && writers.other_is_left {
                taken.others_anchors.iter().try_for_each(|tid| other.delete(tid).map(|_| ()))?;
                state.drained = true;
            }
            let table = state.current.of(&tables);
            is_mark_free = low_water::move_mark(spi, table, &mut state, &writers, &current, &taken.anchors, at)?;
            if state.drained && other.blocks() == 0 && current.blocks() >= settings::turn_size() {
                low_water::turn(&mut state, &other);
                memory::invalidate(&tables);
            }
        }
        if taken.rows > 0 {
            let done = clock::now();
            state.folds += 1;
            state.total_rows += taken.rows;
            state.last_rows = taken.rows;
            state.last_at = Some(at);
            state.last_duration_ms = milliseconds((done - at).max(0));
            state.last_lag_ms = milliseconds(taken.first_at.map_or(0, |first| (done - first).max(0)));
        }
        let mut troubles = aside.troubles();
        troubles.extend(taken.is_silent.then(|| feed::SILENT.to_owned()));
        let since = at - state.pruned_at;
        let is_idle = state.last_at <= Some(state.pruned_at);
        let is_old = since > PRUNE_EVERY && (!is_idle || (since > PRUNE_EVERY_IDLE && settings::timeline_retention().is_some()));
        // A time to come: the clock was set back.
        if is_old || state.pruned_at > at {
            troubles.extend(chore("old messages could not be erased", || prune(spi, &state, at))?);
            troubles.extend(chore("the time line could not be shortened", || retention::apply(spi, at))?);
            state.pruned_at = at;
        }
        if !taken.more {
            troubles.extend(chore("old ballots could not be erased", || ballot_retention::erase(spi, at))?);
        }
        if let Some(trouble) = troubles.pop() {
            state.last_error = Some(trouble);
            state.last_error_at = Some(at);
        } else if aside.count() == 0 && (taken.rows > 0 || state.aside > 0) {
            state.last_error = None;
        }
        state.aside = aside.count();
        if state != before {
            state.at = at;
            state.id += 1;
            log(spi, &state)?;
        }
        settings::pause(Pause::FoldDone);
        let is_left_over = state.drained && other.blocks() > 0;
        Ok(Done {
            rows: taken.rows,
            more: taken.more || is_mark_free,
            is_ending,
            to_vacuum: is_left_over.then(|| state.current.other().of(&tables)),
        })
    })
}

/// Folds all matches at once.
fn fold_together(spi: &Spi, heaps: &Heaps, aside: &Aside, ready: &[String], at: i64) -> Result<Taken> {
    let mut drained = Drained::take(spi, heaps, aside)?;
    settings::pause(Pause::FoldDrained);
    let mut finals = Vec::new();
    if !drained.taken.more {
        for match_id in ready {
            if finalize::stamp(spi, match_id, at)? {
                drained.change(spi, match_id)?;
                finals.push(match_id);
            }
        }
    }
    if !drained.matches.is_empty() {
        let fold = begin(spi, at)?;
        drained.taken.is_silent = fold.is_silent;
        let counted = drained.matches.iter().map(|(match_id, (head, tally))| {
            let is_final = finals.contains(&match_id);
            Counted { match_id, head, tally, is_final }
        });
        publish(spi, &fold, &counted.collect::<Vec<_>>())?;
    }
    Ok(drained.taken)
}

/// Does what a fold does besides, in a subtransaction: folds go on where it fails. Returns what there is to say of it.
fn chore(what: &str, act: impl FnOnce() -> Result<()>) -> Result<Option<String>> {
    match attempt(act) {
        Ok(()) => Ok(None),
        Err(failure) if failure.is_everyones() => Err(failure.into_report()),
        Err(failure) => Ok(Some(format!("{what}: {}", failure.text))),
    }
}

/// Erases messages past their time, and the folder's older states.
fn prune(spi: &Spi, state: &FoldLog, at: i64) -> Result<()> {
    spi.run(&PRUNE_FEED, &[Some((at - settings::feed_retention()).into())], Sees::Now)?;
    spi.run(&PRUNE_PURGED, &[Some((at - PURGES_KEPT).into())], Sees::Now)?;
    spi.run(&PRUNE_LOG, &[state.id.into_datum()], Sees::Now).map(|_| ())
}

/// Notes why a fold failed, in a transaction of its own.
///
/// # Errors
/// XX000, and the server's own where the disk is full.
pub fn note_failure(reason: &str) -> Result<()> {
    if !Lock::Fold.try_for_transaction() {
        return Ok(());
    }
    let mut state = FoldLog::newest(&Tables::find()?, Snapshot::latest().as_ptr())?;
    state.id += 1;
    state.at = clock::now();
    state.last_error = Some(reason.to_owned());
    state.last_error_at = Some(state.at);
    spi::connect(|spi| log(spi, &state))
}

fn milliseconds(microseconds: i64) -> f64 {
    microseconds as f64 / 1_000.0
}

/// What all messages of a fold at this time have in common.
///
/// # Errors
/// XX000 when SPI itself fails.
pub fn begin(spi: &Spi, at: i64) -> Result<Fold> {
    restore::is_over(spi)?;
    let history = History::noted(spi)?;
    let number = feed::next_number(spi)?;
    Ok(Fold { at, at_text: feed::utc_text(spi, at, Sees::Now)?, history, number, is_silent: feed::is_queue_full(spi)? })
}

fn log(spi: &Spi, state: &FoldLog) -> Result<()> {
    let [one, two] = state.marks;
    let row = [
        value("id", state.id),
        time("at", state.at),
        value("folds", state.folds),
        value("total_rows", state.total_rows),
        time("last_at", state.last_at),
        value("last_rows", state.last_rows),
        value("last_duration_ms", state.last_duration_ms),
        value("last_lag_ms", state.last_lag_ms),
        value("last_error", state.last_error.as_deref()),
        time("last_error_at", state.last_error_at),
        time("pruned_at", state.pruned_at),
        value("current_heap", state.current as i16),
        value("drained", state.drained),
        oid("file_1", pg_sys::Oid::from(one.file)),
        value("mark_1", i64::from(one.block)),
        oid("file_2", pg_sys::Oid::from(two.file)),
        value("mark_2", i64::from(two.block)),
        value("sized", state.sized.map(i64::from)),
        value("waiting", state.waiting.clone()),
        value("aside", state.aside),
    ];
    spi.insert(&LOG, &row)
}
