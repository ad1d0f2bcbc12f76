use super::*;
use crate::shard::rows::{Opened, VERSION, parse};
use crate::vote::cell::cell_to_bits;
use crate::vote::tally::Tally;
use proptest::prelude::*;

const CELLS: [i64; 3] = [0x0872_a107_2bff_ffff, 0x0800_9fff_ffff_ffff, 0x08f2_a107_28d4_1d35];
const SHARD: Source = Source(7);

/// A vote of a shard: team, cell, country, minute, how many.
type Cast = (usize, Option<usize>, Option<usize>, i64, i64);

fn vote(team: usize, cell: Option<usize>, country: Option<usize>, minute: i64, votes: i64) -> Vote<'static> {
    let cell = cell.and_then(|place| cell_from_bits(CELLS[place % CELLS.len()]).ok());
    let country = country.and_then(|place| Country::parse([b"DE", b"FR"][place % 2]).ok());
    let in_total = cell.is_some() || country.is_none() || votes % 2 == 0;
    let team = ["a", "b", "c"][team % 3];
    Vote { team, cell, country, votes, in_total, source: Source::CALL, at: minute * MINUTE + 5 }
}

fn lines<K>(changes: Vec<(K, Change)>, key: impl Fn(K) -> i64) -> Vec<Line> {
    let mut lines: Vec<Line> = changes.into_iter().map(|(k, change)| (key(k), change)).collect();
    lines.sort_unstable_by_key(|(key, _)| *key);
    lines
}

/// What a shard that counted these votes says.
fn said(tally: &Tally, whole: bool) -> MatchRows {
    let place = |(start, country): (i64, Country)| (start / MINUTE) << 16 | i64::from(country.number());
    MatchRows {
        v: VERSION,
        match_id: "m".into(),
        epoch: Some("e".into()),
        whole,
        teams: tally.teams().to_vec(),
        votes: tally.totals().expect("small"),
        unplaced: tally.unplaced().expect("small"),
        cells: lines(tally.cell_changes().expect("small"), cell_to_bits),
        countries: lines(tally.country_changes().expect("small"), |country| country.number().into()),
        minutes: lines(tally.minute_changes(), |start| start / MINUTE),
        country_minutes: lines(tally.country_minute_changes(), place),
        last_vote_at: tally.last_at(),
        ..MatchRows::default()
    }
}

/// What the root holds once it has applied that.
fn held(rows: &MatchRows) -> Held {
    let kept = |lines: &Vec<Line>| lines.iter().map(|(key, change)| (*key, change::counts(change))).collect();
    Held { teams: rows.teams.clone(), votes: rows.votes.clone(), unplaced: rows.unplaced.clone(), lines: rows.lines().map(kept) }
}

