"""What of a cloud's offer fits a cluster, and how it is written down."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from provision.base.model import Flavor
from provision.model.cluster.offer import CloudOffer, described, fitting, scalar
from provision.model.localcloud.settings import FLAVORS

TINY, BARE = Flavor("tiny", 1, 512, 4), Flavor("bare", 4, 8192, 0)
SMALL, TIGHT, LARGE = Flavor("s2.small", 1, 4096, 20), Flavor("tight", 1, 1536, 8), Flavor("large", 8, 32768, 100)


def chosen(*flavors, externals=("public",)):
    return fitting("a", CloudOffer("company", flavors, (), externals))


@pytest.mark.parametrize(
    ("flavors", "name"),
    [
        (FLAVORS, "m1.small"),
        ((LARGE, SMALL, TINY, BARE), "s2.small"),
        # A cluster that its users would not enjoy is chosen only where nothing else is there.
        ((LARGE, TIGHT), "large"),
        ((TIGHT, TINY), "tight"),
        ((TINY, BARE), "m1.small"),
        ((), "m1.small"),
    ],
)
def test_the_smallest_flavor_that_does_is_chosen(flavors, name):
    spec = chosen(*flavors).spec
    assert (spec.cloud, spec.master.flavor, spec.workers.flavor) == ("company", name, name)


def test_comments_list_what_fits_the_smallest_first():
    assert chosen(LARGE, SMALL, TINY, BARE).flavors == (
        "company has s2.small (1 vCPU, 4 GiB, disk 20 GiB), large (8 vCPU, 32 GiB, disk 100 GiB)."
    )
    assert chosen(TINY).flavors == "No flavor of company fits a cluster: it has tiny (1 vCPU, 512 MiB, disk 4 GiB)."
    assert chosen().flavors == "company shows no flavors."


def test_a_long_list_is_cut():
    many = [Flavor(f"f{number:02}", 2, 4096 + number, 20) for number in range(40)]
    text = chosen(*many).flavors
    assert text.endswith(" and 28 more.")
    assert "f12" not in text


@pytest.mark.parametrize(
    ("externals", "name", "words"),
    [
        (("internet", "public"), "public", "company has internet, public."),
        (("internet", "dmz"), "dmz", "company has dmz, internet."),
        (("internet", "internet"), "internet", "company has internet. Where several have one name, give an id."),
        ((), "public", "company shows no external network."),
    ],
)
def test_an_external_network_is_one_that_is_there(externals, name, words):
    found = chosen(SMALL, externals=externals)
    assert found.spec.network.external == name
    assert found.externals == words


def test_images_are_listed():
    offer = CloudOffer("company", (SMALL,), ("debian-13", "ubuntu-24.04"), ("public",))
    assert fitting("a", offer).images == "company has debian-13, ubuntu-24.04."
    assert fitting("a", CloudOffer("company")).images == ""


def test_no_name_ends_a_comment():
    assert described(Flavor("a\nb: c\u2028d\x00", 1, 512, 1)).startswith("a b: c d (")


@given(st.text())
def test_a_scalar_is_read_as_it_was(text):
    assert yaml.safe_load(f"x: {scalar(text)}") == {"x": text}


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("m1.small", "m1.small"),
        ("public", "public"),
        ("yes", '"yes"'),
        ("12", '"12"'),
        ("1e3", '"1e3"'),
        ("a: b", '"a: b"'),
        ("# x", '"# x"'),
        ("2026-99-99", '"2026-99-99"'),
        ("", '""'),
        ("zwölf", '"zwölf"'),
    ],
)
def test_what_would_be_something_else_is_quoted(text, written):
    assert scalar(text) == written
