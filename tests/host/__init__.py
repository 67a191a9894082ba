"""What needs a host's privileges: namespaces, ICMP, containers. `make test-host` runs it."""
