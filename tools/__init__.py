"""What builds and checks the project: `make generate`, `make check`."""
