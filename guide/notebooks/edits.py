"""The one way in which text of a script is replaced: for a variant of its code, a control run, or a short calibration."""

import re
from collections import Counter
from collections.abc import Mapping

from guide.project import GuideError


def _whole(text: str) -> str:
    """A pattern of ``text`` where no word goes on beside it: ``bits=4`` is not in ``nbits=4``."""
    before = r"(?<!\w)" if re.match(r"\w", text) else ""
    after = r"(?!\w)" if re.search(r"\w$", text) else ""
    return f"{before}{re.escape(text)}{after}"


def holds(code: str, text: str) -> bool:
    """Whether ``code`` has ``text`` as a whole."""
    return re.search(_whole(text), code) is not None


def edited(code: str, edits: Mapping[str, str], place: str) -> str:
    """``code`` with each text of ``edits`` replaced, all at once, the longer first.

    Raises GuideError naming ``place`` and the text unless each is replaced exactly once.
    """
    if not edits:
        return code
    pattern = re.compile("|".join(_whole(old) for old in sorted(edits, key=len, reverse=True)))
    replaced = Counter(match[0] for match in pattern.finditer(code))
    for old in edits:
        if replaced[old] != 1:
            found = f"{replaced[old]} times" if replaced[old] else "nowhere"
            raise GuideError(f"{place} must hold '{old}' exactly once, to be replaced; it is there {found}.")
    return pattern.sub(lambda match: edits[match[0]], code)
