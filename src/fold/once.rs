//! Folding: pending votes into the aggregates, the time line and the feed, in one transaction. Also what only the
//! folder can know: where low water is, which heap takes votes, which match is final.

use crate::error::{Result, refused};
use crate::fold::aggregate::{self, Aggregate, Sum, Target};
use crate::fold::drain::Drained;
use crate::fold::feed::{self, Change, Fold};
use crate::fold::finalize::EndedMatches;
use crate::fold::history::History;
use crate::fold::{ballot_retention, retention};
use crate::pending::fold_log::FoldLog;
use crate::pending::heap::OpenHeap;
use crate::pending::low_water::{self, Writers};
use crate::pending::turn::Heap;
use crate::pg::lock::Lock;
use crate::pg::snapshot::Snapshot;
use crate::pg::spi::{self, Plan, Sees, Spi};
use crate::pg::tables::Tables;
use crate::pg::{clock, extension, transaction};
use crate::session::memory;
use crate::settings::{self, Pause};
use pgrx::{IntoDatum, pg_extern, pg_sys};
use vote_agg_core::Country;
use vote_agg_core::vote::cell;
use vote_agg_core::vote::tally::{self, MINUTE};

/// How often rows past their time are deleted, in microseconds.
const PRUNE_EVERY: i64 = 10_000_000;

thread_local! {
    static PRUNE_FEED: Plan = const { Plan::new(
        "DELETE FROM vote_agg.feed f WHERE f.at < $1 AND EXISTS
            (SELECT FROM vote_agg.feed newer WHERE newer.match_id = f.match_id AND newer.seq > f.seq)",
        &[pg_sys::TIMESTAMPTZOID]) };
    static PRUNE_LOG: Plan = const { Plan::new(
        "DELETE FROM vote_agg.fold_log WHERE id < $1", &[pg_sys::INT8OID]) };
    static LOG: Plan = const { Plan::new(
        "INSERT INTO vote_agg.fold_log VALUES
            ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)",
        &[pg_sys::INT8OID, pg_sys::TIMESTAMPTZOID, pg_sys::INT8OID, pg_sys::INT8OID, pg_sys::TIMESTAMPTZOID, pg_sys::INT8OID,
          pg_sys::FLOAT8OID, pg_sys::FLOAT8OID, pg_sys::TEXTOID, pg_sys::TIMESTAMPTZOID, pg_sys::TIMESTAMPTZOID, pg_sys::INT2OID,
          pg_sys::BOOLOID, pg_sys::OIDOID, pg_sys::INT8OID, pg_sys::OIDOID, pg_sys::INT8OID, pg_sys::INT8OID, pg_sys::TEXTARRAYOID]) };
}

/// See the COMMENT in sql/35-fold.sql.
#[pg_extern(sql = false)]
fn fold() -> Result<i64> {
    transaction::prevent_read_only(c"fold()");
    transaction::require_read_committed("vote_agg.fold")?;
    let mut rows = 0;
    loop {
        let done = run()?;
        rows += done.rows;
        if !done.more {
            return Ok(rows);
        }
        pgrx::check_for_interrupts!();
    }
}

/// What one fold did.
pub struct Done {
    /// Pending rows folded.
    pub rows: i64,
    /// There is more to do at once: votes that one fold does not take, or a mark that waits for nobody.
    pub more: bool,
    /// The heap whose turn is over holds nothing but dead rows, whose space VACUUM can give back.
    pub to_vacuum: Option<pg_sys::Oid>,
}

/// Folds once, in the current transaction. Does nothing when somebody else is folding.
///
/// # Errors
/// XX000 naming a pending row that no vote can have written; 22003 when a total leaves 64 bits. The transaction is to be
/// rolled back then, and every row is still pending.
pub fn run() -> Result<Done> {
    // Before the lock of folds, as everybody who takes both.
    extension::hold();
    if !Lock::Fold.try_for_transaction() {
        return Ok(Done { rows: 0, more: false, to_vacuum: None });
    }
    // A fold that is not on disk when it is seen could be lost in a crash, and its seq given to other content.
    transaction::commit_durably();
    let tables = Tables::find()?;
    let mut state = FoldLog::newest(&tables, Snapshot::latest().as_ptr())?;
    let before = state.clone();
    let heap = |heap: Heap| OpenHeap::open(heap.of(&tables), pg_sys::RowExclusiveLock);
    let (current, other) = (heap(state.current)?, heap(state.current.other())?);

    spi::connect(|spi| {
        let at = clock::now();
        settings::pause(Pause::FoldSized);
        // The order matters: who is gone, then the snapshot that drains what they wrote.
        let writers = Writers::look(spi, &tables, &state)?;
        let ended = EndedMatches::look(spi, &tables, at)?;

        let mut drained = Drained::default();
        if !state.drained {
            drained.take(spi, &other, other.first_block(state.mark(state.current.other())))?;
        }
        let others_anchors = std::mem::take(&mut drained.anchors);
        drained.take(spi, &current, current.first_block(state.mark(state.current)))?;
        settings::pause(Pause::FoldDrained);

        let finals = if drained.more { Vec::new() } else { ended.finalize(spi, at)? };
        for match_id in &finals {
            drained.change(spi, match_id)?;
        }
        publish(spi, &drained, &finals, at)?;

        let mut is_mark_free = false;
        if !drained.more {
            if !state.drained && writers.other_is_left {
                others_anchors.iter().try_for_each(|tid| other.delete(tid).map(|_| ()))?;
                state.drained = true;
            }
            let table = state.current.of(&tables);
            is_mark_free = low_water::move_mark(spi, table, &mut state, &writers, &current, &drained.anchors, at)?;
            if state.drained && other.blocks() == 0 && current.blocks() >= settings::turn_size() {
                low_water::turn(&mut state, &other);
                memory::invalidate(&tables);
            }
        }
        if drained.rows > 0 {
            let done = clock::now();
            state.folds += 1;
            state.total_rows += drained.rows;
            state.last_rows = drained.rows;
            state.last_at = Some(at);
            state.last_duration_ms = milliseconds((done - at).max(0));
            state.last_lag_ms = milliseconds(drained.first_at().map_or(0, |first| (done - first).max(0)));
            state.last_error = None;
        }
        // A time to come: the clock was set back.
        let is_old = state.last_at > Some(state.pruned_at) && at - state.pruned_at > PRUNE_EVERY;
        if is_old || state.pruned_at > at {
            spi.run(&PRUNE_FEED, &[Some((at - settings::feed_retention()).into())], Sees::Now)?;
            spi.run(&PRUNE_LOG, &[state.id.into_datum()], Sees::Now)?;
            retention::apply(spi, at)?;
            state.pruned_at = at;
        }
        if !drained.more {
            ballot_retention::erase(spi, at)?;
        }
        if state != before {
            state.at = at;
            state.id += 1;
            log(spi, &state)?;
        }
        settings::pause(Pause::FoldDone);
        let is_left_over = state.drained && other.blocks() > 0;
        Ok(Done {
            rows: drained.rows,
            more: drained.more || is_mark_free,
            to_vacuum: is_left_over.then(|| state.current.other().of(&tables)),
        })
    })
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
    let history = History::noted(spi)?;
    Ok(Fold { at, at_text: feed::utc_text(spi, at, Sees::Now)?, history })
}

