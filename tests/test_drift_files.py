"""What changed in a library's files: two made-up packages, a wheel and an sdist, and the places of the guide they touch."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.version import Version

from guide.guest.registry import Description
from guide.library import newest, releases
from guide.library.__main__ import main
from guide.library.changes import Kind, changes
from guide.library.check import installed
from guide.library.newest import report
from guide.library.places import Place, Reach, Touched, places, told_once
from guide.library.releases import Archive, Release, Source, fetched, read_source, sources
from guide.library.telling import sorted_out
from guide.project import GuideError

OLD = {
    "tinylib/__init__.py": "from .config import TinyConfig, TinyGone\n",
    "tinylib/config.py": '''
"""A made-up library."""

LOWEST_TINY = "1.0"


class TinyConfig:
    """Of a model."""

    def __init__(self, tiny_bits: int = 4, tiny_groups: int = 128, **kwargs):
        self.tiny_bits = tiny_bits


class TinyGone:
    pass
''',
    "tinylib/quantizer.py": """
class TinyQuantizer:
    def tiny_quantize(self, model, tiny_bits):
        if tiny_bits > 8:
            raise ValueError(f"A tiny quantizer takes up to 8 bits, not {tiny_bits}. Take fewer bits.")
        return model

    def other_quantize(self, model):
        return model
""",
    "tinylib/quiet.py": '''
def quiet(one, two=2):
    """Said at first."""
    return one  # as it is
''',
    "tinylib/elsewhere.py": "def unheard_of():\n    return 1\n",
    "tinylib/leaves.py": "class TinyMoves:\n    def run_tiny(self):\n        return 1\n",
}
NEW = {
    "tinylib/__init__.py": "from .config import TinyConfig\n",
    "tinylib/config.py": OLD["tinylib/config.py"].replace("= 128", "= 64").replace('"1.0"', '"2.0"').rpartition("class")[0],
    "tinylib/quantizer.py": OLD["tinylib/quantizer.py"]
    .replace("takes up to 8 bits, not", "cannot do with more than 8 bits:")
    .replace(
        "    def other_quantize(self, model):\n        return model",
        "    def other_quantize(self, model):\n        return None",
    ),
    "tinylib/quiet.py": '''
def quiet(one: int, two: int = 2) -> int:
    """Said in other words,

    and more of them.
    """
    # a comment
    return one
''',
    "tinylib/elsewhere.py": "def unheard_of():\n    return 2\n\n\ndef of_no_page():\n    return 1\n",
    "tinylib/arrives.py": OLD["tinylib/leaves.py"],
}
PAGE = """---
title: Tiny
cells:
  cpu:
    answer: "yes"
    source: "tinylib 1.0, quantizer.py other_quantize"
symptoms:
- id: too-many
  message: "A tiny quantizer takes up to 8 bits"
---
# Tiny

tinylib's `TinyConfig` has `tiny_groups`, 128 if you say nothing.

