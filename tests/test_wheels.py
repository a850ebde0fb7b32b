"""What is gathered for a machine without a network: uv resolves a folder of tiny wheels, so nothing here needs a network."""

from __future__ import annotations

import shutil
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from unittest import mock

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from guide.facts.load import dependency_group
from guide.notebooks.script import parse_script
from guide.offline import __main__ as command
from guide.offline.demands import Demand, Node, find_roots, parse_have, read_have, requirements
from guide.offline.gather import check_folder, fill, gather, gather_into, summary
from guide.offline.wheels import Pin, fetch, needed_glibc, resolve, uv_settings
from guide.project import GuideError, Project


def make_wheel(folder: Path, name: str, version: str, requires: Sequence[str] = (), tag: str = "py3-none-any") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{version}-{tag}.whl"
    metadata = [
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        *(f"Requires-Dist: {line}\n" for line in requires),
    ]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}-{version}.dist-info/METADATA", "".join(metadata))
        archive.writestr(f"{name}-{version}.dist-info/WHEEL", f"Wheel-Version: 1.0\nTag: {tag}\n")
        archive.writestr(f"{name}-{version}.dist-info/RECORD", "")
    return path


class Index:
    """A folder of wheels that uv resolves from; stands in for pip, and notes what was fetched."""

    def __init__(self, folder: Path):
        self.folder = folder / "index"
        self.work = folder / "work"
        self.folder.mkdir()
        self.work.mkdir()
        self.fetched: list[str] = []

    def add(self, name: str, version: str, *requires: str, tag: str = "py3-none-any") -> Index:
        make_wheel(self.folder, name, version, requires, tag)
        return self

    def fetch(self, pins: Mapping[Pin, bool], *_: object) -> dict[Pin, Path]:
        self.fetched += [pin.name for pin in pins]
        return {pin: next(self.folder.glob(f"{pin.name.replace('-', '_')}-{pin.version}-*")) for pin in pins if pins[pin]}

    def gather(self, roots: list[Demand], node: Node, *unwanted: str) -> tuple[set[str], list[str]]:
        settings = {"PIP_NO_INDEX": "1", "UV_FIND_LINKS": str(self.folder), "UV_CACHE_DIR": str(self.work)}
        with mock.patch("guide.offline.gather.fetch", self.fetch):
            wheels, notes = gather(roots, unwanted, node, self.work, settings)
        return {str(pin) for pin in wheels}, notes


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index(tmp_path)


def asked(*requirements: str, by: str = "notebook test") -> list[Demand]:
    return [Demand(Requirement(text), by) for text in requirements]


def node(have: str = "", exact: bool = False, torch: bool = False) -> Node:
    return Node("3.12", parse_have(have, "have.txt"), exact, torch)


def test_markers_are_those_of_the_node(index: Index) -> None:
    index.add(
        "a",
        "1.0",
        'old; python_version < "3.12"',
        'new; python_version >= "3.12"',
        'windows; sys_platform == "win32"',
        'arm; platform_machine == "aarch64"',
        'linux; platform_system == "Linux" and platform_machine == "x86_64"',
        'pypy; implementation_name == "pypy"',
    )
    index.add("new", "1.0").add("linux", "1.0").add("old", "1.0")
    assert index.gather(asked("a"), node())[0] == {"a==1.0", "new==1.0", "linux==1.0"}
    assert index.gather(asked("a"), Node("3.11", {}))[0] == {"a==1.0", "old==1.0", "linux==1.0"}


def test_wheels_for_other_pythons_and_platforms_do_not_count(index: Index) -> None:
    index.add("a", "1.0", tag="cp312-cp312-manylinux_2_28_x86_64").add("a", "2.0", tag="cp313-cp313-manylinux_2_28_x86_64")
    index.add("a", "3.0", tag="cp312-cp312-macosx_11_0_arm64").add("a", "4.0", tag="cp312-cp312-win_amd64")
    assert index.gather(asked("a"), node())[0] == {"a==1.0"}


def test_circle_of_requirements_ends(index: Index) -> None:
    index.add("a", "1.0", "b").add("b", "1.0", "a")
    assert index.gather(asked("a"), node())[0] == {"a==1.0", "b==1.0"}


