"""Several fronts, shards that join, and shards that are away: nobody is counted twice, and no read is a part of the truth."""

import collections
import concurrent.futures
import threading

import pytest

from shards import MATCHES, READS, TEAMS, VOTERS, Front, answer, conninfo, make_shard, open_matches
from testkit.harness import eventually


def test_fronts_that_disagree_count_nobody_twice(front, cluster, new_database):
    """One lists the shards the other way round: it refuses to learn where matches are, and shards refuse its voters."""
    open_matches(front)
    turned = Front(new_database(cluster, extension=False), front.shards[::-1])
    assert turned.refusal("SELECT vote_agg_front.reload()").sqlstate == "55000"
    turned.db.sql("INSERT INTO vote_agg_front.placement VALUES ('spread', NULL, 2, 2)")
    assert {turned.refusal("SELECT cast_vote('spread', %s, 'home')", voter).sqlstate for voter in VOTERS[:20]} == {"23514"}
    # One that knows nothing yet asks the first shard, which takes its own voters only; then it learns.
    late = Front(new_database(cluster, extension=False), front.shards)
    codes = {voter: answer(late.session, "SELECT cast_vote('first', %s, 'home')", (voter,)) for voter in VOTERS[:20]}
    own = {voter: late.value("SELECT vote_agg_front.shard_of(%s, 2)", voter) == 0 for voter in codes}
    assert codes == {voter: [("counted",)] if is_own else "23514" for voter, is_own in own.items()}
    assert late.value("SELECT vote_agg_front.reload()") == len(MATCHES)
    assert late.rows("TABLE vote_agg_front.placement ORDER BY 1") == front.rows("TABLE vote_agg_front.placement ORDER BY 1")
    # Purged and opened anew by the one, read and written by the other with what it knew.
    front.rows("SELECT purge_match('homed')")
    front.rows("SELECT open_match('homed', spread => true)")
    for voter in VOTERS[:20]:
        front.rows("SELECT cast_vote('homed', %s, 'home')", voter)
    assert late.value("SELECT total_votes FROM get_realtime_stats('homed')") == 20
    codes = [answer(late.session, "SELECT cast_vote('homed', %s, 'home')", (voter,)) for voter in VOTERS[:20]]
    assert {str(code) for code in codes} == {"[('unchanged',)]", "23514"} and front.value("SELECT total_votes FROM get_realtime_stats('homed')") == 20
    turned.close()
    late.close()


def test_fronts_that_open_a_match_at_once_give_it_one_place(front, cluster, new_database):
    """The same call is done by both. Where one wants a home and the other all shards, one of them is refused, and leaves nothing behind."""
    fronts = [front, Front(new_database(cluster, extension=False), front.shards)]
    fronts[1].rows("SET client_min_messages = warning")
    seen = collections.Counter()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for number in range(24):
            wishes = (("", ""), (", spread => true",) * 2, (", spread => false", ", spread => true"))[number % 3]
            match, together = f"at once {number}", threading.Barrier(2)

            def open_it(one, wish, match=match, together=together):
                together.wait()
                return answer(one.session, f"SELECT FROM open_match(%s, ARRAY['home']{wish})", (match,))

            found = list(pool.map(open_it, fronts, wishes))
            assert set(map(str, found)) <= {"[()]", "55000"}, (wishes, found)
            seen[number % 3, tuple(map(str, found))] += 1
            if len(set(wishes)) == 1:
                assert found == [[()], [()]], (wishes, found)
            again = [answer(one.session, "SELECT FROM open_match(%s, ARRAY['home'])", (match,)) for one in fronts]
            assert again == [[()], [()]], (wishes, found, again)
            places = [one.rows("SELECT home, shards, calls FROM vote_agg_front.placement WHERE match_id = %s", match) for one in fronts]
            assert places[0] == places[1] and len(places[0]) == 1, places
            for voter in VOTERS[:8]:
                outcomes = [one.value("SELECT cast_vote(%s, %s, 'home')", match, voter) for one in fronts]
                assert outcomes == ["counted", "unchanged"], (match, voter)
            assert [one.value("SELECT total_votes FROM get_realtime_stats(%s)", match) for one in fronts] == [8, 8]
            assert sum(shard.value("SELECT count(*) FROM vote_agg.placements(%s)", match) for shard in front.shards) == (places[0][0][1] or 1)
    fronts[1].close()
    assert all(any(kind == wanted for kind, _ in seen) for wanted in range(3)), seen


