"""The walk over requirements, with a fake index of tiny wheels: nothing here needs a network or pip."""

from __future__ import annotations

import shutil
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from guide import wheels
from guide.project import GuideError
from guide.wheels import Demand, MustCompileError, Node, NoVersionError, Pip, gather, notes, parse_have, read_wheel


def make_wheel(folder: Path, name: str, version: str, requires: list[str] = (), tag: str = "py3-none-any") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{version}-{tag}.whl"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"]
    metadata += [f"Requires-Dist: {line}\n" for line in requires]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}-{version}.dist-info/METADATA", "".join(metadata))
    return path


class Index:
    """Stands in for pip: gives the newest wheel that meets the specifiers, and notes what was asked of it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.wheels: dict[str, list[Path]] = {}
        self.compiled: set[str] = set()
        self.asked: list[str] = []

    def add(self, name: str, version: str, *requires: str) -> Index:
        path = make_wheel(self.folder, name, version, list(requires))
        self.wheels.setdefault(canonicalize_name(name), []).append(path)
        return self

    def __call__(self, name: str, specifiers: SpecifierSet) -> Path:
        self.asked.append(f"{name}{specifiers}")
        if name in self.compiled:
            raise MustCompileError
        fitting = [path for path in self.wheels.get(name, []) if read_wheel(path).version in specifiers]
        if not fitting:
            raise NoVersionError
        return max(fitting, key=lambda path: read_wheel(path).version)


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index(tmp_path / "index")


def asked(*requirements: str) -> list[Demand]:
    return [Demand(Requirement(text), "notebook test") for text in requirements]


def node(have: str = "", **options) -> Node:
    return Node("3.12", parse_have(have, "have.txt"), **options)


def versions(gathered: wheels.Gathered) -> dict[str, str]:
    return {name: str(wheel.version) for name, wheel in gathered.wheels.items()}


def test_markers_are_those_of_the_node(index):
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
    assert set(gather(asked("a"), node(), index).wheels) == {"a", "new", "linux"}
    assert set(gather(asked("a"), Node("3.11", {}), index).wheels) == {"a", "old", "linux"}


def test_walk_is_breadth_first_and_tells_its_steps(index):
    index.add("a", "1.0", "deep").add("b", "1.0").add("deep", "1.0")
    steps = []
    gather(asked("a", "b"), node(), index, lambda *step: steps.append(step))
    assert index.asked == ["a", "b", "deep"]
    assert steps == [("a", 0, 2), ("b", 1, 3), ("deep", 2, 3)]


def test_circle_of_requirements_ends(index):
    index.add("a", "1.0", "b").add("b", "1.0", "a")
    assert set(gather(asked("a"), node(), index).wheels) == {"a", "b"}


def test_what_the_node_has_is_neither_fetched_nor_walked(index):
    index.add("a", "1.0", "Had_Package>=1", "lacked").add("lacked", "1.0")
    gathered = gather(asked("a"), node("had-package==1.5"), index)
    assert set(gathered.wheels) == {"a", "lacked"}
    assert notes(gathered, node("had-package==1.5")) == []


def test_unsatisfied_have_is_named_once_with_all_who_ask(index):
    index.add("a", "1.0", "had>=2").add("b", "1.0", "had>=2", "had!=1.6")
    has = node("had 1.5+cu130")
    gathered = gather(asked("a", "b", "had==3.0"), has, index)
    assert set(gathered.wheels) == {"a", "b"}
    assert notes(gathered, has) == [
        "The node has had 1.5+cu130; asked for: had==3.0 (notebook test) and had>=2 (a 1.0, b 1.0)."
    ]


def test_exact_gathers_what_the_node_has_in_another_version(index):
    index.add("pinned", "2.0", "had>=1").add("pinned", "3.0").add("had", "9.0")
    has = node("pinned==1.0\nhad==1.0", exact=True)
    gathered = gather(asked("pinned==2.0"), has, index)
    assert versions(gathered) == {"pinned": "2.0"}
    assert notes(gathered, has) == []


def test_unknown_version_on_the_node_is_taken_as_good(index):
    has = node("pinned @ file:///croot/pinned_1/work", exact=True)
    gathered = gather(asked("pinned==2.0"), has, index)
    assert gathered.wheels == {}
    assert notes(gathered, has) == []


def test_extras_bring_only_their_own_requirements(index):
    index.add("a", "1.0", 'fast; extra == "fast"', 'docs; extra == "docs"', "base")
    for name in ["fast", "docs", "base"]:
        index.add(name, "1.0")
    assert set(gather(asked("a"), node(), index).wheels) == {"a", "base"}
    assert set(gather(asked("a[fast]"), node(), index).wheels) == {"a", "base", "fast"}


def test_extra_that_is_asked_for_later_is_walked_too(index):
    index.add("a", "1.0", 'fast; extra == "fast"').add("b", "1.0", "a[fast]").add("fast", "1.0")
    assert set(gather(asked("a", "b"), node(), index).wheels) == {"a", "b", "fast"}
    assert index.asked.count("a") == 1


def test_conflict_is_settled_by_another_version_and_the_first_ones_needs_are_forgotten(index):
    index.add("a", "1.0", "shared>=1").add("b", "1.0", "c").add("c", "1.0", "shared<2")
    index.add("shared", "2.0", "only_new").add("shared", "1.5", "only_old").add("only_new", "1.0").add("only_old", "1.0")
    gathered = gather(asked("a", "b"), node(), index)
    assert versions(gathered) == {"a": "1.0", "b": "1.0", "c": "1.0", "shared": "1.5", "only-old": "1.0"}
    assert "shared<2,>=1" in index.asked


def test_conflict_without_a_version_names_package_and_requirements(index):
    index.add("a", "1.0", "shared>=2").add("b", "1.0", "shared<2").add("shared", "1.0").add("shared", "2.0")
    with pytest.raises(GuideError) as raised:
        gather(asked("a", "b"), node(), index)
    assert str(raised.value) == (
        "No version of shared satisfies at once shared>=2 (a 1.0) and shared<2 (b 1.0) for CPython 3.12 on Linux x86-64."
    )


def test_two_notebooks_with_different_pins_are_told_to_part(index):
    index.add("a", "1.0").add("a", "2.0")
    roots = [Demand(Requirement("a==1.0"), "notebook one"), Demand(Requirement("a==2.0"), "notebook two")]
    with pytest.raises(GuideError, match=r"a==1.0 \(notebook one\) and a==2.0 \(notebook two\).*own run"):
        gather(roots, node(), index)


def test_unknown_package_is_named(index):
    with pytest.raises(GuideError, match=r"^No version of nowhere satisfies nowhere>=1 \(notebook test\) for CPython 3.12"):
        gather(asked("nowhere>=1"), node(), index)


def test_versions_that_never_settle_end_in_a_sentence(index):
    # a 2 wants b 1, b 1 wants a 1, a 1 wants b 2, b 2 wants a 2
    index.add("a", "2.0", "b==1.0").add("b", "1.0", "a==1.0").add("a", "1.0", "b==2.0").add("b", "2.0", "a==2.0")
    with pytest.raises(GuideError, match="cannot be settled"):
        gather(asked("a"), node(), index)


def test_torch_and_what_comes_with_it_is_refused(index):
    index.add("a", "1.0", "triton>=3", "nvidia-cublas", "cuda-bindings").add("torch", "2.13.0")
    gathered = gather(asked("torch==2.13.0", "a"), node(), index)
    assert index.asked == ["a"]
    assert notes(gathered, node()) == [
        "torch is not gathered: the node must have one already, built for its CUDA (or give --torch).",
        "Not gathered, for the node's torch should have brought it: triton, nvidia-cublas, cuda-bindings (or give --torch).",
    ]


def test_torch_of_the_node_is_kept_even_with_exact(index):
    index.add("torch", "2.13.0")
    has = node("torch==2.11.0+cu130", exact=True)
    gathered = gather(asked("torch==2.13.0"), has, index)
    assert index.asked == []
    assert notes(gathered, has) == ["The node has torch 2.11.0+cu130; asked for: torch==2.13.0 (notebook test)."]


def test_torch_is_gathered_if_told(index):
    index.add("torch", "2.13.0", "triton").add("triton", "3.0")
    gathered = gather(asked("torch==2.13.0"), node(torch=True), index)
    assert set(gathered.wheels) == {"torch", "triton"}
    assert notes(gathered, node(torch=True)) == []


def test_package_to_compile_is_reported_and_the_walk_goes_on(index):
    index.add("a", "1.0", "native>=1", "b").add("b", "1.0")
    index.compiled = {"native"}
    gathered = gather(asked("a"), node(), index)
    assert set(gathered.wheels) == {"a", "b"}
    assert notes(gathered, node()) == [
        "native>=1 (a 1.0) has no wheel for CPython 3.12 on Linux x86-64: it must be compiled on the node."
    ]


def test_have_in_all_its_formats():
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
def test_unreadable_have_line_is_named_with_its_number(line):
    with pytest.raises(GuideError, match=r"^have.txt, line 2, is no line of 'pip freeze' or 'pip list'"):
        parse_have(f"torch==2.11.0\n{line}\n", "have.txt")


def test_broken_wheel_is_named(tmp_path):
    path = tmp_path / "a-1.0-py3-none-any.whl"
    path.write_text("no zip", encoding="utf-8")
    with pytest.raises(GuideError, match=r"^a-1.0-py3-none-any.whl is not a readable wheel"):
        read_wheel(path)


def test_pip_is_asked_for_the_nodes_tags_with_the_oldest_glibc_first(tmp_path):
    command = Pip("3.12", tmp_path).download_command("a", SpecifierSet("<2,>=1"), tmp_path)
    assert command[-1] in ("a<2,>=1", "a>=1,<2")
    assert {"--no-deps", "--only-binary=:all:", "cp312", "abi3"} < set(command)
    order = ["manylinux1_x86_64", "manylinux2014_x86_64", "manylinux_2_28_x86_64", "manylinux_2_39_x86_64", "any"]
    places = [command.index(platform) for platform in order]
    assert places == sorted(places)


def test_needed_glibc_is_the_most_that_any_wheel_asks_at_least():
    pure = Path("a-1.0-py3-none-any.whl")
    assert wheels.needed_glibc([pure]) is None
    both = Path("b-1.0-cp312-cp312-manylinux_2_17_x86_64.manylinux_2_28_x86_64.whl")
    old = Path("c-1.0-cp312-abi3-manylinux2010_x86_64.whl")
    assert wheels.needed_glibc([pure, both, old]) == 17


def test_only_a_wheel_for_all_is_pure():
    assert wheels.is_pure(Path("a-1.0-py2.py3-none-any.whl"))
    assert not wheels.is_pure(Path("a-1.0-cp312-cp312-linux_x86_64.whl"))
    assert not wheels.is_pure(Path("a-1.0-cp311-none-any.whl"))


def test_proving_requirements_are_readable_and_walked_with_the_pins():
    name = wheels.check_names([])[0]
    demands = wheels.find_roots([wheels.read_script(name)], "3.12")
    assert {demand.by for demand in demands} == {f"notebook {name}", "nox -s prove"}
    assert "nbmake" in {demand.name for demand in demands}


def run(monkeypatch, index: Index, *arguments: str) -> None:
    monkeypatch.setattr(wheels, "Pip", lambda python, folder: copying(index, folder))
    monkeypatch.setattr(wheels, "check_names", lambda names: names)
    monkeypatch.setattr(wheels, "find_roots", lambda scripts, python: asked("a"))
    monkeypatch.setattr(wheels, "read_script", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["wheels", *arguments])
    wheels.main()


def copying(index: Index, folder: Path) -> wheels.Fetch:
    """As pip does, each wheel comes as a file of its own in the folder."""

    def fetch(name: str, specifiers: SpecifierSet) -> Path:
        return Path(shutil.copy(index(name, specifiers), folder))

    return fetch


def test_command_fills_the_folder_and_a_second_run_replaces_it(index, tmp_path, monkeypatch, capsys):
    target = tmp_path / "wheels"
    index.add("a", "1.0", "b").add("b", "1.0")
    run(monkeypatch, index, "torchao", "--python", "3.12", "--to", str(target))
    assert {path.name for path in target.iterdir()} == {
        "a-1.0-py3-none-any.whl",
        "b-1.0-py3-none-any.whl",
        "requirements.txt",
    }
    assert (target / "requirements.txt").read_text(encoding="utf-8").splitlines()[1:] == ["a==1.0", "b==1.0"]
    said = capsys.readouterr().out
    assert f"--no-index --no-deps --find-links {target} -r {target}/requirements.txt" in said
    assert "nox -s prove -- --no-install torchao" in said

    index.add("a", "2.0")
    run(monkeypatch, index, "torchao", "--python", "3.12", "--to", str(target))
    assert {path.name for path in target.iterdir()} == {"a-2.0-py3-none-any.whl", "requirements.txt"}


def test_failed_run_leaves_the_folder_as_it_was(index, tmp_path, monkeypatch):
    target = tmp_path / "wheels"
    index.add("a", "1.0")
    run(monkeypatch, index, "torchao", "--python", "3.12", "--to", str(target))
    index.add("a", "2.0", "nowhere")
    with pytest.raises(SystemExit, match="No version of nowhere"):
        run(monkeypatch, index, "torchao", "--python", "3.12", "--to", str(target))
    assert {path.name for path in target.iterdir()} == {"a-1.0-py3-none-any.whl", "requirements.txt"}


def test_bad_input_is_one_sentence_and_foreign_files_are_kept(index, tmp_path, monkeypatch):
    def refused(sentence: str, *arguments: str) -> None:
        with pytest.raises(SystemExit, match=sentence):
            run(monkeypatch, index, "torchao", *arguments)

    foreign = tmp_path / "foreign"
    make_wheel(foreign, "mine", "1.0")
    refused(r"^There is no CPython '3.99' to gather for. Known: 3.11, 3.12", "--python", "3.99")
    refused(r"^There is no file .*absent.txt: make it on the node", "--have", str(tmp_path / "absent.txt"))
    refused("holds other files than gathered wheels", "--python", "3.12", "--to", str(foreign))
    assert (foreign / "mine-1.0-py3-none-any.whl").exists()
