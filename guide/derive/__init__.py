"""The shapes of each architecture, found by building small variants of it with Transformers: observe, fit rules, verify."""
