"""From a script in ``snippets/`` to its notebook: parse, replace text, build, digest. Pure functions of text."""
