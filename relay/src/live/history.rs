//! The newest updates of one match at one resolution, for clients that come back.

use crate::live::event::Update;
use std::collections::VecDeque;
use std::sync::Arc;

/// In the order of their seq, without a hole.
#[derive(Debug, Default)]
pub struct History {
    updates: VecDeque<Arc<Update>>,
    weight: usize,
}

impl History {
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

    /// What came after `seq`, up to `now`; None where that is not at hand, or belongs to another epoch.
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
    use vote_agg_core::feed::message::Message;

    fn message() -> Message<'static> {
        serde_json::from_str(include_str!("../../../fixtures/message.json")).expect("golden message")
    }

    #[test]
    fn history_has_a_length_and_no_holes() {
        let mut history = History::default();
        assert_eq!(history.since(5, 5).map(|u| u.len()), Some(0));
        assert!(history.since(4, 5).is_none());
        for seq in 1..=1_000 {
            history.push(Arc::new(Update::new(Message { seq, prev: seq - 1, ..message() }, None, None)));
        }
        let first = 1_000 - i64::try_from(History::LENGTH).expect("small");
        assert_eq!(history.since(first, 1_000).map(|u| u.len()), Some(History::LENGTH));
        assert!(history.since(first - 1, 1_000).is_none());
        assert!(history.since(1_001, 1_000).is_none());
        assert_eq!(
            history.since(990, 1_000).map(|u| u.iter().map(|u| u.seq()).collect()),
            Some((991..=1_000).collect::<Vec<_>>())
        );
    }
}
