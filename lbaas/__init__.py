"""The domain of Tidegate: what a load balancer is, and where it is stored."""
