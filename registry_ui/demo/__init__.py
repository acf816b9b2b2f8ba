"""`make demo`: starts every process of Countersign on this machine and fills it by training real models.

Nothing else of the product imports this package; the tests and the benchmark borrow `processes`.
"""
