"""One mutation for each rule that is the server's: all but 24 and 46, which are Envoy's."""

from tools.mutations import answers, content, order, robustness, streams, subscriptions
from tools.mutations.mutation import Mutation

MUTATIONS: tuple[Mutation, ...] = (
    *streams.MUTATIONS,
    *answers.MUTATIONS,
    *subscriptions.MUTATIONS,
    *order.MUTATIONS,
    *content.MUTATIONS,
    *robustness.MUTATIONS,
)

__all__ = ["MUTATIONS", "Mutation"]
