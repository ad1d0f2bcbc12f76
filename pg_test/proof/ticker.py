"""Changes of leader, worked out from the messages alone: what a commentator's ticker must have been told."""

import math


def leader(told, votes, margin):
    """The leader that is told once `votes` (by team) are counted, when `told` was before."""
    total = sum(n for n in votes.values() if n > 0)
    if total == 0:
        return None
    first, second = (sorted(votes.values(), reverse=True) + [0])[:2]
    if first <= max(second, 0):
        return told
    (best,) = (team for team, n in votes.items() if n == first)
    rival = votes.get(told, 0) if told is not None else second
    return best if first - max(rival, 0) >= margin * math.sqrt(total) else told


class Ticker:
    """Applies messages from the first on; each must tell of exactly the changes that its totals make."""

    def __init__(self, margin=1.0):
        self.margin, self.told, self.flips, self.changes, self.kept = margin, {}, [], [], []

    def apply(self, message):
        expected = self.step("match", None, message["stats"]["votes"])
        for country, votes in message["countries"]:
            expected += self.step("country", country, votes)
        for cell, votes in message["cells"]:
            expected += [flip for flip in self.step("cell", cell, votes) if None not in flip[2:]]
        assert message.get("flips", []) == expected, message
        assert "flips" not in message or message["flips"], "left out where there are none"
        self.flips += expected
        # Newest first: what get_match_flips must return.
        self.kept = [(message["seq"], *flip) for flip in expected if flip[0] != "cell"] + self.kept
        for scope, _, before, after in expected:
            if scope == "match" and None not in (before, after):
                self.changes.append((message["at"], before, after))

    def step(self, scope, key, votes):
        before = self.told.get((scope, key))
        after = self.told[scope, key] = leader(before, votes, self.margin)
        return [[scope, key, before, after]] if before != after else []
