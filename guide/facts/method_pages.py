"""What a method's page says in several places: its head beside its prose, its kernels, its notebooks and its links."""

import re
from collections.abc import Iterator

from guide.facts.guide import Guide
from guide.facts.method import Method, in_order

CAPABILITY = r"\d+\.\d"
NEEDED = re.compile(rf"\bneeds (?:an? [\w ]{{0,25}}GPU of )?compute capability ({CAPABILITY})(?: to ({CAPABILITY}))?")
CLASS = re.compile(r", (\w+)$")  # at the end of a source: the kernel's own name
IN_DTYPE = re.compile(r"\bscales?\b[^.;]{0,30}\bin (fp16|bf16|float16|bfloat16|fp32|float32)\b")
BYTES = {"fp16": 2, "bf16": 2, "float16": 2, "bfloat16": 2, "fp32": 4, "float32": 4}
CALIBRATES = re.compile(r"\bcalibration|\bcalib_|\bdataset=")
LIBRARY_PAGE = re.compile(r"/docs/transformers/(?:[\w.]+/)?(?:en/)?quantization/(\w+)/?$")
PAPER = re.compile(r"\[([^\]]*)\]\(https://arxiv\.org/(?:abs|pdf)/([^)\s]*)\)")
IN_LINKS = re.compile(r"arxiv\.org/(?:abs|pdf)/(.*)")
IDENTIFIER = re.compile(r"\d\d(?:0[1-9]|1[0-2])\.\d{4,5}(?:v\d+)?")
NAME = re.compile(r"[A-Z][\w.()-]{2,}")  # that a paper or its authors have


def faults(guide: Guide) -> Iterator[str]:
    """Pages of methods that contradict themselves, and papers that two pages know otherwise, a sentence each."""
    for name, method in guide.methods.items():
        page = f"methods/{name}.md"
        for sentence in (
            *_capabilities(method, guide.pages[page]),
            *_kernels(method),
            *_calibration(guide, method),
            *_scales(guide, method, guide.pages[page]),
            *_library_page(name, method),
        ):
            yield f"docs/{page}: {sentence}"
    yield from _counts(guide)
    yield from _papers(guide)


def _capabilities(method: Method, text: str) -> Iterator[str]:
    """Compute capabilities of the head that the page does not say, and those of the prose that the head does not have."""
    nvidia = method.hardware.nvidia
    for field in ("capability", "not_from"):
        given = getattr(nvidia, field)
        if given is None:
            continue
        rest = re.sub(rf'^\s*{field}: "{re.escape(given)}"$', "", text, flags=re.MULTILINE)
        if not re.search(rf"(?<![\d.]){re.escape(given)}(?!\d|\.\d)", rest):
            yield (f"hardware.nvidia.{field} is {given}, which nothing else on the page says: correct it, or say it where the "
                   "page says what it needs.")  # fmt: skip
    prose = " ".join(text.partition("\n---\n")[2].split())
    for least, most in NEEDED.findall(prose):
        if least != nvidia.capability:
            own = f"hardware.nvidia.capability {nvidia.capability}"
            yield f"its text says 'needs compute capability {least}', {own}: correct one."
        elif most and not (nvidia.not_from and in_order(most) < in_order(nvidia.not_from)):
            own = f"hardware.nvidia.not_from {nvidia.not_from}"
            yield f"its text says 'compute capability {least} to {most}', {own}: correct one."


def _kernels(method: Method) -> Iterator[str]:
    """A variant's kernel beside the entry of that kernel."""
    for variant in method.variants:
        named = CLASS.search(variant.kernel_source)
        if not named or not variant.kernel_capability:
            continue
        for kernel in method.kernels:
            own = re.split(r"[ ,]", kernel.name)[0] == named[1] and "CUDA" in kernel.runs_on
            if own and not re.search(rf"(?<![\d.]){re.escape(variant.kernel_capability)}(?!\d)", kernel.runs_on):
                field = f"variants.{variant.id}.kernel_capability"
                yield f"{field} is {variant.kernel_capability}, but {named[1]} runs on '{kernel.runs_on}': correct one."


