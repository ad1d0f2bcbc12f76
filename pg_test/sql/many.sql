-- many votes of strangers in one call: each its own outcome, in the order given
LOAD 'vote_agg';
SET vote_agg.worker = off;
SET TimeZone = 'UTC';
CREATE TEMP VIEW stats AS SELECT m AS match, total_votes, votes, active_cells, active_countries
    FROM unnest(ARRAY['n', 'n2', 'n3']) AS m, get_realtime_stats(m) ORDER BY 1;
-- none
SELECT * FROM cast_votes('{}', '{}', '{}');
SELECT * FROM retract_votes('{}', '{}');
SELECT * FROM record_votes('{}', '{}');
TABLE stats;
-- every kind of outcome, and the good ones count
SELECT * FROM open_match('n3', ARRAY['home', 'away'], changes_allowed => false);
SELECT element, outcome, sqlstate, message, hint FROM cast_votes(
    ARRAY['n',    'n',    'n',    'n2',   NULL,   'n',   'n3',   'n3',   'n3',   'n3',     'n',    'n'],
    ARRAY['ann',  'ann',  'ann',  'ann',  'bob',  '',    'ann',  'ann',  'ann',  'bob',    'bob',  'cid'],
    ARRAY['home', 'home', 'away', 'home', 'home', 'x',   'home', 'home', 'away', 'nobody', 'home', NULL],
    ARRAY[608725951823478783, 608725951823478783, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 5, NULL],
    ARRAY['fr', 'FR', 'de', 'QQ', 'fr', 'fr', 'fr', 'fr', 'fr', 'fr', 'fr', 'fr']);
TABLE stats;
SELECT * FROM get_vote('n', 'ann');
SELECT * FROM get_vote('n', 'nobody');
-- turns: a late retry changes nothing, and a turn belongs to one vote
SELECT element, outcome, sqlstate, message FROM cast_votes(
    array_fill('n'::text, ARRAY[7]), array_fill('eve'::text, ARRAY[7]),
    ARRAY['red', 'red', 'blue', 'red', 'blue', 'red', 'red'], turns => ARRAY[1, 1, 2, 1, 1, 2, 0]);
SELECT team_choice, turn FROM get_vote('n', 'eve');
-- a retraction keeps its turn, and the ballot counts nothing then
SELECT element, outcome, sqlstate FROM retract_votes(ARRAY['n', 'n', 'n', 'n', 'n3'], ARRAY['eve', 'eve', 'ann', 'ann', 'ann'],
    ARRAY[3, 2, NULL, NULL, 5]);
SELECT team_choice, turn FROM get_vote('n', 'eve');
SELECT element, outcome FROM cast_votes('{n,n}', '{eve,eve}', '{red,red}', turns => '{2,3}');
SELECT cast_vote('n', 'eve', 'red');
SELECT team_choice, turn FROM get_vote('n', 'eve');
SELECT retract_vote('n', 'eve');
-- a retraction that comes before its vote
SELECT element, outcome FROM retract_votes('{n}', '{fay}', '{2}');
SELECT element, outcome FROM cast_votes('{n}', '{fay}', '{red}', turns => '{1}');
TABLE stats;
SELECT * FROM vote_agg.ballot WHERE match_id LIKE 'n%' ORDER BY match_id, voter_id;
SELECT check_name, expected, found, ok FROM verify_match('n') WHERE check_name = 'ballots' OR NOT ok;
-- sent again after the end, under the turn that was counted, from another country; and a newer one, which is refused
SELECT element, outcome FROM cast_votes('{n2}', '{gus}', '{home}', NULL, '{fr}', '{4}');
SELECT close_match('n2') IS NOT NULL AS closed;
SELECT element, outcome, sqlstate, message FROM cast_votes('{n2,n2,n2,n2}', '{gus,gus,gus,gus}', '{home,home,away,home}', NULL,
    '{de,de,de,de}', '{4,3,5,NULL}');
