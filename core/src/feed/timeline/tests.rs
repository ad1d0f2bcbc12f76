use super::*;

const HOUR: i64 = 60 * MINUTE;

/// Minutes and the votes of two teams in them.
fn timeline(minutes: &[(i64, i64, i64)]) -> Timeline {
    let mut timeline = Timeline::default();
    for (minute, home, away) in minutes {
        timeline.add(minute * MINUTE, &[*home, *away]).expect("small");
    }
    timeline
}

/// Start in minutes, votes and running total by team; a list that ends early means zeros.
fn buckets(timeline: &Timeline, width: i64, from: Option<i64>, to: Option<i64>) -> Vec<(i64, [i64; 2], [i64; 2])> {
    let two = |counts: &Counts| [0, 1].map(|team| counts.get(team).copied().unwrap_or(0));
    let cut = |at: Option<i64>| at.map(|minute| minute * MINUTE);
    let buckets: Vec<_> = timeline.buckets(width * MINUTE, cut(from), cut(to)).expect("small").collect();
    assert_eq!(timeline.count(width * MINUTE, cut(from), cut(to)), buckets.len() as u64);
    buckets.iter().map(|b| (b.start / MINUTE, two(&b.votes), two(&b.running))).collect()
}

#[test]
fn no_votes_no_buckets() {
    for (from, to) in [(None, None), (Some(0), Some(100)), (Some(100), None)] {
        assert_eq!(buckets(&Timeline::default(), 1, from, to), []);
    }
}

#[test]
fn buckets_without_votes_are_shown_as_such() {
    let line = timeline(&[(10, 1, 0), (13, 0, 2), (13, 1, 0)]);
    let all = [(10, [1, 0], [1, 0]), (11, [0, 0], [1, 0]), (12, [0, 0], [1, 0]), (13, [1, 2], [2, 2])];
    assert_eq!(buckets(&line, 1, None, None), all);
    assert_eq!(buckets(&line, 5, None, None), [(10, [2, 2], [2, 2])]);
    assert_eq!(buckets(&line, 2, None, None), [(10, [1, 0], [1, 0]), (12, [1, 2], [2, 2])]);
    assert_eq!(buckets(&line, 60, None, None), [(0, [2, 2], [2, 2])]);
    // cut, the running total goes on from the beginning
    assert_eq!(buckets(&line, 1, Some(12), None), all[2..]);
    assert_eq!(buckets(&line, 1, None, Some(12)), all[..2]);
    assert_eq!(buckets(&line, 2, Some(13), Some(99)), [(12, [1, 2], [2, 2])]);
    assert_eq!(buckets(&line, 1, Some(14), None), []);
    assert_eq!(buckets(&line, 1, None, Some(10)), []);
    assert_eq!(buckets(&line, 1, Some(12), Some(11)), []);
}

#[test]
fn ends_of_time_cut_nothing_or_all() {
    let line = timeline(&[(10, 1, 0), (11, 2, 0)]);
    let count = |from, to| line.buckets(MINUTE, from, to).expect("small").count() as u64;
    assert_eq!(count(Some(i64::MIN), Some(i64::MAX)), 2);
    assert_eq!(line.count(MINUTE, Some(i64::MIN), Some(i64::MAX)), 2);
    assert_eq!(line.count(MINUTE, Some(i64::MAX), Some(i64::MIN)), 0);
    assert_eq!(count(Some(i64::MAX), None), 0);
    assert_eq!(count(None, Some(i64::MIN)), 0);
    assert_eq!(line.buckets(MAX_WIDTH, None, None).expect("small").count(), 1);
}

#[test]
fn minutes_before_2000_are_minutes_too() {
    assert_eq!(buckets(&timeline(&[(-1, 1, 0), (0, 0, 1)]), 5, None, None), [(-5, [1, 0], [1, 0]), (0, [0, 1], [1, 1])]);
}