`TinyGone` of tinylib is here to stay.
"""


def a_wheel(folder: Path, version: str, files: dict[str, str]) -> Archive:
    """A wheel of tinylib."""
    path = folder / f"tinylib-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
        asks = "torch<2" if version == "1.0" else "torch<3"
        wheel.writestr(f"tinylib-{version}.dist-info/METADATA", f"Name: tinylib\nRequires-Dist: {asks}\n")
    return Archive("wheel", str(path), path.stat().st_size, "")


def an_sdist(folder: Path, version: str, files: dict[str, str]) -> Archive:
    """The source alone, below src/ as many have it, with what is not installed."""
    path = folder / f"tinylib-{version}.tar.gz"
    more = {"setup.py": "x = 1\n", "tests/test_tiny.py": f"version = {version}\n", "PKG-INFO": "Name: tinylib\n"}
    with tarfile.open(path, "w:gz") as sdist:
        for name, text in {**{f"src/{name}": text for name, text in files.items()}, **more}.items():
            member = tarfile.TarInfo(f"tinylib-{version}/{name}")
            member.size = len(text.encode())
            sdist.addfile(member, io.BytesIO(text.encode()))
    return Archive("sdist", str(path), path.stat().st_size, "")


def both(folder: Path, make) -> tuple[Source, Source]:
    """The two releases, read from archives of one kind."""
    pair = [Release("tinylib", Version(version), (make(folder, version, files),))
            for version, files in (("1.0", OLD), ("2.0", NEW))]  # fmt: skip
    return sources(pair[0], pair[1], folder)


@pytest.fixture(params=[a_wheel, an_sdist], ids=["wheel", "sdist"])
def pair(request, tmp_path) -> tuple[Source, Source]:
    """tinylib 1.0 and 2.0."""
    return both(tmp_path, request.param)


@pytest.fixture(scope="module")
def known(guide) -> list[Place]:
    """The places of the guide with one page more."""
    return places(replace(guide, pages={**guide.pages, "tiny.md": PAGE}))


def lines(pair: tuple[Source, Source], known: list[Place]):
    """What a report says of tinylib."""
    before, after = pair
    return sorted_out(told_once(changes(before.files, after.files)), Touched(known, before, after, ["torch", "transformers"]))


def test_a_wheel_and_an_sdist_hold_the_same_files(pair):
    assert [dict(one.files) for one in pair] == [OLD, NEW]


def test_what_makes_a_page_wrong_comes_first_with_the_lines_and_fields_that_say_it(pair, known):
    line = PAGE[: PAGE.index("tinylib's")].count("\n") + 1
    assert lines(pair, known).wrong == [
        '`tinylib/quantizer.py` `TinyQuantizer.tiny_quantize` said "A tiny quantizer takes up to 8 bits, not {}. Take fewer '
        'bits.", says "A tiny quantizer cannot do with more than 8 bits: {}. Take fewer bits.": '
        "docs/tiny.md (symptoms.too-many)",
        f"`tinylib/config.py` `TinyConfig` `tiny_groups` was `128`, is `64`: docs/tiny.md (line {line})",
        f"`tinylib/config.py` `TinyGone` is gone: docs/tiny.md (line {line + 2})",
    ]


def test_a_body_that_a_cell_s_source_names_touches_that_cell(pair, known):
    """The message touches a symptom, which is told first; the rest of the file has the cell that names the file."""
    [line] = lines(pair, known).touching
    assert line == "`tinylib/quantizer.py` `TinyQuantizer.other_quantize` its code changed: docs/tiny.md (cells.cpu)"


def test_what_touches_nothing_is_a_line_for_a_file_about_quantization_and_else_a_count(pair, known):
    """A constant, a class that moved, other code and a new function, which no page names; and of a quantizer's file."""
    before, after = pair
    more = {"tinylib/quantizer.py": f"{after.files['tinylib/quantizer.py']}\n\nclass NewQuantizer:\n    pass\n"}
    found = lines((before, replace(after, files={**after.files, **more})), known)
    assert found.rest == ["4 changes in 3 other files"]
    elsewhere = [place for place in known if "quantizer.py" not in place.text]
    assert lines((before, replace(after, files={**after.files, **more})), elsewhere).rest == [
        "`tinylib/quantizer.py`: 1 new, 1 other code",
        "4 changes in 3 other files",
    ]


def test_docstrings_comments_annotations_and_layout_are_no_change():
    assert changes({"a.py": OLD["tinylib/quiet.py"]}, {"a.py": NEW["tinylib/quiet.py"]}) == []
    assert changes({"a.py": "def f():\n    'one'\n    g(1,2)\n"}, {"a.py": "def f():\n    g(1, 2)\n"}) == []


def test_a_class_that_moved_is_told_as_moved_with_what_changed_in_it():
    before = {"a.py": "class Left:\n    def run(self, one=1):\n        return 1\n", "b.py": ""}
    after = {"a.py": "", "b.py": "class Left:\n    def run(self, one=2):\n        return 1\n"}
    assert [(one.kind, one.name, one.what) for one in changes(before, after)] == [
        (Kind.LOST, "Left", "moved to b.py"),
        (Kind.DEFAULT, "Left.run", "`one` was `1`, is `2`"),
    ]


