"""A follower of one match, as a relay is one: a snapshot, then the changes past its seq."""

from testkit import oracle


class Follower:
    def __init__(self, session, match):
        self.session, self.match = session, match
        self.messages = []
        self.start()

    def start(self):
        """Starts (again) from a snapshot."""
        snapshot = self.session.execute("SELECT get_match_snapshot(%s)", (self.match,)).fetchone()[0]
        self.seq, self.epoch = snapshot["seq"], snapshot["epoch"]
        self.votes = snapshot["stats"]["votes"]
        self.cells, self.countries = dict(snapshot["cells"]), dict(snapshot["countries"])

    def catch_up(self):
        """Applies what the feed has; True if all of it was there, False if the feed made it start again."""
        rows = self.session.execute(
            "SELECT seq, body, resync FROM get_match_changes(%s, %s) ORDER BY seq", (self.match, self.seq)
        ).fetchall()
        for seq, message, resync in rows:
            if resync or message.get("resync") or message["epoch"] != (self.epoch or message["epoch"]):
                self.start()
                return False
            self.apply(seq, message)
        return True

    def update(self):
        """Takes all that changed since, as one message; False if only a snapshot helps."""
        message = self.session.execute("SELECT get_match_update(%s, %s)", (self.match, self.seq)).fetchone()[0]
        if message is None:
            return self.seq == 0
        assert message["prev"] == self.seq
        if message.get("resync") or message["epoch"] != (self.epoch or message["epoch"]):
            return False
        self.merge(message)
        return True

    def apply(self, seq, message):
        """A message may come twice or after a gap and do no harm, but from the feed each comes once and in order."""
        assert (message["v"], message["match"]) == (1, self.match)
        assert (seq, message["seq"], message["prev"]) == (self.seq + 1, self.seq + 1, self.seq)
        self.merge(message)
        self.messages.append(message)

    def merge(self, message):
        """Takes what a message says."""
        self.seq, self.epoch = message["seq"], message["epoch"]
        self.votes = message["stats"]["votes"]
        self.cells.update(message["cells"])
        self.countries.update(message["countries"])

    def differences(self, journal):
        """Empty when this follower's state equals the journal."""
        right = oracle.state(oracle.expected(self.match, journal))
        return oracle.compare(right, oracle.state_of(self.votes, self.cells.items(), self.countries.items()))