type Sums = BTreeMap<(&'static str, i64, String), i64>;

/// The sums of a tally by name, without zeros.
fn sums(tally: &Tally) -> Sums {
    let rows = said(tally, true);
    let totals = [("total", change::of(&rows.votes)), ("unplaced", change::of(&rows.unplaced))];
    let kinds = ["cell", "country", "minute", "country minute"].into_iter().zip(rows.lines());
    let lines = kinds.flat_map(|(kind, lines)| lines.iter().map(move |(key, change)| (kind, *key, change.clone())));
    let all = totals.map(|(kind, change)| (kind, 0, change)).into_iter().chain(lines);
    all.flat_map(|(kind, key, change)| change.into_iter().map(move |(team, votes)| (kind, key, team, votes)).collect::<Vec<_>>())
        .filter(|(.., votes)| *votes != 0)
        .map(|(kind, key, team, votes)| ((kind, key, rows.teams[team].clone()), votes))
        .collect()
}

fn count(tally: &mut Tally, casts: &[Cast], sign: i64) {
    for (team, cell, country, minute, votes) in casts {
        let vote = vote(*team, *cell, *country, *minute, *votes);
        tally.add(&Vote { votes: sign * vote.votes, ..vote }).expect("small");
    }
}

fn casts() -> impl Strategy<Value = Vec<Cast>> {
    let place = || proptest::option::of(0..3usize);
    proptest::collection::vec((0..3usize, place(), place(), 0..4i64, 1..5i64), 0..12)
}

proptest! {
    #[test]
    fn the_sum_of_the_differences_is_what_the_shard_says(first in casts(), more in casts(), other in casts()) {
        let (mut shard, mut root, mut before) = (Tally::default(), Tally::default(), Held::default());
        let pull = |root: &mut Tally, rows: &MatchRows, before: &mut Held| {
            for vote in difference(before, rows, SHARD).expect("sound") {
                root.add(&vote).expect("small");
            }
            *before = held(rows);
        };
        for (casts, sign) in [(&first, 1), (&more, 1), (&first, -1)] {
            count(&mut shard, casts, sign);
            pull(&mut root, &said(&shard, false), &mut before);
            prop_assert_eq!(sums(&root), sums(&shard));
            let total: i64 = said(&shard, true).votes.iter().sum();
            prop_assert_eq!(root.sources().get(&SHARD).copied().unwrap_or(0), total);
        }
        // Another history, whose teams may come in another order.
        let mut shard = Tally::default();
        count(&mut shard, &other, 1);
        pull(&mut root, &said(&shard, true), &mut before);
        prop_assert_eq!(sums(&root), sums(&shard));
        pull(&mut root, &MatchRows { whole: true, ..MatchRows::default() }, &mut before);
        prop_assert!(sums(&root).is_empty() && root.sources().values().all(|votes| *votes == 0));
    }

    #[test]
    fn nothing_that_a_shard_says_ends_in_a_panic(bytes in proptest::collection::vec(any::<i64>(), 8), team in any::<usize>()) {
        let line = |at: usize| vec![(bytes[at], vec![(team % 3, bytes[at + 1])])];
        let rows = MatchRows {
            teams: vec!["a".into(), "b".into()],
            votes: vec![bytes[0]],
            unplaced: vec![bytes[1]],
            cells: line(2), countries: line(3), minutes: line(4), country_minutes: line(5),
            kept_from: Some(bytes[6]), last_vote_at: Some(bytes[7]), whole: true,
            ..MatchRows::default()
        };
        let _ = difference(&Held::default(), &rows, SHARD);
    }
}

#[test]
fn minutes_that_the_shard_erased_go_together() {
    let mut shard = Tally::default();
    count(&mut shard, &[(0, None, Some(0), 1, 2), (0, Some(0), None, 9, 3)], 1);
    let mut rows = said(&shard, true);
    // Retention has erased minute 1, and keeps minute 5 on.
    rows.minutes.retain(|(minute, _)| *minute == 9);
    rows.country_minutes.clear();
    rows.kept_from = Some(5 * MINUTE);
    let mut root = Tally::default();
    let nothing = Held::default();
    let votes = difference(&nothing, &rows, SHARD).expect("sound");
    votes.iter().for_each(|vote| root.add(vote).expect("small"));
    assert_eq!(root.minute_changes(), [(4 * MINUTE, vec![(0, 2)]), (9 * MINUTE, vec![(0, 3)])]);
    assert_eq!(root.country_minute_changes().len(), 1);
    // Later it erases what the root has in minute 9: nothing moves there.
    let before = held(&rows);
    rows.kept_from = Some(20 * MINUTE);
    rows.minutes.clear();
    assert!(difference(&before, &rows, SHARD).expect("sound").is_empty());
}

#[test]
fn what_cannot_be_is_refused() {
    let mut shard = Tally::default();
    count(&mut shard, &[(0, Some(0), Some(0), 1, 2), (1, None, None, 1, 4)], 1);
    let (rows, nothing) = (said(&shard, true), Held::default());
    let refused = |change: &dyn Fn(&mut MatchRows)| {
        let mut rows = rows.clone();
        change(&mut rows);
        difference(&nothing, &rows, SHARD).expect_err("refused")
    };
    assert_eq!(refused(&|rows| rows.teams.truncate(1)), Mismatch::Teams);
    assert_eq!(refused(&|rows| rows.teams[1] = "a".into()), Mismatch::Teams);
    assert_eq!(refused(&|rows| rows.cells[0].1[0].0 = usize::MAX), Mismatch::Teams);
    let key = rows.cells[0].0;
    assert_eq!(refused(&|rows| rows.cells.push((key, vec![]))), Mismatch::Twice { key });
    assert!(matches!(refused(&|rows| rows.cells[0].0 = 5), Mismatch::Value(Error::Cell { .. })));
    assert!(matches!(refused(&|rows| rows.country_minutes[0].0 = 1 << 16), Mismatch::Value(Error::Country { .. })));
    assert!(matches!(refused(&|rows| rows.minutes[0].0 = i64::MAX), Mismatch::Value(Error::Range { .. })));
    assert_eq!(refused(&|rows| rows.votes[0] += 1), Mismatch::Sum { team: "a".into(), total: 3, cells: 2 });
    let before = Held { teams: vec!["b".into()], ..Held::default() };
    let told = said(&shard, false);
    assert_eq!(difference(&before, &told, SHARD).expect_err("refused"), Mismatch::Renumbered);
}

#[test]
fn the_text_is_read_as_it_was_written() {
    let mut shard = Tally::default();
    count(&mut shard, &[(0, Some(0), Some(0), 1, 2)], 1);
    let opened = Some(Opened { teams: Some(vec!["a".into()]), opens_at: None, closes_at: Some(5), changes_allowed: true });
    let rows = MatchRows { opened, sources: vec![(0, 2)], ..said(&shard, true) };
    let text = crate::feed::message::to_json(&rows);
    assert_eq!(parse(&text), Ok(rows));
    assert!(parse("[]").is_err() && parse(&text.replacen("\"v\":1", "\"v\":2", 1)).is_err_and(|e| e.contains("version is 2")));
    assert!(parse(&text.replacen("\"seq\"", "\"sequence\"", 1)).is_err());
}