def test_a_shard_that_joins_takes_calls_and_no_ballots(front, cluster, new_database):
    open_matches(front)
    front.rows("SELECT cast_vote('spread', v, 'home') FROM unnest(%s::text[]) AS v", VOTERS)
    third = new_database(cluster)
    refused = front.refusal("SELECT vote_agg_front.add_shard(%s)", conninfo(third))
    assert refused.sqlstate == "55000" and "auto_open is on" in refused.diag.message_detail
    assert front.value("SELECT vote_agg_front.shards()") == 2
    assert front.refusal("SELECT vote_agg_front.add_shard('dbname=x password=y')").sqlstate == "22023"
    twice = front.refusal("SELECT vote_agg_front.add_shard(%s)", conninfo(front.shards[1]))
    assert twice.sqlstate == "42710" and twice.diag.message_primary == "the database is shard 1 already"
    assert front.value("SELECT vote_agg_front.shards()") == 2
    make_shard(third)
    assert front.value("SELECT vote_agg_front.add_shard(%s)", conninfo(third)) == 2
    assert front.value("SELECT vote_agg_front.extend()") == 2
    assert front.value("SELECT vote_agg_front.extend()") == 0
    front.rows("SELECT record_vote('spread', 'away') FROM generate_series(1, 300)")
    front.rows("SELECT cast_vote('spread', v, 'away') FROM unnest(%s::text[]) AS v", VOTERS)
    assert third.value("SELECT total_votes FROM get_realtime_stats('spread')") > 50 and third.value("SELECT count(*) FROM vote_agg.ballot") == 0
    assert front.rows("SELECT total_votes, votes FROM get_realtime_stats('spread')") == [(450, {"home": 0, "away": 450, TEAMS[2]: 0})]
    # A match that is opened now has its voters on all three.
    front.rows("SELECT open_match('later', spread => true)")
    front.rows("SELECT cast_vote('later', v, 'away') FROM unnest(%s::text[]) AS v", VOTERS)
    assert third.value("SELECT total_votes FROM get_realtime_stats('later')") > 20
    front.rows("SELECT close_match('spread')")
    assert front.refusal("SELECT record_vote('spread', 'home') FROM generate_series(1, 9)").sqlstate == "55000"


def test_a_match_that_not_all_have_opened_is_closed_where_it_is(front):
    """An opening that stayed half done: no part of it goes on after a close."""
    for stuck in (0, 1):
        match = f"half {stuck}"
        front.shards[1 - stuck].sql("SELECT vote_agg.place_match(%s, %s, 2)", match, 1 - stuck)
        front.rows("SELECT close_match(%s)", match)
        assert front.shards[1 - stuck].sql("SELECT is_open FROM vote_agg.placements(%s)", match) == [(False,)]
        assert front.value("SELECT status FROM get_realtime_stats(%s)", match) in ("closed", "final")
        assert front.value("SELECT purge_match(%s)", match) == 0
    assert front.refusal("SELECT close_match('nobody knows it')").sqlstate == "42704"


@pytest.fixture
def apart(new_cluster, new_database):
    """A front and two shards, each in a cluster of its own: one may die."""
    clusters = [new_cluster() for _ in range(3)]
    # PL/Proxy's own errors have no SQLSTATE of theirs.
    for cluster in clusters:
        cluster.planted += ["Pl/Proxy", "PL/Proxy", "vote_agg_front.", "was not done by shard"]
    made = Front(new_database(clusters[0], extension=False), [new_database(cluster) for cluster in clusters[1:]])
    yield made
    made.close()


def test_a_dead_shard_fails_reads_whole_and_calls_say_so(apart):
    """No read is a part of the truth; what some shards have not done is said, and done by the same call later."""
    open_matches(apart)
    apart.rows("SELECT cast_vote('spread', v, 'home') FROM unnest(%s::text[]) AS v", VOTERS)
    home = apart.value("SELECT home FROM vote_agg_front.placement WHERE match_id = 'homed'")
    dead = 1 - home
    apart.rows("SELECT record_vote('homed', 'home')")
    cluster = apart.shards[dead].cluster
    cluster.stop("immediate")
    for read in (*READS[:3], "SELECT * FROM get_match_timeline('{0}')"):
        # Not a row of it, and an error that no shard makes: PL/Proxy's own.
        assert apart.refusal(read.format("spread")).sqlstate == "XX000"
    # One that is at home elsewhere is read and written all the same.
    assert apart.value("SELECT total_votes FROM get_realtime_stats('homed')") == 1
    apart.rows("SELECT record_vote('homed', 'home')")
    refused = apart.refusal("SELECT close_match('spread')")
    assert refused.sqlstate == "XX000", refused
    assert refused.diag.message_primary == f'close_match of match "spread" was not done by shard {dead}'
    assert refused.diag.message_detail.startswith(f"Done by shard: {home}.\nShard {dead}: ") and "Call it again" in refused.diag.message_hint
    assert apart.shards[home].value("SELECT status FROM get_realtime_stats('spread')") in ("closed", "final")
    cluster.start()
    apart.rows("SELECT close_match('spread')")
    eventually("all say final", lambda: apart.value("SELECT status FROM get_realtime_stats('spread')") == "final")
    assert apart.value("SELECT total_votes FROM get_realtime_stats('spread')") == len(VOTERS)
    assert apart.value("SELECT purge_match('spread')") == len(VOTERS)
    assert apart.value("SELECT purge_match('spread')") == 0
