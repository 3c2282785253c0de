"""Which operations a clip gets: RandAugment, or color jitter."""

import re
from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol

import numpy as np

from slowfast.datasets.augment.operations import OPERATIONS, Applied
from slowfast.datasets.draws import draw_integer
from slowfast.errors import UserError

MAX_LEVEL = 10
NAMES = list(OPERATIONS)
WEIGHTS = np.array([operation.weight for operation in OPERATIONS.values()])
PARTS = {"m": r"\d+", "n": r"\d+", "mstd": r"\d+\.?\d*|\.\d+", "inc": r"\d+", "w": "0"}
EXAMPLE = "give one like rand-m7-n4-mstd0.5-inc1: m magnitude, n operations, mstd spread, inc1 increasing, w0 weighted"


class Policy(Protocol):
    """A rule that draws the operations of a clip."""

    def draw(self, rng: np.random.Generator, frames: int) -> tuple[Applied, ...]:
        """Return the operations of a clip of `frames` frames, in the order in which they are applied."""


@dataclass(frozen=True)
class RandAugment:
    """RandAugment (Cubuk et al., 2020): `number` operations, each of which is skipped with probability 1/2.

    Every frame of a clip gets the same operations.

    Attributes:
        magnitude: level of the operations, 0 to 10.
        spread: standard deviation of the level, which is drawn for each operation and then clipped to 0 to 10.
        number: of operations; 0: none.
        increasing: at a higher level all operations change the picture more.
        weighted: draw without replacement, by the weights of the operations; otherwise uniformly with replacement.
        interpolation: bilinear, bicubic, or random: one of the two for each frame.
    """

    magnitude: float = 10
    number: int = 2
    spread: float = 0.0
    increasing: bool = False
    weighted: bool = False
    interpolation: str = "bicubic"

    @classmethod
    def from_text(cls, text: str, interpolation: str = "bicubic") -> "RandAugment":
        """Return the policy that a value of AUG.AA_TYPE names; "": no operations. Raises UserError."""
        if not text:
            return NO_OPERATIONS
        values = _parts(text)
        number, weighted = int(values.get("n", 2)), "w" in values
        most = int((WEIGHTS > 0).sum()) if weighted else 1000
        if not 1 <= number <= most:
            raise UserError(f"AUG.AA_TYPE: {text!r} asks for {number} operations; give n1 to n{most}, or '' for none")
        return cls(
            magnitude=int(values.get("m", 10)),
            number=number,
            spread=float(values.get("mstd", 0)),
            increasing="inc" in values,
            weighted=weighted,
            interpolation=interpolation,
        )

    def draw(self, rng: np.random.Generator, frames: int) -> tuple[Applied, ...]:
        chosen = self._choose(rng)
        drawn = zip(chosen, rng.random((self.number, 3)).tolist(), strict=True)
        return tuple(
            Applied(name, self._argument(name, level_at, sign_at), self._filters(rng, frames))
            for name, (skip_at, level_at, sign_at) in drawn
            if skip_at >= 0.5
        )

    def _choose(self, rng: np.random.Generator) -> list[str]:
        if not self.weighted:
            return [NAMES[draw_integer(rng, 0, len(NAMES) - 1)] for _ in range(self.number)]
        with np.errstate(divide="ignore"):
            times = rng.exponential(size=len(NAMES)) / WEIGHTS  # the first ones are a draw without replacement
        return [NAMES[i] for i in np.argsort(times)[: self.number]]

    def _filters(self, rng: np.random.Generator, frames: int) -> tuple[str, ...]:
        if self.interpolation != "random":
            return (self.interpolation,)
        return tuple("bicubic" if drawn < 0.5 else "bilinear" for drawn in rng.random(frames))

    def _argument(self, name: str, level_at: float, sign_at: float) -> float:
        """Return the argument of an operation that belongs to two numbers drawn uniformly from [0, 1)."""
        deviation = NormalDist().inv_cdf(max(level_at, 1e-12)) if self.spread else 0.0
        level = min(max(self.magnitude + self.spread * deviation, 0), MAX_LEVEL) / MAX_LEVEL
        operation = OPERATIONS[name]
        argument_of = (self.increasing and operation.increasing) or operation.argument
        return argument_of(-level if sign_at < 0.5 else level)


NO_OPERATIONS = RandAugment(number=0)


def _parts(text: str) -> dict[str, str]:
    """Return the values of a text like `rand-m7-n4-mstd0.5-inc1` by their names."""
    first, *rest = text.split("-")
    if first != "rand":
        raise UserError(f"AUG.AA_TYPE: {text!r} is not known; {EXAMPLE}; or give '' for none")
    values: dict[str, str] = {}
    for part in rest:
        name = re.match(r"[a-z]*", part)[0]  # type: ignore[index]
        value = part[len(name) :]
        if not re.fullmatch(PARTS.get(name, r"(?!)"), value):
            raise UserError(f"AUG.AA_TYPE: {text!r} has a part {part!r} that is not known; {EXAMPLE}")
        if name in values:
            raise UserError(f"AUG.AA_TYPE: {text!r} has {name}{values[name]} and {part}; keep one of them")
        values[name] = value
    return values


@dataclass(frozen=True)
class ColorJitter:
    """Brightness, contrast and saturation in a random order, each by a factor drawn from 1 - `strength` to 1 + it."""

    strength: float

    def draw(self, rng: np.random.Generator, frames: int) -> tuple[Applied, ...]:
        low, high = max(0.0, 1 - self.strength), 1 + self.strength
        order, factors = np.argsort(rng.random(3)), low + rng.random(3) * (high - low)
        names = ("Brightness", "Contrast", "Color")
        return tuple(Applied(names[i], float(factors[i])) for i in order)
