-- Rows of final matches are erased from attached tables: the numbers stay, and a recount comes to them. All else is refused.
LOAD 'vote_agg';
SET vote_agg.worker = off;
\set SHOW_CONTEXT never
CREATE ROLE regress_eraser;
CREATE SCHEMA app AUTHORIZATION regress_eraser;
GRANT USAGE ON SCHEMA vote_agg TO regress_eraser;
GRANT EXECUTE ON FUNCTION attach_votes(regclass, name, name, name, name, name, name, name, integer), detach_votes(regclass),
    vote_agg.erase_rows(regclass, jsonb) TO regress_eraser;
CREATE TABLE strangers (match_id text, team_choice text);
CREATE VIEW numbers AS
SELECT m.match_id, s.status, s.total_votes AS total, s.votes, s.active_cells AS cells, s.active_countries AS countries
FROM vote_agg.matches() AS m(match_id), get_realtime_stats(m.match_id) AS s;

SET ROLE regress_eraser;
SET search_path = app, public;
CREATE TABLE votes (id bigserial, match_id text, voter text NOT NULL, team_choice text, h3 text, country char(2), weight numeric(30), UNIQUE (match_id, voter))
    PARTITION BY LIST (match_id);
CREATE TABLE votes_done PARTITION OF votes FOR VALUES IN ('done', 'later');
CREATE TABLE votes_live PARTITION OF votes DEFAULT;
CREATE TABLE receipts (match_id text, voter text, FOREIGN KEY (match_id, voter) REFERENCES votes (match_id, voter) ON DELETE CASCADE);
SELECT attach_votes('votes', h3_index => 'h3', country_code => 'country', voter_id => 'voter');
INSERT INTO votes (match_id, voter, team_choice, h3, country, weight) VALUES
    ('done', 'ann', 'home', '872a1072bffffff', 'US', 12345678901234567890123456789), ('done', 'bob', 'home', '872a1072bffffff', 'US', 1),
    ('done', 'cid', 'away', NULL, 'FR', 12345678901234567890123456788), ('done', 'dee', NULL, NULL, NULL, NULL),
    ('live', 'ann', 'home', NULL, NULL, NULL), ('later', 'ann', 'away', NULL, 'DE', NULL);
INSERT INTO receipts VALUES ('done', 'ann'), ('done', 'bob');
RESET ROLE;
-- not yet: no match is final
SELECT vote_agg.erase_rows('app.votes', '{"match_id": "done", "voter": "ann"}');
SELECT close_match('done');
SELECT vote_agg.erase_rows('app.votes', '{"match_id": "done", "voter": "ann"}');
SELECT vote_agg.fold() > 0 AS folded;
SELECT vote_agg.fold();
SELECT * FROM numbers ORDER BY match_id;
CREATE TEMP TABLE before AS SELECT * FROM numbers WHERE match_id = 'done';
GRANT SELECT ON before TO PUBLIC;

-- a row of a final match does not go by DELETE; what says so names the way
SET ROLE regress_eraser;
\set VERBOSITY sqlstate
DELETE FROM votes WHERE match_id = 'done' AND voter = 'ann';
\set VERBOSITY default
-- its check is deferred, which the server allows to the owner alone here
CREATE TABLE notes (match_id text, voter text, FOREIGN KEY (match_id, voter) REFERENCES votes (match_id, voter) DEFERRABLE INITIALLY DEFERRED);
-- one key, a key of another match beside it, no key
SELECT vote_agg.erase_rows('votes', '{"voter": "ann"}');
SELECT count(*) FROM votes WHERE voter = 'ann';
SELECT vote_agg.erase_rows('votes', '[]'), vote_agg.erase_rows('votes', '{"voter": "nobody"}');
SELECT vote_agg.erase_rows('votes', '{"match_id": "done", "voter": "ann"}');
SELECT match_id, voter FROM votes WHERE voter = 'ann' ORDER BY 1;
TABLE receipts;
-- a row that is no vote, a row twice, and numbers that keep all their digits
SELECT vote_agg.erase_rows('votes', '[{"match_id": "done", "voter": "dee"}, {"voter": "dee", "match_id": "done"}]');
SELECT vote_agg.erase_rows('votes', '{"weight": 12345678901234567890123456788}');
SELECT voter FROM votes WHERE match_id = 'done';
RESET ROLE;
SELECT vote_agg.erase_rows('app.votes', '{"voter": "bob"}');
DROP TABLE app.notes;

