-- Tables. Nobody but the extension's functions touches them.
--
-- USING heap, because they are read and written below SQL, whatever default_table_access_method says.
-- REPLICA IDENTITY FULL where no key is unique: else a publication FOR ALL TABLES would refuse each UPDATE and DELETE.
-- It costs nothing unless wal_level is logical.
--
-- Counts are bigint[] with one number a team, in the order of the match's teams (feed.teams of its newest row); a list
-- that ends early means zeros. Every per-match table has match_id in its key, so that a match can live on one shard.

CREATE SCHEMA vote_agg;
COMMENT ON SCHEMA vote_agg IS 'vote_agg: tables, views and the operator''s functions';

CREATE TABLE vote_agg.match (
    match_id text COLLATE "C" PRIMARY KEY,
    teams text[] COLLATE "C",
    opens_at timestamptz,
    closes_at timestamptz,
    closed_at timestamptz,
    finalized_at timestamptz,
    created_at timestamptz NOT NULL,
    ended_at timestamptz,
    waiting text[] COLLATE "C",
    changes_allowed boolean NOT NULL DEFAULT true,
    ballots text COLLATE "C" NOT NULL DEFAULT 'kept'
        CHECK (ballots OPERATOR(pg_catalog.=) ANY ('{kept,leaving,erased}')),
    shard integer,
    shards integer
) USING heap;
COMMENT ON TABLE vote_agg.match IS 'Matches that were opened or closed by name';
COMMENT ON COLUMN vote_agg.match.teams IS 'The only teams that can be voted for; NULL: any';
COMMENT ON COLUMN vote_agg.match.closed_at IS 'When close_match was called';
COMMENT ON COLUMN vote_agg.match.finalized_at IS
'When every vote cast before the end was counted; the totals are final';
COMMENT ON COLUMN vote_agg.match.ended_at IS
'When a fold found that closes_at is past: from its commit on the match is closed, whatever a clock says';
COMMENT ON COLUMN vote_agg.match.waiting IS
'Virtual ids of the transactions that may hold votes from before the end; the totals are final once they are gone. '
'Before them the name of the history that they are of: what a dump carries is of another one';
COMMENT ON COLUMN vote_agg.match.changes_allowed IS 'May voters change their ballots?';
COMMENT ON COLUMN vote_agg.match.ballots IS
'kept, or being erased or erased after vote_agg.ballot_retention: '
'what they counted can be verified and rebuilt no more';
COMMENT ON COLUMN vote_agg.match.shard IS
'Where the match is on many shards: which one this is, from 0; one past the last takes calls and no ballots';
COMMENT ON COLUMN vote_agg.match.shards IS
'Where the match is on many shards: how many have its ballots. Neither ever changes';
CREATE INDEX match_ending ON vote_agg.match (match_id)
    WHERE finalized_at IS NULL AND (closed_at IS NOT NULL OR closes_at IS NOT NULL);
COMMENT ON INDEX vote_agg.match_ending IS 'Matches that a fold may have to finalise';

-- Two heaps take turns. No index, no constraint that reads another row: an append waits for nobody. A row without a
-- match is the anchor of the low-water mark (see docs/design/low-water.md), no vote.
CREATE TABLE vote_agg.pending_1 (
    h3_index bigint,
    votes bigint NOT NULL,
    at timestamptz NOT NULL,
    source smallint NOT NULL,
    in_total boolean NOT NULL,
    match_id text COLLATE "C" NOT NULL,
    team_choice text COLLATE "C" NOT NULL,
    country_code text COLLATE "C"
) USING heap;
ALTER TABLE vote_agg.pending_1 REPLICA IDENTITY FULL;
COMMENT ON TABLE vote_agg.pending_1 IS 'Votes that are not folded yet: the first of two heaps that take turns';
CREATE TABLE vote_agg.pending_2 (LIKE vote_agg.pending_1) USING heap;
ALTER TABLE vote_agg.pending_2 REPLICA IDENTITY FULL;
COMMENT ON TABLE vote_agg.pending_2 IS 'Votes that are not folded yet: the second of two heaps that take turns';

