"""The streams: ADS over grpc.aio, delta and state of the world, on the pure core of the cache."""
