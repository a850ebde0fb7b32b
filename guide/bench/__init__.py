"""Numbers that are measured apart from the notebooks: quality and speed on the real model, and what models store."""
