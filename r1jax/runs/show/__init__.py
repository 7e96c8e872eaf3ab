"""A run, read from its folder and shown: reading, curves, questions; on a terminal, as a page."""
