"""Words that the doctor and the alerts share."""

from __future__ import annotations

import pytest

from provision.model.localcloud.doctor.words import called, check_reader, service_of


@pytest.mark.parametrize(
    ("queue", "reader"),
    [
        ("compute.compute-1", "nova-compute on compute-1"),
        ("conductor", "nova-conductor"),
        ("scheduler.nova-scheduler-2", "nova-scheduler on nova-scheduler-2"),
        ("mine", "its reader"),
    ],
)
def test_a_queue_is_read_by_a_service(queue, reader):
    assert check_reader(queue) == f"Check that {reader} runs and reaches RabbitMQ; its log says more."


@pytest.mark.parametrize(
    ("name", "type_", "words", "service"),
    [
        ("neutron", "network", "the network API (neutron)", "neutron-api"),
        ("nova-metadata", "", "the nova-metadata API (nova-metadata)", "nova-metadata"),
    ],
)
def test_an_api_has_a_name_for_people_and_a_service(name, type_, words, service):
    assert called(name, type_) == words
    assert service_of(name) == service
