"""The page's server: loopback only, thin over `engine` and `wire`. `create_app` makes it; `cutaway serve` runs it."""
