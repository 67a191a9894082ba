"""Golden cases: a pool's tree in, Envoy's resources out, one readable file each.

`cases/*.yaml` holds two YAML documents: the case, written by hand, and below `---` what the
translator makes of it, written by `python -m tests.golden.rewrite`. Read its difference before
committing it: it is what every Envoy would be sent.
"""
