"""``python -m guide.site``: stage the site into build/site/, as MkDocs' hook does before each build, and name what was typed
there that comes from nowhere, is misspelt, or is not shown as it was meant."""

import sys

from guide.facts.load import load
from guide.project import Project, told
from guide.site import markdown, misspelt, typed
from guide.site.stage import files, write


def main(project: Project | None = None) -> None:
    """Stage the site and say how much of it there is."""
    project = project or Project.here()
    with told():
        guide = load(project)
        made = files(guide)
        write(project.build / "site", made)
        faults = [*typed.faults(guide), *markdown.faults(guide), *misspelt.faults(guide)]
    print(f"{len(made)} files in {project.relative(project.build / 'site')}.")
    if faults:
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main()
