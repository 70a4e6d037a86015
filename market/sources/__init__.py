"""Where bars come from. `source_named` finds the sources that are asked by name; files come through the import."""