-- The votes of a match that could not be folded wait here, so that they are in nobody's way. Reads count them all the
-- same.
CREATE TABLE vote_agg.pending_aside (LIKE vote_agg.pending_1) USING heap;
ALTER TABLE vote_agg.pending_aside REPLICA IDENTITY FULL;
COMMENT ON TABLE vote_agg.pending_aside IS 'Votes that are not folded yet: those of matches that are set aside';
CREATE TABLE vote_agg.aside (
    match_id text COLLATE "C" PRIMARY KEY,
    since timestamptz NOT NULL,
    tries bigint NOT NULL,
    next_try timestamptz NOT NULL,
    reason text NOT NULL
) USING heap;
COMMENT ON TABLE vote_agg.aside IS 'Matches that could not be folded: they are set aside, and tried again';
COMMENT ON COLUMN vote_agg.aside.reason IS 'Why the last try failed';

-- Written below SQL (src/write/ballot_box.rs): the key is the only arbiter of one voter, one vote. fillfactor: as
-- below.
CREATE TABLE vote_agg.ballot (
    h3_index bigint,
    match_id text COLLATE "C" NOT NULL,
    voter_id text COLLATE "C" NOT NULL,
    team_choice text COLLATE "C",
    country_code text COLLATE "C",
    turn bigint,
    PRIMARY KEY (match_id, voter_id)
) USING heap WITH (fillfactor = 90);
COMMENT ON TABLE vote_agg.ballot IS
'Where the vote of each voter counts: what is needed to move or retract it, no more';
COMMENT ON COLUMN vote_agg.ballot.team_choice IS 'NULL: the vote was retracted, and counts nothing; the turn is kept';
COMMENT ON COLUMN vote_agg.ballot.turn IS
'The highest turn of this voter: a vote or retraction with a lower one comes late and changes nothing';

-- One row, made by the first door. A dump carries it: restored ballots are of the same voters.
CREATE TABLE vote_agg.door (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    fingerprint text COLLATE "C" NOT NULL
) USING heap;
COMMENT ON TABLE vote_agg.door IS
'The secret that made the names of voters in ballots taken by a relay: with another one each could vote once more';
COMMENT ON COLUMN vote_agg.door.fingerprint IS 'Tells two secrets apart, and nothing else of them';

-- Numbers first: nothing is lost to alignment, and a row is 8 bytes shorter.
--
-- fillfactor: each row's next version has room on its page, and so have those that an old snapshot keeps. A version
-- that moves to another page costs an index entry. Beside such a snapshot a fold took 1.29 times as long with 50 as
-- without, 1.12 with 25.
CREATE TABLE vote_agg.h3_aggregate (
    h3_index bigint NOT NULL,
    seq bigint NOT NULL,
    leader integer,
    leader_before integer,
    match_id text COLLATE "C" NOT NULL,
    votes bigint[] NOT NULL
) USING heap WITH (fillfactor = 25);
ALTER TABLE vote_agg.h3_aggregate REPLICA IDENTITY FULL;
COMMENT ON TABLE vote_agg.h3_aggregate IS 'Folded votes by match and cell';
COMMENT ON COLUMN vote_agg.h3_aggregate.seq IS
'The fold that changed this row last. In no index, so that updates '
'stay HOT: who asks what changed reads the match''s rows';
COMMENT ON COLUMN vote_agg.h3_aggregate.leader IS
'The leader that was announced last, by its place in the list of teams from 0; NULL: nobody';
COMMENT ON COLUMN vote_agg.h3_aggregate.leader_before IS
'The same before the last fold that changed this row: where they differ, that fold announced it';
CREATE INDEX h3_aggregate_key ON vote_agg.h3_aggregate (match_id, h3_index);
COMMENT ON INDEX vote_agg.h3_aggregate_key IS
'Not UNIQUE: one folds at a time, and a unique index looks at every dead version again (see aggregate.rs)';

CREATE TABLE vote_agg.country_aggregate (
    match_id text COLLATE "C" NOT NULL,
    country_code text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    votes bigint[] NOT NULL,
    leader integer,
    leader_before integer
) USING heap WITH (fillfactor = 50);
ALTER TABLE vote_agg.country_aggregate REPLICA IDENTITY FULL;
COMMENT ON TABLE vote_agg.country_aggregate IS 'Folded votes by match and country';
COMMENT ON COLUMN vote_agg.country_aggregate.seq IS 'The fold that changed this row last';
COMMENT ON COLUMN vote_agg.country_aggregate.leader IS
'The leader that was announced last, by its place in the list of teams from 0; NULL: nobody';
COMMENT ON COLUMN vote_agg.country_aggregate.leader_before IS
'The same before the last fold that changed this row: where they differ, that fold announced it';
CREATE INDEX country_aggregate_key ON vote_agg.country_aggregate (match_id, country_code);
COMMENT ON INDEX vote_agg.country_aggregate_key IS
'Not UNIQUE: one folds at a time, and a unique index looks at every dead version again (see aggregate.rs)';

