"""Diagrams of how weights are rounded, drawn while the site is built: every point, level and error in them is computed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

from guide.site.render import render

WIDTH = 360  # so that a phone shows text in its own size
LEFT, RIGHT = 12, 348
STEP = 18  # between lines of text

# The first 64 weights of row 346 of model.layers.2.mlp.gate_proj.weight in models/reference/, which are bf16. It was chosen
# because one of them is much larger than the rest, as in larger models.
WEIGHTS = (
    -0.01031494140625, -0.0888671875, 0.059326171875, -0.1376953125, 0.04931640625, -0.126953125, 0.0595703125, 0.173828125,
    -0.036376953125, 0.2060546875, -0.080078125, -0.061279296875, 0.053466796875, 0.10009765625, -0.004913330078125,
    0.431640625, 0.087890625, -0.0059814453125, -0.1201171875, -0.091796875, -0.18359375, 0.033447265625, -0.2578125,
    -0.0927734375, 0.0198974609375, 0.038330078125, -0.033935546875, 0.11474609375, -0.134765625, 0.031982421875,
    -0.1357421875, 0.007110595703125, 0.018798828125, -0.038330078125, -0.0181884765625, 0.0145263671875, -0.03662109375,
    0.0009765625, -0.10205078125, 0.07177734375, 0.154296875, 0.03076171875, -0.08349609375, -0.022216796875, 0.0947265625,
    0.115234375, -0.08154296875, -0.11279296875, -0.041259765625, -0.06591796875, -0.01202392578125, 0.138671875,
    0.01611328125, -0.10595703125, -0.00537109375, 0.03955078125, 0.0260009765625, 0.07177734375, 0.03369140625, -0.12890625,
    -0.08740234375, 0.0166015625, -0.052490234375, 0.0673828125,
)  # fmt: skip
GROUP = 16
LARGEST = 7  # of the integers of a symmetric 4-bit grid
CODES = 16  # of 4 bits
PACKED = 8  # codes in 32 bits
USUAL_GROUP = 64  # weights that share a scale, in the benchmarks


@dataclass(frozen=True)
class Text:
    """A line of text; ``kind`` is a class of the style sheet."""

    x: float
    y: float
    text: str
    anchor: str = "start"
    kind: str = ""


@dataclass(frozen=True)
class Mark:
    """A weight (circle, or small circle), a level that is used (square), an outlier (triangle)."""

    shape: str
    x: float
    y: float


@dataclass(frozen=True)
class Path:
    """A line, as SVG path commands."""

    commands: str
    kind: str


@dataclass(frozen=True)
class Box:
    """A frame around lines of text."""

    x: float
    y: float
    wide: float
    high: float


@dataclass
class Drawing:
    """What is drawn, from top to bottom; ``title`` is told to who does not see it."""

    title: str
    height: float = 0
    texts: list[Text] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)

    def say(self, text: str, kind: str = "") -> None:
        """A line of text below what is there."""
        self.height += STEP
        self.texts.append(Text(LEFT, self.height - 5, text, kind=kind))


def symmetric(weights: Sequence[float]) -> list[float]:
    """The levels of a symmetric 4-bit grid: 15 multiples of one scale."""
    scale = max(map(abs, weights)) / LARGEST
    return [scale * code for code in range(-LARGEST, LARGEST + 1)]


def shifted(weights: Sequence[float]) -> list[float]:
    """The levels of a 4-bit grid with a zero point: 16, from the smallest weight to the largest, one of them 0."""
    scale = (max(weights) - min(weights)) / (CODES - 1)
    zero = round(-min(weights) / scale)
    return [scale * (code - zero) for code in range(CODES)]


def normal(weights: Sequence[float]) -> list[float]:
    """The levels of NF4: quantiles of a normal distribution, scaled to the largest weight (QLoRA, arXiv 2305.14314)."""
    outermost = 0.9677083  # the quantile that becomes 1, as in create_normal_map of the library that NF4 is from
    quantile = NormalDist().inv_cdf
    above = [quantile(outermost + (0.5 - outermost) * step / 8) for step in range(8)]
    below = [-quantile(outermost + (0.5 - outermost) * step / 7) for step in range(7)]
    largest = max(map(abs, weights))
    return sorted(largest * one / above[0] for one in (*above, 0.0, *below))


def nearest(weights: Sequence[float], levels: Sequence[float]) -> list[float]:
    """The weights, each rounded to a level."""
    return [min(levels, key=lambda level: abs(level - weight)) for weight in weights]


def error(weights: Sequence[float], rounded: Sequence[float]) -> float:
    """What rounding did, as a share of the weights' size."""
    off = sum((one - other) ** 2 for one, other in zip(weights, rounded, strict=True))
    return float((off / sum(one * one for one in weights)) ** 0.5)


def groups(weights: Sequence[float]) -> list[Sequence[float]]:
    """Cut into groups that have a scale each."""
    return [weights[start : start + GROUP] for start in range(0, len(weights), GROUP)]


