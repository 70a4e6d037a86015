"""How the desk's rule-based model thinks: from the tools' figures to sentences and a recommendation. No model, no key."""
