-- From 0.1.0, the second half: the rows, as a dump would carry them. The history begins anew, as after a restore, so
-- followers start from a snapshot. The state of the folder is about files that go, and begins anew as well.

-- A new fold lists the writers that an end waits for: the locks above say that there are none from before.
INSERT INTO vote_agg.match (match_id, teams, opens_at, closes_at, closed_at, finalized_at, created_at, changes_allowed, ballots)
SELECT match_id, teams, opens_at, closes_at, closed_at, finalized_at, created_at, changes_allowed, ballots
FROM vote_agg_0_1_0.match;

INSERT INTO vote_agg.pending_1 (h3_index, votes, at, source, in_total, match_id, team_choice, country_code)
SELECT h3_index, votes, at, source, in_total, match_id, team_choice, country_code
FROM (TABLE vote_agg_0_1_0.pending_1 UNION ALL TABLE vote_agg_0_1_0.pending_2) AS p
WHERE match_id OPERATOR(pg_catalog.<>) '';

INSERT INTO vote_agg.ballot (h3_index, match_id, voter_id, team_choice, country_code)
SELECT h3_index, match_id, voter_id, team_choice, country_code FROM vote_agg_0_1_0.ballot;

-- Which fold changed a row last is not known: the newest of its match, so that no follower misses it.
INSERT INTO vote_agg.h3_aggregate (h3_index, seq, leader, leader_before, match_id, votes)
SELECT a.h3_index, f.seq, a.leader, a.leader_before, a.match_id, a.votes
FROM vote_agg_0_1_0.h3_aggregate a
JOIN (SELECT match_id, pg_catalog.max(seq) AS seq FROM vote_agg_0_1_0.feed GROUP BY match_id) AS f USING (match_id);

INSERT INTO vote_agg.country_aggregate (match_id, country_code, seq, votes, leader, leader_before)
SELECT a.match_id, a.country_code, f.seq, a.votes, a.leader, a.leader_before
FROM vote_agg_0_1_0.country_aggregate a
JOIN (SELECT match_id, pg_catalog.max(seq) AS seq FROM vote_agg_0_1_0.feed GROUP BY match_id) AS f USING (match_id);

INSERT INTO vote_agg.timeline (match_id, bucket, votes, kept_from)
SELECT match_id, bucket, votes, kept_from FROM vote_agg_0_1_0.timeline;

INSERT INTO vote_agg.country_timeline (match_id, bucket, country_code, votes)
SELECT match_id, bucket, country_code, votes FROM vote_agg_0_1_0.country_timeline;

-- One number for all of them: a root reads matches of a new history as a whole.
INSERT INTO vote_agg.feed (match_id, seq, epoch, at, born, teams, votes, unplaced, cells, countries, last_vote_at, minute,
    sources, source_votes, emptied, rebuilt, minute_votes, leader, lead_changes, lead_changed_at, lead_changed_from,
    lead_changed_to, body, doorbell, number)
SELECT match_id, seq, epoch, at, born, teams, votes, unplaced, cells, countries, last_vote_at, minute,
    sources, source_votes, emptied, 0, minute_votes, leader, lead_changes, lead_changed_at, lead_changed_from,
    lead_changed_to, body, doorbell, 1
FROM vote_agg_0_1_0.feed;

-- vote_agg.flip begins empty: 0.1.0 kept no changes of leader but in messages of some minutes.

-- What a fill of 0.1.0 has counted is one transaction's, so it is whole or not there: a table that is being filled begins
-- again, and what changed in it meanwhile with it.
INSERT INTO vote_agg.source (relation, number, state, match_column, team_column, cell_column, country_column, voter_column,
    latitude_column, longitude_column, resolution, attached_at, last_error)
SELECT relation, number, CASE WHEN state OPERATOR(pg_catalog.=) 'counting' THEN 'live' ELSE state END, match_column, team_column, cell_column, country_column, voter_column,
    latitude_column, longitude_column, resolution, attached_at, last_error
FROM vote_agg_0_1_0.source;
SELECT pg_catalog.setval('vote_agg.source_number', last_value, is_called) FROM vote_agg_0_1_0.source_number;
SELECT pg_catalog.setval('vote_agg.whole', 1);

-- No CASCADE: a view on one of them that is not ours stops the step instead of going with it.
DROP TABLE vote_agg_0_1_0.match, vote_agg_0_1_0.source, vote_agg_0_1_0.source_delta, vote_agg_0_1_0.pending_1,
    vote_agg_0_1_0.pending_2, vote_agg_0_1_0.ballot, vote_agg_0_1_0.h3_aggregate, vote_agg_0_1_0.country_aggregate,
    vote_agg_0_1_0.timeline, vote_agg_0_1_0.country_timeline, vote_agg_0_1_0.feed, vote_agg_0_1_0.fold_log;
DROP SEQUENCE vote_agg_0_1_0.source_number;
DROP SCHEMA vote_agg_0_1_0;
DROP FUNCTION vote_agg.notify_feed();

-- Triggers that 0.1.0 did not make (src/attached/triggers.rs).
DO $$
DECLARE
    is_newest boolean := pg_catalog.current_setting('server_version_num')::integer OPERATOR(pg_catalog.>=) 180000;
    part record;
    made record;
BEGIN
    FOR part IN
        SELECT c.oid::regclass AS name, c.relkind OPERATOR(pg_catalog.=) 'p' AS is_parent, c.relispartition, s.state
        FROM vote_agg.source s
        JOIN pg_catalog.pg_class t ON t.oid OPERATOR(pg_catalog.=) s.relation
        CROSS JOIN LATERAL (
            SELECT t.oid UNION SELECT p.relid FROM pg_catalog.pg_partition_tree(t.oid) AS p) AS member(oid)
        JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) member.oid
        WHERE s.state OPERATOR(pg_catalog.<>) 'detached'
    LOOP
        FOR made IN
            SELECT * FROM (VALUES
                ('vote_agg_fill', 'AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW',
                    NOT part.is_parent AND part.state OPERATOR(pg_catalog.=) 'filling'),
                ('vote_agg_merge', 'BEFORE INSERT ON %s FOR EACH ROW WHEN (false)',
                    NOT part.is_parent AND part.relispartition AND is_newest),
                ('vote_agg_move', 'BEFORE UPDATE ON %s FOR EACH STATEMENT', part.is_parent)) AS w(name, moment, is_wanted)
            WHERE w.is_wanted
        LOOP
            EXECUTE pg_catalog.format('CREATE TRIGGER %I ' || made.moment || ' EXECUTE FUNCTION vote_agg.count_rows()',
                made.name, part.name);
            EXECUTE pg_catalog.format('ALTER TRIGGER %I ON %s DEPENDS ON EXTENSION vote_agg', made.name, part.name);
        END LOOP;
    END LOOP;
END
$$;

DO $$
DECLARE
    given record;
BEGIN
    FOR given IN
        SELECT g.value OPERATOR(pg_catalog.->>) 0 AS role, g.value OPERATOR(pg_catalog.->>) 1 AS name
        FROM pg_catalog.jsonb_array_elements(pg_catalog.current_setting('vote_agg_upgrade.roles')::jsonb) AS g
    LOOP
        IF given.name OPERATOR(pg_catalog.=) 'matches' THEN
            PERFORM vote_agg.grant_reader(given.role::name);
        ELSE
            PERFORM vote_agg.grant_writer(given.role::name);
        END IF;
    END LOOP;
END
$$;