#[test]
fn weeks_begin_on_monday() {
    const DAY: i64 = 1_440;
    // Saturday 2000-01-01, Sunday, Monday; and Sunday 1999-12-26, Monday.
    let line = timeline(&[(-6 * DAY, 1, 0), (-5 * DAY, 1, 0), (0, 1, 0), (2 * DAY - 1, 1, 0), (2 * DAY, 0, 1)]);
    let weeks = [(-12 * DAY, [1, 0], [1, 0]), (-5 * DAY, [3, 0], [4, 0]), (2 * DAY, [0, 1], [4, 1])];
    assert_eq!(buckets(&line, 7 * DAY, None, None), weeks);
    assert_eq!(buckets(&line, 7 * DAY, Some(-5 * DAY), Some(2 * DAY)), weeks[1..2]);
    assert_eq!(buckets(&line, 14 * DAY, None, None), [(-12 * DAY, [4, 0], [4, 0]), (2 * DAY, [0, 1], [4, 1])]);
    // others begin at midnight, as they did
    assert_eq!(buckets(&line, 6 * DAY, None, None).first(), Some(&(-6 * DAY, [2, 0], [2, 0])));
}

#[test]
fn votes_taken_back_are_below_zero() {
    let line = timeline(&[(1, 5, 0), (2, -2, 2), (3, -3, 0)]);
    assert_eq!(buckets(&line, 1, None, None), [(1, [5, 0], [5, 0]), (2, [-2, 2], [3, 2]), (3, [-3, 0], [0, 2])]);
}

#[test]
fn what_is_gone_still_counts() {
    let mut line = timeline(&[(60, 1, 0), (61, 1, 0), (125, 0, 1)]);
    line.open(60 * MINUTE, vec![100, 10]);
    assert_eq!(buckets(&line, 60, None, None), [(60, [2, 0], [102, 10]), (120, [0, 1], [102, 11])]);
    // a part of the first bucket is gone: it is not shown, and counted
    line.open(61 * MINUTE, vec![100, 10]);
    assert_eq!(buckets(&line, 60, None, None), [(120, [0, 1], [102, 11])]);
    assert_eq!(buckets(&line, 1, None, Some(62)), [(61, [1, 0], [102, 10])]);
    assert_eq!(buckets(&line, 1, Some(0), Some(62)), [(61, [1, 0], [102, 10])]);
    // a vote that came late for what is gone
    line.add(7 * MINUTE, &[0, 1]).expect("small");
    assert_eq!(buckets(&line, 60, None, None), [(120, [0, 1], [102, 12])]);
    assert_eq!(buckets(&line, 120, None, None), [(120, [0, 1], [102, 12])]);
    // a quiet minute after what is gone is one like those between
    assert_eq!(buckets(&line, 1, None, Some(62)), [(61, [1, 0], [102, 11])]);
    line.open(59 * MINUTE, vec![99, 10]);
    assert_eq!(buckets(&line, 1, None, Some(61)), [(59, [0, 0], [99, 11]), (60, [1, 0], [100, 11])]);
    assert_eq!(line.total(), Ok(vec![101, 12]));
    // nothing counted before
    let mut line = timeline(&[(60, 1, 0)]);
    line.open(9 * MINUTE, vec![]);
    assert_eq!(buckets(&line, 1, None, None), [(60, [1, 0], [1, 0])]);
    // nothing but an opening
    let mut line = Timeline::default();
    line.open(61 * MINUTE, vec![1]);
    assert_eq!(buckets(&line, 1, None, None), []);
}

