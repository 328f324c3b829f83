"""Which samples of a data set are wrong: a run over the whole set, a score of suspicion, and what people decided.

A run is a folder: `running.inspect_set` fills it, `store.Store` reads it, `verdicts.Verdicts` keeps the decisions.
"""