@pytest.mark.parametrize("old, new, what", [
    ("class C:\n    one: int = 1\n", "class C:\n    one: int = 2\n", "`one` was `1`, is `2`"),
    ("def f(one, two): ...\n", "def f(one): ...\n", "no longer takes `two`"),
    ("def f(one): ...\n", "def f(one, two): ...\n", "takes `two`, new, without a default"),
    ("def f(*, one=1): ...\n", "@gone('one')\ndef f(): ...\n", "no longer takes `one`, but for `gone('one')`"),
    ("if x:\n    A = 1\n", "if x:\n    A = 2\n", "was `1`, is `2`"),
    ("A = ['b', 'c'] + names_of_many_things_which_together_do_not_fit_here_at_all\n",
     "A = ['c', 'd'] + names_of_many_things_which_together_do_not_fit_here_at_all\n", "has lost `b`; has got `d`"),
    ("def f():\n    log.warning('it is so')\n", "def f():\n    log.warning('it was once so')\n",
     'said "it is so", says "it was once so"'),
    ("def f():\n    m = 'it is so'\n    raise E(m)\n", "def f():\n    m = 'quite another text'\n    raise E(m)\n",
     'no longer says "it is so"'),
])  # fmt: skip
def test_each_kind_of_change_has_its_words(old, new, what):
    assert changes({"a.py": old}, {"a.py": new})[0].what == what


def test_a_field_s_help_is_no_default():
    old = "class C:\n    one: int = field(default=1, metadata={'help': 'as it is'})\n"
    assert changes({"a.py": old}, {"a.py": old.replace("as it is", "as it was")}) == []
    [one] = changes({"a.py": old}, {"a.py": old.replace("default=1", "default=2")})
    assert one.what == "`one` was `1`, is `2`"


def test_an_argument_that_many_functions_lost_is_told_once():
    before = "".join(f"def run_{number}(many_calls, rest): ...\n" for number in range(30))
    [one] = told_once(changes({"a.py": before}, {"a.py": before.replace("many_calls, ", "")}))
    assert one.what == "30 functions no longer take `many_calls`"


def test_a_message_that_another_function_says_now_is_not_lost():
    text = "    raise E('a text that is long enough to be found')\n"
    found = changes({"a.py": f"def f():\n{text}\n    return 1\n"}, {"a.py": f"def g():\n{text}\n    return 2\n"})
    assert [one.texts for one in found if one.kind is Kind.LOST] == [()]


def test_two_long_messages_are_shown_from_where_they_differ():
    long = "a text that is so long that nobody would want to read all of it to see what is another in it, namely this"
    before, after = (f"def f():\n    raise E('{text}')\n" for text in (f"{long} word", f"{long} other"))
    [one] = changes({"a.py": before}, {"a.py": after})
    assert one.what == 'said "...is another in it, namely this word", says "...is another in it, namely this other"'


def test_a_short_piece_that_many_messages_have_is_no_quotation():
    text = "{a} is not supported for {b}, since it is not made for all of these"
    found = changes({"lib/a.py": f"def f():\n    raise E(f'{text}')\n"}, {"lib/a.py": "def f():\n    raise E('another')\n"})
    sources = [Source("lib", Version("1"), {}, {})] * 2
    short = Place(
        "docs/a.md", "symptoms.a", 0, "message .to is not supported for", frozenset(), ".to ... is not supported for ..."
    )
    whole = replace(short, text="", message="is not supported for ..., since it is not made for all of these")
    assert Touched([short, whole], *sources, []).by(found[0]) == {whole: Reach.TEXT}


def test_a_class_that_is_gone_takes_its_messages_along():
    text = "class Gone:\n    def f(self):\n        raise E('a text that is long enough to be found')\n"
    [one] = changes({"a.py": text}, {"a.py": ""})
    assert (one.name, one.texts) == ("Gone", ("a text that is long enough to be found",))


def test_a_plain_word_is_no_name_of_a_function_that_nobody_calls_there():
    """``start`` in a script is a variable; a method ``start`` of some class is not meant."""
    before, after = ({"lib/a.py": f"class Engine:\n    def start(self):\n        return {number}\n"} for number in (1, 2))
    place = Place("snippets/a.py", "", 1, "import lib\nstart = 1\n", frozenset(["lib"]))
    calls = Place("snippets/b.py", "", 1, "from lib import Engine\nEngine().start()\n", frozenset(["lib"]))
    pair = [Source("lib", Version(str(number)), files, {}) for number, files in ((1, before), (2, after))]
    [change] = changes(before, after)
    assert Touched([place, calls], pair[0], pair[1], []).by(change) == {calls: Reach.NAME}


