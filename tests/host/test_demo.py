"""The demo where its agents may not ping: a namespace whose kernel lets no group do so either."""

from tests.demo.running import ONCE_WITHIN, demo, ended
from tests.host.netns import namespace
from tests.host.product import WITHOUT_PRIVILEGES


async def test_without_the_privilege_it_says_why_there_is_no_ping_monitor() -> None:
    with namespace() as alone:
        alone.sysctl("net/ipv4/ping_group_range", "1 0")
        async with demo("--once", before=(*alone.enter, *WITHOUT_PRIVILEGES)) as process:
            told, err = await ended(process, within=ONCE_WITHIN)
    assert process.returncode == 0, told + err
    assert "monitor/web-ping" not in told
    said = " ".join(told.split())
    assert "no PING monitor opening an ICMP socket is not permitted: give the agent CAP_" in said
