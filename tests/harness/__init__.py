"""What the tests drive real things with: Envoy, members, clients under load, a raw xDS client."""
