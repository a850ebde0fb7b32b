"""The guide beside the library that it describes: drift from the pinned release, and what changed in the newest."""
