"""A team of agents that talks about one symbol until it has decided. Nothing here knows Django's models."""
