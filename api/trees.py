"""Apply and DeleteTree: a pool's tree in one transaction."""

from collections.abc import Callable, Sequence

from api import facts
from api.conversion.reading import Reading
from api.conversion.trees import read_tree, show_tree
from api.mutation import mutate
from api.seen import Seen
from api.serving import Serving
from api.standard_methods import refuse_foreign
from lbaas.model.names import HEALTH_MONITOR, POOL, VIP, check_name, project_of
from lbaas.model.objects import PoolTree, TenantObject
from lbaas.model.rules import check_tree
from lbaas.store import objects, trees
from lbaas.store.transaction import Transaction
from lbaas.v1 import load_balancer_pb2, load_balancer_service_pb2


class Trees:
    """Writes whole trees."""

    def __init__(self, serving: Serving) -> None:
        """Takes what all servicers share."""
        self._serving = serving

    async def apply(
        self, request: load_balancer_service_pb2.ApplyRequest
    ) -> load_balancer_pb2.LoadBalancer:
        """Makes a tree be as given; all violations of all its objects are told at once."""
        message, reading = request.load_balancer, Reading()
        name = message.pool.name
        tree = read_tree(message, reading)
        if not reading.violations:
            _refuse_foreign(tree)
        reading.add(check_tree(tree, policy=self._serving.policy))
        written: tuple[TenantObject, ...] = (
            tree.pool,
            *tree.members,
            *tree.health_monitors,
            *tree.vips,
        )
        seen = self._serving.see_each(name, [each.name for each in written])

        def work(tx: Transaction) -> load_balancer_pb2.LoadBalancer:
            stored = trees.apply(tx, tree, etag=request.etag)
            whole: list[TenantObject] = [stored.pool, *stored.members]
            whole += [*stored.health_monitors, *stored.vips]
            return _picture(tx, whole, seen)

        return await mutate(
            self._serving.store,
            request,
            project=project_of(name),
            answer=load_balancer_pb2.LoadBalancer,
            reading=reading,
            work=work,
        )

    async def delete(
        self, request: load_balancer_service_pb2.DeleteTreeRequest
    ) -> load_balancer_pb2.LoadBalancer:
        """Deletes a pool, its members and VIPs; gives them as they are then."""
        name, reading = request.name, Reading()
        reading.add(check_name(POOL, name))
        seen = self._serving.see_each(name, [name])

        def work(tx: Transaction) -> load_balancer_pb2.LoadBalancer:
            found = trees.read(tx, [name])
            names = [name]
            for tree in found:
                names += [member.name for member in tree.members]
                names += [vip.name for vip in tree.vips]
            trees.delete(tx, name, etag=request.etag)
            stored = objects.get_many(tx, names)
            whole: list[TenantObject] = [
                each for each in stored.values() if isinstance(each, TenantObject)
            ]
            return _picture(tx, whole, seen)

        return await mutate(
            self._serving.store,
            request,
            project=project_of(name),
            answer=load_balancer_pb2.LoadBalancer,
            reading=reading,
            work=work,
        )


def _picture(
    tx: Transaction, whole: Sequence[TenantObject], seen: Callable[[str], Seen]
) -> load_balancer_pb2.LoadBalancer:
    ordered = sorted(whole, key=lambda each: each.name)
    return show_tree(
        ordered,
        facts.of_tenant_objects(tx, ordered),
        lambda obj: seen(obj.name).after_write(obj.record),
        revision=tx.revision,
    )


def _refuse_foreign(tree: PoolTree) -> None:
    root = tree.pool.name
    for monitor in (*tree.pool.health_monitors, *(each.name for each in tree.health_monitors)):
        refuse_foreign(root, HEALTH_MONITOR, monitor)
    for vip in tree.vips:
        refuse_foreign(root, VIP, vip.name)
        refuse_foreign(root, POOL, vip.pool)
    for member in tree.members:
        refuse_foreign(root, POOL, member.name.rpartition("/members/")[0])
