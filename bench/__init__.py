"""The benchmark: each figure is a ratio to a limit that is measured in the same run, never a time alone."""
