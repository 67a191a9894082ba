"""The words of the model: Grizzly LBaaS v1's and Octavia's, kept."""

from enum import StrEnum


class Protocol(StrEnum):
    """What a VIP and its pool speak; HTTPS passes TLS through untouched."""

    TCP = "TCP"
    HTTP = "HTTP"
    HTTPS = "HTTPS"


class LbMethod(StrEnum):
    """How a pool chooses a member for a new connection or request."""

    ROUND_ROBIN = "ROUND_ROBIN"
    LEAST_CONNECTIONS = "LEAST_CONNECTIONS"
    SOURCE_IP = "SOURCE_IP"


class HealthMonitorType(StrEnum):
    """What a health monitor does to a member."""

    PING = "PING"
    TCP = "TCP"
    HTTP = "HTTP"
    HTTPS = "HTTPS"


class SessionPersistenceType(StrEnum):
    """How a VIP recognises a returning client."""

    SOURCE_IP = "SOURCE_IP"
    HTTP_COOKIE = "HTTP_COOKIE"
    APP_COOKIE = "APP_COOKIE"


class FleetKind(StrEnum):
    """EDGE nodes own VIP addresses; every SIDECAR node binds the VIP's loopback address."""

    EDGE = "EDGE"
    SIDECAR = "SIDECAR"


class ProvisioningStatus(StrEnum):
    """Whether what the tenant wrote is what every Envoy runs."""

    PENDING_CREATE = "PENDING_CREATE"
    PENDING_UPDATE = "PENDING_UPDATE"
    PENDING_DELETE = "PENDING_DELETE"
    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"
    ERROR = "ERROR"


class OperatingStatus(StrEnum):
    """Whether traffic is served, as the Envoys and the monitors see it."""

    ONLINE = "ONLINE"
    DEGRADED = "DEGRADED"
    OFFLINE = "OFFLINE"
    DRAINING = "DRAINING"
    NO_MONITOR = "NO_MONITOR"
    UNKNOWN = "UNKNOWN"


class ResourceState(StrEnum):
    """What has become of an Envoy resource on a node that does not hold it as wanted."""

    NOT_SENT = "NOT_SENT"
    SENT = "SENT"
    REJECTED = "REJECTED"


class NodeState(StrEnum):
    """How a node stands to its fleet's wanted configuration (design: status-and-order)."""

    JOINING = "JOINING"
    SYNCED = "SYNCED"
    PENDING = "PENDING"
    REJECTED = "REJECTED"
    LOST = "LOST"
