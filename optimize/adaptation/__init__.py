"""Live adaptation: the parameters of a strategy follow the market in small steps, each proved on evidence that the search
did not see, each with a way back.

Pure computing stands in `clamping`, `candidates`, `proposing` and `promising`; the rest is rows and their life.
"""
