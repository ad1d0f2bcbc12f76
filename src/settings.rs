//! Settings, all named `vote_agg.…`.

use crate::pg::{database, extension};
use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting, PostgresGucEnum};
use std::ffi::CString;
use std::time::Duration;
use vote_agg_core::vote::tally::MINUTE;

static FOLD_INTERVAL: GucSetting<i32> = GucSetting::<i32>::new(100);
static FEED_RETENTION: GucSetting<i32> = GucSetting::<i32>::new(600);
static BALLOT_RETENTION: GucSetting<i32> = GucSetting::<i32>::new(-1);
static CHANNEL: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c"vote_agg"));
static WORKER: GucSetting<bool> = GucSetting::<bool>::new(true);
static WORKER_IDLE_EXIT: GucSetting<i32> = GucSetting::<i32>::new(60);
static DATABASES: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c"*"));
static AUTO_OPEN: GucSetting<bool> = GucSetting::<bool>::new(true);
static MAX_TEAMS: GucSetting<i32> = GucSetting::<i32>::new(1_000);
static MAX_READ: GucSetting<i32> = GucSetting::<i32>::new(20_000_000);
static TURN_SIZE: GucSetting<i32> = GucSetting::<i32>::new(8192);
static TIMELINE_RETENTION: GucSetting<i32> = GucSetting::<i32>::new(-1);
static FLIP_MARGIN: GucSetting<f64> = GucSetting::<f64>::new(1.0);
static WRITE_IN_BLOCK: GucSetting<bool> = GucSetting::<bool>::new(false);
static TEST_FILL_PART: GucSetting<i32> = GucSetting::<i32>::new(131_072);
static TEST_PAUSE: GucSetting<Pause> = GucSetting::<Pause>::new(Pause::Off);

/// Where a process can be made to wait by a test, to force an interleaving.
#[derive(Clone, Copy, Eq, PartialEq, PostgresGucEnum)]
pub enum Pause {
    #[name = c"off"]
    Off,
    /// A vote holds its lock on pending and has not looked at the session's state or the heap's end yet.
    #[name = c"vote:locked"]
    VoteLocked,
    /// A vote has looked and is not written yet.
    #[name = c"vote:looked"]
    VoteLooked,
    /// A fold has its lock and has looked at nothing yet; or has appended an anchor and not listed the writers yet.
    #[name = c"fold:sized"]
    FoldSized,
    /// A fold has taken its rows out of pending and not counted them yet.
    #[name = c"fold:drained"]
    FoldDrained,
    /// A fold has done everything but commit.
    #[name = c"fold:done"]
    FoldDone,
    /// A part of a fill has its snapshot and has read nothing yet.
    #[name = c"fill:seen"]
    FillSeen,
    /// A fill has counted all rows and has not locked the table yet.
    #[name = c"fill:counted"]
    FillCounted,
}

