"""Snapshots, subscriptions and the order of things: the pure core of the xDS server."""
