"""What the pages of agents show, put together from selectors; the views only render it."""
