"""What the pages show: each function reads through selectors and returns a template's context."""
