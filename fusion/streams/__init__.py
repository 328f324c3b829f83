"""Systems that read several sequences of one sample and answer with a score or a class: trained, measured, inspected.

inputs (what is read) -> training -> evaluation (figures, subsets, curves of missing data) -> card; runs does all of it
for the command line; inspection answers for one sample, whole for a data set.
"""