def test_a_place_that_speaks_of_another_library_is_not_touched(pair):
    place = Place("docs/a.md", "", 1, "`TinyGone` is a class of torchao.", frozenset(["tinylib"]))
    before, after = pair
    touched = Touched([place], before, after, ["torchao"])
    assert [touched.by(one) for one in changes(before.files, after.files) if touched.by(one)] == []


def test_pages_cells_traps_symptoms_and_scripts_are_places(guide):
    found = {(place.path, place.part) for place in places(guide)}
    method = next(method for method in guide.methods.values() if method.traps)
    trap = method.traps[0].id
    assert any(part == f"traps.{trap}" for _, part in found)
    assert any(part == f"trap {trap}" and path.startswith("snippets/") for path, part in found)
    assert any(path == "docs/symptoms.md" and part.startswith("symptoms.") for path, part in found)
    assert {"features.peft", "hardware.cpu"} <= {part for path, part in found if path.startswith("docs/methods/")}


def test_a_cell_of_a_script_is_named_with_its_line(guide):
    for place in (place for place in places(guide) if place.path in {script.path for script in guide.scripts.values()}):
        text = guide.scripts[Path(place.path).stem].text
        assert text.splitlines()[place.line - 1] == place.text.splitlines()[0]


def test_a_method_that_an_engine_lists_anew_or_no_longer_makes_its_page_wrong(guide):
    name, listed = next(
        (name, one) for name, one in guide.registries.items() if guide.engines[name].package == one.distribution
    )
    kept = [*listed.names[1:], "made-up"]
    pair = tuple(Source(listed.distribution, Version(version), {listed.file: f"{listed.name} = {names!r}\n"}, {})
                 for version, names in (("1.0", listed.names), ("2.0", kept)))  # fmt: skip
    start = f"docs/engines/{name}.md: {listed.name} of {listed.distribution} 2.0 has"
    assert list(newest.engine_lines(guide, {listed.distribution: pair})) == [
        f"{start} new: made-up",
        f"{start} no longer: {listed.names[0]}",
    ]


def test_what_a_release_asks_for_anew_and_what_is_held_stand_beside_it(guide, tmp_path):
    read = {"tinylib": both(tmp_path, a_wheel)}
    pins = {"tinylib": {Version("1.0")}, "torch": {Version("1.9")}}
    assert list(newest.release_lines(guide, pins, {"tinylib": Version("2.0")}, read)) == [
        "tinylib: 1.0 pinned, 2.0 released",
        "tinylib 2.0 asks for torch <3; 1.0 asked for <2",
    ]
    [(script, reason)] = newest.held(guide)["matplotlib"].items()
    assert list(newest.held_lines(newest.held(guide), {"matplotlib": Version("99.0")})) == [
        f"matplotlib is held in snippets/{script}.py: {reason}"
    ]


def test_what_every_head_holds_is_not_read(guide, tomorrow, monkeypatch):
    """Its code is nobody's to follow until the reason is gone."""
    newer = {"matplotlib": Version("99.0")}
    pins = newest.pinned(guide)
    monkeypatch.setattr(newest, "newest_release", lambda package: newer.get(package, max(pins[package])))
    text = report(guide)
    assert "- matplotlib is held in" in text and "### matplotlib" not in text


def test_an_archive_that_holds_no_python_is_said(tmp_path):
    one = Release("tinylib", Version("1.0"), (an_sdist(tmp_path, "1.0", {}),))
    with pytest.raises(GuideError, match=r"^tinylib 1\.0: tinylib-1\.0\.tar\.gz holds no Python of it"):
        read_source(one, Path(one.archives[0].place))


def test_a_file_that_is_no_archive_is_said(tmp_path):
    path = tmp_path / "tinylib-1.0.tar.gz"
    path.write_text("nothing")
    with pytest.raises(GuideError, match=r"^tinylib-1\.0\.tar\.gz is no readable archive"):
        read_source(Release("tinylib", Version("1.0"), ()), path)


def test_a_release_without_files_is_said(tmp_path):
    one = Release("tinylib", Version("1.0"), ())
    with pytest.raises(GuideError, match=r"^tinylib 1\.0: no index has a wheel or an sdist of it for this Python\.$"):
        sources(one, one, tmp_path)


