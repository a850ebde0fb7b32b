"""The Python that joins the rooms of the project: ``load(Project)`` gives one frozen ``Guide``, from which all else is made.

Each room says in its docstring what belongs in it. Imports point down this list; ``__main__`` modules are the commands, which
stand above all rooms; ``tests/test_house.py`` holds both.
"""

ROOMS = ("contribute", "site", "bench", "library", "prove", "derive", "offline", "calculator", "facts", "notebooks", "guest",
         "project")  # fmt: skip
