"""From a pool's tree to Envoy's messages: pure builders, one file per resource."""