def across(lowest: float, highest: float) -> Callable[[float], float]:
    """From a weight to a place between the left and the right edge."""
    return lambda weight: LEFT + (weight - lowest) / (highest - lowest) * (RIGHT - LEFT)


def strip(drawing: Drawing, weights: Sequence[float], levels: Sequence[float], place: Callable[[float], float],
          codes: Sequence[str] = ()) -> None:  # fmt: skip
    """Weights on a line, the levels on another below it, and from each weight a line to its level."""
    top, bottom = drawing.height + 10, drawing.height + 46
    rounded = nearest(weights, levels)
    drawing.paths.append(Path(f"M{LEFT} {bottom}H{RIGHT}", "plot-level"))
    for weight, level in zip(weights, rounded, strict=True):
        drawing.paths.append(Path(f"M{place(weight):.1f} {top}L{place(level):.1f} {bottom}", "plot-tie"))
    for level in levels:
        if level in rounded:
            drawing.marks.append(Mark("square", place(level), bottom))
        else:
            drawing.paths.append(Path(f"M{place(level):.1f} {bottom - 6}v12", "plot-front"))
    drawing.marks += [Mark("circle", place(weight), top) for weight in weights]
    drawing.texts += [Text(place(level), bottom + 20, code, "middle")
                      for level, code in zip(levels, codes, strict=False) if code]  # fmt: skip
    drawing.height = bottom + (26 if codes else 14)