def _calibration(guide: Guide, method: Method) -> Iterator[str]:
    """A calibration that no notebook of the page does."""
    code = [cell.source for name in method.notebooks for cell in guide.scripts[name].cells() if cell.cell_type == "code"]
    if method.calibration == "needed" and code and not CALIBRATES.search("\n".join(code)):
        yield "calibration is 'needed', but no cell of its notebooks calibrates: correct it, or show how."


def _scales(guide: Guide, method: Method, text: str) -> Iterator[str]:
    """What a scale takes, beside the type that the prose of the page and of its notebooks gives it."""
    cells = [cell.source for name in method.notebooks for cell in guide.scripts[name].cells() if cell.cell_type == "markdown"]
    said = IN_DTYPE.findall(" ".join("\n".join([text.partition("\n---\n")[2], *cells]).split()))
    stored = {(variant.id, one.bytes) for variant in method.variants for one in variant.storage if one.what == "scales"}
    if said and stored and not {BYTES[one] for one in said} & {size for _, size in stored}:
        variant, size = min(stored)
        yield f"variants.{variant}.storage has scales of {size:g} bytes, and the prose says '{said[0]}': correct one."


def _library_page(name: str, method: Method) -> Iterator[str]:
    """A link to another method's page of the library's documentation."""
    own = [_plain(one) for one in (name, method.title, *method.transformers.keys)]
    for number, link in enumerate(method.links):
        found = LIBRARY_PAGE.search(str(link.url))
        if found and not any(_plain(found[1]) in one or one in _plain(found[1]) for one in own):
            yield f"links.{number}.url leads to the documentation's page '{found[1]}', not to this method's: correct it."


def _plain(name: str) -> str:
    """A name without signs and capitals."""
    return re.sub(r"[\W_]", "", name).lower()


def _counts(guide: Guide) -> Iterator[str]:
    """How many keys the registry has, where a page says it: those that the pages of methods cover."""
    count = sum(len(method.transformers.keys) for method in guide.methods.values())
    for page, text in guide.pages.items():
        for said in re.findall(r"\ball (\d+) keys\b", " ".join(text.split())):
            if int(said) != count:
                yield f"docs/{page}: 'all {said} keys', and the pages of methods have {count}: correct one."


def _papers(guide: Guide) -> Iterator[str]:
    """Papers of arXiv whose number is none, is not the one that the link says, is of another year, or another paper's."""
    known: dict[str, tuple[str, set[str]]] = {}
    numbers: dict[str, tuple[str, str]] = {}
    for place, title, number in _links(guide):
        said = re.match(r"arXiv:(\S+)", title)
        year = re.search(r"\b(?:19|20)(\d\d)\)?$", title)
        named = [one for one in NAME.findall(title.partition(": ")[2] or title) if one not in ("Paper", "arXiv")]
        short = [one for one in named[:1] if not said and len(re.findall(r"[A-Z]", one)) > 1]  # an acronym: its method's
        names, own = set(named), "".join(short)
        first, others = known.setdefault(number, (place, names))
        before, other = numbers.setdefault(own, (place, number))
        if not IDENTIFIER.fullmatch(number):
            yield f"{place} leads to arXiv {number}, which is no number of a paper: correct it."
        elif said and said[1] != number:
            yield f"{place} says arXiv {said[1]} and leads to {number}: correct one."
        elif year and year[1] != number[:2]:
            yield f"{place} says '{title}' and leads to arXiv {number}, which is of 20{number[:2]}: correct one."
        elif names and others and not said and not names & others:
            yield f"{place} leads to arXiv {number} as '{title}', which is another paper in {first}: correct one."
        elif own and other != number:
            yield f"{place} leads to arXiv {number} for {own}, and {before} to {other}: correct one."


def _links(guide: Guide) -> Iterator[tuple[str, str, str]]:
    """Each link to arXiv: where, with what title, to which number."""
    for name, method in guide.methods.items():
        for position, link in enumerate(method.links):
            if found := IN_LINKS.search(str(link.url)):
                yield f"docs/methods/{name}.md: links.{position}.url", link.title, found[1]
    for page, text in guide.pages.items():
        for title, number in PAPER.findall(" ".join(text.split())):
            yield f"docs/{page}: '[{title}]'", title, number