def test_a_file_is_fetched_once_and_held_to_its_digest(tmp_path):
    path = tmp_path / "a b.whl"
    path.write_bytes(b"text")
    right = hashlib.sha256(b"text").hexdigest()
    there = Archive("wheel", path.as_uri(), 4, right)
    got = fetched(there, tmp_path / "kept")
    path.unlink()
    assert fetched(there, tmp_path / "kept").read_bytes() == got.read_bytes() == b"text"
    got.unlink()
    with pytest.raises(GuideError, match="cannot be fetched"):
        fetched(there, tmp_path / "kept")


def test_a_file_that_is_another_than_the_index_names_is_refused(tmp_path):
    path = tmp_path / "a.whl"
    path.write_bytes(b"text")
    with pytest.raises(GuideError, match="its SHA-256 differs"):
        fetched(Archive("wheel", path.as_uri(), 4, "0" * 64), tmp_path / "kept")


def test_the_smaller_kind_that_both_releases_have_is_read(tmp_path):
    wheels = [a_wheel(tmp_path, version, OLD) for version in ("1.0", "2.0")]
    big = replace(wheels[0], size=9000)
    small = [replace(an_sdist(tmp_path, version, NEW), size=10) for version in ("1.0", "2.0")]
    ones = [Release("tinylib", Version("1.0"), (big, small[0])), Release("tinylib", Version("2.0"), (wheels[1], small[1]))]
    assert dict(sources(ones[0], ones[1], tmp_path)[0].files) == NEW
    only = replace(ones[0], archives=(big,))
    assert dict(sources(only, ones[1], tmp_path)[0].files) == OLD


def test_uv_says_where_a_release_is(tmp_path, monkeypatch):
    """From a folder of wheels, without an index."""
    a_wheel(tmp_path, "1.0", OLD)
    a_wheel(tmp_path, "2.0", NEW)
    a_wheel(tmp_path, "3.0rc1", NEW)
    monkeypatch.setattr(releases, "settings", lambda: {"PIP_NO_INDEX": "1", "UV_FIND_LINKS": str(tmp_path)})
    monkeypatch.delenv("UV_CONSTRAINT", raising=False)
    newest_one, pinned = releases.release("tinylib"), releases.release("tinylib", Version("1.0"))
    assert newest_one and pinned and (newest_one.version, pinned.version) == (Version("2.0"), Version("1.0"))
    read = sources(pinned, newest_one, tmp_path)
    assert dict(read[1].files) == NEW and read[0].requires == {"torch": "<2"}
    assert releases.release("tinylib", Version("9.0")) is None


@pytest.fixture
def tomorrow(guide, monkeypatch, pair) -> Description:
    """A next release of one library that a script pins, and nothing else new."""
    pins = newest.pinned(guide)
    library = installed(guide)
    monkeypatch.setattr(newest, "newest_release", lambda package: Version("98.0") if package == "hqq" else max(pins[package]))
    monkeypatch.setattr(newest, "describe_release", lambda guide, release: library)
    monkeypatch.setattr(releases, "release", lambda package, version=None: Release(package, version or Version("1.0"), ()))
    monkeypatch.setattr(releases, "sources", lambda before, after, folder: pair)
    return library


def test_the_report_has_what_changed_in_a_library(guide, tomorrow):
    text = report(replace(guide, pages={**guide.pages, "tiny.md": PAGE}))
    assert f"\n- hqq: {guide.scripts['hqq'].pins['hqq']} pinned, 98.0 released\n" in text
    assert text.index("## What may make a page wrong") < text.index("### hqq") < text.index("`tinylib/config.py` `TinyGone`")
    assert text.index("## What touches a place") < text.index("other_quantize` its code changed") < text.index("## The rest")


def test_the_report_is_kept_for_a_workflow_and_printed_alone(planted, tomorrow, capsys):
    with pytest.raises(SystemExit):
        main(["--latest"], planted.project)
    printed = capsys.readouterr()
    kept = planted.project.build / "drift" / "report.md"
    assert printed.out == kept.read_text(encoding="utf-8") + "\n" and printed.out.startswith("# Drift since the pins\n")
    assert "kept in build/drift/report.md" in printed.err
