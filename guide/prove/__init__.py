"""Run notebooks and their controls in environments of their own, and record what happened."""