/// Registers the settings.
pub fn define() {
    GucRegistry::define_int_guc(
        c"vote_agg.fold_interval",
        c"Longest time between two folds of the background worker while votes come in.",
        c"A committed vote is in the feed after at most this time plus one fold.",
        &FOLD_INTERVAL,
        10,
        60_000,
        GucContext::Sighup,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_int_guc(
        c"vote_agg.feed_retention",
        c"How long the feed keeps a message.",
        c"A reader that was away for longer starts again from a snapshot. The newest message of a match is always kept.",
        &FEED_RETENTION,
        1,
        31_536_000,
        GucContext::Sighup,
        GucFlags::UNIT_S,
    );
    GucRegistry::define_int_guc(
        c"vote_agg.ballot_retention",
        c"How long ballots are kept after their match is final; -1: for ever.",
        c"Without ballots the votes can be verified by recount, and the match rebuilt, no more.",
        &BALLOT_RETENTION,
        -1,
        i32::MAX,
        GucContext::Sighup,
        GucFlags::UNIT_S,
    );
    GucRegistry::define_int_guc(
        c"vote_agg.timeline_retention",
        c"How long the time line keeps a minute; -1 keeps all.",
        c"What is older is erased by folds and goes on counting as one sum: running totals stay right.",
        &TIMELINE_RETENTION,
        -1,
        52_560_000,
        GucContext::Sighup,
        GucFlags::UNIT_MIN,
    );
    GucRegistry::define_float_guc(
        c"vote_agg.flip_margin",
        c"How clear a lead is before its change is announced, in square roots of the votes.",
        c"A team takes over when it is ahead of the leader announced before by this times the square root of all votes. 0 announces each change. Taken by the session that folds.",
        &FLIP_MARGIN,
        0.0,
        1_000_000.0,
        GucContext::Suset,
        GucFlags::empty(),
    );
    GucRegistry::define_string_guc(
        c"vote_agg.channel",
        c"The channel on which folds notify.",
        c"Taken by the session that folds.",
        &CHANNEL,
        GucContext::Suset,
        GucFlags::IS_NAME,
    );
    GucRegistry::define_bool_guc(
        c"vote_agg.worker",
        c"Starts a background worker that folds when votes come in.",
        c"When off, something else has to call vote_agg.fold() again and again.",
        &WORKER,
        GucContext::Suset,
        GucFlags::empty(),
    );
    GucRegistry::define_int_guc(
        c"vote_agg.worker_idle_exit",
        c"The background worker leaves after this time without votes.",
        c"The next vote starts it again.",
        &WORKER_IDLE_EXIT,
        1,
        86_400,
        GucContext::Sighup,
        GucFlags::UNIT_S,
    );
    GucRegistry::define_bool_guc(
        c"vote_agg.auto_open",
        c"The first vote opens a match that was not opened before.",
        c"When off, votes for such a match are refused.",
        &AUTO_OPEN,
        GucContext::Suset,
        GucFlags::empty(),
    );
    GucRegistry::define_int_guc(
        c"vote_agg.max_teams",
        c"The most teams of a match: a session refuses votes for more.",
        c"A session knows the teams that it was asked to vote for. What several sessions bring is counted all the same; a match with ten times as many teams is set aside.",
        &MAX_TEAMS,
        1,
        100_000,
        GucContext::Suset,
        GucFlags::empty(),
    );
    GucRegistry::define_int_guc(
        c"vote_agg.max_read",
        c"The most numbers of votes that a read holds, by cell, country, bucket or match and team.",
        c"Each takes 8 bytes, and a multiple of that where it is shown. A read of more is refused.",
        &MAX_READ,
        1,
        i32::MAX,
        GucContext::Suset,
        GucFlags::empty(),
    );
    GucRegistry::define_int_guc(
        c"vote_agg.turn_size",
        c"Size from which a heap of pending votes gives way to the other, so that its disk space can be given back.",
        c"",
        &TURN_SIZE,
        128,
        i32::MAX / 2,
        GucContext::Suset,
        GucFlags::UNIT_BLOCKS,
    );
    GucRegistry::define_bool_guc(
        c"vote_agg.write_in_block",
        c"A front takes votes inside a transaction block.",
        c"A ROLLBACK does not reach the shards: the votes stay counted.",
        &WRITE_IN_BLOCK,
        GucContext::Userset,
        GucFlags::empty(),
    );
    GucRegistry::define_int_guc(
        c"vote_agg.test_fill_part",
        c"For tests: how much of an attached table is counted in one transaction, at least.",
        c"",
        &TEST_FILL_PART,
        1,
        i32::MAX / 2,
        GucContext::Suset,
        GucFlags::UNIT_BLOCKS | GucFlags::NO_SHOW_ALL,
    );
    GucRegistry::define_enum_guc(
        c"vote_agg.test_pause",
        c"For tests: waits at this point while advisory lock 20240721 is held.",
        c"",
        &TEST_PAUSE,
        GucContext::Suset,
        GucFlags::NO_SHOW_ALL,
    );
    if database::is_preloading() {
        GucRegistry::define_string_guc(
            c"vote_agg.databases",
            c"Databases whose workers start with the server, separated by commas; *: all that have the extension.",
            c"Needs vote_agg in shared_preload_libraries.",
            &DATABASES,
            GucContext::Postmaster,
            GucFlags::empty(),
        );
    }
    extension::reserve_settings();
}

/// Time between two folds.
pub fn fold_interval() -> Duration {
    Duration::from_millis(FOLD_INTERVAL.get().unsigned_abs().into())
}

/// How long the feed keeps a message, in microseconds.
pub fn feed_retention() -> i64 {
    i64::from(FEED_RETENTION.get()) * 1_000_000
}

/// How long ballots of a final match are kept, in microseconds; `None`: for ever.
pub fn ballot_retention() -> Option<i64> {
    u32::try_from(BALLOT_RETENTION.get()).ok().map(|seconds| i64::from(seconds) * 1_000_000)
}

/// How long the time line keeps a minute, in microseconds; `None`: for ever.
pub fn timeline_retention() -> Option<i64> {
    u32::try_from(TIMELINE_RETENTION.get()).ok().map(|minutes| i64::from(minutes) * MINUTE)
}

/// How clear a lead is before its change is announced, in square roots of the votes.
pub fn flip_margin() -> f64 {
    FLIP_MARGIN.get()
}

/// May a worker be started?
pub fn worker() -> bool {
    WORKER.get()
}

/// When an idle worker leaves.
pub fn worker_idle_exit() -> Duration {
    Duration::from_secs(WORKER_IDLE_EXIT.get().unsigned_abs().into())
}

/// The databases whose workers start with the server; "*": all.
pub fn databases() -> Vec<String> {
    let list = DATABASES.get().unwrap_or_default();
    let names = list.to_string_lossy();
    names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// May a vote open a match?
pub fn auto_open() -> bool {
    AUTO_OPEN.get()
}

/// The most teams of a match that one session votes for.
pub fn max_teams() -> usize {
    usize::try_from(MAX_TEAMS.get()).unwrap_or(0)
}

/// The most numbers of votes that a read holds, by place and team.
pub fn max_read() -> usize {
    usize::try_from(MAX_READ.get()).unwrap_or(0)
}

/// The blocks from which a heap of pending gives way to the other.
pub fn turn_size() -> u32 {
    TURN_SIZE.get().unsigned_abs()
}

/// Does the caller of a front know that a ROLLBACK takes back none of its votes?
pub fn write_in_block() -> bool {
    WRITE_IN_BLOCK.get()
}

/// The blocks of an attached table that are counted in one transaction, at least.
pub fn fill_part() -> u32 {
    TEST_FILL_PART.get().unsigned_abs()
}

/// Waits at `point` if a test asked for it.
pub fn pause(point: Pause) {
    if TEST_PAUSE.get() == point {
        crate::pg::lock::wait_for_tester();
    }
}
