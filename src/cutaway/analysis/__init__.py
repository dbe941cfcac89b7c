"""What can be computed from a trace or a shape: arrays and dataclasses, never figures.

`parameters` counts what a model has learned (and what it costs to run), real or hypothetical. `logit_lens`,
`attribution` and `heads` read a trace.
"""
