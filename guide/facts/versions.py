"""The versions of packages that the guide states: those that it pins, those that ran, those that a page's facts are of."""

from collections.abc import Iterator

from guide.facts.guide import Guide


def stated(guide: Guide) -> Iterator[tuple[str, str]]:
    """Each package with a version, as often as it is stated; a build's local part, ``+cpu``, is left out."""
    yield "transformers", guide.transformers
    for script in guide.scripts.values():
        yield from script.pins.items()
    for stored in (one for proofs in guide.proofs.values() for one in proofs):
        for name, version in stored.proof.versions.items():
            if version:
                yield name, version.partition("+")[0]
    for method in guide.methods.values():
        if method.library:
            yield method.library.package, method.library.version
            yield method.title, method.library.version
    for engine in guide.engines.values():
        yield from ((name, str(engine.version)) for name in (engine.title, engine.package) if name)
