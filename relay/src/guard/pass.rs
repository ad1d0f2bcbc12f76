//! What an Engine.IO session is given when it begins, and keeps until its transport is gone.

use crate::guard::rates::Rates;
use crate::guard::seats::Seat;
use std::sync::Arc;

/// A seat, and rates that no new session over the same transport renews.
pub struct Pass {
    pub seat: Arc<Seat>,
    pub rates: Rates,
}
