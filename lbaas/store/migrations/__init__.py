"""The store's migrations, oldest first in `versions`."""
