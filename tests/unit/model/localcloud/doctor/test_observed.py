"""What programs print, read back as data."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from provision.model.localcloud.doctor import observed
from provision.model.localcloud.doctor.observed import ConsulCheck, Disk, Queue

INSPECT = {
    "State": {
        "Status": "exited",
        "ExitCode": 137,
        "OOMKilled": True,
        "StartedAt": "2026-11-23T01:08:34.55386Z",
        "FinishedAt": "0001-01-01T00:00:00Z",
    },
    "RestartCount": 2,
    "Config": {
        "Image": "provision/nova:65b909480f8a",
        "Labels": {"com.docker.compose.service": "nova-compute", "com.docker.compose.project": "provision-compute-1"},
    },
}


def test_a_container_is_read_from_dockers_document():
    unit = observed.read_unit(INSPECT, "compute-1-nova-compute-1")
    assert (unit.service, unit.project, unit.state, unit.exit_code) == (
        "nova-compute",
        "provision-compute-1",
        "exited",
        137,
    )
    assert unit.out_of_memory
    assert not unit.unhealthy
    assert unit.restarts == 2
    assert unit.started == datetime(2026, 11, 23, 1, 8, 34, tzinfo=UTC)
    assert unit.finished is None
    assert unit.family == "nova"


@pytest.mark.parametrize("image", ["hashicorp/consul:1.20", "sha256:00aa", "registry:5000/provision/nova"])
def test_an_image_of_somebody_else_has_no_family(image):
    document = {**INSPECT, "Config": {**INSPECT["Config"], "Image": image}}
    assert observed.read_unit(document, "x").family == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-23T01:08:34.000000", datetime(2026, 11, 23, 1, 8, 34, tzinfo=UTC)),
        ("2026-11-23 01:08:34", datetime(2026, 11, 23, 1, 8, 34, tzinfo=UTC)),
        ("", None),
        (None, None),
        ("0001-01-01T00:00:00Z", None),
    ],
)
def test_a_time_is_read_whoever_wrote_it(text, expected):
    assert observed.read_time(text) == expected


def test_dockers_own_time_is_read_with_its_nanoseconds_and_its_zone():
    assert observed.read_moment("2026-11-23T02:37:39.275504486+01:00") == pytest.approx(
        datetime(2026, 11, 23, 1, 37, 39, 275504, tzinfo=UTC).timestamp(), abs=1e-5
    )


def test_haproxys_statistics_are_counted():
    text = "\n".join(
        [
            "# pxname,svname,qcur,status,weight",
            "keystone,FRONTEND,,OPEN,",
            "keystone,keystone1,0,UP,1",
            "keystone,keystone2,0,UP 1/3,1",
            "keystone,keystone3,0,MAINT (resolution),1",
            "keystone,keystone4,0,DOWN,1",
            "keystone,BACKEND,0,UP,1",
            "glance,BACKEND,0,DOWN,0",
            "stats,FRONTEND,,OPEN,",
        ]
    )
    assert observed.read_backends(text) == {"keystone": 2, "glance": 0}


def test_consuls_checks_are_read_and_one_that_fails_decides():
    state = {"Node": "n", "ServiceID": "a:1", "ServiceName": "glance", "Status": "passing", "Output": "HTTP GET:\n 200"}
    states = [
        {**state, "ServiceID": "", "ServiceName": "", "Output": "Agent alive"},
        state,
        {**state, "ServiceID": "a:2", "Status": "passing"},
        {**state, "ServiceID": "a:2", "Status": "critical", "Output": "maintenance"},
        {**state, "ServiceID": "a:2", "Status": "passing"},
    ]
    assert observed.read_checks(states) == (
        ConsulCheck("glance", "a:1", True, "HTTP GET: 200"),
        ConsulCheck("glance", "a:2", False, "maintenance"),
    )


def test_what_a_lost_host_was_told_last_does_not_count():
    states = [
        {"Node": "host-1", "ServiceID": "", "ServiceName": "", "Status": "passing", "Output": ""},
        {"Node": "host-2", "ServiceID": "", "ServiceName": "", "Status": "critical", "Output": "timeout"},
        {"Node": "host-1", "ServiceID": "a:1", "ServiceName": "glance", "Status": "passing", "Output": "200"},
        {"Node": "host-2", "ServiceID": "b:1", "ServiceName": "glance", "Status": "passing", "Output": "200"},
    ]
    assert observed.read_checks(states) == (
        ConsulCheck("glance", "a:1", True, "200"),
        ConsulCheck("glance", "b:1", False, "host-2 does not answer"),
    )


QUEUES = """[
{"name":"compute.compute-1","messages":0,"consumers":1}
,{"name":"gone","messages":"","consumers":""}
]"""


@pytest.mark.parametrize("before", ["", "warning: [x] deprecated\n"])
def test_rabbitmqs_queues_are_read(before):
    assert observed.read_queues(before + QUEUES) == (Queue("compute.compute-1", 0, 1), Queue("gone", 0, 0))
    assert observed.read_queues("[]") == ()


@pytest.mark.parametrize("text", ["", "Error: unable to connect", '{"error": 1}', "[\nbroken off"])
def test_what_is_no_list_of_queues_is_refused(text):
    with pytest.raises(ValueError, match="no list of queues"):
        observed.read_queues(text)


def test_the_databases_variables_are_read():
    assert observed.read_variables("wsrep_on\tON\nclock\t1.5\nnoise\n") == {"wsrep_on": "ON", "clock": "1.5"}


DF = """Filesystem         1-blocks        Used   Available Capacity Mounted on
overlay        270553174016 43930652672 65013641216      41% /
/dev/vda       270553174016 43930652672 65013641216      41% /var/lib/mysql
"""


def test_disks_are_read_as_df_counts_them():
    size = 43930652672 + 65013641216
    assert observed.read_disks(DF, ["Docker", "the database"]) == (
        Disk("Docker", size, 65013641216),
        Disk("the database", size, 65013641216),
    )
    assert observed.read_disks("nothing", ["Docker"]) == ()
