"""The picture that a link to a page shows where it is shared: title and description, drawn while the site is built."""

from pathlib import Path
from textwrap import wrap

from PIL import Image, ImageDraw, ImageFont

WIDE, HIGH, EDGE = 1200, 630, 90  # pixels; what those who show such pictures ask for
PAPER, FOREST, EMBER = "#fffdf8", "#14342b", "#f0a36b"  # of the style sheet and the logo
TITLE, TEXT, SITE = 68, 34, 34  # pixels of a letter
TITLE_LINES, TEXT_LINES = 3, 4
WIDEST = 76  # letters that a line never holds more of
STAIR = ((5, 26), (10, 26), (10, 21), (14, 21), (14, 15), (18, 15), (18, 9), (22, 9), (22, 6), (27, 6))  # of the logo, 32 wide
CURVE = ((5, 26), (14, 25), (17, 6), (27, 6))  # the points of its Bézier curve


def card(path: Path, site: str, title: str, description: str) -> None:
    """Write the picture of one page as PNG."""
    picture = Image.new("RGB", (WIDE, HIGH), FOREST)
    draw = ImageDraw.Draw(picture)
    _logo(draw, EDGE, EDGE - 10, 3)
    draw.text((EDGE + 120, EDGE + 18), site, PAPER, ImageFont.load_default(SITE))
    down = 230
    for text, size, colour, most in ((title, TITLE, PAPER, TITLE_LINES), (description, TEXT, EMBER, TEXT_LINES)):
        font = ImageFont.load_default(size)
        for line in _lines(text, font, most):
            draw.text((EDGE, down), line, colour, font)
            down += round(1.25 * size)
        down += 24
    picture.quantize(32).save(path, optimize=True)


def _lines(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, most: int) -> list[str]:
    """A text in lines that fit; what is left after ``most`` of them is cut."""
    room = WIDE - 2 * EDGE
    text = text.replace("×", "x")  # which the font does not have
    width = next(width for width in range(WIDEST, 0, -1) if all(font.getlength(line) <= room for line in wrap(text, width)))
    return wrap(text, width, max_lines=most, placeholder=" …")


def _logo(draw: ImageDraw.ImageDraw, left: int, top: int, size: float) -> None:
    """The logo's two lines, ``size`` pixels for each of its own."""

    def at(x: float, y: float) -> tuple[float, float]:
        return left + size * x, top + size * y

    steps = [number / 40 for number in range(41)]
    weights = [((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3) for t in steps]
    curve = [[sum(w * p[axis] for w, p in zip(weight, CURVE, strict=True)) for axis in (0, 1)] for weight in weights]
    draw.line([at(x, y) for x, y in curve], EMBER, round(2.4 * size), joint="curve")
    draw.line([at(x, y) for x, y in STAIR], PAPER, round(2.4 * size), joint="curve")
