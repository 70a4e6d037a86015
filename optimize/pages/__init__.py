"""What the optimiser's pages show."""
