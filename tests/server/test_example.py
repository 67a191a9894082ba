"""The example in the library's docstring is run as it stands."""

import doctest

import xds.cache.cache
import xds.server


def test_the_docstrings_examples_run():
    for module in (xds.server, xds.cache.cache):
        result = doctest.testmod(module, verbose=False)
        assert result.attempted > 0
        assert result.failed == 0
