"""LoadBalancerService: what concerns a pool's whole tree."""

from collections.abc import AsyncIterator

from api.caller import Context
from api.explaining import explain
from api.serving import Serving
from api.trees import Trees
from api.waiting import Waits
from api.watching import watch
from lbaas.v1 import explanation_pb2, load_balancer_pb2, load_balancer_service_pb2, watch_pb2
from lbaas.v1.load_balancer_service_pb2_grpc import LoadBalancerServiceServicer


class LoadBalancerService(LoadBalancerServiceServicer):
    """Whole trees, explanations, watches, waits."""

    def __init__(self, serving: Serving) -> None:
        """Takes what all servicers share."""
        self._serving = serving
        self._trees = Trees(serving)
        self._waits = Waits(serving)

    async def Apply(
        self, request: load_balancer_service_pb2.ApplyRequest, context: Context
    ) -> load_balancer_pb2.LoadBalancer:
        """Makes a tree be as given."""
        return await self._trees.apply(request)

    async def DeleteTree(
        self, request: load_balancer_service_pb2.DeleteTreeRequest, context: Context
    ) -> load_balancer_pb2.LoadBalancer:
        """Deletes a pool with its VIPs and members."""
        return await self._trees.delete(request)

    async def Explain(
        self, request: load_balancer_service_pb2.ExplainRequest, context: Context
    ) -> explanation_pb2.Explanation:
        """Tells where an object lives, why, and what each node says of it."""
        return await explain(self._serving, request.name)

    async def Watch(
        self, request: load_balancer_service_pb2.WatchRequest, context: Context
    ) -> AsyncIterator[watch_pb2.WatchEvent]:
        """Streams what happens to a project's objects."""
        async for event in watch(self._serving, request):
            yield event

    async def WaitForApplied(
        self, request: load_balancer_service_pb2.WaitForAppliedRequest, context: Context
    ) -> load_balancer_service_pb2.WaitForAppliedResponse:
        """Waits until a change is live, refused, or the time is up."""
        return await self._waits.wait(request)
