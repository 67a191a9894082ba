"""The API's messages and services, generated from protos/ by `make generate`."""
