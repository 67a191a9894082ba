"""Which fleet a pool lives on, and why: filters that say why they refuse, and weighers."""
