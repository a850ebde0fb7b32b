"""Wheels for a machine without a network: uv says which ones it lacks, pip fetches them."""