/// Adds what was drained to the aggregates and tells the feed, match by match in order of names.
fn publish(spi: &Spi, drained: &Drained, finals: &[String], at: i64) -> Result<()> {
    if drained.matches.is_empty() {
        return Ok(());
    }
    let fold = begin(spi, at)?;
    for (match_id, (head, tally)) in &drained.matches {
        let target = Target { match_id, teams: tally.teams().len(), seq: head.seq + 1 };
        let (cells, new_cells, emptied_cells) =
            add(spi, Aggregate::Cells, target, tally.cells(), |cell| cell::cell_to_bits(*cell))?;
        let country_key = |country: &Country| i64::from(country.number());
        let (countries, new_countries, emptied_countries) =
            add(spi, Aggregate::Countries, target, tally.countries(), country_key)?;
        add(spi, Aggregate::Minutes, target, Ok(tally.minutes()), |start| start / MINUTE)?;
        let minute_key = |(start, country): &(i64, Country)| aggregate::country_minute(*start, country.number());
        add(spi, Aggregate::CountryMinutes, target, Ok(tally.country_minutes()), minute_key)?;
        let change = Change {
            match_id,
            head: head.clone(),
            tally,
            cells,
            countries,
            new_cells,
            new_countries,
            emptied: emptied_cells + emptied_countries,
            is_final: finals.contains(match_id),
            is_rebuilt: false,
        };
        change.publish(spi, &fold)?;
    }
    Ok(())
}

/// Adds counts by key; returns the new sums, how many keys have votes now that had none, less those that lost theirs, and how
/// many lost theirs.
fn add<K>(
    spi: &Spi,
    table: Aggregate,
    target: Target,
    changes: std::result::Result<Vec<(K, tally::Counts)>, vote_agg_core::Error>,
    key: impl Fn(&K) -> i64,
) -> Result<(Vec<(K, Sum)>, i64, i64)> {
    let (keys, changes): (Vec<K>, Vec<tally::Counts>) = changes.map_err(refused)?.into_iter().unzip();
    let changes: Vec<(i64, tally::Counts)> = keys.iter().map(key).zip(changes).collect();
    let totals = aggregate::add(spi, table, target, &changes)?;
    let (mut newly, mut emptied) = (0, 0);
    for (total, (_, change)) in totals.iter().zip(&changes) {
        let total = tally::total(&total.votes).map_err(refused)?;
        let had = total - tally::total(change).map_err(refused)?;
        newly += i64::from(total > 0) - i64::from(had > 0);
        emptied += i64::from(total <= 0 && had > 0);
    }
    Ok((keys.into_iter().zip(totals).collect(), newly, emptied))
}

fn log(spi: &Spi, state: &FoldLog) -> Result<()> {
    let [one, two] = state.marks;
    let args = [
        state.id.into_datum(),
        Some(state.at.into()),
        state.folds.into_datum(),
        state.total_rows.into_datum(),
        state.last_at.map(Into::into),
        state.last_rows.into_datum(),
        state.last_duration_ms.into_datum(),
        state.last_lag_ms.into_datum(),
        state.last_error.as_deref().into_datum(),
        state.last_error_at.map(Into::into),
        Some(state.pruned_at.into()),
        (state.current as i16).into_datum(),
        state.drained.into_datum(),
        Some(pg_sys::Oid::from(one.file).into()),
        i64::from(one.block).into_datum(),
        Some(pg_sys::Oid::from(two.file).into()),
        i64::from(two.block).into_datum(),
        state.sized.map(i64::from).into_datum(),
        state.waiting.clone().into_datum(),
    ];
    spi.run(&LOG, &args, Sees::Now).map(|_| ())
}
