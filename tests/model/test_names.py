"""Names: built, read, refused with a hint."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbaas.model import names
from tests.model.samples import ids


@given(st.sampled_from(names.KINDS), st.data())
def test_a_built_name_reads_back_and_is_of_one_kind(kind, data):
    wanted = [part[1:-1] for part in kind.pattern.split("/") if part.startswith("{")]
    given_ids = {name: data.draw(ids) for name in wanted}
    name = kind.build(**given_ids)
    assert kind.parse(name) == given_ids
    assert names.kind_of(name) is kind
    assert [each for each in names.KINDS if each.parse(name) is not None] == [kind]
    assert names.check_name(kind, name) == ()


@given(st.text(max_size=120))
def test_any_text_gets_an_answer(text):
    assert names.kind_of(text) is next(
        (kind for kind in names.KINDS if kind.parse(text) is not None), None
    )
    for found in (*names.check_name(names.POOL, text), *names.check_id(text, field="pool_id")):
        assert found.description.isprintable()


@pytest.mark.parametrize("name", ["projects/acme/pools/web\n", "projects/acme\n", "fleets/edge\n"])
def test_a_newline_at_the_end_is_no_name(name):
    assert names.kind_of(name) is None
    assert not names.ID_PATTERN.match("web\n")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("Web", "'web'"),
        ("my_pool", "'my-pool'"),
        ("-web-", "'web'"),
        ("1web", "'web'"),
        ("web.prod", "'web-prod'"),
    ],
)
def test_a_bad_id_gets_a_hint(text, hint):
    (found,) = names.check_id(text, field="pool_id")
    assert found.field == "pool_id"
    assert f"did you mean {hint}?" in found.description


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("projects/Acme/pools/my_web", "projects/acme/pools/my-web"),
        ("projects/acme/pool/web", "projects/acme/pools/web"),
        ("project/acme/Pools/web", "projects/acme/pools/web"),
    ],
)
def test_a_bad_name_gets_a_hint(name, hint):
    (found,) = names.check_name(names.POOL, name)
    assert "it must look like projects/{project}/pools/{pool}" in found.description
    assert f"did you mean {hint!r}?" in found.description


@pytest.mark.parametrize("name", ["web", "", "projects/acme/vips/web", "projects//pools/"])
def test_a_name_far_off_gets_the_pattern_and_the_rule(name):
    (found,) = names.check_name(names.POOL, name)
    assert "projects/{project}/pools/{pool}; ids: 1-63 lower-case" in found.description
    assert "did you mean" not in found.description


@given(st.text(max_size=300))
def test_a_hint_is_itself_an_id(text):
    near = names.nearest_id(text)
    assert not near or names.ID_PATTERN.match(near)


def test_generated_ids_are_ids_and_differ():
    made = {names.new_id() for _ in range(1000)}
    assert len(made) == 1000
    assert all(names.ID_PATTERN.match(each) for each in made)


def test_parts_of_names():
    member = "projects/acme/pools/web/members/m1"
    assert names.project_of(member) == "acme"
    assert names.project_of("fleets/edge") == ""
    assert names.pool_of_member(member) == "projects/acme/pools/web"
    assert names.fleet_of_node("fleets/edge/nodes/e1") == "fleets/edge"
    assert names.leaf(member) == "m1"
