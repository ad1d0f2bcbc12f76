"""One line of the result table."""

import dataclasses
import statistics


@dataclasses.dataclass
class Result:
    """`values`, one a round, whose median has to be at least or at most the `target`; `info` gives the absolute numbers."""

    work: str
    values: list[float]
    target: tuple[str, float]  # ("≥", 8)
    info: str = ""
    unit: str = ""

    @property
    def median(self):
        return statistics.median(self.values)

    @property
    def is_met(self):
        relation, bound = self.target
        return self.median >= bound if relation == "≥" else self.median <= bound

    def cells(self):
        spread = f" ({number(min(self.values))} … {number(max(self.values))})" if len(self.values) > 1 else ""
        relation, bound = self.target
        return [
            self.work,
            f"{number(self.median)}{self.unit}{spread}",
            f"{relation} {bound:g}{self.unit}",
            "ok" if self.is_met else "**short**",
            self.info,
        ]


def number(value):
    return f"{value:.3f}" if abs(value) < 2 else f"{value:.2f}" if abs(value) < 20 else f"{value:,.0f}"


def table(results):
    """A Markdown table, padded so that it reads well in a terminal too."""
    rows = [["work", "measured: median (min … max)", "target", "", "absolute numbers"], *(r.cells() for r in results)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def ratios(ours, peers):
    return [a / b for a, b in zip(ours, peers, strict=True)]


def median(values):
    return statistics.median(values)
