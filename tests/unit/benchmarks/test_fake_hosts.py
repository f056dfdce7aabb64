from __future__ import annotations

from fake_hosts import chassis, fake_ones, names, no_chassis


def commands(argv):
    """Split the commands of one call of ovn-sbctl."""
    program, first, *words = argv
    assert (program, first) == ("ovn-sbctl", "--"), "so that it takes no command's option for its own"
    found = [[]]
    for word in words:
        if word == "--":
            found.append([])
        else:
            found[-1].append(word)
    return found


def test_a_chassis_is_there_with_all_that_neutron_asks_about_at_once():
    encap, row, private = commands(chassis("fake-2", 2))
    assert encap[:3] == ["--id=@encap", "create", "Encap"]
    assert {"chassis_name=fake-2", "ip=192.0.2.2"} <= {*encap}
    assert {"Chassis", "name=fake-2", "hostname=fake-2", "encaps=@encap"} <= {*row}
    assert {"Chassis_Private", "name=fake-2", "chassis=@chassis"} <= {*private}
    assert not any("gw" in word for word in row), "no router may be put there"


def test_a_chassis_goes_with_its_private_part():
    assert [words[-1] for words in commands(no_chassis("fake-2"))] == ["fake-2", "fake-2"]


def test_only_ours_are_removed():
    assert fake_ones([*names(2), "compute-1", "fake-news", "fake-1", "12", "fake-10"]) == [
        "fake-1",
        "fake-10",
        "fake-2",
    ]
