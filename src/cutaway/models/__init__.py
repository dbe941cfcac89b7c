"""The models, as equations: one file an architecture, each readable from top to bottom beside its paper."""
