"""The two files of a new method. Whoever adds one fills in what is marked ``FILL``; loading names what is left."""

import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from guide.facts.guide import Guide
from guide.project import GuideError

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def method_files(guide: Guide, name: str) -> dict[str, str]:
    """{path below the project: text} of the page and the script of a new method.

    Raises GuideError if the name is none, or if there is such a method or script already.
    """
    if not NAME.fullmatch(name):
        raise GuideError(f"'{name}' is no name for a method: use small letters, digits and single hyphens, as in 'my-method'.")
    script = name.replace("-", "_")
    paths = {f"docs/methods/{name}.md": "method.md.jinja", f"snippets/{script}.py": "script.py.jinja"}
    if name in guide.methods or script in guide.scripts:
        raise GuideError(f"There is {' or '.join(paths)} already: edit it, or choose another name.")
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).resolve().parent / "templates"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        comment_start_string="{##",  # an anchor of Markdown begins with {#
    )
    common = max(guide.scripts.values(), key=lambda known: known.pins["transformers"] == guide.transformers)
    pins = {package: common.pins[package] for package in ("torch", "transformers", "accelerate")}
    return {
        path: templates.get_template(template).render(name=name, script=script, pins=pins) for path, template in paths.items()
    }
