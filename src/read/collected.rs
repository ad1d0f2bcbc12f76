//! What a read collects, within the memory that one read may take: `vote_agg.max_read` numbers.

use crate::error::{Result, too_large};
use crate::settings;
use foldhash::HashMap;
use std::hash::Hash;
use vote_agg_core::vote::cell::roll_up;
use vote_agg_core::vote::change;
use vote_agg_core::vote::tally::{self, Counts, Tally};
use vote_agg_core::{CellIndex, Country, Resolution};

pub type CellCounts = Vec<(CellIndex, Counts)>;

/// A limit of numbers of votes, and how the refusal names it.
pub struct Limit {
    /// The whole that has too many, and its verb.
    what: &'static str,
    /// What has one number a team.
    by: &'static str,
    remedy: &'static str,
}

pub const CELLS: Limit = Limit {
    what: "the cells of the match have",
    by: "cell",
    remedy: "Ask for a coarser resolution or less of the world, or raise",
};
pub const COUNTRIES: Limit = Limit { what: "the countries of the match have", by: "country", remedy: "Raise" };
pub const BUCKETS: Limit = Limit {
    what: "the time line of the match has",
    by: "bucket",
    remedy: "Pass a longer bucket, or \"from\" and \"to\" that are closer, or raise",
};
pub const MATCHES: Limit =
    Limit { what: "the matches have", by: "match", remedy: "Read one match at a time with get_realtime_stats, or raise" };

impl Limit {
    /// # Errors
    /// 54000 when so many numbers are more than a read may hold.
    pub fn check(&self, numbers: usize) -> Result<()> {
        let most = settings::max_read();
        if numbers <= most {
            return Ok(());
        }
        let Self { what, by, remedy } = self;
        let message = format!("{what} more than {most} numbers of votes, by {by} and team");
        Err(too_large(message, &format!("{remedy} vote_agg.max_read.")))
    }
}

/// How many bytes of messages a read holds: as many as the numbers that it may hold take.
pub fn most_bytes() -> usize {
    settings::max_read().saturating_mul(size_of::<i64>())
}

/// Votes by place. A place has a number for each team up to the last one with votes there, so many teams in many places take much.
pub struct Places<K> {
    sums: HashMap<K, Counts>,
    numbers: usize,
    limit: &'static Limit,
}

impl<K: Eq + Hash> Places<K> {
    /// None yet.
    pub fn new(limit: &'static Limit) -> Self {
        Self { sums: HashMap::default(), numbers: 0, limit }
    }

    /// Adds the votes of a place.
    ///
    /// # Errors
    /// 54000 when that is more than a read may hold; 22003 when a sum leaves 64 bits.
    pub fn add(&mut self, place: K, votes: Counts) -> Result<()> {
        let sums = self.sums.entry(place).or_default();
        let before = sums.len();
        if sums.is_empty() {
            *sums = votes;
        } else {
            tally::add_all(sums, &votes)?;
        }
        self.numbers += sums.len() - before;
        self.limit.check(self.numbers)
    }

    /// The places, in no order.
    pub fn all(self) -> impl Iterator<Item = (K, Counts)> {
        self.sums.into_iter()
    }
}

/// Votes by country.
pub type Countries = Places<Country>;

/// Votes by cell.
pub struct Collected(Cells);

enum Cells {
    /// Each as it came, and how many numbers they have: only cells that are stored and pending come twice.
    AsStored(CellCounts, usize),
    /// Rolled up, many to one.
    RolledUp(Resolution, Places<CellIndex>),
}

impl Collected {
    /// The votes that are pending; all cells are rolled up to the resolution, where there is one, as they come.
    ///
    /// # Errors
    /// Those of [`Collected::add`].
    pub fn new(resolution: Option<Resolution>, pending: &Tally) -> Result<Self> {
        let mut collected = Self(match resolution {
            None => Cells::AsStored(Vec::new(), 0),
            Some(resolution) => Cells::RolledUp(resolution, Places::new(&CELLS)),
        });
        for (cell, change) in pending.cell_changes()? {
            collected.add(cell, change::counts(&change))?;
        }
        Ok(collected)
    }

    /// Adds the votes of a cell.
    ///
    /// # Errors
    /// 54000 when that is more than a read may hold, at the latest at twice as many; 22003 when a sum leaves 64 bits.
    pub fn add(&mut self, cell: CellIndex, votes: Counts) -> Result<()> {
        match &mut self.0 {
            Cells::AsStored(cells, numbers) => {
                *numbers += votes.len();
                cells.push((cell, votes));
                // Cells that came twice count once. Merging at twice the limit, not at it, is rare.
                if *numbers / 2 > settings::max_read() {
                    *cells = tally::merged(std::mem::take(cells))?;
                    *numbers = how_many(cells);
                    CELLS.check(*numbers)?;
                }
                Ok(())
            }
            Cells::RolledUp(resolution, cells) => cells.add(roll_up(cell, *resolution), votes),
        }
    }

    /// The cells with votes, in order.
    ///
    /// # Errors
    /// 54000 when they are more than a read may hold; 22003 when a sum leaves 64 bits.
    pub fn in_order(self) -> Result<CellCounts> {
        let cells = tally::merged(match self.0 {
            Cells::AsStored(cells, _) => cells,
            Cells::RolledUp(_, cells) => cells.all().collect(),
        })?;
        CELLS.check(how_many(&cells))?;
        Ok(cells)
    }
}

fn how_many(cells: &CellCounts) -> usize {
    cells.iter().map(|(_, votes)| votes.len()).sum()
}