def test_what_the_node_has_is_neither_fetched_nor_walked(index: Index) -> None:
    index.add("a", "1.0", "Had_Package>=1", "lacked").add("lacked", "1.0")
    assert index.gather(asked("a"), node("had-package==1.5")) == ({"a==1.0", "lacked==1.0"}, [])


def test_unsatisfied_have_is_named_once_with_all_who_ask(index: Index) -> None:
    index.add("a", "1.0", "had>=2").add("b", "1.0", "had>=2", "had!=1.6")
    wheels, notes = index.gather(asked("a", "b", "had==3.0"), node("had 1.5+cu130"))
    assert wheels == {"a==1.0", "b==1.0"}
    assert notes == ["The node has had 1.5+cu130; asked for: had==3.0 (notebook test) and had>=2 (a 1.0, b 1.0)."]


def test_exact_gathers_what_the_node_has_in_another_version(index: Index) -> None:
    index.add("pinned", "2.0", "had>=1", "other>=2").add("pinned", "3.0").add("had", "9.0").add("other", "2.0")
    wheels = index.gather(asked("pinned==2.0"), node("pinned==1.0\nhad==1.0\nother==1.0", exact=True))
    assert wheels == ({"pinned==2.0", "other==2.0"}, [])
    assert sorted(index.fetched) == ["other", "pinned"], "each is fetched once"


def test_unknown_version_on_the_node_is_taken_as_good(index: Index) -> None:
    assert index.gather(asked("pinned==2.0"), node("pinned @ file:///croot/pinned_1/work", exact=True)) == (set(), [])


def test_extras_bring_only_their_own_requirements(index: Index) -> None:
    index.add("a", "1.0", 'fast; extra == "fast"', 'docs; extra == "docs"', "base")
    for name in ["fast", "docs", "base"]:
        index.add(name, "1.0")
    assert index.gather(asked("a"), node())[0] == {"a==1.0", "base==1.0"}
    assert index.gather(asked("a[fast]"), node())[0] == {"a==1.0", "base==1.0", "fast==1.0"}


def test_unsatisfied_have_is_found_behind_an_extra_that_is_asked_for_later(index: Index) -> None:
    index.add("a", "1.0", 'had>=2; extra == "fast"').add("b", "1.0", "a[fast]")
    assert index.gather(asked("a", "b"), node("had==1.0"))[1] == ["The node has had 1.0; asked for: had>=2 (a 1.0)."]


def test_conflict_is_settled_by_another_version_and_the_first_ones_needs_are_forgotten(index: Index) -> None:
    index.add("a", "1.0", "shared>=1").add("b", "1.0", "c").add("c", "1.0", "shared<2")
    index.add("shared", "2.0", "only_new").add("shared", "1.5", "only_old").add("only_new", "1.0").add("only_old", "1.0")
    assert index.gather(asked("a", "b"), node())[0] == {"a==1.0", "b==1.0", "c==1.0", "shared==1.5", "only-old==1.0"}


def test_conflict_is_settled_by_an_older_version_of_who_asks(index: Index) -> None:
    index.add("a", "2.0", "b==1.0").add("a", "1.0", "b==2.0").add("b", "1.0").add("b", "2.0")
    assert index.gather(asked("a", "b>=2"), node())[0] == {"a==1.0", "b==2.0"}


def test_conflict_without_a_version_is_one_sentence_with_the_requirements(index: Index) -> None:
    index.add("a", "1.0", "shared>=2").add("b", "1.0", "shared<2").add("shared", "1.0").add("shared", "2.0")
    with pytest.raises(GuideError) as raised:
        index.gather(asked("a", "b"), node())
    sentence = str(raised.value)
    assert sentence.startswith("No versions will do for CPython 3.12 on Linux x86-64: because ")
    assert "shared>=2" in sentence and "shared<2" in sentence
    assert sentence.endswith(".") and ". " not in sentence and "\n" not in sentence


def test_two_notebooks_with_different_pins_are_told_to_part(index: Index) -> None:
    index.add("a", "1.0").add("a", "2.0")
    roots = asked("a==1.0", by="notebook one") + asked("a==2.0", by="notebook two")
    with pytest.raises(GuideError, match=r"a==1.0 \(notebook one\) and a==2.0 \(notebook two\).*own run and its own --to\.$"):
        index.gather(roots, node())


def test_unknown_package_is_named_with_who_asks(index: Index) -> None:
    with pytest.raises(GuideError, match=r"nowhere was not found .* \(asked for are nowhere>=1 \(notebook test\)\)\.$"):
        index.gather(asked("nowhere>=1"), node())


