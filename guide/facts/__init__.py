"""What the guide knows: the models of front matter, proofs and records, and ``load``, which alone reads the project."""
