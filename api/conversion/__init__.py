"""Messages to model values and back: the one boundary between `lbaas.v1` and `lbaas.model`.

Reading collects every violation instead of stopping at the first; where a field cannot be read, a
harmless value stands in for it, so that the model's own rules can be asked about the rest.
"""