CREATE TABLE vote_agg.timeline (
    match_id text COLLATE "C" NOT NULL,
    bucket timestamptz NOT NULL,
    votes bigint[] NOT NULL,
    kept_from timestamptz
) USING heap WITH (fillfactor = 50);
ALTER TABLE vote_agg.timeline REPLICA IDENTITY FULL;
COMMENT ON TABLE vote_agg.timeline IS
'Folded votes by match and minute, by the clock of the call that recorded them. '
'Bucket -infinity is the opening balance: the sum of what retention erased';
COMMENT ON COLUMN vote_agg.timeline.kept_from IS 'In the opening balance: where the buckets that are kept start';
CREATE INDEX timeline_key ON vote_agg.timeline (match_id, bucket);
COMMENT ON INDEX vote_agg.timeline_key IS
'Not UNIQUE: one folds at a time, and a unique index looks at every dead version again (see aggregate.rs)';
CREATE INDEX timeline_bucket ON vote_agg.timeline USING brin (bucket);
COMMENT ON INDEX vote_agg.timeline_bucket IS 'Finds buckets older than vote_agg.timeline_retention';

-- A table of its own and not a wider key of timeline: the chart of a match reads a row a minute, not one a minute and
-- country.
CREATE TABLE vote_agg.country_timeline (
    match_id text COLLATE "C" NOT NULL,
    bucket timestamptz NOT NULL,
    country_code text COLLATE "C" NOT NULL,
    votes bigint[] NOT NULL
) USING heap WITH (fillfactor = 50);
ALTER TABLE vote_agg.country_timeline REPLICA IDENTITY FULL;
COMMENT ON TABLE vote_agg.country_timeline IS
'Folded votes by match, minute and country; bucket -infinity is the opening balance of each country';
CREATE INDEX country_timeline_key ON vote_agg.country_timeline (match_id, bucket, country_code);
COMMENT ON INDEX vote_agg.country_timeline_key IS
'Not UNIQUE: one folds at a time, and a unique index looks at every dead version again (see aggregate.rs)';
CREATE INDEX country_timeline_bucket ON vote_agg.country_timeline USING brin (bucket);
COMMENT ON INDEX vote_agg.country_timeline_bucket IS 'Finds buckets older than vote_agg.timeline_retention';

