//! The state of pending and of the folder: the newest row of `vote_agg.fold_log`.
//!
//! Each fold appends a row, where one row could be updated. A backward scan of the key finds the newest one at the same cost,
//! however many older rows an open snapshot keeps alive. And every snapshot sees the low-water marks that are right for it.

use crate::error::{Result, broken};
use crate::pending::turn::Heap;
use crate::pg::table::Table;
use crate::pg::tables::Tables;
use pgrx::pg_sys;

/// Low water of one heap: no row below block `mark` of file `file` counts, now or ever. Another file means mark 0.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Mark {
    pub file: u32,
    pub block: u32,
}

/// A row of `vote_agg.fold_log`. Times are microseconds since PostgreSQL's epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct FoldLog {
    pub id: i64,
    pub at: i64,
    pub folds: i64,
    pub total_rows: i64,
    pub last_at: Option<i64>,
    pub last_rows: i64,
    pub last_duration_ms: f64,
    pub last_lag_ms: f64,
    pub last_error: Option<String>,
    pub last_error_at: Option<i64>,
    pub pruned_at: i64,
    pub current: Heap,
    /// The other heap holds nothing that counts and will get nothing until it is current again.
    pub drained: bool,
    pub marks: [Mark; 2],
    /// The current heap's size in blocks when the writers of `waiting` were listed: the next mark, once they are gone.
    pub sized: Option<u32>,
    /// Virtual transaction ids of those writers.
    pub waiting: Vec<String>,
    /// How many matches are set aside.
    pub aside: i64,
}

impl FoldLog {
    /// The newest row in `snapshot`; where there is none, nothing was folded yet.
    ///
    /// # Errors
    /// XX000 when the row makes no sense.
    pub fn newest(tables: &Tables, snapshot: pg_sys::Snapshot) -> Result<Self> {
        let table = Table::open(tables.fold_log, pg_sys::AccessShareLock);
        let Some(row) = table.last_row(snapshot) else {
            return Ok(Self::first());
        };
        let mark = |file, block| -> Result<Mark> {
            Ok(Mark { file: row.need::<pg_sys::Oid>(file)?.to_u32(), block: block_number(row.need(block)?)? })
        };
        Ok(Self {
            id: row.need("id")?,
            at: row.time("at")?.unwrap_or_default(),
            folds: row.need("folds")?,
            total_rows: row.need("total_rows")?,
            last_at: row.time("last_at")?,
            last_rows: row.need("last_rows")?,
            last_duration_ms: row.need("last_duration_ms")?,
            last_lag_ms: row.need("last_lag_ms")?,
            last_error: row.get("last_error")?,
            last_error_at: row.time("last_error_at")?,
            pruned_at: row.time("pruned_at")?.unwrap_or_default(),
            current: Heap::numbered(row.need("current_heap")?)?,
            drained: row.need("drained")?,
            marks: [mark("file_1", "mark_1")?, mark("file_2", "mark_2")?],
            sized: row.get::<i64>("sized")?.map(block_number).transpose()?,
            waiting: row.get::<Vec<String>>("waiting")?.unwrap_or_default(),
            aside: row.need("aside")?,
        })
    }

    const fn first() -> Self {
        Self {
            id: 0,
            at: 0,
            folds: 0,
            total_rows: 0,
            last_at: None,
            last_rows: 0,
            last_duration_ms: 0.0,
            last_lag_ms: 0.0,
            last_error: None,
            last_error_at: None,
            pruned_at: 0,
            current: Heap::One,
            drained: false,
            marks: [Mark { file: 0, block: 0 }; 2],
            sized: None,
            waiting: Vec::new(),
            // A dump carries what is set aside, and not this row.
            aside: 1,
        }
    }

    /// The mark of `heap`.
    pub const fn mark(&self, heap: Heap) -> Mark {
        match heap {
            Heap::One => self.marks[0],
            Heap::Two => self.marks[1],
            Heap::Aside => Mark { file: 0, block: 0 },
        }
    }

    /// Moves the mark of `heap`.
    pub const fn set_mark(&mut self, heap: Heap, mark: Mark) {
        match heap {
            Heap::One => self.marks[0] = mark,
            Heap::Two => self.marks[1] = mark,
            Heap::Aside => {}
        }
    }

    /// The heaps that may hold votes, the older ones first.
    pub fn heaps(&self) -> impl Iterator<Item = Heap> + use<> {
        let (other, current) = ((!self.drained).then(|| self.current.other()), self.current);
        (self.aside > 0).then_some(Heap::Aside).into_iter().chain(other).chain([current])
    }
}

fn block_number(block: i64) -> Result<u32> {
    u32::try_from(block).map_err(|_| broken(format!("block number {block} in vote_agg.fold_log is out of range")))
}
