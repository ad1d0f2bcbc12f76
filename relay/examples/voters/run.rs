//! Votes for a time, and what became of them.

use crate::asking::Asking;
use crate::line::Line;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};
use tokio::time::sleep_until;

/// How an answer says that a vote was counted; for one that was cast again and again, that it was changed.
const GOOD: [&[u8]; 2] = [b"\"outcome\":\"counted\"", b"\"outcome\":\"changed\""];

/// So many of the answers that say something else are reported.
const REFUSALS: usize = 3;

pub struct Run<'a> {
    asking: &'a Asking,
    began: Instant,
    until: Instant,
    /// Between two requests of all.
    gap: Option<Duration>,
    due: Cell<u32>,
    /// Microseconds of each request.
    times: RefCell<Vec<u32>>,
    counted: Cell<u64>,
    others: Cell<u64>,
    closed: Cell<u64>,
    refusals: RefCell<Vec<String>>,
    told: Option<RefCell<Vec<u64>>>,
    last: Cell<Instant>,
}

impl<'a> Run<'a> {
    pub fn new(asking: &'a Asking, seconds: f64, rate: Option<f64>, is_told: bool) -> Self {
        let began = Instant::now();
        Self {
            asking,
            began,
            until: began + Duration::from_secs_f64(seconds),
            gap: rate.map(|rate| Duration::from_secs_f64(1.0 / rate)),
            due: Cell::default(),
            times: RefCell::default(),
            counted: Cell::default(),
            others: Cell::default(),
            closed: Cell::default(),
            refusals: RefCell::default(),
            told: is_told.then(RefCell::default),
            last: Cell::new(began),
        }
    }

    /// Votes over one connection until the time is over. A request that is late counts from the time at which it was due.
    pub async fn vote(&self, line: &mut Line) {
        loop {
            let due = match self.gap {
                Some(gap) => {
                    let number = self.due.replace(self.due.get() + 1);
                    let due = self.began + gap.mul_f64(number.into());
                    sleep_until(due.min(self.until).into()).await;
                    due
                }
                None => Instant::now(),
            };
            if due >= self.until || Instant::now() >= self.until {
                return;
            }
            let first = self.asking.ask(line);
            let Ok(body) = line.exchange().await else {
                self.closed.set(self.closed.get() + 1);
                return;
            };
            self.note(first, due, &body);
        }
    }

    fn note(&self, first: u64, due: Instant, body: &[u8]) {
        let now = Instant::now();
        self.last.set(now);
        self.times.borrow_mut().push(u32::try_from((now - due).as_micros()).unwrap_or(u32::MAX));
        let good: u64 = GOOD.iter().map(|word| count(body, word)).sum();
        self.counted.set(self.counted.get() + good);
        if good == self.asking.size {
            self.told.iter().for_each(|told| told.borrow_mut().extend(first..first + self.asking.size));
            return;
        }
        self.others.set(self.others.get() + self.asking.size - good);
        let mut refusals = self.refusals.borrow_mut();
        if refusals.len() < REFUSALS {
            refusals.push(String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned());
        }
    }

    /// What became of all.
    pub fn report(self) -> Value {
        let mut times = self.times.into_inner();
        times.sort_unstable();
        let at = |share: f64| times.get(((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1)));
        let milliseconds = |share: f64| at(share).map(|micros| f64::from(*micros) / 1e3);
        json!({
            "seconds": (self.last.get() - self.began).as_secs_f64(), "requests": times.len(),
            "counted": self.counted.get(), "others": self.others.get(), "closed": self.closed.get(),
            "refusals": self.refusals.into_inner(), "told": self.told.map(RefCell::into_inner),
            "p50": milliseconds(0.5), "p99": milliseconds(0.99), "max": milliseconds(1.0),
        })
    }
}

/// How often the word is in the text.
fn count(text: &[u8], word: &[u8]) -> u64 {
    let (mut found, mut rest) = (0, text);
    while let Some(at) = rest.iter().position(|byte| *byte == word[0]) {
        rest = &rest[at..];
        if rest.starts_with(word) {
            found += 1;
            rest = &rest[word.len()..];
        } else {
            rest = &rest[1..];
        }
    }
    found
}