-- A match's totals are those of its newest feed row: an append, found by a backward scan of the key, costs the same
-- however many versions an old snapshot keeps alive. An updated counter row would not.
CREATE TABLE vote_agg.feed (
    match_id text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    epoch text NOT NULL,
    at timestamptz NOT NULL,
    born timestamptz NOT NULL,
    teams text[] COLLATE "C" NOT NULL,
    votes bigint[] NOT NULL,
    unplaced bigint[] NOT NULL,
    cells bigint NOT NULL,
    countries bigint NOT NULL,
    last_vote_at timestamptz,
    minute timestamptz NOT NULL,
    sources smallint[] NOT NULL,
    source_votes bigint[] NOT NULL,
    emptied bigint NOT NULL,
    rebuilt bigint NOT NULL,
    minute_votes bigint[] NOT NULL,
    leader integer,
    lead_changes bigint NOT NULL,
    lead_changed_at timestamptz,
    lead_changed_from integer,
    lead_changed_to integer,
    body text NOT NULL,
    doorbell text,
    number bigint NOT NULL,
    first_minute timestamptz,
    PRIMARY KEY (match_id, seq)
) USING heap;
COMMENT ON TABLE vote_agg.feed IS 'One row a match a fold: the match''s totals and the message that tells what changed';
COMMENT ON COLUMN vote_agg.feed.seq IS 'Counts 1, 2, 3 … per match, in commit order';
COMMENT ON COLUMN vote_agg.feed.epoch IS 'Names the history that seq belongs to';
COMMENT ON COLUMN vote_agg.feed.born IS
'When the match was first folded, part of the epoch: a purged match that comes back starts a new history';
COMMENT ON COLUMN vote_agg.feed.unplaced IS 'The part of votes that has no cell';
COMMENT ON COLUMN vote_agg.feed.cells IS 'How many cells have votes';
COMMENT ON COLUMN vote_agg.feed.countries IS 'How many countries have votes';
COMMENT ON COLUMN vote_agg.feed.sources IS 'Where the votes came from: 0 calls, 1 ballots, others see vote_agg.source';
COMMENT ON COLUMN vote_agg.feed.source_votes IS 'How many votes of each source are counted';
COMMENT ON COLUMN vote_agg.feed.emptied IS 'How often a cell or country lost its last vote';
COMMENT ON COLUMN vote_agg.feed.rebuilt IS
'The seq of the last rebuild, which may have removed rows that nothing remembers; 0: none';
COMMENT ON COLUMN vote_agg.feed.minute IS 'The newest minute with votes';
COMMENT ON COLUMN vote_agg.feed.minute_votes IS 'Votes of that minute and of the five before it, newest first';
COMMENT ON COLUMN vote_agg.feed.leader IS
'The leader that was announced last, by its place in teams from 0; NULL: nobody';
COMMENT ON COLUMN vote_agg.feed.lead_changes IS
'How often one team took the lead from another; when it last did, from whom and to whom are the columns after it';
COMMENT ON COLUMN vote_agg.feed.doorbell IS 'What NOTIFY carries where the body has no room';
COMMENT ON COLUMN vote_agg.feed.number IS
'Counts the folds, rebuilds and purges of all matches in commit order: where a root goes on';
COMMENT ON COLUMN vote_agg.feed.first_minute IS
'The first minute that this fold changed; a root reads the minutes from there on. NULL: none';
CREATE INDEX feed_number ON vote_agg.feed (number);
COMMENT ON INDEX vote_agg.feed_number IS 'Finds the matches that were folded after a number';
CREATE INDEX feed_at ON vote_agg.feed USING brin (at);
COMMENT ON INDEX vote_agg.feed_at IS 'Finds rows older than vote_agg.feed_retention';

-- For those who come when the message is gone. Flips of cells are too many to keep.
CREATE TABLE vote_agg.flip (
    seq bigint NOT NULL,
    at timestamptz NOT NULL,
    before integer,
    after integer,
    match_id text COLLATE "C" NOT NULL,
    country_code text COLLATE "C"
) USING heap;
ALTER TABLE vote_agg.flip REPLICA IDENTITY FULL;
COMMENT ON TABLE vote_agg.flip IS
'Changes of leader of matches and countries as the feed announced them, kept as long as the time line';
COMMENT ON COLUMN vote_agg.flip.seq IS 'The message that announced it';
COMMENT ON COLUMN vote_agg.flip.at IS 'When the fold of that message began';
COMMENT ON COLUMN vote_agg.flip.before IS
'The leader announced before, by its place in the list of teams from 0; NULL: none was';
COMMENT ON COLUMN vote_agg.flip.after IS
'The leader announced by it, by its place in the list of teams from 0; NULL: all votes there were taken back';
COMMENT ON COLUMN vote_agg.flip.country_code IS 'NULL: the match as a whole';
CREATE INDEX flip_key ON vote_agg.flip (match_id, seq DESC, country_code NULLS FIRST);
COMMENT ON INDEX vote_agg.flip_key IS 'The changes of a match in the order in which they are read';
CREATE INDEX flip_at ON vote_agg.flip USING brin (at);
COMMENT ON INDEX vote_agg.flip_at IS 'Finds rows older than vote_agg.timeline_retention';

CREATE TABLE vote_agg.purged (
    match_id text COLLATE "C" PRIMARY KEY,
    number bigint NOT NULL,
    at timestamptz NOT NULL
) USING heap;
COMMENT ON TABLE vote_agg.purged IS
'Matches that were purged, for a day, so that a root hears of it. '
'A row without a match is the newest that was forgotten';
COMMENT ON COLUMN vote_agg.purged.number IS 'As feed.number';
CREATE INDEX purged_number ON vote_agg.purged (number);
COMMENT ON INDEX vote_agg.purged_number IS 'Finds the matches that were purged after a number';

