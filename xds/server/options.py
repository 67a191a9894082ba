"""How the server treats clients that are slow, dead or many."""

from dataclasses import dataclass

_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """Limits and times; the defaults are those of Tidegate's design.

    Attributes:
        keepalive_interval: seconds between the server's pings to a silent client.
        keepalive_timeout: seconds until an unanswered ping ends the connection.
        max_request_bytes: the largest request; a reconnect that names 100,000 versions has 10 MiB.
        max_response_bytes: the largest response.
        most_types: how many types one stream may ask for; there are a dozen, and a server keeps
            something for each, known or not.
        most_names: how many names one stream may ask for, of all types together.
        write_stall: seconds until a write that does not go out closes its stream.
        status_stall: seconds until a stream's last word, its status, is given up, and the
            connection is cut if no other stream is on it. With `write_stall` it is 25 s.
        first_request: seconds until a stream without a first request is closed.
        answer_overdue: seconds until an unanswered EDS or LDS response closes its stream (CDS
            answers are held back by warming, and never counted).
        first_answers: streams whose first answers are under way at the same time; others wait.
        first_answers_per_second: how many streams are let to their first answers in a second:
            5,000 within 10 s, before the 15 s after which an Envoy that starts goes on without.
        first_answer_hold: seconds after which a first answer that does not go out does not count
            as under way any more.
        stop_spread: seconds over which the streams end when the server stops, in random order;
            less with few streams.
        grace: seconds that streams have to end, once told, when the server stops.
        client_status: whether CSDS is offered, which tells all fleets' configuration to whoever may
            connect; a certificate says nothing of who that is yet. None: where only this machine
            can connect (loopback, unix sockets).
    """

    keepalive_interval: float = 10.0
    keepalive_timeout: float = 5.0
    max_request_bytes: int = 32 * _MIB
    max_response_bytes: int = 256 * _MIB
    most_types: int = 64
    most_names: int = 1_000_000
    write_stall: float = 20.0
    status_stall: float = 5.0
    first_request: float = 30.0
    answer_overdue: float = 30.0
    first_answers: int = 32
    first_answers_per_second: float = 500.0
    first_answer_hold: float = 1.0
    stop_spread: float = 1.0
    grace: float = 5.0
    client_status: bool | None = None

    def channel_arguments(self) -> list[tuple[str, int]]:
        """Gives gRPC's arguments for a server made of these options."""
        return [
            ("grpc.keepalive_time_ms", round(self.keepalive_interval * 1000)),
            ("grpc.keepalive_timeout_ms", round(self.keepalive_timeout * 1000)),
            # By the line above alone a client that had vanished was not noticed in 60 s (1.85).
            ("grpc.http2.ping_timeout_ms", round(self.keepalive_timeout * 1000)),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
            # Envoy pings every 5 s; with grpcio's defaults the server took that for abuse and
            # closed the connection every 15 to 20 s (measured).
            ("grpc.http2.min_ping_interval_without_data_ms", 1000),
            ("grpc.http2.max_ping_strikes", 0),
            # With the defaults hundreds of 3,000 streams that opened at once were lost (measured).
            ("grpc.server.max_pending_requests", 100_000),
            ("grpc.server.max_pending_requests_hard_limit", 200_000),
            # What has waited for 30 s to be taken up was cancelled: 1,300 of 5,000 streams on a
            # machine that was busy with other things (measured). They wait as long as they like.
            ("grpc.server_max_unrequested_time_in_server", 3600),
            ("grpc.max_receive_message_length", self.max_request_bytes),
            ("grpc.max_send_message_length", self.max_response_bytes),
            # Two servers on one port would each answer for half of the nodes.
            ("grpc.so_reuseport", 0),
        ]
