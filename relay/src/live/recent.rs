//! The newest updates of one match at one resolution, for clients that come back.

use crate::live::event::Update;
use crate::live::roll_up::roll_up_message;
use crate::live::state::MatchState;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use vote_agg_core::Resolution;
use vote_agg_core::feed::message::CellVotes;
use vote_agg_core::vote::cell::roll_up;

/// In the order of their seq, without a hole.
#[derive(Debug, Default)]
pub struct Recent {
    updates: VecDeque<Arc<Update>>,
    weight: usize,
}

impl Recent {
    /// Half a minute of folds; less where they are big.
    const LENGTH: usize = 300;
    const WEIGHT: usize = 4 << 20;

    pub fn push(&mut self, update: Arc<Update>) {
        self.weight += update.weight();
        self.updates.push_back(update);
        while self.updates.len() > Self::LENGTH || self.weight > Self::WEIGHT {
            match self.updates.pop_front() {
                Some(oldest) => self.weight -= oldest.weight(),
                None => break,
            }
        }
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The same at a coarser resolution, for a client that comes back to a room that is new here.
    ///
    /// The totals of its cells at each seq are no longer known, only those of now. So the last update carries all cells that
    /// changed in any of them, and the others carry none: a client that goes on from any seq ends with the same state. None: it
    /// does not reach up to the state, or a message left its cells out.
    #[must_use]
    pub fn rolled_up(&self, resolution: Resolution, state: &MatchState) -> Option<Self> {
        if self.updates.back()?.seq() != state.seq {
            return None;
        }
        let mut changed = BTreeSet::new();
        for update in &self.updates {
            let cells = update.message().cells.as_deref()?;
            changed.extend(cells.iter().map(|CellVotes(cell, _)| u64::from(roll_up(*cell, resolution))));
        }
        let mut rolled_up = Self::default();
        for update in &self.updates {
            let is_last = update.seq() == state.seq;
            let cells = if is_last { state.cells_at(resolution, &changed) } else { Vec::new() };
            let message = roll_up_message(update.message(), resolution, Some(cells));
            rolled_up.push(Arc::new(Update::new(message, update.folded_at, None)));
        }
        Some(rolled_up)
    }

    /// What came after `seq`, up to `now`; None where that is not at hand. The caller has compared epochs.
    #[must_use]
    pub fn since(&self, seq: i64, now: i64) -> Option<Vec<Arc<Update>>> {
        if seq == now {
            return Some(Vec::new());
        }
        let first = self.updates.front()?.seq();
        if seq + 1 < first || seq > now {
            return None;
        }
        Some(self.updates.iter().filter(|update| update.seq() > seq).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vote_agg_core::feed::message::{Message, Snapshot, Stats, to_json};
    use vote_agg_core::parse_resolution;

    fn message() -> Message<'static> {
        serde_json::from_str(include_str!("../../../fixtures/message.json")).expect("golden message")
    }

    #[test]
    fn recent_updates_have_a_length_and_no_holes() {
        let mut recent = Recent::default();
        assert_eq!(recent.since(5, 5).map(|u| u.len()), Some(0));
        assert!(recent.since(4, 5).is_none());
        for seq in 1..=1_000 {
            recent.push(Arc::new(Update::new(Message { seq, prev: seq - 1, ..message() }, None, None)));
        }
        let first = 1_000 - i64::try_from(Recent::LENGTH).expect("small");
        assert_eq!(recent.since(first, 1_000).map(|u| u.len()), Some(Recent::LENGTH));
        assert!(recent.since(first - 1, 1_000).is_none());
        assert!(recent.since(1_001, 1_000).is_none());
        assert_eq!(
            recent.since(990, 1_000).map(|u| u.iter().map(|u| u.seq()).collect()),
            Some((991..=1_000).collect::<Vec<_>>())
        );
    }

    fn snapshot() -> Snapshot<'static> {
        serde_json::from_str(include_str!("../../../fixtures/snapshot.json")).expect("golden snapshot")
    }

    #[test]
    fn recent_updates_rolled_up_leads_to_the_same_state_from_anywhere() {
        let three = parse_resolution(3).expect("3");
        let (mut native, mut states, mut recent) = (MatchState::new(snapshot()).expect("sound"), Vec::new(), Recent::default());
        native.roll(three).expect("small");
        let folds = [
            r#"[["872a1072bffffff",{"home":7,"new":1}],["872a10728ffffff",{"away":2}]]"#,
            r#"[["8f2a1072b59b0db",{"home":1}]]"#,
            r#"[["872a1072bffffff",{}],["822a17fffffffff",{"away":5}]]"#,
        ];
        for cells in folds {
            // A client at resolution 3, with the state before this fold.
            let before = to_json(&native.snapshot(Some(three)));
            states.push(MatchState::new(serde_json::from_str(&before).expect("snapshot")).expect("sound"));
            let message = next(&native, cells);
            native.apply(&message).expect("next");
            recent.push(Arc::new(Update::new(message, None, None)));
        }
        let rolled_up = recent.rolled_up(three, &native).expect("whole");
        for mut client in states {
            for update in rolled_up.since(client.seq, native.seq).expect("at hand") {
                client.apply(update.message()).expect("next");
            }
            // Teams come in another order: their values are compared.
            let cells = |snapshot: &Snapshot| serde_json::to_value(&snapshot.cells).expect("JSON");
            assert_eq!(cells(&client.snapshot(None)), cells(&native.snapshot(Some(three))));
        }
        assert!(recent.rolled_up(three, &MatchState::new(snapshot()).expect("sound")).is_none(), "another seq");
    }

    fn next(state: &MatchState, cells: &str) -> Message<'static> {
        let cells = serde_json::from_str(cells).expect("cells");
        let votes = serde_json::from_str(r#"{"away":3,"new":1,"home":5}"#).expect("votes");
        let (seq, epoch) = (state.seq + 1, state.epoch.clone().expect("folded").into());
        let stats = Stats { votes, ..message().stats };
        Message { seq, prev: state.seq, epoch, cells: Some(cells), stats, is_final: false, ..message() }
    }

    #[test]
    fn history_has_a_weight() {
        let cells: Vec<_> = vec![message().cells.expect("one")[0].clone(); 2_000];
        let update = |seq| Arc::new(Update::new(Message { seq, cells: Some(cells.clone()), ..message() }, None, None));
        // 2,000 cells, a country and two new votes: ten such updates are within the weight, eleven are not.
        let weight = 1_000 + 200 * 2_003;
        let mut history = Recent::default();
        for seq in 1..=10 {
            history.push(update(seq));
            assert_eq!((history.updates.len() as i64, history.weight as i64), (seq, seq * weight));
        }
        for seq in 11..=13 {
            history.push(update(seq));
            assert_eq!((history.updates.len(), history.weight as i64), (10, 10 * weight));
        }
        assert!(history.since(3, 13).is_some() && history.since(2, 13).is_none());
        history.clear();
        assert_eq!((history.updates.len(), history.weight, history.since(12, 13).is_none()), (0, 0, true));
    }

    #[test]
    fn a_history_with_a_hole_is_not_rolled_up() {
        let three = parse_resolution(3).expect("3");
        let mut state = MatchState::new(snapshot()).expect("sound");
        let mut history = Recent::default();
        assert!(history.rolled_up(three, &state).is_none(), "empty");
        let folded = next(&state, "[]");
        state.apply(&folded).expect("next");
        history.push(Arc::new(Update::new(folded.clone(), None, None)));
        assert!(history.rolled_up(three, &state).is_some());
        let mut without_cells = Recent::default();
        without_cells.push(Arc::new(Update::new(Message { cells: None, ..folded }, None, None)));
        assert!(without_cells.rolled_up(three, &state).is_none());
    }
}