SELECT element, outcome, sqlstate FROM retract_votes('{n2,n2}', '{gus,gus}', '{3,5}');
-- the same from another place where no vote may be changed: the team decides
SELECT element, outcome, sqlstate FROM cast_votes('{n3,n3}', '{ann,ann}', '{home,away}', NULL, '{us,us}', '{1,2}');
-- votes without voters
SELECT element, outcome, sqlstate, message FROM record_votes('{n,n2,n3,n3,n,n,n}', '{home,home,away,nobody,home,home,home}', NULL,
    '{fr,fr,fr,fr,fr,QQ,fr}', ARRAY[2, 1, 3, 1, 0, 1, 1000000000001]);
SELECT element, outcome FROM record_votes('{n,n}', '{home,home}');
SELECT element, outcome, sqlstate, message FROM record_votes('{n,n}', '{home,home}', NULL, NULL, '{1000000000000,1}');
TABLE stats;
SELECT vote_agg.fold() >= 0;
TABLE stats;
SELECT bool_and(ok) FROM verify_match('n');
SELECT bool_and(ok) FROM verify_match('n3');
SELECT rebuild_match('n3');
-- the whole call: shape and size
SELECT * FROM cast_votes(NULL, '{a}', '{b}');
SELECT * FROM cast_votes('{n}', '{a,b}', '{b}');
SELECT * FROM cast_votes('{n}', '{a}', '{b}', '{}');
SELECT * FROM record_votes('{n}', '{a}', NULL, NULL, '{1,2}');
SELECT count(*) FROM record_votes(array_fill('n'::text, ARRAY[10000]), array_fill('home'::text, ARRAY[10000]));
SELECT count(*) FROM record_votes(array_fill('n'::text, ARRAY[10001]), array_fill('home'::text, ARRAY[10001]));
BEGIN READ ONLY;
SELECT * FROM cast_votes('{n}', '{a}', '{b}');
ROLLBACK;
-- nothing of a call that is rolled back stays
BEGIN;
SELECT outcome FROM cast_votes('{n}', '{gil}', '{home}', turns => '{1}');
ROLLBACK;
SELECT * FROM get_vote('n', 'gil');
-- a team takes a place in its match with the first vote that counts, and gives it back with a rollback
SET vote_agg.max_teams = 2;
SELECT outcome FROM cast_votes('{n4}', '{ann}', '{home}', turns => '{9}');
SELECT outcome, sqlstate FROM cast_votes('{n4,n4,n4,n4,n4}', '{ann,ann,bob,cid,dan}', '{j1,j2,away,home,third}', turns => '{1,2,1,1,1}');
BEGIN;
SELECT outcome FROM cast_votes('{n5,n5}', '{a,b}', '{j1,j2}');
ROLLBACK;
SELECT outcome FROM cast_votes('{n5,n5}', '{a,b}', '{home,away}');
BEGIN;
SAVEPOINT s;
SELECT record_vote('n6', 'j1'), record_vote('n6', 'j2');
ROLLBACK TO s;
SELECT record_vote('n6', 'home'), record_vote('n6', 'away');
COMMIT;
RESET vote_agg.max_teams;
-- a retraction in a match that nobody knows leaves a ballot: the match can be closed and purged
SELECT outcome FROM retract_votes('{n7}', '{ann}', '{1}');
SELECT close_match('n7');
SELECT purge_match('n7');
SELECT count(*) FROM vote_agg.ballot WHERE match_id = 'n7';
-- a relay's voter key: the first one that is asked about is the one of this database
SELECT check_door(NULL), check_door(repeat('a', 64)), check_door(repeat('b', 64)), check_door(repeat('a', 64));
SELECT check_door('a');
SELECT check_door(repeat('A', 64));
BEGIN READ ONLY;
SELECT check_door(repeat('a', 64)), check_door(repeat('b', 64));
ROLLBACK;
TABLE vote_agg.door;
DELETE FROM vote_agg.door;
SELECT check_door(repeat('b', 64));
DELETE FROM vote_agg.door;
