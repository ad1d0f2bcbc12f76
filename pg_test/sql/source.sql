-- Attached tables: what is in them and every change is counted; what can't be counted is refused with the reason.
LOAD 'vote_agg';
SET vote_agg.worker = off;
\set VERBOSITY default
\set SHOW_CONTEXT never
CREATE SCHEMA app;
SET search_path = app, public;
CREATE VIEW seen AS
SELECT m.match_id, s.total_votes AS total, s.votes AS by_team,
       (SELECT coalesce(jsonb_object_agg(h3_index, votes), '{}') FROM get_match_aggregates(m.match_id)) AS by_cell,
       (SELECT coalesce(jsonb_object_agg(country_code, votes), '{}') FROM get_country_aggregates(m.match_id)) AS by_country
FROM vote_agg.matches() AS m(match_id), get_realtime_stats(m.match_id) AS s WHERE s.total_votes <> 0;

-- the empty table, and every kind of change
CREATE TABLE votes (id bigint PRIMARY KEY, match_id text, choice varchar(30), h3 text, country char(2), note text);
INSERT INTO votes (id, note) SELECT 1, attach_votes('votes', team_choice => 'choice')::text;
SELECT attach_votes('votes', team_choice => 'choice', h3_index => 'h3', country_code => 'country');
SELECT source, state, last_error FROM vote_agg.stat_attach;
INSERT INTO votes VALUES (1, 's1', 'home', '872a1072bffffff', 'us'), (2, 's1', 'away', '871fb4662ffffff', 'FR'), (3, 's1', 'home', NULL, NULL);
INSERT INTO votes VALUES (4, NULL, 'home'), (5, 's1', NULL);
SELECT * FROM seen;
UPDATE votes SET choice = 'away', country = 'de' WHERE id = 1;
UPDATE votes SET match_id = 's2' WHERE id = 3;
UPDATE votes SET match_id = 's2', choice = 'home' WHERE id IN (4, 5);
SELECT * FROM seen ORDER BY match_id;
SELECT count(*) AS before FROM vote_agg.pending_1 \gset
UPDATE votes SET note = 'x';
UPDATE votes SET id = id + 100;
SELECT count(*) - :before AS appended FROM vote_agg.pending_1;
COPY votes (id, match_id, choice, h3) FROM stdin;
6	s1	third	872a1072bffffff
7	s2	home	\N
\.
INSERT INTO votes VALUES (6, 's1', 'home'), (8, 's1', 'home') ON CONFLICT (id) DO UPDATE SET choice = 'fourth';
MERGE INTO votes v USING (VALUES (6, 'home'), (7, NULL), (9, 'home')) AS n (id, choice) ON v.id = n.id
WHEN MATCHED AND n.choice IS NULL THEN DELETE WHEN MATCHED THEN UPDATE SET choice = n.choice
WHEN NOT MATCHED THEN INSERT (id, match_id, choice) VALUES (n.id, 's1', n.choice);
WITH gone AS (DELETE FROM votes WHERE id = 8 RETURNING *) INSERT INTO votes (id, match_id, choice) SELECT id + 1000, 's2', 'late' FROM gone;
SELECT * FROM seen ORDER BY match_id;
SELECT * FROM vote_agg.recount_sources('s1') ORDER BY 2, 3, 4;
BEGIN;
SAVEPOINT a;
DELETE FROM votes;
ROLLBACK TO a;
TRUNCATE votes;
SELECT * FROM seen;
ROLLBACK;
SELECT waiting_ms > 0 AS waits FROM vote_agg.stat_fold;
SELECT vote_agg.fold() > 0 AS folded;
SELECT waiting_ms FROM vote_agg.stat_fold;
SELECT * FROM seen ORDER BY match_id;

