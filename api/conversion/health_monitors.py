"""Health monitors."""

from datetime import timedelta

from api.conversion.reading import Reading
from api.conversion.statuses import Facts, status_from, write_record, write_status
from api.seen import Seen
from lbaas.model.enums import HealthMonitorType
from lbaas.model.objects import HealthMonitor
from lbaas.v1 import enums_pb2, health_monitor_pb2


def read_health_monitor(
    message: health_monitor_pb2.HealthMonitor, name: str, reading: Reading
) -> HealthMonitor:
    """Gives the monitor that a message describes, under the name it has or is to have."""
    timeout = reading.duration(
        "timeout",
        message.timeout,
        given=message.HasField("timeout"),
        required=True,
        instead=timedelta(seconds=1),
    )
    # What stands in for the delay must not make the timeout look too long.
    delay = reading.duration(
        "delay", message.delay, given=message.HasField("delay"), required=True, instead=timeout
    )
    return HealthMonitor(
        name=name,
        display_name=message.display_name,
        description=message.description,
        labels=dict(sorted(message.labels.items())),
        admin_state_up=message.admin_state_up if message.HasField("admin_state_up") else True,
        type=reading.choice(
            "type",
            message.type,
            enums_pb2.HealthMonitorType.Code.Name,
            HealthMonitorType,
            instead=HealthMonitorType.HTTP,
        ),
        delay=delay,
        timeout=timeout,
        max_retries=message.max_retries,
        rise=message.rise if message.HasField("rise") else 1,
        http_method=message.http_method or "GET",
        url_path=message.url_path or "/",
        expected_codes=message.expected_codes or "200",
        host=message.host,
    )


def write_health_monitor(monitor: HealthMonitor) -> health_monitor_pb2.HealthMonitor:
    """Gives what a tenant wrote of a monitor."""
    message = health_monitor_pb2.HealthMonitor(
        name=monitor.name,
        display_name=monitor.display_name,
        description=monitor.description,
        labels=monitor.labels,
        admin_state_up=monitor.admin_state_up,
        type=enums_pb2.HealthMonitorType.Code.Value(monitor.type),
        max_retries=monitor.max_retries,
        rise=monitor.rise,
        http_method=monitor.http_method,
        url_path=monitor.url_path,
        expected_codes=monitor.expected_codes,
        host=monitor.host,
    )
    message.delay.FromTimedelta(monitor.delay)
    message.timeout.FromTimedelta(monitor.timeout)
    return message


def show_health_monitor(
    monitor: HealthMonitor, facts: Facts, seen: Seen
) -> health_monitor_pb2.HealthMonitor:
    """Gives the monitor as it is answered: with record, status and the pools it watches."""
    message = write_health_monitor(monitor)
    write_record(message, monitor.record)
    write_status(message, status_from(monitor, facts, seen))
    message.pools.extend(facts.monitored.get(monitor.name, ()))
    return message
