"""Alert rules: what is watched, how often it is looked at, what a crossing leads to, and by which channels it is told."""