-- invalid values: nothing of the statement is counted
INSERT INTO votes VALUES (20, 's1', 'home', NULL), (21, 's1', 'home', '872a1072bfffff0');
INSERT INTO votes VALUES (20, 's1', 'home', NULL, 'QQ');
INSERT INTO votes VALUES (20, E's1\t', 'home');
INSERT INTO votes VALUES (20, 's1', '');
-- a row that no vote can be is named where its table is counted; one that came behind the triggers goes without a trace
CREATE TABLE bad (id int, match_id text, team_choice text, country char(2));
INSERT INTO bad VALUES (1, 'b', 'home', 'FR'), (2, 'b', 'home', 'QQ');
SELECT attach_votes('bad', country_code => 'country');
UPDATE bad SET country = 'DE' WHERE ctid = '(0,2)';
SELECT attach_votes('bad', country_code => 'country');
SET session_replication_role = replica;
INSERT INTO bad VALUES (3, 'b', 'home', 'QQ'), (4, 'b', 'home', 'QX'), (5, 'b', NULL, 'QX');
RESET session_replication_role;
SELECT count(*) FROM verify_match('b');
DELETE FROM bad WHERE id = 3;
UPDATE bad SET country = 'US' WHERE id = 5;
UPDATE bad SET country = NULL, team_choice = NULL WHERE id = 4;
DELETE FROM bad WHERE id = 4;
SELECT total, by_country FROM seen WHERE match_id = 'b';
SELECT count(*) FROM verify_match('b') WHERE NOT ok;
SET session_replication_role = replica;
INSERT INTO bad VALUES (6, 'b', 'home', 'QQ');
RESET session_replication_role;
TRUNCATE bad;
SELECT count(*) FROM seen WHERE match_id = 'b';
DROP TABLE bad;
SELECT purge_match('b');
-- a match that is closed
SELECT open_match('s2', NULL, '2000-01-01', '2001-01-01');
DELETE FROM votes WHERE match_id = 's2';
UPDATE votes SET note = 'y' WHERE match_id = 's2';
-- teams: those of an open match, for what comes; what goes needs none
SELECT open_match('s1', ARRAY['home', 'away']);
INSERT INTO votes VALUES (20, 's1', 'third');
INSERT INTO votes VALUES (20, 's1', 'home');
SELECT open_match('s1', ARRAY['away']);
DELETE FROM votes WHERE id = 20;
-- a match with rows can't be purged
SELECT purge_match('s1');

-- what would make the table uncountable is refused
ALTER TABLE votes RENAME COLUMN choice TO chosen;
ALTER TABLE votes DROP COLUMN h3;
ALTER TABLE votes ALTER COLUMN h3 TYPE point USING NULL;
ALTER TABLE votes SET UNLOGGED;
CREATE TABLE child () INHERITS (votes);
ALTER TABLE votes ADD COLUMN more int, DROP COLUMN note;
ALTER TABLE votes RENAME TO "Votes";
SELECT attach_votes('"Votes"');
SELECT detach_votes('"Votes"');
SELECT detach_votes('"Votes"');
INSERT INTO "Votes" VALUES (30, 's1', 'not counted');
SELECT match_id, total FROM seen ORDER BY 1;
SELECT attach_votes('"Votes"', team_choice => 'choice');
SELECT purge_match('s1') > 0, purge_match('s2') > 0;
SELECT attach_votes('"Votes"', team_choice => 'choice');
SELECT match_id, total, by_team FROM seen ORDER BY 1;
DROP TABLE "Votes";
SELECT count(*) FROM vote_agg.source;
SELECT match_id, total FROM seen ORDER BY 1;
SELECT purge_match('s1') > 0, purge_match('s2') > 0;