#[test]
fn every_width_adds_up() {
    let mut state = 7u64;
    let mut draw = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((state >> 33) % below).expect("small")
    };
    for _ in 0..200 {
        let votes: Vec<_> = (0..draw(30)).map(|_| (draw(500) - 100, draw(9) - 2, draw(9) - 2)).collect();
        let line = timeline(&votes);
        let sum = votes.iter().fold([0, 0], |[a, b], (_, home, away)| [a + home, b + away]);
        for width in [1, 2, 7, 60, 1_440] {
            let all = buckets(&line, width, None, None);
            let mut running = [0, 0];
            for (start, votes, total) in &all {
                assert_eq!(start.rem_euclid(width), 0);
                running = [running[0] + votes[0], running[1] + votes[1]];
                assert_eq!(running, *total);
            }
            assert_eq!(running, sum);
            assert!(all.windows(2).all(|pair| pair[1].0 - pair[0].0 == width));
            // any cut is a part of the whole
            let (from, to) = (draw(600) - 150, draw(600) - 150);
            let part = all.iter().filter(|(start, ..)| start + width > from && *start < to);
            assert_eq!(buckets(&line, width, Some(from), Some(to)), part.copied().collect::<Vec<_>>());
            // and is the same of a line that holds no more than the part
            let mut line = line.clone();
            for kept_from in [None, Some(draw(700) - 200)] {
                if let Some(kept_from) = kept_from {
                    line.open(kept_from * MINUTE, vec![draw(9), draw(2)]);
                }
                for (from, to) in [(Some(from), Some(to)), (Some(from), None), (None, Some(to)), (None, None)] {
                    let cut = |at: Option<i64>| at.map(|minute| minute * MINUTE);
                    let mut placed = Timeline { minutes: BTreeMap::new(), numbers: 0, ..line.clone() };
                    for (minute, votes) in &line.minutes {
                        placed.add(place(*minute, width * MINUTE, cut(from), cut(to)), votes).expect("small");
                    }
                    let shown = buckets(&placed, width, from, to);
                    assert_eq!(shown, buckets(&line, width, from, to), "{from:?} to {to:?} by {width}");
                    let most = 2 * (shown.len() + 3);
                    assert!(kept_from.is_some() || placed.numbers() <= most, "{} numbers, {most}", placed.numbers());
                }
            }
        }
    }
}

#[test]
fn widths_are_whole_minutes() {
    assert_eq!(width(0, MINUTE), Some(MINUTE));
    assert_eq!(width(1, -HOUR), Some(23 * HOUR));
    assert_eq!(width(36_525, 0), Some(MAX_WIDTH));
    for (days, microseconds) in
        [(0, 0), (0, -MINUTE), (0, MINUTE - 1), (0, MINUTE + 1), (36_525, MINUTE), (i32::MAX, 0), (i32::MIN, 0), (1, i64::MAX)]
    {
        assert_eq!(width(days, microseconds), None, "{days} days and {microseconds} µs");
    }
}

#[test]
fn the_past_is_known_by_the_minute_and_the_future_is_now() {
    let now = 10 * MINUTE + 5;
    assert_eq!(as_of(10 * MINUTE + 5, now), 10 * MINUTE);
    assert_eq!(as_of(10 * MINUTE, now), 10 * MINUTE);
    assert_eq!(as_of(10 * MINUTE - 1, now), 9 * MINUTE);
    assert_eq!(as_of(-1, now), -MINUTE);
    assert_eq!((as_of(now + 1, now), as_of(i64::MAX, now)), (now, now));
    assert_eq!(as_of(i64::MIN, now), i64::MIN);
}

/// After votes of minutes that are all over.
fn after(recent: Recent, minutes: &[(i64, i64)]) -> Recent {
    after_at(recent, minutes, 1_000)
}

fn after_at(recent: Recent, minutes: &[(i64, i64)], now: i64) -> Recent {
    let minutes: Vec<_> = minutes.iter().map(|(minute, votes)| (minute * MINUTE, vec![(0, *votes)])).collect();
    recent.after(&minutes, now * MINUTE + MINUTE / 2).expect("small")
}

#[test]
fn the_last_minute_slides() {
    let none = Recent::default();
    assert_eq!((none.per_minute(0), after(none, &[])), (0, none));
    let recent = after(none, &[(7, 60), (8, 1)]);
    assert_eq!(recent, Recent { minute: 8 * MINUTE, votes: [1, 60, 0, 0, 0, 0] });
    assert_eq!(recent.per_minute(8 * MINUTE), 61);
    assert_eq!(recent.per_minute(8 * MINUTE + MINUTE / 4), 46);
    assert_eq!(recent.per_minute(9 * MINUTE), 1);
    assert_eq!(recent.per_minute(10 * MINUTE), 0);
    // late, very late, and after a gap
    assert_eq!(after(recent, &[(1, 9), (6, 5), (7, 2), (8, 3)]).votes, [4, 62, 5, 0, 0, 0]);
    assert_eq!(after(recent, &[(10, 3)]), Recent { minute: 10 * MINUTE, votes: [3, 0, 1, 60, 0, 0] });
    assert_eq!(after(recent, &[(99, 3)]), Recent { minute: 99 * MINUTE, votes: [3, 0, 0, 0, 0, 0] });
}

