"""QuotaService."""

from api.caller import Context, caller_of
from api.conversion.operators import read_quota, show_quota
from api.conversion.reading import Reading
from api.field_mask import merged
from api.mutation import mutate
from api.serving import Serving
from lbaas.model.names import QUOTA, check_name, project_of
from lbaas.model.objects import Quota
from lbaas.model.rules import check_quota
from lbaas.store import quotas
from lbaas.v1 import quota_pb2, quota_service_pb2
from lbaas.v1.quota_service_pb2_grpc import QuotaServiceServicer


class QuotaService(QuotaServiceServicer):
    """Quotas: every project has one."""

    def __init__(self, serving: Serving) -> None:
        """Takes what all servicers share."""
        self._serving = serving

    async def GetQuota(
        self, request: quota_service_pb2.GetQuotaRequest, context: Context
    ) -> quota_pb2.Quota:
        """Gives a project's quota."""
        reading = Reading()
        reading.add(check_name(QUOTA, request.name))
        reading.finish()
        name = request.name
        return show_quota(await self._serving.store.read(lambda tx: quotas.get(tx, name)))

    async def UpdateQuota(
        self, request: quota_service_pb2.UpdateQuotaRequest, context: Context
    ) -> quota_pb2.Quota:
        """Changes a project's quota; what it has already stays."""
        caller_of(context).must_operate()
        name, reading = request.quota.name, Reading()
        reading.add(check_name(QUOTA, name, field="quota.name"))
        return await mutate(
            self._serving.store,
            request,
            project=project_of(name),
            answer=quota_pb2.Quota,
            reading=reading,
            work=lambda tx: show_quota(
                quotas.update(tx, name, lambda current: _changed(request, current))
            ),
        )


def _changed(request: quota_service_pb2.UpdateQuotaRequest, current: Quota) -> Quota:
    reading = Reading()
    mask = request.update_mask if request.HasField("update_mask") else None
    wanted = merged(show_quota(current), request.quota, mask, reading.violations)
    quota = read_quota(wanted, current.name)
    reading.add(check_quota(quota))
    reading.finish()
    return quota