-- columns: numbers, domains, enums, points
CREATE DOMAIN cell AS bigint;
CREATE TYPE side AS ENUM ('home', 'away');
CREATE TABLE wide (match_id int, team_choice side, h3 cell, lat numeric, lng real, u uuid, at timestamptz, deep text[]);
INSERT INTO wide VALUES (7, 'home', 608725951823478783, 40.7128, -74.006), (7, 'away', NULL, NULL, 1);
SELECT attach_votes('wide', h3_index => 'u');
SELECT attach_votes('wide', h3_index => 'nosuch');
SELECT attach_votes('wide', match_id => 'at');
SELECT attach_votes('wide', match_id => 'deep');
SELECT attach_votes('wide', match_id => 'ctid');
SELECT attach_votes('wide', latitude => 'lat', longitude => 'lng');
SELECT attach_votes('wide', h3_index => 'h3', latitude => 'lat', longitude => 'lng', resolution => 7);
SELECT attach_votes('wide', latitude => 'lat', longitude => 'lng', resolution => 16);
SELECT attach_votes('wide', match_id => NULL);
SELECT attach_votes(NULL);
SELECT attach_votes('wide', h3_index => 'h3');
SELECT * FROM seen;
INSERT INTO wide (match_id, team_choice, h3) VALUES (7, 'home', 1);
SELECT detach_votes('wide');
SELECT purge_match('7');
SELECT attach_votes('wide', latitude => 'lat', longitude => 'lng', resolution => 7);
SELECT * FROM seen;
INSERT INTO wide (match_id, team_choice, lat, lng) VALUES (7, 'home', 91, 0);
INSERT INTO wide (match_id, team_choice, lat, lng) VALUES (7, 'home', 'NaN', 0);
INSERT INTO wide (match_id, team_choice, lat, lng) VALUES (7, 'home', 0, -180.5);
DROP TABLE wide;
SELECT purge_match('7');

-- one voter, one vote: the table's own key decides
CREATE TABLE ballots (match_id text, team_choice text, voter text, other int);
SELECT attach_votes('ballots', voter_id => 'nosuch');
SELECT attach_votes('ballots', voter_id => 'voter');
CREATE UNIQUE INDEX half ON ballots (match_id, voter) WHERE other > 0;
CREATE UNIQUE INDEX more ON ballots (match_id, voter, other);
SELECT attach_votes('ballots', voter_id => 'voter');
ALTER TABLE ballots ADD CONSTRAINT once UNIQUE (voter, match_id);
SELECT attach_votes('ballots', voter_id => 'voter');
ALTER TABLE ballots ALTER voter SET NOT NULL;
SELECT attach_votes('ballots', voter_id => 'voter');
ALTER TABLE ballots DROP CONSTRAINT once;
DROP TABLE ballots;

-- what is no table of one's own
CREATE VIEW a_view AS SELECT 'm'::text AS match_id, 't'::text AS team_choice;
CREATE MATERIALIZED VIEW a_matview AS SELECT * FROM a_view;
CREATE TEMP TABLE a_temp (match_id text, team_choice text);
CREATE UNLOGGED TABLE an_unlogged (match_id text, team_choice text);
CREATE TABLE a_parent (match_id text, team_choice text);
CREATE TABLE a_child () INHERITS (a_parent);
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere;
CREATE FOREIGN TABLE a_foreign (match_id text, team_choice text) SERVER nowhere;
CREATE SEQUENCE a_sequence;
SELECT attach_votes('a_view');
SELECT attach_votes('a_matview');
SELECT attach_votes('a_temp');
SELECT attach_votes('an_unlogged');
SELECT attach_votes('a_parent');
SELECT attach_votes('a_child');
SELECT attach_votes('a_foreign');
SELECT attach_votes('a_sequence');
SELECT attach_votes('pg_class');
SELECT attach_votes('vote_agg.match');
SELECT attach_votes(0::regclass);

