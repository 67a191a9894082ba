"""What an operator's address policy lifts, and what it never does."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbaas.model.rules import AddressPolicy, check_member_address, check_vip_address


def allowed(address, *cidrs):
    return check_member_address("address", address, policy=AddressPolicy.of(*cidrs)) == ()


@pytest.mark.parametrize(
    ("address", "cidr"),
    [
        ("127.0.0.1", "127.0.0.0/8"),
        ("127.0.0.2", "127.0.0.2/32"),
        ("::1", "::1/128"),
        ("169.254.7.1", "169.254.7.0/24"),
        ("169.254.169.254", "169.254.169.254/32"),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.0/104"),
    ],
)
def test_an_allowed_range_lifts_the_refusal(address, cidr):
    assert not allowed(address)
    assert allowed(address, cidr)


@pytest.mark.parametrize(
    ("address", "cidr"),
    [
        ("127.0.0.1", "0.0.0.0/0"),
        ("::1", "::/0"),
        ("127.0.0.1", "127.0.1.0/24"),
        ("169.254.169.254", "169.254.0.0/16"),
        ("64:ff9b::7f00:1", "127.0.0.0/8"),
        ("010.0.0.1", "10.0.0.0/8"),
        ("fe80::1%eth0", "fe80::/10"),
    ],
)
def test_a_careless_range_lifts_nothing(address, cidr):
    assert not allowed(address, cidr)


def test_a_policy_refuses_what_is_no_cidr():
    with pytest.raises(ValueError, match="localhost"):
        AddressPolicy.of("localhost")


addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


@given(addresses)
def test_what_is_accepted_is_ordinary_and_spelt_one_way(address):
    if check_member_address("address", str(address)):
        return
    forbidden = (
        address.is_loopback,
        address.is_link_local,
        address.is_multicast,
        address.is_unspecified,
        getattr(address, "ipv4_mapped", None),
    )
    assert not any(forbidden)
    assert str(ip_address(str(address))) == str(address)


@given(st.text(max_size=80))
def test_any_text_gets_an_answer(text):
    for found in (check_member_address("a", text), check_vip_address("a", text)):
        for violation in found:
            assert violation.description.isprintable()


@given(st.ip_addresses(v=6))
def test_another_spelling_of_an_address_is_refused(address):
    if address.ipv4_mapped or str(address) == address.exploded:
        return
    (found,) = check_vip_address("address", address.exploded)
    assert found.reason in {"INVALID_ADDRESS", "ADDRESS_NOT_ALLOWED"}
