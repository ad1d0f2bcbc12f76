//! Votes that wait, a line a voter.
//!
//! A voter has one vote on its way at most. So his votes reach the database in the order in which they came.

use crate::vote::{Vote, Voter};
use foldhash::{HashMap, HashMapExt};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// Why votes are not taken. None of them was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// As many wait as may.
    Full,
    /// As many of one address wait as may: so many.
    ShareFull(usize),
    /// The door is closing.
    Closed,
}

/// A vote in line, and what belongs to it.
#[derive(Debug)]
pub struct Entry<T> {
    pub number: u64,
    pub vote: Vote,
    /// The address in whose share it stands.
    pub address: Option<IpAddr>,
    /// It was sent before, and nobody knows what became of that. Until then that call may still be at work.
    pub in_doubt_until: Option<Instant>,
    /// How often the voter's ballot was found busy.
    pub tries: u32,
    pub tag: T,
}

/// What is known of a vote that is taken out of line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Withdrawn {
    /// It was in line, and is surely not counted.
    Uncounted,
    /// It is on its way, or was once without an answer.
    InDoubt,
}

/// Where a voter's line stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Its first vote may be sent. The number is that of its place among those that are ready.
    Ready(u64),
    /// One of its votes is on its way, or was found busy a moment ago.
    Held,
}

struct Line<T> {
    state: State,
    waiting: VecDeque<Entry<T>>,
}

/// How much a queue takes.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    pub votes: usize,
    pub bytes: usize,
    /// Votes of one address.
    pub share: usize,
}

/// All lines.
pub struct Queue<T> {
    room: Room,
    votes: usize,
    bytes: usize,
    /// Votes of each address that has some.
    by_address: HashMap<IpAddr, usize>,
    last: u64,
    is_closed: bool,
    lines: HashMap<Arc<Voter>, Line<T>>,
    /// Each line in state `Ready`, with its number; and some that have gone since.
    ready: VecDeque<(Arc<Voter>, u64)>,
}

/// How many lines that have gone may stand among those that are ready, beside as many as there are lines.
const GONE: usize = 64;

impl<T> Queue<T> {
    #[must_use]
    pub fn new(room: Room) -> Self {
        let (by_address, lines, ready) = (HashMap::new(), HashMap::new(), VecDeque::new());
        Self { room, votes: 0, bytes: 0, by_address, last: 0, is_closed: false, lines, ready }
    }

    /// How many votes wait or are on their way.
    #[must_use]
    pub const fn votes(&self) -> usize {
        self.votes
    }

    #[must_use]
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Takes no more votes from now on.
    pub const fn close(&mut self) {
        self.is_closed = true;
    }

    /// Takes all of the votes or none. Returns their numbers. `address`: in whose share they stand.
    ///
    /// # Errors
    /// Why none was taken.
    pub fn push(&mut self, votes: Vec<(Vote, T)>, address: Option<IpAddr>) -> Result<Vec<u64>, Refusal> {
        if self.is_closed {
            return Err(Refusal::Closed);
        }
        let bytes: usize = votes.iter().map(|(vote, _)| vote.bytes()).sum();
        if self.votes + votes.len() > self.room.votes || self.bytes + bytes > self.room.bytes {
            return Err(Refusal::Full);
        }
        if let Some(address) = address.filter(|_| !votes.is_empty()) {
            let held = self.by_address.get(&address).copied().unwrap_or_default() + votes.len();
            if held > self.room.share {
                return Err(Refusal::ShareFull(self.room.share));
            }
            self.by_address.insert(address, held);
        }
        self.votes += votes.len();
        self.bytes += bytes;
        Ok(votes.into_iter().map(|(vote, tag)| self.enter(vote, tag, address)).collect())
    }

    fn enter(&mut self, vote: Vote, tag: T, address: Option<IpAddr>) -> u64 {
        self.last += 1;
        let (number, voter, ready) = (self.last, vote.voter.clone(), &mut self.ready);
        let line = self.lines.entry(voter).or_insert_with_key(|voter| {
            ready.push_back((voter.clone(), number));
            Line { state: State::Ready(number), waiting: VecDeque::new() }
        });
        line.waiting.push_back(Entry { number, vote, address, in_doubt_until: None, tries: 0, tag });
        number
    }