-- partitions at every level, straight and through the parent, made and attached later
CREATE TABLE parts (match_id text, team_choice text, k int) PARTITION BY RANGE (k);
CREATE TABLE part_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE part_2 PARTITION OF parts FOR VALUES FROM (10) TO (20) PARTITION BY LIST (k);
CREATE TABLE part_2a PARTITION OF part_2 DEFAULT;
INSERT INTO parts VALUES ('p', 'a', 1), ('p', 'b', 11);
SELECT attach_votes('part_1');
SELECT attach_votes('parts');
INSERT INTO parts VALUES ('p', 'a', 1), ('p', 'b', 11);
INSERT INTO part_1 VALUES ('p', 'c', 2);
INSERT INTO part_2 VALUES ('p', 'c', 12);
INSERT INTO part_2a VALUES ('p', 'c', 13);
CREATE TABLE part_3 PARTITION OF parts FOR VALUES FROM (20) TO (30);
CREATE TABLE part_4 (k int, junk int, team_choice text, match_id text);
ALTER TABLE part_4 DROP COLUMN junk;
ALTER TABLE parts ATTACH PARTITION part_4 FOR VALUES FROM (30) TO (40);
CREATE SCHEMA later CREATE TABLE part_5 PARTITION OF app.parts FOR VALUES FROM (40) TO (50);
INSERT INTO part_3 VALUES ('p', 'd', 20);
INSERT INTO part_4 VALUES (30, 'd', 'p');
INSERT INTO later.part_5 VALUES ('p', 'd', 40);
SELECT match_id, total, by_team FROM seen;
UPDATE parts SET k = k + 10 WHERE k < 35;
SELECT match_id, total, by_team FROM seen;
UPDATE parts SET k = 1, team_choice = 'e' WHERE k = 40;
TRUNCATE part_2;
SELECT match_id, total, by_team FROM seen;
SELECT team_choice, votes FROM vote_agg.recount_sources('p') ORDER BY 1;
-- an inserted row before an updated one: a nested loop takes them as they are listed
SET enable_hashjoin = off;
SET enable_mergejoin = off;
MERGE INTO parts AS p USING (VALUES ('p', 'g', 25), ('p', 'f', 1)) AS n(match_id, team_choice, k) ON p.match_id = n.match_id AND p.k = n.k
WHEN MATCHED THEN UPDATE SET team_choice = n.team_choice WHEN NOT MATCHED THEN INSERT VALUES (n.match_id, n.team_choice, n.k);
RESET enable_hashjoin;
RESET enable_mergejoin;
SELECT match_id, total, by_team FROM seen;
SELECT team_choice, votes FROM vote_agg.recount_sources('p') ORDER BY 1;
CREATE FOREIGN TABLE part_6 PARTITION OF parts FOR VALUES FROM (50) TO (60) SERVER nowhere;
CREATE UNLOGGED TABLE part_6 PARTITION OF parts FOR VALUES FROM (50) TO (60);
ALTER TABLE parts ATTACH PARTITION a_foreign FOR VALUES FROM (50) TO (60);
ALTER TABLE parts DETACH PARTITION part_4;
ALTER TABLE parts DETACH PARTITION part_3 CONCURRENTLY;
SELECT count(*) FROM pg_trigger WHERE tgrelid IN ('part_3'::regclass, 'part_4'::regclass);
INSERT INTO part_4 VALUES (1, 'x', 'p');
TRUNCATE parts;
SELECT match_id, total FROM seen;
SELECT detach_votes('parts');
SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'vote_agg%';

