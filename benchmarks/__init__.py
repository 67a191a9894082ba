"""What is measured of Tidegate: `make bench` runs all, and prints budgets and floors beside."""
