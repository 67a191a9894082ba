"""Load balancers as plain values: objects, names, rules, capabilities, status.

Standard library only, no I/O. Everything here is immutable; every rule is a pure function.
"""