-- nothing that anybody reads is another number, and the recount comes to it
SELECT (SELECT to_jsonb(n) FROM numbers n WHERE match_id = 'done') = to_jsonb(b) AS same FROM before b;
SELECT check_name, expected, found, ok, detail FROM verify_match('done') WHERE check_name LIKE 'app.%' OR NOT ok;
SELECT team_choice, h3_index, country_code, votes FROM vote_agg.recount('done') ORDER BY 1, 2, 3;
SELECT rebuild_match('done');
SELECT (SELECT to_jsonb(n) FROM numbers n WHERE match_id = 'done') = to_jsonb(b) AS same FROM before b;
SELECT bool_and(ok) FROM verify_match('done');
-- an error in between leaves the next DELETE what it is
SELECT vote_agg.erase_rows('app.votes', '[{"voter": "ann"}]');
DELETE FROM app.votes WHERE match_id = 'live';
SELECT total FROM numbers WHERE match_id = 'live';
-- taken back with its transaction
BEGIN;
SELECT vote_agg.erase_rows('app.votes', '{"voter": "bob"}');
SELECT count(*), sum(votes) FROM vote_agg.erased;
ROLLBACK;
SELECT count(*), sum(votes) FROM vote_agg.erased;

-- refused
SELECT vote_agg.erase_rows(NULL, '{"id": 1}');
SELECT vote_agg.erase_rows('app.votes', NULL);
SELECT vote_agg.erase_rows('app.votes', '7');
SELECT vote_agg.erase_rows('app.votes', '[7]');
SELECT vote_agg.erase_rows('app.votes', '{}');
SELECT vote_agg.erase_rows('app.votes', '[{"id": 1}, {}]');
SELECT vote_agg.erase_rows('app.votes', '[{"id": 1}, {"voter": "bob"}]');
SELECT vote_agg.erase_rows('app.votes', '{"voter": null}');
SELECT vote_agg.erase_rows('app.votes', '{"voter": ["bob"]}');
SELECT vote_agg.erase_rows('app.votes', '{"id": "x"}');
SELECT vote_agg.erase_rows('app.votes', '{"nobody\"; DROP TABLE x": 1}');
SELECT vote_agg.erase_rows('app.votes', '{"ctid": "(0,1)"}');
SELECT vote_agg.erase_rows('app.votes', jsonb_agg(jsonb_build_object('id', -i))) FROM generate_series(1, 10000) i;
SELECT vote_agg.erase_rows('app.votes', jsonb_agg(jsonb_build_object('id', -i))) FROM generate_series(1, 10001) i;
SELECT vote_agg.erase_rows('app.votes_done', '{"id": 1}');
SELECT vote_agg.erase_rows('strangers', '{"match_id": "x"}');
SET ROLE regress_eraser;
SELECT vote_agg.erase_rows('public.strangers', '{"match_id": "x"}');
SELECT vote_agg.erasure('votes', '{"id": 1}');
SELECT count(*) FROM vote_agg.erased;
RESET ROLE;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT vote_agg.erase_rows('app.votes', '{"id": 1}');
ROLLBACK;
BEGIN READ ONLY;
SELECT vote_agg.erase_rows('app.votes', '{"id": 1}');
ROLLBACK;
UPDATE vote_agg.source SET state = 'filling';
SELECT vote_agg.erase_rows('app.votes', '{"id": 1}');
UPDATE vote_agg.source SET state = 'live';

-- a match can be purged once all of its rows are erased, and nothing stays
SELECT purge_match('done');
SELECT vote_agg.erase_rows('app.votes', '{"match_id": "done"}');
SELECT check_name, found FROM verify_match('done') WHERE check_name LIKE 'app.%' OR NOT ok;
SELECT purge_match('done');
SELECT count(*) FROM vote_agg.erased;
-- a table that is dropped takes along what was erased from it
SELECT close_match('later');
SELECT vote_agg.fold(), vote_agg.fold();
SELECT vote_agg.erase_rows('app.votes', '{"match_id": "later"}');
DROP SCHEMA app CASCADE;
SELECT count(*) FROM vote_agg.erased;
SELECT purge_match('later'), purge_match('live');
DROP VIEW numbers;
DROP TABLE before, strangers;
DROP OWNED BY regress_eraser;
DROP ROLE regress_eraser;