-- nobody can forge a vote
CREATE ROLE vote_agg_app;
CREATE ROLE vote_agg_thief;
GRANT USAGE ON SCHEMA vote_agg TO vote_agg_app, vote_agg_thief;
GRANT USAGE, CREATE ON SCHEMA app TO vote_agg_app, vote_agg_thief;
SET ROLE vote_agg_app;
CREATE TABLE theirs (match_id text, team_choice text);
SELECT attach_votes('theirs');
RESET ROLE;
GRANT EXECUTE ON FUNCTION attach_votes, detach_votes TO vote_agg_app, vote_agg_thief;
SET ROLE vote_agg_app;
SELECT attach_votes('theirs');
GRANT INSERT, TRIGGER ON theirs TO vote_agg_thief;
SET ROLE vote_agg_thief;
INSERT INTO theirs VALUES ('f', 'honest');
SELECT attach_votes('theirs');
SELECT detach_votes('theirs');
CREATE TABLE mine (match_id text, team_choice text);
CREATE TRIGGER vote_agg_insert AFTER INSERT ON mine REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION vote_agg.count_rows();
CREATE TRIGGER again AFTER INSERT ON theirs REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION vote_agg.count_rows();
INSERT INTO vote_agg.source_delta VALUES (NULL, 1, now(), 2, true, 'f', 'x');
SELECT vote_agg.fill();
-- everybody's DDL goes on, without any right here
CREATE TABLE own (a int, b int) PARTITION BY LIST (a);
CREATE TABLE own_1 PARTITION OF own FOR VALUES IN (1);
ALTER TABLE own DETACH PARTITION own_1;
ALTER TABLE own ATTACH PARTITION own_1 FOR VALUES IN (1);
ALTER TABLE own DROP COLUMN b;
DROP TABLE own;
-- a caller's rights, not those of a function's owner
RESET ROLE;
CREATE FUNCTION borrowed(t regclass) RETURNS void LANGUAGE sql AS 'SELECT public.detach_votes(t)';
ALTER FUNCTION borrowed SECURITY DEFINER;
ALTER FUNCTION borrowed OWNER TO vote_agg_thief;
SELECT borrowed('theirs');
-- even where the superuser makes the trigger
ALTER TABLE mine OWNER TO vote_agg_thief;
CREATE TRIGGER vote_agg_insert AFTER INSERT ON mine REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION vote_agg.count_rows();
CREATE TRIGGER again AFTER INSERT ON theirs REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION vote_agg.count_rows();
SET ROLE vote_agg_thief;
INSERT INTO mine VALUES ('f', 'forged');
INSERT INTO theirs VALUES ('f', 'twice');
RESET ROLE;
DROP TRIGGER again ON theirs;
CREATE TRIGGER vote_agg_row AFTER INSERT ON theirs FOR EACH ROW EXECUTE FUNCTION vote_agg.count_rows();
INSERT INTO theirs VALUES ('f', 'row');
DROP TRIGGER vote_agg_row ON theirs;
SELECT vote_agg.count_rows();
-- a cast that an owner wrote would run in the sessions of others
SET ROLE vote_agg_app;
CREATE TYPE sly AS (b bigint);
CREATE FUNCTION sly(sly) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS
$$ BEGIN RAISE NOTICE 'as %', current_user; RETURN ($1).b; END $$;
CREATE CAST (app.sly AS bigint) WITH FUNCTION sly(sly);
CREATE TABLE tricky (match_id text, team_choice text, h3 sly);
INSERT INTO tricky VALUES ('f', 'cast', ROW(608725951823478783));
SELECT attach_votes('tricky', h3_index => 'h3');
-- a generated column does it in the session that writes
ALTER TABLE tricky ADD cell bigint GENERATED ALWAYS AS (h3::bigint) STORED;
SELECT attach_votes('tricky', h3_index => 'cell');
RESET ROLE;
SELECT team_choice, h3_index FROM vote_agg.recount_sources('f') ORDER BY 1;
SELECT match_id, by_team FROM seen;

-- a bypassed trigger is not counted: that is for verify_match to tell
SET session_replication_role = replica;
INSERT INTO theirs VALUES ('f', 'unseen');
RESET session_replication_role;
SELECT by_team->'unseen' AS read, (SELECT sum(votes) FROM vote_agg.recount_sources('f') WHERE team_choice = 'unseen') AS recounted FROM seen WHERE match_id = 'f';

-- an extension that goes takes its triggers along
DROP VIEW seen;
DROP TABLE mine;
BEGIN;
DROP EXTENSION vote_agg;
\d tricky
ROLLBACK;
SELECT detach_votes('theirs'), detach_votes('tricky');
SELECT purge_match('f'), purge_match('p');
DROP OWNED BY vote_agg_app, vote_agg_thief CASCADE;
DROP ROLE vote_agg_app, vote_agg_thief;
\set VERBOSITY terse
SET client_min_messages = warning;
DROP SCHEMA app, later CASCADE;
DROP FOREIGN DATA WRAPPER nowhere CASCADE;
SELECT state, count(*) FROM vote_agg.source GROUP BY 1;
