"""Numbers that are measured apart from the notebooks: what quantized models store."""
