"""Plots as SVG, drawn while the site is built: points on a linear and a logarithmic axis, with the Pareto front."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from guide.site.render import render

WIDTH, HEIGHT = 760, 520
LEFT, RIGHT, TOP, BOTTOM, LEGENDED = 64, 16, 14, 48, 30  # pixels beside the frame; a legend takes more below
TICK, LEGEND = 120, 205  # pixels between two ticks at least, and for an entry of the legend
LINE, CHARACTER = 15, 6.6  # of a label in pixels
TRIES = ((8, 4, "start"), (-8, 4, "end"), (8, -9, "start"), (-8, -9, "end"), (8, 17, "start"), (-8, 17, "end"),
         (0, -12, "middle"), (0, 22, "middle"),
         *((dx, dy, side) for dy in (-24, 32, -40, 48) for dx, side in ((20, "start"), (-20, "end"))))  # fmt: skip
NEAR = 18  # pixels from which on a label is tied to its point by a line


@dataclass(frozen=True)
class Point:
    """One variant: where it stands, its shape, and its name, which is written beside it if it is on the front."""

    x: float
    y: float
    shape: str  # circle, square or triangle
    name: str
    best: bool


@dataclass(frozen=True)
class Plot:
    """What is drawn."""

    title: str  # told to who does not see it
    x_label: str
    y_label: str
    points: Sequence[Point]
    kinds: Mapping[str, str]  # what each shape says
    reference: float  # where bf16 stands on the x axis
    band: tuple[float, float] | None = None  # what bf16 differs from itself on the y axis, where that is shown
    caption: str = ""  # stands below, the title where there is none
    front: bool = True  # whether the best are joined
    wide: int = WIDTH  # pixels
    high: int = HEIGHT

    @property
    def bottom(self) -> int:
        """Where the frame ends, in pixels."""
        return self.high - BOTTOM - (LEGENDED if self.kinds else 0)


@dataclass(frozen=True)
class Drawn:
    """A point in pixels, with its label if it has room for one."""

    point: Point
    x: float
    y: float
    label: tuple[float, float, str] | None  # x, y and anchor

    @property
    def tie(self) -> str | None:
        """The line to a label that does not stand beside its point, as an SVG path; None where it does."""
        if not self.label or abs(self.label[0] - self.x) < NEAR:
            return None
        return f"M{self.x:.1f} {self.y:.1f}L{self.label[0]:.1f} {self.label[1] - LINE / 3:.1f}"


def ticks(low: float, high: float, count: int = 6) -> list[float]:
    """Round numbers from below ``low`` to above ``high``."""
    step = 10 ** floor(log10((high - low) / count))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= count)
    return [step * number for number in range(floor(low / step), ceil(high / step) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten within two bounds; the powers alone where those are many."""
    powers = range(floor(log10(low)), ceil(log10(high)) + 1)
    factors = (1,) if len(powers) > 4 else (1, 2, 5)
    return [factor * 10.0**power for power in powers for factor in factors if low <= factor * 10.0**power <= high]


def svg(plot: Plot) -> str:
    """The plot as SVG in HTML, its colours those of the page's scheme."""
    xs = [plot.reference, *(point.x for point in plot.points)]
    ys = [*(plot.band or ()), *(point.y for point in plot.points)]
    x_ticks = ticks(0.9 * min(xs), max(xs), plot.wide // TICK)
    y_low, y_high = min(ys) / 1.35, max(ys) * 1.35

    def across(x: float) -> float:
        return LEFT + (x - x_ticks[0]) / (x_ticks[-1] - x_ticks[0]) * (plot.wide - LEFT - RIGHT)

    def down(y: float) -> float:
        return plot.bottom - log10(y / y_low) / log10(y_high / y_low) * (plot.bottom - TOP)

    drawn = labelled([(point, across(point.x), down(point.y)) for point in plot.points], plot.wide, plot.bottom)
    front = sorted((one for one in drawn if one.point.best), key=lambda one: one.x)
    return render(
        "plot.html.jinja",
        plot=plot,
        frame=(LEFT, TOP, plot.wide - RIGHT, plot.bottom),
        x_ticks=[(across(x), f"{x:g}") for x in x_ticks],
        y_ticks=[(down(y), f"{y:g}") for y in log_ticks(y_low, y_high)],
        drawn=sorted(drawn, key=lambda one: one.point.best),
        steps=steps([(one.x, one.y) for one in front]) if plot.front else "",
        reference=across(plot.reference),
        band=(down(plot.band[1]), down(plot.band[0])) if plot.band else None,
        legend=[(LEFT + LEGEND * number, shape, text) for number, (shape, text) in enumerate(plot.kinds.items())],
    )


def steps(front: list[tuple[float, float]]) -> str:
    """The front as a stair of SVG path commands: at each size the best that is no larger."""
    commands = []
    for number, (x, y) in enumerate(front):
        commands.append(f"M{x:.1f} {y:.1f}" if number == 0 else f"H{x:.1f}V{y:.1f}")
    return "".join(commands)


def labelled(points: list[tuple[Point, float, float]], wide: int = WIDTH, bottom: int = HEIGHT - BOTTOM) -> list[Drawn]:
    """Points with labels beside those on the front, where no other point or label is in the way."""
    taken = [(x - 6, y - 6, x + 6, y + 6) for _, x, y in points]
    found = []
    for point, x, y in points:
        label = None
        if point.best:
            text = CHARACTER * len(point.name)
            boxes = []
            for dx, dy, anchor in TRIES:
                left = x + dx - {"start": 0, "middle": text / 2, "end": text}[anchor]
                box = (left, y + dy - LINE + 3, left + text, y + dy + 3)
                inside = box[0] >= LEFT and box[2] <= wide - RIGHT and box[1] >= TOP and box[3] <= bottom
                hits = sum(overlap(box, other) for other in taken)
                boxes.append((not inside, hits, (x + dx, y + dy, anchor), box))
            _, _, label, box = min(boxes, key=lambda one: one[:2])
            taken.append(box)
        found.append(Drawn(point, x, y, label))
    return found


def overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> float:
    """The area that two boxes share."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return max(wide, 0) * max(high, 0)