    /// The first vote of up to `most` lines. From now on they are on their way.
    pub fn take(&mut self, most: usize) -> Vec<Entry<T>> {
        let mut taken = Vec::with_capacity(most.min(self.ready.len()));
        while taken.len() < most
            && let Some((voter, number)) = self.ready.pop_front()
        {
            let line = self.lines.get_mut(&voter).filter(|line| line.state == State::Ready(number));
            if let Some(line) = line
                && let Some(entry) = line.waiting.pop_front()
            {
                line.state = State::Held;
                taken.push(entry);
            }
        }
        taken
    }

    /// A vote that was on its way is settled: the voter's next one may go.
    pub fn settle(&mut self, entry: &Entry<T>) {
        self.forget(entry);
        self.release(&entry.vote.voter);
    }

    /// A vote that was on its way comes back into its place, and its line waits for [`Self::release`].
    pub fn put_back(&mut self, entry: Entry<T>) {
        if let Some(line) = self.lines.get_mut(&entry.vote.voter) {
            line.waiting.push_front(entry);
        }
    }

    /// The line may go on.
    pub fn release(&mut self, voter: &Arc<Voter>) {
        let Some(line) = self.lines.get_mut(voter).filter(|line| line.state == State::Held) else { return };
        if line.waiting.is_empty() {
            self.lines.remove(voter);
        } else {
            self.last += 1;
            line.state = State::Ready(self.last);
            self.ready.push_back((voter.clone(), self.last));
        }
    }

    /// Takes a vote out of line that nobody waits for any more.
    pub fn withdraw(&mut self, voter: &Voter, number: u64) -> Withdrawn {
        let Some(line) = self.lines.get_mut(voter) else { return Withdrawn::InDoubt };
        let Some(at) = line.waiting.iter().position(|entry| entry.number == number) else { return Withdrawn::InDoubt };
        let Some(entry) = line.waiting.remove(at) else { return Withdrawn::InDoubt };
        let has_gone = line.waiting.is_empty() && line.state != State::Held;
        if has_gone {
            self.lines.remove(voter);
            self.tidy();
        }
        self.forget(&entry);
        if entry.in_doubt_until.is_some() { Withdrawn::InDoubt } else { Withdrawn::Uncounted }
    }

    /// While nothing is sent, lines come and go: what is left of them must not grow.
    fn tidy(&mut self) {
        if self.ready.len() > 2 * self.lines.len() + GONE {
            let lines = &self.lines;
            self.ready.retain(|(voter, number)| lines.get(voter).is_some_and(|line| line.state == State::Ready(*number)));
        }
    }