def test_index_out_of_reach_is_one_sentence(index: Index) -> None:
    unreachable = {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0", "UV_CACHE_DIR": str(index.work)}
    with pytest.raises(GuideError, match=r"^The package index cannot be reached: gather on a machine that is connected\.$"):
        resolve(asked("a"), [], node(), index.work, unreachable)


def test_torch_and_what_comes_with_it_is_left_out(index: Index) -> None:
    index.add("a", "1.0", "triton>=3", "nvidia-cublas", "cuda-bindings").add("torch", "2.13.0")
    index.add("nvidia_cublas", "1.0").add("cuda_bindings", "1.0")
    wheels, notes = index.gather(asked("torch==2.13.0", "a"), node())
    assert wheels == {"a==1.0"} and index.fetched == ["a"]
    assert notes == [
        "torch is not gathered: the node must have one already, built for its CUDA (or give --torch).",
        "Not gathered, for the node's torch should have brought it: triton, nvidia-cublas, cuda-bindings (or give --torch).",
    ]


def test_torch_of_the_node_is_kept_even_with_exact(index: Index) -> None:
    wheels, notes = index.gather(asked("torch==2.13.0"), node("torch==2.11.0+cu130", exact=True))
    assert wheels == set()
    assert notes == ["The node has torch 2.11.0+cu130; asked for: torch==2.13.0 (notebook test)."]


def test_torch_is_gathered_if_told(index: Index) -> None:
    index.add("torch", "2.13.0", "triton").add("triton", "3.0")
    assert index.gather(asked("torch==2.13.0"), node(torch=True)) == ({"torch==2.13.0", "triton==3.0"}, [])


def test_unwanted_package_is_left_out_and_named(index: Index) -> None:
    index.add("a", "1.0", "vision").add("vision", "1.0")
    notes = ["Not gathered, for a notebook works only without it: vision."]
    assert index.gather(asked("a"), node(), "vision") == ({"a==1.0"}, notes)


def make_source(folder: Path, name: str, version: str, setup: str) -> None:
    source = folder / f"{name}-{version}"
    source.mkdir()
    (source / "setup.py").write_text(setup, encoding="utf-8")
    (source / "PKG-INFO").write_text(f"Metadata-Version: 1.0\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["torch"]\nbuild-backend = "setuptools.build_meta"\n', encoding="utf-8"
    )
    shutil.make_archive(str(source), "gztar", folder, source.name)
    shutil.rmtree(source)


def test_source_that_builds_against_torch_is_reported_and_the_rest_is_gathered(index: Index) -> None:
    index.add("a", "1.0", "native>=1", "b").add("b", "1.0")
    make_source(index.folder, "native", "1.2", "import torch")
    wheels, notes = index.gather(asked("a"), node())
    assert wheels == {"a==1.0", "b==1.0"}
    assert notes == ["native==1.2 has no wheel for CPython 3.12 on Linux x86-64: it must be compiled on the node."]


def test_source_becomes_a_wheel_only_if_that_is_pure(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(arguments: list[str], environment: Mapping[str, str], seconds: int) -> str:
        folder = Path(arguments[arguments.index("--wheel-dir") + 1])
        constraint = Path(environment["PIP_BUILD_CONSTRAINT"].split()[-1].removeprefix("file://"))
        assert constraint.read_text(encoding="utf-8").startswith("torch<0\n")
        make_wheel(folder, "a", "1.0", tag=tag)
        return ""

    monkeypatch.setattr("guide.offline.wheels.run_pip", build)
    pin = Pin("a", Version("1.0"))
    pure = {"py3-none-any": True, "py2.py3-none-any": True, "cp312-cp312-linux_x86_64": False, "cp311-none-any": False}
    for tag, taken in pure.items():
        names = [path.name for path in fetch({pin: False}, node(), index.work).values()]
        assert names == ([f"a-1.0-{tag}.whl"] if taken else [])


def test_settings_of_pip_reach_uv_and_its_environment_wins() -> None:
    listing = (
        "global.index-url='file:///one'\nglobal.extra-index-url='\\nfile:///two\\nfile:///three'\n"
        "global.timeout='60'\ninstall.find-links='/unused'\n:env:.index-url='file:///four'\n:env:.find-links='/a /b'\n"
    )
    assert uv_settings(listing) == {
        "UV_DEFAULT_INDEX": "file:///four",
        "UV_INDEX": "file:///two file:///three",
        "UV_FIND_LINKS": "/a,/b",
    }


def test_have_in_all_its_formats() -> None:
    text = """
        Package           Version     Editable project location
        ----------------- ----------- -------------------------
        torch==2.11.0+cu130
        PyYAML            6.0.3
        my_project        0.1         /home/me/my_project
        numpy @ file:///croot/numpy_1707/work/dist
        flash_attn @ file:///wheels/flash_attn-2.8.3%2Bcu13-cp312-cp312-linux_x86_64.whl#sha256=00
        tool[extra] @ git+https://example.org/tool@abc
        # Editable install with no version control (mine==0.2)
        -e /home/me/mine
        -e git+https://example.org/other@abc#egg=other_name&subdirectory=x
        distro-info 1.1build1
        old===1.0
    """
    assert parse_have(text, "have.txt") == {
        "torch": Version("2.11.0+cu130"),
        "pyyaml": Version("6.0.3"),
        "my-project": Version("0.1"),
        "numpy": None,
        "flash-attn": Version("2.8.3+cu13"),
        "tool": None,
        "mine": Version("0.2"),
        "other-name": None,
        "distro-info": None,
        "old": Version("1.0"),
    }


@pytest.mark.parametrize("line", ["what is this", "numpy", "numpy>=2", "==1.0"])
def test_unreadable_have_line_is_named_with_its_number(line: str) -> None:
    with pytest.raises(GuideError, match=r"^have.txt, line 2, is no line of 'pip freeze' or 'pip list'"):
        parse_have(f"torch==2.11.0\n{line}\n", "have.txt")


def test_absent_have_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(GuideError, match=r"^There is no file .*absent.txt: make it on the node"):
        read_have(tmp_path / "absent.txt")


@pytest.mark.parametrize("text", ["no zip", ""])
def test_broken_wheel_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a-1.0-py3-none-any.whl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(GuideError, match=r"^a-1.0-py3-none-any.whl is not a readable wheel"):
        requirements(path)


def test_wheel_with_an_unreadable_requirement_is_named(tmp_path: Path) -> None:
    with pytest.raises(GuideError, match=r"^a-1.0-py3-none-any.whl is not a readable wheel"):
        requirements(make_wheel(tmp_path / "index", "a", "1.0", ["b >"]))


def test_pip_is_asked_for_the_nodes_tags_with_the_oldest_glibc_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments: list[str] = []

    def download(command: list[str]) -> None:
        arguments.extend(command)
        make_wheel(tmp_path, "a", "1.0")

    monkeypatch.setattr("guide.offline.wheels.run_pip", download)
    fetch({Pin("a", Version("1.0")): True}, node(), tmp_path)
    assert arguments[0] == "download" and arguments[-1] == "a==1.0"
    assert {"--no-deps", "--only-binary=:all:", "--abi=cp312", "--abi=abi3"} < set(arguments)
    order = ["manylinux1_x86_64", "manylinux2014_x86_64", "manylinux_2_28_x86_64", "manylinux_2_39_x86_64", "any"]
    places = [arguments.index(f"--platform={platform}") for platform in order]
    assert places == sorted(places)


def test_needed_glibc_is_the_most_that_any_wheel_asks_at_least() -> None:
    pure = Path("a-1.0-py3-none-any.whl")
    assert needed_glibc([pure]) is None
    both = Path("b-1.0-cp312-cp312-manylinux_2_17_x86_64.manylinux_2_28_x86_64.whl")
    old = Path("c-1.0-cp312-abi3-manylinux2010_x86_64.whl")
    assert needed_glibc([pure, both, old]) == 17


HEAD = """# /// script
# requires-python = ">=3.12"
# dependencies = ["torch==2.13.0", "built==1.0"]
# [tool.guide]
# method = "m"
# needs = "cpu"
# minutes = 1
# models = []
# cuda_dependencies = ["ninja==1.13.2"]
# [tool.guide.source_build]
# package = "built"
# requires = ["setuptools==84.2.1"]
# ///
"""


def test_roots_are_all_pins_those_of_a_build_and_the_tools_that_prove() -> None:
    roots = find_roots([parse_script("one", HEAD)], ["nox", 'tomli; python_version < "3.11"'], node())
    assert {(str(root.requirement), root.by) for root in roots} == {
        ("torch==2.13.0", "notebook one"),
        ("built==1.0", "notebook one"),
        ("ninja==1.13.2", "notebook one"),
        ("setuptools==84.2.1", "notebook one"),
        ("nox", "nox -s prove"),
    }


def test_notebook_for_another_python_is_named() -> None:
    with pytest.raises(GuideError, match=r"^The notebook 'one' needs Python >=3.12, but --python is 3.11\.$"):
        find_roots([parse_script("one", HEAD)], [], Node("3.11", {}))


def test_group_of_proving_holds_those_that_it_includes() -> None:
    names = {Requirement(text).name for text in dependency_group(Project.here(), "prove")}
    assert {"nbmake", "jupytext"} <= names


def fetched(folder: Path, *names: str) -> dict[Pin, Path]:
    return {Pin(name, Version("1.0")): make_wheel(folder, name, "1.0") for name in names}


def test_folder_is_filled_and_a_second_run_replaces_it(tmp_path: Path) -> None:
    target = tmp_path / "new" / "wheels"
    for names in [["b", "a"], ["c"]]:
        check_folder(target, "there")
        fill(target, fetched(tmp_path / "part", *names))
        assert {path.name for path in target.iterdir()} == {
            *(f"{one}-1.0-py3-none-any.whl" for one in names),
            "requirements.txt",
        }
        lines = (target / "requirements.txt").read_text(encoding="utf-8").splitlines()
        assert lines[1:] == sorted(f"{one}==1.0" for one in names)


def test_folder_with_foreign_files_is_refused(tmp_path: Path) -> None:
    foreign = make_wheel(tmp_path / "foreign", "mine", "1.0")
    with pytest.raises(GuideError, match=r"^foreign holds other files than gathered wheels"):
        check_folder(foreign.parent, "foreign")
    with pytest.raises(GuideError, match=r"^mine.whl is a file: give a folder to --to\.$"):
        check_folder(foreign, "mine.whl")
    (foreign.parent / "requirements.txt").write_text("mine==1.0\n", encoding="utf-8")
    with pytest.raises(GuideError, match="holds other files"):
        check_folder(foreign.parent, "foreign")


def test_summary_says_what_to_run_on_the_node(tmp_path: Path) -> None:
    said = summary("build/wheels", list(fetched(tmp_path / "part", "a").values()), ["one"], "3.12")
    assert said.startswith("build/wheels: 1 wheels, 0.0 MiB. Largest, in MiB: a 0.0.\nThey need CPython 3.12. ")
    assert "--no-index --no-deps --find-links build/wheels -r build/wheels/requirements.txt" in said
    assert said.endswith("nox -s prove -- --no-install one")
    assert summary("w", [], ["one"], "3.12").startswith("The node lacks no wheel, so w has none.\n")


def test_wheels_are_resolved_and_downloaded_with_pips_own_settings_and_a_failure_changes_nothing(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index.folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    index.add("a", "1.0", "b").add("b", "1.0", tag="cp312-cp312-manylinux_2_28_x86_64").add(
        "b", "2.0", tag="cp312-cp312-win32"
    )
    target = tmp_path / "wheels"
    expected = {"a-1.0-py3-none-any.whl", "b-1.0-cp312-cp312-manylinux_2_28_x86_64.whl", "requirements.txt"}
    gather_into(target, asked("a"), set(), node())
    assert {path.name for path in target.iterdir()} == expected
    index.add("a", "2.0", "nowhere")
    with pytest.raises(GuideError, match="nowhere was not found"):
        gather_into(target, asked("a==2.0"), set(), node())
    assert {path.name for path in target.iterdir()} == expected
    assert {path.name for path in tmp_path.iterdir()} == {"index", "work", "wheels"}, "nothing is left beside it"


def test_unknown_notebook_and_python_end_the_command_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["wheels", "nowhere"])
    with pytest.raises(SystemExit, match=r"^There is no notebook 'nowhere'. Known: "):
        command.main()
    monkeypatch.setattr(sys, "argv", ["wheels", "--python", "3.99"])
    with pytest.raises(SystemExit):
        command.main()
    assert "argument --python: invalid choice: '3.99' (choose from" in capsys.readouterr().err
