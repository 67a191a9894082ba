"""The management API `lbaas.v1`: one servicer per resource, over grpc.aio."""