    fn forget(&mut self, entry: &Entry<T>) {
        self.votes -= 1;
        self.bytes -= entry.vote.bytes();
        let Some(address) = entry.address else { return };
        let Some(held) = self.by_address.get_mut(&address) else { return };
        *held -= 1;
        if *held == 0 {
            self.by_address.remove(&address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn vote(voter: usize, turn: i64) -> Vote {
        let voter = Arc::new(Voter { match_id: "final".into(), voter_id: voter.to_string() });
        Vote { voter, choice: None, turn }
    }

    fn turns(taken: &[Entry<()>]) -> Vec<(&str, i64)> {
        taken.iter().map(|entry| (entry.vote.voter.voter_id.as_str(), entry.vote.turn)).collect()
    }

    fn room(votes: usize) -> Room {
        Room { votes, bytes: usize::MAX, share: votes }
    }

    fn queue(votes: &[(usize, i64)]) -> Queue<()> {
        let mut queue = Queue::new(room(100));
        queue.push(votes.iter().map(|(voter, turn)| (vote(*voter, *turn), ())).collect(), None).expect("room");
        queue
    }

    #[test]
    fn a_voter_has_one_vote_on_its_way() {
        let mut queue = queue(&[(1, 1), (1, 2), (2, 1), (1, 3), (3, 1)]);
        let first = queue.take(2);
        assert_eq!(turns(&first), [("1", 1), ("2", 1)]);
        assert_eq!(turns(&queue.take(9)), [("3", 1)]);
        assert!(queue.take(9).is_empty() && !queue.has_ready());
        queue.settle(&first[0]);
        assert!(queue.has_ready());
        assert_eq!(turns(&queue.take(9)), [("1", 2)]);
        assert_eq!(queue.votes(), 4);
    }

    #[test]
    fn a_busy_vote_comes_back_into_its_place() {
        let mut queue = queue(&[(1, 1), (1, 2)]);
        let busy = queue.take(9).pop().expect("one");
        let voter = busy.vote.voter.clone();
        queue.put_back(busy);
        assert!(queue.take(9).is_empty(), "its line waits");
        queue.release(&voter);
        queue.release(&voter);
        assert_eq!(turns(&queue.take(9)), [("1", 1)]);
        assert!(queue.take(9).is_empty());
    }

    #[test]
    fn it_takes_all_or_none() {
        let bytes = vote(1, 1).bytes();
        for (max_votes, max_bytes) in [(3, usize::MAX), (100, 3 * bytes)] {
            let mut queue = Queue::new(Room { votes: max_votes, bytes: max_bytes, share: max_votes });
            let push = |queue: &mut Queue<()>, count: i64| queue.push((0..count).map(|turn| (vote(1, turn), ())).collect(), None);
            assert_eq!(push(&mut queue, 4), Err(Refusal::Full));
            assert_eq!(queue.votes(), 0);
            assert_eq!(push(&mut queue, 2), Ok(vec![1, 2]));
            assert_eq!(push(&mut queue, 2), Err(Refusal::Full));
            assert_eq!(push(&mut queue, 1), Ok(vec![3]));
            let taken = queue.take(9);
            assert_eq!(push(&mut queue, 1), Err(Refusal::Full), "what is on its way counts too");
            queue.settle(&taken[0]);
            let number = push(&mut queue, 1).expect("room")[0];
            queue.close();
            queue.withdraw(&vote(1, 0).voter, number);
            assert_eq!(push(&mut queue, 1), Err(Refusal::Closed));
        }
    }

    /// Voters share addresses; each third one has none.
    fn address(voter: usize) -> Option<IpAddr> {
        (!voter.is_multiple_of(3)).then(|| IpAddr::from([127, 0, 0, (voter % 2) as u8]))
    }

    #[test]
    fn an_address_has_a_share() {
        let mut queue: Queue<()> = Queue::new(Room { share: 3, ..room(100) });
        let push = |queue: &mut Queue<()>, count: i64, voter: usize| {
            queue.push((0..count).map(|turn| (vote(voter, turn), ())).collect(), address(voter)).map(|numbers| numbers.len())
        };
        assert_eq!(push(&mut queue, 4, 1), Err(Refusal::ShareFull(3)));
        assert_eq!((push(&mut queue, 2, 1), push(&mut queue, 1, 5)), (Ok(2), Ok(1)), "voters of one address");
        assert_eq!(push(&mut queue, 1, 1), Err(Refusal::ShareFull(3)));
        assert_eq!((push(&mut queue, 3, 2), push(&mut queue, 4, 0)), (Ok(3), Ok(4)), "another one, and none");
        let sent = queue.take(1);
        assert_eq!(push(&mut queue, 1, 1), Err(Refusal::ShareFull(3)), "what is on its way counts too");
        queue.settle(&sent[0]);
        assert_eq!(push(&mut queue, 1, 1), Ok(1));
    }

    #[test]
    fn only_a_vote_in_line_is_surely_uncounted() {
        let mut queue = queue(&[(1, 1), (1, 2), (1, 3), (2, 1)]);
        let voter = vote(1, 0).voter;
        assert_eq!(queue.withdraw(&voter, 2), Withdrawn::Uncounted);
        let mut sent = queue.take(1).pop().expect("one");
        assert_eq!(queue.withdraw(&voter, 1), Withdrawn::InDoubt, "on its way");
        sent.in_doubt_until = Some(Instant::now());
        queue.put_back(sent);
        assert_eq!(queue.withdraw(&voter, 1), Withdrawn::InDoubt, "sent before");
        queue.release(&voter);
        assert_eq!(queue.withdraw(&voter, 3), Withdrawn::Uncounted);
        assert_eq!(turns(&queue.take(9)), [("2", 1)], "a line that has gone is passed over");
        assert_eq!((queue.votes(), queue.lines.len()), (1, 1));
        assert_eq!(queue.withdraw(&vote(9, 0).voter, 1), Withdrawn::InDoubt);
    }

    #[test]
    fn nothing_is_left_of_votes_that_were_withdrawn() {
        let mut queue = queue(&[(0, 1)]);
        for n in 0..1_000 {
            for voter in [1, n] {
                let number = queue.push(vec![(vote(voter, 2), ())], None).expect("room")[0];
                assert_eq!(queue.withdraw(&vote(voter, 0).voter, number), Withdrawn::Uncounted);
                assert!(queue.ready.len() <= 2 * queue.lines.len() + GONE && queue.lines.len() == 1);
            }
        }
        assert_eq!(turns(&queue.take(9)), [("0", 1)]);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push(usize),
        Take(usize),
        Settle(usize),
        Busy(usize),
        Release(usize),
        Withdraw(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..4_usize).prop_map(Step::Push),
            3 => (1..4_usize).prop_map(Step::Take),
            3 => (0..9_usize).prop_map(Step::Settle),
            1 => (0..9_usize).prop_map(Step::Busy),
            2 => (0..4_usize).prop_map(Step::Release),
            1 => (1..40_usize).prop_map(Step::Withdraw),
        ]
    }

    proptest! {
        /// Whatever happens in whatever order: a voter has one vote on its way, his votes go in their order, none is lost or doubled.
        #[test]
        fn every_vote_goes_once_and_in_order(steps in prop::collection::vec(step(), 1..120)) {
            let mut queue: Queue<()> = Queue::new(room(1_000));
            // What waits, by voter; what is on its way; whose line waits for a release.
            let mut waiting: BTreeMap<String, Vec<u64>> = BTreeMap::new();
            let mut sent: Vec<Entry<()>> = Vec::new();
            let mut held: BTreeSet<String> = BTreeSet::new();
            for step in steps {
                match step {
                    Step::Push(voter) => {
                        let numbers = queue.push(vec![(vote(voter, 1), ())], address(voter)).expect("room");
                        waiting.entry(voter.to_string()).or_default().extend(numbers);
                    }
                    Step::Take(most) => {
                        for entry in queue.take(most) {
                            let voter = entry.vote.voter.voter_id.clone();
                            prop_assert!(!held.contains(&voter) && sent.iter().all(|other| other.vote.voter.voter_id != voter));
                            prop_assert_eq!(waiting.get_mut(&voter).expect("known").remove(0), entry.number);
                            sent.push(entry);
                        }
                    }
                    Step::Settle(n) if n < sent.len() => queue.settle(&sent.swap_remove(n)),
                    Step::Busy(n) if n < sent.len() => {
                        let entry = sent.swap_remove(n);
                        let voter = entry.vote.voter.voter_id.clone();
                        waiting.entry(voter.clone()).or_default().insert(0, entry.number);
                        held.insert(voter);
                        queue.put_back(entry);
                    }
                    Step::Release(voter) if held.remove(&voter.to_string()) => queue.release(&vote(voter, 0).voter),
                    Step::Withdraw(number) => {
                        for (voter, numbers) in &mut waiting {
                            let at = numbers.iter().position(|other| *other == number as u64);
                            let expected = if at.is_some() { Withdrawn::Uncounted } else { Withdrawn::InDoubt };
                            let key = Voter { match_id: "final".into(), voter_id: voter.clone() };
                            prop_assert_eq!(queue.withdraw(&key, number as u64), expected);
                            if let Some(at) = at {
                                numbers.remove(at);
                            }
                        }
                    }
                    _ => {}
                }
                prop_assert_eq!(queue.votes(), sent.len() + waiting.values().map(Vec::len).sum::<usize>());
            }
            // In the end all go.
            for voter in held {
                queue.release(&Arc::new(Voter { match_id: "final".into(), voter_id: voter }));
            }
            loop {
                for entry in sent.drain(..) {
                    queue.settle(&entry);
                }
                sent = queue.take(2);
                if sent.is_empty() {
                    break;
                }
                for entry in &sent {
                    prop_assert_eq!(waiting.get_mut(&entry.vote.voter.voter_id).expect("known").remove(0), entry.number);
                }
            }
            prop_assert!(waiting.values().all(Vec::is_empty));
            prop_assert_eq!((queue.votes(), queue.bytes, queue.lines.len(), queue.by_address.len()), (0, 0, 0, 0));
        }
    }
}
