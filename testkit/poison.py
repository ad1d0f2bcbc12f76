"""Matches that cannot be folded, each kind for another reason: what sets them aside, and what heals them."""

KINDS = ("row", "sum", "trigger", "teams", "lock")


class Poison:
    """`each` matches of each kind in a database with `vote_agg.max_teams` = 10, which have folded votes. `stranger` holds rows."""

    def __init__(self, connect, each):
        self.connect = connect
        self.numbers = range(each)
        self.names = [f"poison {kind} {n}" for kind in KINDS for n in self.numbers]

    def pour(self, session, stranger):
        """The next fold that has votes of these matches cannot fold them."""
        for n in self.numbers:
            session.execute(
                "INSERT INTO vote_agg.pending_1 (h3_index, votes, at, source, in_total, match_id, team_choice) VALUES"
                " (1, 1, now(), 0, true, %s, 'home')", (f"poison row {n}",))
            session.execute(
                "INSERT INTO vote_agg.pending_1 (votes, at, source, in_total, match_id, team_choice)"
                " SELECT 9000000000000000000, now(), 0, true, %s, 'home' FROM generate_series(1, 2)", (f"poison sum {n}",))
            for half in (0, 60):
                with self.connect() as crowd:
                    teams = f"SELECT array_agg('team ' || i) FROM generate_series({half}, {half} + 59) i"
                    crowd.execute("SET vote_agg.max_teams = 1000")
                    crowd.execute(f"SELECT bulk_increment(%s, ({teams}))", (f"poison teams {n}",))
        session.execute("CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'poison'; END $$")
        session.execute(
            "CREATE TRIGGER poison BEFORE UPDATE ON vote_agg.country_aggregate FOR EACH ROW"
            " WHEN (NEW.match_id LIKE 'poison trigger %') EXECUTE FUNCTION poison()")
        stranger.execute("BEGIN")
        stranger.execute("SELECT FROM vote_agg.country_aggregate WHERE match_id LIKE 'poison lock%' FOR UPDATE")

    def heal(self, session, stranger):
        """All causes go but the number of teams, which is a setting."""
        stranger.execute("ROLLBACK")
        session.execute("DROP TRIGGER poison ON vote_agg.country_aggregate")
        session.execute("DELETE FROM vote_agg.pending_aside WHERE h3_index = 1 OR votes > 1000000000000000000")
