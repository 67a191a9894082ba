"""Beside each Envoy: drivers, probes and reports. Built in a later release; nothing is here yet."""