#[test]
fn no_rate_stands_still_when_the_clock_is_set() {
    let none = Recent::default();
    // a vote from a clock that is an hour ahead, then others from one that is right
    let one = after_at(none, &[(70, 7)], 10);
    assert_eq!(one, Recent { minute: 10 * MINUTE, votes: [7, 0, 0, 0, 0, 0] });
    assert_eq!(after_at(one, &[(10, 5_000)], 10).per_minute(10 * MINUTE), 5_007);
    // an hour back: what came a moment ago still did, and goes as time goes
    let before = after_at(none, &[(66, 1), (69, 20), (70, 300)], 70);
    let back = after_at(before, &[], 10);
    assert_eq!(back, Recent { minute: 10 * MINUTE, votes: [300, 20, 0, 0, 1, 0] });
    assert_eq!((back.per_minute(10 * MINUTE + MINUTE / 2), back.last(5, 11 * MINUTE)), (310, Ok(321)));
    let later = after_at(back, &[(10, 4_000), (11, 50_000)], 11);
    assert_eq!(later, Recent { minute: 11 * MINUTE, votes: [50_000, 4_300, 20, 0, 0, 1] });
    // and ahead again
    assert_eq!(after_at(later, &[(71, 2)], 71), Recent { minute: 71 * MINUTE, votes: [2, 0, 0, 0, 0, 0] });
    // a second back over the edge of a minute
    let edge = after_at(none, &[(9, 5), (10, 3)], 10);
    assert_eq!(after_at(edge, &[(9, 1)], 9), Recent { minute: 9 * MINUTE, votes: [4, 5, 0, 0, 0, 0] });
    // before 2000
    assert_eq!(after_at(edge, &[(-5, 2)], -5), Recent { minute: -5 * MINUTE, votes: [5, 5, 0, 0, 0, 0] });
}

#[test]
fn whole_minutes_are_those_of_the_time_line() {
    let minutes = [(3, 100), (4, 10), (5, 1), (7, 20), (8, -3), (9, 7)];
    let recent = after(Recent::default(), &minutes);
    for now in 0..20 {
        for (n, back) in [(1usize, 1), (5, 5)] {
            let held = minutes.iter().filter(|(minute, _)| (now - back..now).contains(minute) && (4..=9).contains(minute));
            let right: i64 = held.map(|(_, votes)| votes).sum();
            for second in [0, 59] {
                assert_eq!(recent.last(n, now * MINUTE + second * 1_000_000), Ok(right), "{n} minutes before {now}");
            }
        }
    }
}

#[test]
fn sums_never_wrap() {
    let recent = after(Recent::default(), &[(1, i64::MAX), (2, i64::MAX)]);
    assert!(recent.after(&[(MINUTE, vec![(0, 1)])], 9 * MINUTE).is_err());
    assert!(recent.last(5, 3 * MINUTE).is_err());
    assert_eq!(recent.per_minute(2 * MINUTE), i64::MAX);
    let mut line = timeline(&[(1, i64::MAX, 0)]);
    assert!(line.add(MINUTE, &[1]).is_err());
    assert!(timeline(&[(1, i64::MAX, 0), (2, 1, 0)]).buckets(MINUTE, None, None).is_err());
}

#[test]
fn its_size_is_known() {
    let mut line = Timeline::default();
    for (minute, votes, numbers) in [(0, vec![1, 2], 2), (0, vec![1, 1, 1], 3), (MINUTE, vec![5], 4), (0, vec![7], 4)] {
        line.add(minute, &votes).expect("small");
        assert_eq!(line.numbers(), numbers);
    }
}