def grid() -> Drawing:
    """16 weights rounded to a grid: symmetric, with a zero point, NF4."""
    weights = WEIGHTS[GROUP : 2 * GROUP]
    place = across(min(weights) * 1.04, max(map(abs, weights)) * 1.04)
    kinds = (("int4, symmetric", symmetric), ("int4 with a zero point", shifted), ("NF4", normal))
    errors = {name: error(weights, nearest(weights, levels(weights))) for name, levels in kinds}
    drawing = Drawing(
        f"{GROUP} weights between {min(weights):.3f} and {max(weights):.3f}, each tied to the nearest level of a grid. "
        + "; ".join(f"{name}: error {100 * one:.1f} %" for name, one in errors.items())
        + "."
    )
    for name, levels in kinds:
        found = levels(weights)
        used = len(set(nearest(weights, found)))
        drawing.say(f"{name}: error {100 * errors[name]:.1f} %", "plot-name")
        scale = "" if levels is normal else f"scale {found[1] - found[0]:.4f}, "
        drawing.say(f"{scale}{used} of {len(found)} levels used")
        first = -LARGEST if levels is symmetric else 0
        codes = [] if levels is normal else [f"{first + step}" for step in range(len(found))]
        if levels is shifted:
            codes[1::2] = [""] * (CODES // 2)  # two digits leave no room for all
        strip(drawing, weights, found, place, codes)
        drawing.height += 12
    return drawing


def outlier() -> Drawing:
    """The same grid for 15 weights, and for these with a large one beside them."""
    weights = WEIGHTS[:GROUP]
    large = max(weights, key=abs)
    others = [one for one in weights if one != large]
    place = across(-large, large)
    alone, beside = (error(others, nearest(others, symmetric(which))) for which in (others, weights))
    drawing = Drawing(
        f"15 weights up to {max(map(abs, others)):.2f} on a 4-bit grid of their own: error {100 * alone:.1f} %. On the grid "
        f"that a weight of {large:.2f} beside them stretches: error {100 * beside:.1f} %."
    )
    for which, name, off in ((others, "15 weights", alone), (weights, f"with a weight of {large:.2f}", beside)):
        levels = symmetric(which)
        drawing.say(f"{name}: scale {levels[1] - levels[0]:.4f}", "plot-name")
        drawing.say(f"error of the 15: {100 * off:.1f} %, {len(set(nearest(others, levels)))} levels used by them")
        top = drawing.height + 10
        strip(drawing, others, levels, place)
        if which is weights:
            drawing.marks.append(Mark("triangle", place(large), top))
        drawing.height += 12
    return drawing


def panel(drawing: Drawing, weights: Sequence[float], levels: Sequence[Sequence[float]]) -> None:
    """Weights one after the other, above the levels of each group."""
    high, low, tall = max(weights) * 1.05, min(weights) * 1.15, 150
    top = drawing.height + 4
    wide = (RIGHT - LEFT) / len(levels)

    def down(weight: float) -> float:
        return top + (high - weight) / (high - low) * tall

    for number, group in enumerate(levels):
        start = LEFT + number * wide
        drawing.paths += [Path(f"M{start:.1f} {down(level):.1f}h{wide:.1f}", "plot-level") for level in group
                          if low <= level <= high]  # fmt: skip
        if number:
            drawing.paths.append(Path(f"M{start:.1f} {top}v{tall}", "plot-reference"))
    step = (RIGHT - LEFT) / len(weights)
    largest = max(weights, key=abs)
    drawing.marks += [Mark("triangle" if weight == largest else "small", LEFT + (number + 0.5) * step, down(weight))
                      for number, weight in enumerate(weights)]  # fmt: skip
    drawing.height = top + tall + 8


def grouped() -> Drawing:
    """64 weights with one scale, and with a scale for each 16."""
    cut = groups(WEIGHTS)
    one = error(WEIGHTS, nearest(WEIGHTS, symmetric(WEIGHTS)))
    several = error(WEIGHTS, [level for group in cut for level in nearest(group, symmetric(group))])
    drawing = Drawing(
        f"{len(WEIGHTS)} weights of a row, the levels of their 4-bit grids as lines. One scale: error {100 * one:.1f} %. A "
        f"scale for each {GROUP}: error {100 * several:.1f} %, since groups without the largest weight get finer levels."
    )
    drawing.say(f"one scale: error {100 * one:.1f} %", "plot-name")
    panel(drawing, WEIGHTS, [symmetric(WEIGHTS)])
    drawing.say(f"a scale for each {GROUP}: error {100 * several:.1f} %", "plot-name")
    panel(drawing, WEIGHTS, [symmetric(group) for group in cut])
    return drawing


def kernel() -> Drawing:
    """What a kernel does with rounded weights alone, and with rounded activations too."""
    drawing = Drawing(
        "Weight-only: packed 4-bit weights and scales are read, unpacked to bf16 in registers, and multiplied with bf16 "
        "activations. W8A8: int8 weights are read, activations are rounded to int8, the product of integers is scaled."
    )
    flows = {
        "Weight-only, W4A16": (
            ("memory:", "packed 4-bit weights,", "a scale a group"),
            ("registers:", "unpack, times scale:", "bf16"),
            ("product of bf16", "and bf16 activations"),
        ),
        "W8A8": (
            ("memory:", "int8 weights,", "a scale a row"),
            ("activations:", "rounded to int8,", "a scale a token"),
            ("product of int8,", "summed in int32,", "times both scales"),
        ),
    }
    wide, tall = 160, 66
    for column, (name, steps) in enumerate(flows.items()):
        x = LEFT + column * (wide + 16)
        drawing.texts.append(Text(x, 14, name, kind="plot-name"))
        for number, lines in enumerate(steps):
            y = 24 + number * (tall + 24)
            drawing.boxes.append(Box(x, y, wide, tall))
            drawing.texts += [Text(x + 10, y + 20 + STEP * row, text) for row, text in enumerate(lines)]
            if number:
                drawing.paths.append(Path(f"M{x + wide / 2} {y - 24}v20m-5 -7l5 7l5 -7", "plot-front"))
    drawing.height = 24 + 3 * tall + 2 * 24 + 6
    return drawing


def packed() -> Drawing:
    """How eight 4-bit codes become one integer of 32 bits, the first in the lowest bits."""
    weights = WEIGHTS[GROUP : GROUP + PACKED]
    scale = symmetric(weights)[1] - symmetric(weights)[0]
    codes = [round(weight / scale) + LARGEST + 1 for weight in weights]
    word = sum(code << 4 * place for place, code in enumerate(codes))
    bits = 4 + 16 / USUAL_GROUP
    drawing = Drawing(
        f"{PACKED} weights become codes from 0 to 15, the codes one int32, {word:#010x}, the first in its lowest bits. With "
        f"a scale of 16 bits for each {USUAL_GROUP} weights: {bits} bits a weight in place of 16."
    )
    wide = (RIGHT - LEFT) / PACKED
    rows = (
        (f"{PACKED} weights in bf16: {16 * PACKED} bits", [f"{weight:.2f}" for weight in weights], 4),
        (f"divided by the scale {scale:.4f}, rounded, plus {LARGEST + 1}", [str(code) for code in codes], 4),
        ("in one int32, first in the lowest bits: 32 bits", [f"{code:04b}" for code in reversed(codes)], 0),
    )
    for name, texts, gap in rows:
        drawing.say(name, "plot-name")
        y = drawing.height + 4
        for number, text in enumerate(texts):
            x = LEFT + number * wide
            drawing.boxes.append(Box(round(x, 1), y, round(wide - gap, 1), 28))
            drawing.texts.append(Text(x + (wide - gap) / 2, y + 19, text, "middle"))
        drawing.height = y + 28 + 10
    drawing.say(f"{word:#010x}, and a 16-bit scale for {USUAL_GROUP} weights:")
    drawing.say(f"4 + 16/{USUAL_GROUP} = {bits} bits a weight")
    drawing.height += 4
    return drawing


DIAGRAMS: dict[str, Callable[[], Drawing]] = {
    "grid": grid,
    "groups": grouped,
    "outlier": outlier,
    "packing": packed,
    "kernel": kernel,
}


def svg(name: str) -> str:
    """A diagram as SVG in HTML; raises ValueError if there is none of that name."""
    if name not in DIAGRAMS:
        raise ValueError(f"no diagram '{name}'; there are {', '.join(DIAGRAMS)}")
    return render("diagram.html.jinja", drawing=DIAGRAMS[name](), width=WIDTH)