CREATE TABLE vote_agg.fold_log (
    id bigint PRIMARY KEY,
    at timestamptz NOT NULL,
    folds bigint NOT NULL,
    total_rows bigint NOT NULL,
    last_at timestamptz,
    last_rows bigint NOT NULL,
    last_duration_ms double precision NOT NULL,
    last_lag_ms double precision NOT NULL,
    last_error text,
    last_error_at timestamptz,
    pruned_at timestamptz NOT NULL,
    current_heap smallint NOT NULL,
    drained boolean NOT NULL,
    file_1 oid NOT NULL,
    mark_1 bigint NOT NULL,
    file_2 oid NOT NULL,
    mark_2 bigint NOT NULL,
    sized bigint,
    waiting text[] COLLATE "C",
    aside bigint NOT NULL
) USING heap;
COMMENT ON TABLE vote_agg.fold_log IS
'One row a fold that did something; the newest is the state of pending and of the folder';
COMMENT ON COLUMN vote_agg.fold_log.last_error IS 'Why the last fold failed; NULL once one succeeded';
COMMENT ON COLUMN vote_agg.fold_log.pruned_at IS 'When rows past their time were last deleted from feed and fold_log';
COMMENT ON COLUMN vote_agg.fold_log.current_heap IS 'Which of pending_1 and pending_2 takes new votes';
COMMENT ON COLUMN vote_agg.fold_log.drained IS 'The other heap holds nothing and gets nothing until its turn comes';
COMMENT ON COLUMN vote_agg.fold_log.file_1 IS 'The file of pending_1 that mark_1 is about; another file means mark 0';
COMMENT ON COLUMN vote_agg.fold_log.mark_1 IS 'Low water: no row below this block of pending_1 counts, now or ever';
COMMENT ON COLUMN vote_agg.fold_log.sized IS
'Blocks of the current heap when the transactions of waiting held it: the next mark, once they are gone';
COMMENT ON COLUMN vote_agg.fold_log.waiting IS 'Virtual ids of those transactions';
COMMENT ON COLUMN vote_agg.fold_log.aside IS
'How many matches are set aside; where it is 0, pending_aside holds nothing';

-- What makes epochs. A dump carries no row of it: a restored database, which may take the place of the dumped one,
-- draws an id of its own here.
CREATE TABLE vote_agg.history (
    id uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
    place text COLLATE "C"
) USING heap;
COMMENT ON TABLE vote_agg.history IS 'Which history the feed tells: one row';
COMMENT ON COLUMN vote_agg.history.id IS 'Drawn when the extension was created, and by new_history()';
COMMENT ON COLUMN vote_agg.history.place IS
'Where the last fold was: cluster, timeline, database, when the data directory was made';
INSERT INTO vote_agg.history DEFAULT VALUES;

CREATE SEQUENCE vote_agg.whole;
COMMENT ON SEQUENCE vote_agg.whole IS
'Set by the first fold. A dump sets it after all tables: totals without it are those of a dump that is being restored';

-- Data that a dump carries. fold_log is about this cluster's files, so its rows stay behind.
SELECT pg_catalog.pg_extension_config_dump('vote_agg.match', '');
SELECT pg_catalog.pg_extension_config_dump('vote_agg.pending_1', '');
SELECT pg_catalog.pg_extension_config_dump('vote_agg.pending_2', '');
SELECT pg_catalog.pg_extension_config_dump('vote_agg.pending_aside', '');
SELECT pg_catalog.pg_extension_config_dump('vote_agg.aside', '');
SELECT pg_catalog.pg_extension_config_dump('vote_agg.ballot', '');
SELECT pg_catalog.pg_extension_config_dump('vote_agg.door', '');
SELECT pg_catalog.pg_extension_config_dump('vote_agg.h3_aggregate', '');
SELECT pg_catalog.pg_extension_config_dump('vote_agg.country_aggregate', '');
SELECT pg_catalog.pg_extension_config_dump('vote_agg.timeline', '');
SELECT pg_catalog.pg_extension_config_dump('vote_agg.country_timeline', '');
SELECT pg_catalog.pg_extension_config_dump('vote_agg.feed', '');
SELECT pg_catalog.pg_extension_config_dump('vote_agg.flip', '');
SELECT pg_catalog.pg_extension_config_dump('vote_agg.purged', 'WHERE false');
SELECT pg_catalog.pg_extension_config_dump('vote_agg.fold_log', 'WHERE false');
SELECT pg_catalog.pg_extension_config_dump('vote_agg.history', 'WHERE false');
SELECT pg_catalog.pg_extension_config_dump('vote_agg.whole', '');
