"""What figures should be, and whether they are."""

from __future__ import annotations

from dataclasses import dataclass

TIMES = "×"  # noqa: RUF001


@dataclass(frozen=True)
class Target:
    """One figure, and its bound.

    Args:
        what: What the figure is of.
        figure: The figure.
        bound: What it should be at least, or at most.
        at_least: Whether the bound is the least, not the most.
        unit: What both are in.
    """

    what: str
    figure: float
    bound: float
    at_least: bool
    unit: str = TIMES

    @property
    def is_met(self) -> bool:
        """Whether the figure is within the bound."""
        if self.at_least:
            return self.figure >= self.bound
        return self.figure <= self.bound

    def row(self) -> str:
        """A line of a Markdown table."""
        sign = "≥" if self.at_least else "≤"
        verdict = "met" if self.is_met else "**missed**"
        return (
            f"| {self.what} | {self.figure:.3g}{self.unit} "
            f"| {sign} {self.bound:g}{self.unit} | {verdict} |"
        )
